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
SELECT e.code, e.source, e.record, e.line, e.column_name, e.message, e.value, f.raw
FROM (
    SELECT DISTINCT ON (code) code, source, record, line, column_name, message, value
    FROM ingestion_reject WHERE import_id = %(import_id)s ORDER BY code, record, position
) e
JOIN ingestion_reject f ON f.import_id = %(import_id)s AND f.record = e.record AND f.position = 0
ORDER BY e.code;

-- name: stalled
-- Imports of the command that should be running while nobody works on them: no chunk is held by a live worker.
SELECT i.id FROM ingestion_import i
WHERE i.queue = '' AND i.state IN ('queued', 'running')
  AND NOT EXISTS (
    SELECT FROM ingestion_chunk c JOIN pg_stat_activity a
      ON a.pid = c.backend_pid AND a.backend_start = c.backend_start
    WHERE c.import_id = i.id AND c.state = 'claimed' AND c.lease_until > now())
ORDER BY i.id;
