-- Appending to the outbox. Here, and nowhere else, an entry gets its lane (orders/outbox/lanes.py has the ranges).

-- name: bulk
-- One entry for all new orders of a chunk, with its receipt.
WITH entry AS (
    INSERT INTO outbox_entry (lane, kind, type, key, version, partition_key, orders, payload, source)
    VALUES (8 + abs(hashtext(%(source)s)::bigint) %% 4, 'bulk', %(type)s, '', NULL, '', %(orders)s, %(payload)s, %(source)s)
    RETURNING id, lane, orders, source, created_at
)
INSERT INTO outbox_receipt (source, entry_id, lane, orders, created_at)
SELECT source, id, lane, orders, created_at FROM entry;

-- name: orders
INSERT INTO outbox_entry (lane, kind, type, key, version, partition_key, orders, payload, source)
SELECT abs(hashtext(id)::bigint) %% 8, 'order', %(type)s, id, version, '', 1, '', %(source)s
FROM unnest(string_to_array(%(ids)s, E'\x1f'), %(versions)s::int[]) WITH ORDINALITY AS changed(id, version, position)
ORDER BY position;
