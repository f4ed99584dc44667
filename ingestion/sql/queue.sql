-- The chunk queue: claims with a lease and a fencing token. Parameters are psycopg's %(name)s.

-- name: chunk_claim
-- Claim the lowest chunk that is free, or whose holder is gone: its lease ran out, or its backend no longer exists
-- (then nobody can commit under the old token and there is no need to wait for the lease).
-- The old backend of an expired lease is ended first: a worker frozen inside COPY holds its locks for ever.
WITH candidate AS (
    SELECT c.id, c.backend_pid, c.backend_start, c.state
    FROM ingestion_chunk c
    JOIN ingestion_import i ON i.id = c.import_id
    WHERE c.import_id = %(import_id)s
      AND i.state = 'running'
      AND (
        c.state = 'planned'
        OR (c.state = 'claimed' AND (
            c.lease_until < now()
            OR NOT EXISTS (
                SELECT FROM pg_stat_activity a
                WHERE a.pid = c.backend_pid AND a.backend_start = c.backend_start
            )
        ))
      )
      AND (NOT %(two_passes)s OR c.resolved_at IS NULL OR %(all_resolved)s)
    ORDER BY c.number
    FOR UPDATE OF c SKIP LOCKED
    LIMIT 1
), ended AS (
    SELECT candidate.id, count(pg_terminate_backend(a.pid)) AS backends
    FROM candidate
    LEFT JOIN pg_stat_activity a
        ON candidate.state = 'claimed' AND a.pid = candidate.backend_pid
        AND a.backend_start = candidate.backend_start AND a.pid <> pg_backend_pid()
    GROUP BY candidate.id
)
UPDATE ingestion_chunk c
SET state = 'claimed',
    token = c.token + 1,
    attempts = c.attempts + 1,
    worker = %(worker)s,
    backend_pid = pg_backend_pid(),
    backend_start = (SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()),
    lease_until = now() + make_interval(secs => %(lease_seconds)s)
FROM ended
WHERE c.id = ended.id
RETURNING c.id, c.import_id, c.number, c.source, c."offset", c.length, c.first_record, c.records, c.first_line,
          c.lines, c.quoting, c.token, c.attempts, c.resolved_at IS NOT NULL, c.resolution;

-- name: chunk_heartbeat
-- Extend the lease of a chunk that is still ours.
UPDATE ingestion_chunk
SET lease_until = now() + make_interval(secs => %(lease_seconds)s)
WHERE id = %(id)s AND token = %(token)s AND state = 'claimed';

-- name: chunk_release
-- Give a chunk back untouched, so that the next claim takes it at once.
UPDATE ingestion_chunk
SET state = 'planned', lease_until = NULL, last_error = coalesce(nullif(%(last_error)s, ''), last_error),
    attempts = greatest(0, attempts - %(forgiven)s)
WHERE id = %(id)s AND token = %(token)s AND state = 'claimed';

-- name: unfinished_below
-- The lowest chunk below `number` that is not done yet (or, with `resolved`, not resolved yet).
SELECT min(number) FROM ingestion_chunk
WHERE import_id = %(import_id)s AND number < %(number)s
  AND CASE WHEN %(resolved)s THEN resolved_at IS NULL ELSE state NOT IN ('done', 'stopped') END;

-- name: chunk_is_abandoned
-- Whether nobody works on a chunk: free, lease run out, or its holder's backend gone.
SELECT EXISTS (
    SELECT FROM ingestion_chunk c
    WHERE c.import_id = %(import_id)s AND c.number = %(number)s
      AND (c.state = 'planned' OR (c.state = 'claimed' AND (
        c.lease_until < now()
        OR NOT EXISTS (
            SELECT FROM pg_stat_activity a WHERE a.pid = c.backend_pid AND a.backend_start = c.backend_start
        ))))
);

-- name: import_lock
-- Read the import's state and hold it: cancel and pause update this row, so nothing commits after them.
SELECT state FROM ingestion_import WHERE id = %(import_id)s FOR SHARE;

-- name: queue_status
-- What is left to do for an import: planned or not, chunks not finished, chunks not resolved.
SELECT i.state, i.planned_at IS NOT NULL,
       count(c.id) FILTER (WHERE c.state NOT IN ('done', 'stopped')),
       count(c.id) FILTER (WHERE c.resolved_at IS NULL AND c.state <> 'stopped')
FROM ingestion_import i LEFT JOIN ingestion_chunk c ON c.import_id = i.id
WHERE i.id = %(import_id)s
GROUP BY i.id;

-- name: chunk_before
-- The chunk of the same source just before this one.
SELECT id, import_id, number, source, "offset", length, first_record, records, first_line, lines, quoting
FROM ingestion_chunk
WHERE import_id = %(import_id)s AND source = %(source)s AND number < %(number)s
ORDER BY number DESC LIMIT 1;
