-- What an event of an order says. It is written here and nowhere else, so that an event has the same content whether it
-- is told when an order changes, kept before a change, or made from a bulk entry.

-- name: documents
-- The events of (order id, version), in this order, without orders that have another version by now. Texts are put
-- together because that takes half the time of json_build_object. LIMIT 1 makes it a look-up by key, whatever the planner
-- thinks of the tables.
SELECT p.position, d.*
FROM unnest(string_to_array(%(ids)s, E'\x1f'), %(versions)s::int[]) WITH ORDINALITY AS p(id, version, position)
CROSS JOIN LATERAL (
    SELECT o.id AS key, o.version, o.status, coalesce(o.partition_key, o.user_id, o.id) AS partition_key,
           o.created_at AS placed_at,
           replace(to_char(o.updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), '.000000', '') AS time,
           concat(
               '{"order_id":', to_json(o.id), ',"version":', o.version,
               ',"user_id":', coalesce(to_json(o.user_id)::text, 'null'), ',"status":"', o.status,
               '","ordered_at":',
               coalesce('"' || replace(to_char(o.ordered_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), '.000000', '') || '"', 'null'),
               ',"country":', to_json(o.country), ',"currency":"', o.currency, '","lines":[',
               (SELECT string_agg(
                    concat('{"line_no":', l.line_no, ',"sku":', to_json(l.item_id), ',"quantity":', l.quantity,
                           ',"unit_price":', coalesce('"' || l.unit_price || '"', 'null'), '}'),
                    ',' ORDER BY l.line_no)
                FROM orders_orderline l WHERE l.order_id = o.id),
               '],"attributes":', coalesce(o.attributes::text, 'null'), ',"import":',
               CASE WHEN o.import_id IS NULL THEN 'null'
                    ELSE concat('{"id":', o.import_id, ',"chunk":', coalesce(o.import_chunk::text, 'null'),
                                ',"record":', coalesce(o.import_record::text, 'null'), '}') END,
               ',"created_at":"',
               replace(to_char(o.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), '.000000', ''),
               '","updated_at":"',
               replace(to_char(o.updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), '.000000', ''), '"}'
           ) AS data
    FROM orders_order o WHERE o.id = p.id AND o.version = p.version LIMIT 1
) d
ORDER BY p.position

-- name: pending
-- Of locked orders those that a bulk load placed, that nobody has changed since, and whose bulk entry is not acknowledged
-- as a whole. A statement of its own: it must see what was committed while we waited for the lock.
SELECT o.id
FROM unnest(string_to_array(%(ids)s, E'\x1f')) WITH ORDINALITY AS p(id, position)
CROSS JOIN LATERAL (
    SELECT o.id, o.import_id, o.import_chunk FROM orders_order o
    WHERE o.id = p.id AND o.version = 1 AND o.import_id IS NOT NULL LIMIT 1
) o
JOIN outbox_receipt r ON r.source = 'import:' || o.import_id || '/' || o.import_chunk AND r.published_at IS NULL
ORDER BY p.position;
