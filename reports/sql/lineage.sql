-- From a record of a file to its order, when the file's bytes are gone.

-- name: order_of_record
-- A chunk's new orders were all made at one moment, and lie together: the block-range index of created_at finds them,
-- where one of import_id would find all of a load of 100 million. Those that began just before the record come first.
SELECT l.order_id, l.line_no
FROM (
    SELECT id, import_record FROM orders_order
    WHERE created_at BETWEEN %(merged_at)s::timestamptz - interval '15 minutes' AND %(merged_at)s::timestamptz
      AND import_id = %(import_id)s AND import_chunk = %(chunk)s AND import_record <= %(record)s
    ORDER BY import_record DESC
) made
CROSS JOIN LATERAL (
    SELECT x.order_id, x.line_no FROM orders_orderline x
    WHERE x.order_id = made.id AND x.import_id = %(import_id)s
      AND coalesce(x.record, x.line_no - %(line_base)s) = %(record)s
    OFFSET 0
) l
LIMIT 1;
