-- Whether the database is the one from which the lanes were read.

-- name: strangers
-- Lanes of another cluster, or whose snapshots are ahead of this one: a copy of the tables was restored here.
UPDATE outbox_lane l SET halted_reason = f.reason, owner = '', epoch = l.epoch + 1, leased_until = NULL
FROM (
    SELECT s.lane,
           CASE WHEN s.system_identifier <> c.system_identifier THEN %(other_cluster)s ELSE %(ahead)s END AS reason
    FROM outbox_lane s, pg_control_system() c
    WHERE s.halted_reason = ''
      AND (s.system_identifier <> c.system_identifier
           OR pg_snapshot_xmax(coalesce(s.batch, s.position)) > pg_snapshot_xmax(pg_current_snapshot()))
    ORDER BY s.lane FOR NO KEY UPDATE OF s
) f
WHERE l.lane = f.lane
RETURNING l.lane, l.halted_reason;

-- name: snapshot
SELECT pg_current_snapshot()::text;

-- name: lanes_lock
SELECT lane FROM outbox_lane ORDER BY lane FOR UPDATE;

-- name: relays_running
SELECT owner FROM outbox_lane WHERE owner <> '' AND leased_until > clock_timestamp() GROUP BY owner ORDER BY owner;

-- name: restamp
-- Give every entry a transaction of this cluster: those that are known to be acknowledged one that all snapshots see, the
-- others this one, which no lane has read. An entry was acknowledged if the lane's snapshots, which are of the cluster
-- that the copy came from, say so, and it was written before its lane last heard from the broker: entries written here
-- since have numbers that may look old.
UPDATE outbox_entry e
SET xid = CASE WHEN coalesce(e.created_at <= l.acknowledged_at
                             AND (pg_visible_in_snapshot(e.xid, l.position)
                                  OR (pg_visible_in_snapshot(e.xid, l.batch) AND e.id <= l.after_id)), false)
               THEN '3'::xid8 ELSE pg_current_xact_id() END
FROM outbox_lane l WHERE l.lane = e.lane;

-- name: unsent
SELECT count(*), coalesce(sum(orders), 0) FROM outbox_entry WHERE xid = pg_current_xact_id();

-- name: receipts_reopen
-- Bulk entries that are sent again are pending again.
UPDATE outbox_receipt r SET published_at = NULL
FROM outbox_entry e
WHERE e.source = r.source AND e.kind = 'bulk' AND e.xid = pg_current_xact_id() AND r.published_at IS NOT NULL;

-- name: settle
-- Everything that was visible before this transaction began is behind the lanes, but for what it stamped anew.
UPDATE outbox_lane
SET position = %(snapshot)s::pg_snapshot, batch = NULL, after_id = 0, after_event = 0, until_id = 0, owner = '',
    epoch = epoch + 1, leased_until = NULL, halted_reason = '',
    system_identifier = (SELECT system_identifier FROM pg_control_system());
