-- Appending to the outbox. Here, and nowhere else, an entry gets its lane (orders/outbox/lanes.py has the ranges).

-- name: bulk
-- One entry for all new orders of a chunk, with its receipt.
WITH entry AS (
    INSERT INTO outbox_entry (lane, kind, type, key, version, partition_key, time, orders, payload,
                              source)
    VALUES (8 + abs(hashtext(%(source)s)::bigint) %% 4, 'bulk', %(type)s, '', NULL, '', '', %(orders)s, %(payload)s,
            %(source)s)
    RETURNING id, lane, orders, source, created_at
)
INSERT INTO outbox_receipt (source, entry_id, lane, orders, created_at)
SELECT source, id, lane, orders, created_at FROM entry;

-- name: selected
-- One entry an event. Numbers are given after sorting, so their order is that of the events.
INSERT INTO outbox_entry (lane, kind, type, key, version, partition_key, placed_at, time, orders, payload, source)
SELECT abs(hashtext(e.key)::bigint) %% 8, %(kind)s, %(type)s, e.key, e.version, e.partition_key, e.placed_at, e.time, 1,
       convert_to(e.data, 'UTF8'), %(source)s
FROM ({events}) e ORDER BY e.position;

-- name: given
-- An event whose content is known.
SELECT 1 AS position, %(key)s::text AS key, %(version)s::int AS version, %(partition_key)s::text AS partition_key,
       %(placed_at)s::timestamptz AS placed_at, %(time)s::text AS time, %(data)s::text AS data
