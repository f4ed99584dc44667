-- Reading a lane by differences of snapshots. What became visible since `position` has a transaction that was running
-- then (pg_snapshot_xip) or that had not begun (from pg_snapshot_xmax on): both are found by the index (lane, xid, id).

-- name: news
-- Lanes that have something to send: a batch that was begun, or an entry that is new. A few look-ups in each partition.
SELECT l.lane FROM outbox_lane l
WHERE l.lane = ANY(%(lanes)s::smallint[])
  AND (l.batch IS NOT NULL
       OR EXISTS (SELECT FROM outbox_entry e
                  WHERE e.lane = l.lane AND e.xid >= coalesce(pg_snapshot_xmax(l.position), '0'::xid8))
       OR EXISTS (SELECT FROM pg_snapshot_xip(l.position) running(xid)
                  JOIN outbox_entry e ON e.lane = l.lane AND e.xid = running.xid))
ORDER BY l.lane;

-- name: held
-- The open batch of a lane, if it has one.
SELECT position::text, batch::text, after_id, after_event, until_id FROM outbox_lane
WHERE lane = %(lane)s AND owner = %(owner)s AND epoch = %(epoch)s;

-- name: open
-- Begin a batch: the snapshot of this very statement, with the first and last id of what is new in it. Adding nothing to
-- the id keeps the planner from looking for the lowest one among all that were sent.
UPDATE outbox_lane l
SET batch = n.batch, after_id = n.first - 1, after_event = 0, until_id = n.last
FROM (
    SELECT pg_current_snapshot() AS batch, min(e.id + 0) AS first, max(e.id + 0) AS last
    FROM (
        SELECT id FROM outbox_entry
        WHERE lane = %(lane)s AND xid >= coalesce(pg_snapshot_xmax(%(position)s::pg_snapshot), '0'::xid8)
        UNION ALL
        SELECT id FROM outbox_entry
        WHERE lane = %(lane)s AND xid = ANY(ARRAY(SELECT pg_snapshot_xip(%(position)s::pg_snapshot)))
    ) e
) n
WHERE l.lane = %(lane)s AND l.owner = %(owner)s AND l.epoch = %(epoch)s AND n.first IS NOT NULL
RETURNING l.batch::text, l.after_id, l.until_id;

-- name: page
-- The next entries of a batch by id, as one row: of each column the values of all of them, put together with a character
-- that none has; for a client that is a fifth of the work of reading rows. Of bulk entries, imports and what is big the
-- payload is left out (empty): it is read when its turn comes. No value is null, for nulls would be left out of a column.
SELECT string_agg(id::text, E'\x1f'), string_agg(kind, E'\x1f'),
       string_agg(CASE kind WHEN 'order' THEN key || ':' || coalesce(version, 1) ELSE source END, E'\x1f') AS event_id,
       string_agg(type, E'\x1f'), string_agg(key, E'\x1f'), string_agg(coalesce(version, 1)::text, E'\x1f'),
       string_agg(partition_key, E'\x1f'),
       string_agg(coalesce(date_part('epoch', placed_at), 0)::text, E'\x1f'), string_agg(time, E'\x1f'),
       string_agg(CASE WHEN kind = 'order' AND octet_length(payload) <= %(big)s
                       THEN convert_from(payload, 'UTF8') ELSE '' END, E'\x1f')
FROM (
    SELECT * FROM outbox_entry
    WHERE lane = %(lane)s AND id > %(after_id)s AND id <= %(until_id)s
      AND pg_visible_in_snapshot(xid, %(batch)s::pg_snapshot)
      AND pg_visible_in_snapshot(xid, %(position)s::pg_snapshot) IS NOT TRUE
    ORDER BY id LIMIT %(limit)s
) e;

-- name: payload
SELECT payload FROM outbox_entry WHERE lane = %(lane)s AND id = %(id)s;

-- name: save
UPDATE outbox_lane
SET after_id = %(after_id)s, after_event = %(after_event)s, acknowledged_at = clock_timestamp(),
    published = published + %(acknowledged)s
WHERE lane = %(lane)s AND owner = %(owner)s AND epoch = %(epoch)s AND batch::text = %(batch)s;

-- name: close
UPDATE outbox_lane
SET position = batch, batch = NULL, after_id = 0, after_event = 0, until_id = 0, acknowledged_at = clock_timestamp(),
    published = published + %(acknowledged)s
WHERE lane = %(lane)s AND owner = %(owner)s AND epoch = %(epoch)s AND batch::text = %(batch)s;

-- name: receipts
-- Bulk entries of a batch that are acknowledged as a whole.
UPDATE outbox_receipt r SET published_at = clock_timestamp()
FROM outbox_entry e
WHERE e.lane = %(lane)s AND e.id > %(after_id)s AND e.id <= %(until_id)s AND e.kind = 'bulk'
  AND pg_visible_in_snapshot(e.xid, %(batch)s::pg_snapshot)
  AND r.source = e.source AND r.entry_id = e.id AND r.published_at IS NULL;
