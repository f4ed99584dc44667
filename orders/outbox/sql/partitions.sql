-- Partitions of outbox_entry by UTC day. {partition} and {template} are names, {from} and {to} times as literals.

-- name: existing
-- Partitions of days, by name; those that are being made or dropped right now may be missing.
SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'outbox_entry'::regclass AND c.relname ~ '^outbox_entry_\d{8}$' ORDER BY c.relname;

-- name: today
SELECT (now() AT TIME ZONE 'UTC')::date;

-- name: one_at_a_time
-- One process looks after partitions; the others have nothing to do. The number is any that nobody else uses.
SELECT pg_try_advisory_xact_lock(1871930218);

-- name: wait_little
-- Behind a lock that waits queue all writers, and so they do behind one that is held.
SELECT set_config('lock_timeout', '100ms', true), set_config('statement_timeout', '2s', true);

-- name: create
-- Attaching, unlike CREATE TABLE … PARTITION OF, takes no lock that writers would wait for.
CREATE TABLE {partition} (LIKE outbox_entry INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES);

-- name: attach
ALTER TABLE outbox_entry ATTACH PARTITION {partition} FOR VALUES FROM ({from}) TO ({to});

-- name: in_default
SELECT EXISTS (SELECT FROM outbox_entry_default
               WHERE created_at >= {from}::timestamptz AND created_at < {to}::timestamptz);

-- name: lock
-- The writers' lock first, in the order in which writers take them.
LOCK TABLE ONLY outbox_entry, ONLY {partition} IN ACCESS EXCLUSIVE MODE;

-- name: unacknowledged
-- Whether some lane has not acknowledged some entry of a partition; by index, because it is asked under the lock. What a
-- halted lane says of its position means nothing.
SELECT EXISTS (
    SELECT FROM outbox_lane l
    WHERE EXISTS (SELECT FROM {partition} e
                  WHERE e.lane = l.lane AND e.xid >= coalesce(pg_snapshot_xmax(l.position), '0'::xid8))
       OR EXISTS (SELECT FROM pg_snapshot_xip(l.position) running(xid)
                  JOIN {partition} e ON e.lane = l.lane AND e.xid = running.xid)
       OR (l.halted_reason <> '' AND EXISTS (SELECT FROM {partition} e WHERE e.lane = l.lane)));

-- name: drop
DROP TABLE {partition};

-- name: receipts_delete
-- A receipt that is missing means that its entry was published.
DELETE FROM outbox_receipt WHERE published_at IS NOT NULL AND created_at < {to}::timestamptz;

-- name: default_prune
-- The default partition has what was written while nobody made partitions: it is emptied row by row.
DELETE FROM outbox_entry_default
WHERE ctid = ANY(ARRAY(
    SELECT e.ctid FROM outbox_entry_default e JOIN outbox_lane l ON l.lane = e.lane
    WHERE e.created_at < {to}::timestamptz AND l.halted_reason = '' AND pg_visible_in_snapshot(e.xid, l.position)
    LIMIT 10000));
