-- What stands in the database of the orders of a chunk, for a comparison row by row.

-- name: orders_now
SELECT id, coalesce(user_id, '') AS user_id, status, country, currency,
       coalesce(to_char(ordered_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US'), '') AS ordered_at,
       coalesce(import_chunk, -1) AS chunk,
       (import_id IS DISTINCT FROM %(import_id)s OR version <> import_version)::int AS changed
FROM orders_order WHERE id = ANY(string_to_array(%(ids)s, E'\x1f'));

-- name: lines_now
SELECT order_id, line_no, coalesce(record, line_no - %(line_base)s) AS record, item_id, quantity, coalesce(unit_price::text, '') AS unit_price,
       (import_id IS NOT DISTINCT FROM %(import_id)s)::int AS ours
FROM orders_orderline WHERE order_id = ANY(string_to_array(%(ids)s, E'\x1f'));
