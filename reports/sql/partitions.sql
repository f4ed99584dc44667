-- The partitions of the history, one a day (UTC) by when events were read.

-- name: partitions_turn
-- One consumer at a time looks after them; the others have nothing to do. And nobody is kept waiting for it.
SELECT set_config('lock_timeout', %(milliseconds)s, true), pg_try_advisory_xact_lock(hashtext('reports_history'));

-- name: partitions_present
SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'reports_history'::regclass;

-- name: partition_default_is_empty
-- Whether nothing of a day stands in the default partition: else its own partition cannot be made any more.
SELECT NOT EXISTS (SELECT FROM reports_history_default WHERE consumed_at >= %(start)s AND consumed_at < %(end)s);

-- name: partition_create
-- Attaching, unlike CREATE TABLE … PARTITION OF, takes no lock that writers would wait for.
CREATE TABLE {partition} (LIKE reports_history INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES);

-- name: partition_attach
ALTER TABLE reports_history ATTACH PARTITION {partition} FOR VALUES FROM ({start}) TO ({end});

-- name: default_forget
-- What got into the default partition because a day had none.
DELETE FROM reports_history_default WHERE consumed_at < %(before)s;
