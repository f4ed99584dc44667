-- Appending to the outbox.

-- name: bulk
INSERT INTO outbox_entry (kind, type, key, version, orders, payload, source)
VALUES ('bulk', %(type)s, '', NULL, %(orders)s, %(payload)s, %(source)s);

-- name: orders
INSERT INTO outbox_entry (kind, type, key, version, orders, payload, source)
SELECT 'order', %(type)s, id, version, 1, '', %(source)s
FROM unnest(string_to_array(%(ids)s, E'\x1f'), %(versions)s::int[]) WITH ORDINALITY AS changed(id, version, position)
ORDER BY position;
