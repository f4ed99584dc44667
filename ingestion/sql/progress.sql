-- Progress of an import, from its chunk rows.

-- name: progress
SELECT count(*) FILTER (WHERE state IN ('done', 'stopped')), count(*),
       coalesce(sum(length) FILTER (WHERE state IN ('done', 'stopped')), 0), coalesce(sum(length), 0),
       coalesce(sum(records) FILTER (WHERE state IN ('done', 'stopped')), 0)
FROM ingestion_chunk WHERE import_id = %(import_id)s;

-- name: counters
SELECT 'outcomes' AS kind, entry.key, sum(entry.value::bigint) FROM ingestion_chunk c, jsonb_each_text(outcomes) entry
WHERE c.import_id = %(import_id)s GROUP BY entry.key
UNION ALL
SELECT 'errors', entry.key, sum(entry.value::bigint) FROM ingestion_chunk c, jsonb_each_text(errors) entry
WHERE c.import_id = %(import_id)s GROUP BY entry.key;

-- name: examples
-- One example of each error code: the first record that has it.
SELECT DISTINCT ON (code) code, source, record, line, column_name, message, value, raw
FROM ingestion_reject WHERE import_id = %(import_id)s ORDER BY code, record, position;
