-- The books of an import.

-- name: totals
-- Sums over the chunks. Records of chunks that are not finished are unprocessed.
SELECT count(*) AS chunks, coalesce(sum(records), 0) AS records, coalesce(sum(length), 0) AS bytes,
       coalesce(sum(records) FILTER (WHERE state NOT IN ('done', 'stopped')), 0) AS unfinished,
       count(*) FILTER (WHERE state NOT IN ('done', 'stopped')) AS unfinished_chunks
FROM ingestion_chunk WHERE import_id = %(import_id)s;

-- name: sums
-- One column of counters, added up by name.
SELECT entry.key, sum(entry.value::bigint)
FROM ingestion_chunk c, jsonb_each_text({column}) entry
WHERE c.import_id = %(import_id)s
GROUP BY entry.key ORDER BY entry.key;

-- name: unbalanced_chunks
-- Finished chunks whose outcomes do not add up to their records.
SELECT number, records, (SELECT coalesce(sum(value::bigint), 0) FROM jsonb_each_text(outcomes))
FROM ingestion_chunk
WHERE import_id = %(import_id)s AND state IN ('done', 'stopped')
  AND records <> (SELECT coalesce(sum(value::bigint), 0) FROM jsonb_each_text(outcomes))
ORDER BY number LIMIT 10;

-- name: gaps
-- Chunks that do not begin where the one before them ended: bytes within their source, records within the import.
SELECT number FROM (
    SELECT number, source, "offset", first_record,
           lag(source) OVER w AS source_before,
           lag("offset" + length) OVER w AS offset_expected,
           lag(first_record + records) OVER w AS record_expected
    FROM ingestion_chunk WHERE import_id = %(import_id)s
    WINDOW w AS (ORDER BY number)
) chunk
WHERE (source = source_before AND "offset" <> offset_expected)
   OR first_record <> coalesce(record_expected, 1)
   OR (source_before IS NULL AND number <> 0)
ORDER BY number LIMIT 10;

-- name: source_ends
-- First and last byte of the chunks of each source.
SELECT source, min("offset"), max("offset" + length), sum(records)
FROM ingestion_chunk WHERE import_id = %(import_id)s GROUP BY source ORDER BY source;

-- name: rejected_records
SELECT count(*) FROM ingestion_reject WHERE import_id = %(import_id)s AND position = 0;

-- name: errors_listed
SELECT code, count(*) FROM ingestion_reject WHERE import_id = %(import_id)s GROUP BY code ORDER BY code;

-- name: displaced_elsewhere
-- Rows of this import that later imports took over, as those wrote it down.
SELECT coalesce(sum((displaced -> %(import_id)s::text ->> 'orders')::bigint), 0),
       coalesce(sum((displaced -> %(import_id)s::text ->> 'lines')::bigint), 0)
FROM ingestion_chunk WHERE import_id <> %(import_id)s AND displaced ? %(import_id)s::text;

-- name: order_rows
-- Every order of an import by chunk and key: chunk, whether somebody changed it since, and the text that its digest is
-- made of. Sorted by Postgres, which spills to disk, so that the reader needs no memory.
SELECT import_chunk, (version <> import_version)::int, id, user_id, status, ordered_at, country, currency,
       import_record, attributes, version, import_version, import_id, import_chunk
FROM orders_order WHERE import_id = %(import_id)s ORDER BY import_chunk, id COLLATE "C";

-- name: line_rows
-- Every line of an import by chunk (found by its record) and key, and the text that its digest is made of.
SELECT width_bucket(coalesce(record, line_no - %(line_base)s), %(starts)s::bigint[]), order_id, line_no, item_id,
       quantity, unit_price, record, import_id
FROM orders_orderline WHERE import_id = %(import_id)s ORDER BY 1, order_id COLLATE "C", line_no;

-- name: chunk_bounds
SELECT number, first_record, digests, facts FROM ingestion_chunk
WHERE import_id = %(import_id)s ORDER BY first_record, number;

-- name: digest_note
UPDATE ingestion_chunk SET digests = digests || jsonb_build_object(%(kind)s::text, %(digest)s::text)
WHERE import_id = %(import_id)s AND number = %(number)s;

-- name: orders_without_user
-- Orders of an import whose user, or lines whose order or item, does not exist.
SELECT (SELECT count(*) FROM orders_order o WHERE o.import_id = %(import_id)s AND o.user_id IS NOT NULL
          AND NOT EXISTS (SELECT FROM accounts_user u WHERE u.id = o.user_id)),
       (SELECT count(*) FROM orders_orderline l WHERE l.import_id = %(import_id)s
          AND NOT EXISTS (SELECT FROM orders_order o WHERE o.id = l.order_id)),
       (SELECT count(*) FROM orders_orderline l WHERE l.import_id = %(import_id)s
          AND NOT EXISTS (SELECT FROM orders_item i WHERE i.sku = l.item_id));

-- name: unmerged_entities
-- Users and items that resolved but unmerged chunks of a stopped import left behind.
SELECT (SELECT count(*) FROM accounts_user u JOIN ingestion_chunk c
          ON c.import_id = u.import_id AND c.number = u.import_chunk
        WHERE u.import_id = %(import_id)s AND c.state <> 'done'),
       (SELECT count(*) FROM orders_item i JOIN ingestion_chunk c
          ON c.import_id = i.import_id AND c.number = i.import_chunk
        WHERE i.import_id = %(import_id)s AND c.state <> 'done');

-- name: import_scratch_clear
DELETE FROM ingestion_orderseen WHERE import_id = %(import_id)s;
DELETE FROM ingestion_badorder WHERE import_id = %(import_id)s;
