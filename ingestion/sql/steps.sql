-- Steps of an import that are one worker's job at a time, and which import a worker serves next.
-- A step is claimed on the import's row as a chunk is on its own: token, lease, and the claiming backend.

-- name: steps_waiting
-- Steps that somebody should do, the most urgent first: what ends an import, what starts one, what takes long; then
-- people for whom nobody works, then small imports, then the oldest. Only imports of the API: the command brings its own.
WITH waiting AS (
    SELECT i.id, i.step_token, i.queue, i.created_by_id, i.step_lease_until, i.step_backend_pid, i.step_backend_start,
        CASE
            WHEN i.state IN ('failed', 'cancelled') THEN 'certify'
            WHEN i.prepared_at IS NULL THEN 'prepare'
            WHEN i.dry_run THEN 'dry_run'
            WHEN i.planned_at IS NULL THEN 'plan'
            WHEN NOT EXISTS (
                SELECT FROM ingestion_chunk c WHERE c.import_id = i.id AND c.state NOT IN ('done', 'stopped')
            ) THEN 'certify'
        END AS step,
        coalesce(i.while_uploading AND u.state = 'receiving', false) AS follows
    FROM ingestion_import i LEFT JOIN ingestion_upload u ON u.id = i.upload_id
    WHERE i.queue <> '' AND (%(import_id)s::bigint IS NULL OR i.id = %(import_id)s) AND (
        i.state IN ('queued', 'running')
        OR (i.state = 'uploading' AND i.while_uploading
            AND (u.offset_bytes >= %(follow_from_bytes)s OR u.state = 'complete'))
        OR (i.state IN ('failed', 'cancelled') AND i.certificate IS NULL)
    )
), lasting AS (
    SELECT w.*, w.step IN ('plan', 'dry_run') AND (w.follows OR w.queue <> 'small') AS lasts FROM waiting w
), free AS (
    SELECT w.*, a.pid IS NOT NULL AS holder_lives
    FROM lasting w
    LEFT JOIN pg_stat_activity a ON a.pid = w.step_backend_pid AND a.backend_start = w.step_backend_start
    WHERE w.step = ANY(%(steps)s) AND (NOT w.follows OR w.step <> 'plan' OR %(may_follow)s)
      AND (NOT w.lasts OR %(may_last)s)
      AND (w.step_lease_until IS NULL OR w.step_lease_until < now()
           OR (w.step_backend_pid IS NOT NULL AND a.pid IS NULL))
), busy AS (
    SELECT created_by_id, count(*) AS steps FROM ingestion_import
    WHERE step_lease_until > now() AND step_backend_pid IS NOT NULL AND state IN ('queued', 'running', 'uploading')
    GROUP BY 1
)
SELECT f.id, f.step_token, f.step, f.follows, f.lasts,
       CASE WHEN f.holder_lives AND f.step_backend_pid <> pg_backend_pid() THEN f.step_backend_pid END AS old_backend
FROM free f LEFT JOIN busy b ON b.created_by_id IS NOT DISTINCT FROM f.created_by_id
ORDER BY array_position(ARRAY['certify', 'prepare', 'plan', 'dry_run'], f.step), coalesce(b.steps, 0),
         f.queue <> 'small', f.id
LIMIT 5;

-- name: step_backend_end
-- End the backend of a holder whose lease ran out: it may be frozen in a transaction and hold locks.
SELECT pg_terminate_backend(a.pid)
FROM ingestion_import i
JOIN pg_stat_activity a ON a.pid = i.step_backend_pid AND a.backend_start = i.step_backend_start
WHERE i.id = %(import_id)s AND i.step_token = %(token)s AND i.step_lease_until < now() AND a.pid <> pg_backend_pid();

-- name: step_claim
-- Compare-and-set: of several that saw it free, one gets it.
UPDATE ingestion_import
SET step_token = step_token + 1, step_attempts = step_attempts + 1, step_worker = %(worker)s,
    step_lease_until = now() + make_interval(secs => %(lease_seconds)s),
    step_backend_pid = pg_backend_pid(),
    step_backend_start = (SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid())
WHERE id = %(import_id)s AND step_token = %(token)s
  AND (step_lease_until IS NULL OR step_lease_until < now() OR step_backend_pid IS NULL OR NOT EXISTS (
      SELECT FROM pg_stat_activity a WHERE a.pid = step_backend_pid AND a.backend_start = step_backend_start))
RETURNING step_token, step_attempts;

-- name: step_heartbeat
-- Extend the lease of a step that is still ours.
UPDATE ingestion_import SET step_lease_until = now() + make_interval(secs => %(lease_seconds)s)
WHERE id = %(import_id)s AND step_token = %(token)s;

-- name: step_release
-- Give a step back: done (then attempts start anew), or to be tried again after a while.
UPDATE ingestion_import
SET step_lease_until = CASE WHEN %(wait_seconds)s > 0 THEN now() + make_interval(secs => %(wait_seconds)s) END,
    step_backend_pid = NULL, step_backend_start = NULL, step_worker = '', step_error = %(error)s,
    step_attempts = CASE WHEN %(done)s THEN 0 ELSE greatest(0, step_attempts - %(forgiven)s) END
WHERE id = %(import_id)s AND step_token = %(token)s;

-- name: step_hold
-- Hold the import's row while a step writes: whoever takes it over, or stops the import, waits for us or we see it.
SELECT state, step_token FROM ingestion_import WHERE id = %(import_id)s FOR SHARE;

-- name: chunks_waiting
-- Running imports of these queues with chunks that can be claimed, in the order in which to serve them: the queues in
-- the order given; the person for whom the fewest workers (we ourselves apart) work; the person whose last chunk was
-- merged longest ago; the oldest import. Under partial_orders = reject nothing merges before all is resolved.
WITH running AS (
    SELECT id, queue, coalesce(created_by_id, '') AS person, planned_at IS NOT NULL AS planned,
           coalesce(options #>> '{rules,partial_orders}', '') = 'reject' AS two_passes
    FROM ingestion_import WHERE state = 'running' AND queue <> '' AND NOT dry_run
), held AS (
    SELECT c.id, c.import_id, c.number, c.worker, c.merged_at, c.resolved_at IS NOT NULL AS resolved,
           c.state IN ('done', 'stopped') AS finished,
           c.state = 'claimed' AND c.lease_until > now() AND a.pid IS NOT NULL AS live
    FROM running r JOIN ingestion_chunk c ON c.import_id = r.id
    LEFT JOIN pg_stat_activity a ON a.pid = c.backend_pid AND a.backend_start = c.backend_start
), of_import AS (
    SELECT r.id, r.queue, r.person,
           count(h.id) FILTER (WHERE NOT h.finished AND NOT h.live AND (
               NOT r.two_passes OR NOT h.resolved OR (r.planned AND NOT u.unresolved))) AS free,
           max(h.merged_at) AS served_at
    FROM running r JOIN held h ON h.import_id = r.id
    CROSS JOIN LATERAL (
        SELECT r.two_passes AND EXISTS (
            SELECT FROM ingestion_chunk c WHERE c.import_id = r.id AND c.resolved_at IS NULL AND c.state <> 'stopped'
        ) AS unresolved
    ) u
    GROUP BY r.id, r.queue, r.person
), of_person AS (
    SELECT r.person, count(DISTINCT h.worker) FILTER (WHERE h.live AND h.worker <> %(worker)s) AS workers,
           max(h.merged_at) AS served_at
    FROM running r JOIN held h ON h.import_id = r.id GROUP BY r.person
)
SELECT i.id, i.queue, i.free
FROM of_import i JOIN of_person p ON p.person = i.person
WHERE i.free > 0 AND i.queue = ANY(%(queues)s) AND i.id <> ALL(%(avoided)s)
ORDER BY array_position(%(queues)s, i.queue::text), p.workers, p.served_at NULLS FIRST, i.id
LIMIT 1;

-- name: uploads_lost
-- Imports that wait for the bytes of an upload that will never have them, or for somebody to start or resume them
-- although it has none any more. Of a running one the step or the worker that reads finds out by itself.
SELECT i.id, u.state FROM ingestion_import i LEFT JOIN ingestion_upload u ON u.id = i.upload_id
WHERE i.queue <> '' AND i.state IN ('open', 'uploading', 'paused') AND (u.id IS NULL OR u.state IN ('terminated', 'expired'));

-- name: queues_stalled
-- Queues of which some import has chunks to claim while nobody works on any of its chunks.
SELECT DISTINCT i.queue FROM ingestion_import i
WHERE i.state = 'running' AND i.queue <> '' AND NOT i.dry_run
  AND EXISTS (SELECT FROM ingestion_chunk c WHERE c.import_id = i.id AND c.state IN ('planned', 'claimed'))
  AND NOT EXISTS (
    SELECT FROM ingestion_chunk c JOIN pg_stat_activity a
      ON a.pid = c.backend_pid AND a.backend_start = c.backend_start
    WHERE c.import_id = i.id AND c.state = 'claimed' AND c.lease_until > now());
