-- name: metrics_imports
-- Imports by state. One row of this table is one file somebody loaded, so reading all of it stays cheap.
SELECT state, count(*) FROM ingestion_import GROUP BY state;

-- name: metrics_chunks
-- Work of imports under way, by queue: chunks that wait, and chunks that a worker holds.
SELECT i.queue,
       count(*) FILTER (WHERE c.state = 'planned'),
       count(*) FILTER (WHERE c.state = 'claimed')
FROM ingestion_import i
JOIN ingestion_chunk c ON c.import_id = i.id AND c.state IN ('planned', 'claimed')
WHERE i.state IN ('queued', 'running', 'uploading')
GROUP BY i.queue;

-- name: metrics_waiting
-- By queue: imports that nobody has begun, and how many seconds the oldest of them waits.
SELECT queue, count(*), coalesce(extract(epoch FROM now() - min(created_at)), 0)::float
FROM ingestion_import
WHERE state = 'queued'
GROUP BY queue;

-- name: metrics_steps
-- Imports with a step to do (prepare, plan, dry run, certify), waiting and held.
SELECT count(*) FILTER (WHERE i.step_lease_until IS NULL OR i.step_lease_until < now()),
       count(*) FILTER (WHERE i.step_lease_until >= now())
FROM ingestion_import i
WHERE i.state IN ('queued', 'running', 'uploading')
  AND i.queue <> ''
  AND (i.planned_at IS NULL OR i.dry_run
       OR NOT EXISTS (SELECT FROM ingestion_chunk c WHERE c.import_id = i.id AND c.state IN ('planned', 'claimed')));

-- name: metrics_uploads
-- Uploads by state, with the bytes they have in storage.
SELECT state, count(*), coalesce(sum(offset_bytes) FILTER (WHERE state IN ('receiving', 'complete')), 0)::bigint
FROM ingestion_upload
GROUP BY state;
