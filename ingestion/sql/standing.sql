-- Where imports stand, for people who ask from elsewhere.

-- name: chunk_sums
-- Of each import: chunks and finished ones, their bytes and records, and what was merged in the last moments.
SELECT import_id, count(*), count(*) FILTER (WHERE state IN ('done', 'stopped')),
       sum(length), coalesce(sum(length) FILTER (WHERE state IN ('done', 'stopped')), 0),
       sum(records), coalesce(sum(records) FILTER (WHERE state IN ('done', 'stopped')), 0),
       coalesce(sum(length) FILTER (WHERE merged_at > %(recently)s), 0),
       coalesce(sum(records) FILTER (WHERE merged_at > %(recently)s), 0)
FROM ingestion_chunk WHERE import_id = ANY(%(imports)s) GROUP BY import_id;

-- name: counters_of
-- Of each import: records by outcome, and errors by code.
SELECT c.import_id, 'outcomes' AS kind, entry.key, sum(entry.value::bigint)
FROM ingestion_chunk c, jsonb_each_text(c.outcomes) entry
WHERE c.import_id = ANY(%(imports)s) GROUP BY c.import_id, entry.key
UNION ALL
SELECT c.import_id, 'errors', entry.key, sum(entry.value::bigint)
FROM ingestion_chunk c, jsonb_each_text(c.errors) entry
WHERE c.import_id = ANY(%(imports)s) GROUP BY c.import_id, entry.key;

-- name: sealed_counts
-- The same from the certificates of imports that are over, without reading their chunks.
SELECT i.id, c.chunks, c.bytes, c.records, jsonb_build_object(
           'loaded', c.loaded, 'unchanged', c.unchanged, 'skipped', c.skipped, 'rejected', c.rejected,
           'ignored', c.ignored, 'unprocessed', c.unprocessed) AS outcomes, c.errors
FROM ingestion_import i, jsonb_to_record(i.certificate) AS c (
    chunks int, bytes bigint, records bigint, loaded bigint, unchanged bigint, skipped bigint, rejected bigint,
    ignored bigint, unprocessed bigint, errors jsonb)
WHERE i.id = ANY(%(imports)s) AND i.certificate IS NOT NULL;

-- name: settled_by_children
-- Records that children of an import brought in: what of its rejects is not open any more.
SELECT i.parent_id, sum(coalesce((c.outcomes ->> 'loaded')::bigint, 0) + coalesce((c.outcomes ->> 'unchanged')::bigint, 0)
                        + coalesce((c.outcomes ->> 'skipped')::bigint, 0))
FROM ingestion_import i JOIN ingestion_chunk c ON c.import_id = i.id
WHERE i.parent_id = ANY(%(imports)s) AND NOT i.dry_run
GROUP BY i.parent_id;

-- name: mark
-- Everything that makes the answer about an import another one, but for the clock.
SELECT i.state, i.reason, i.prepared_at, i.planned_at, i.started_at, i.ended_at, i.signature <> '', i.duplicate_of_id,
       i.step_progress, i.slowed_since,
       u.state, u.offset_bytes, u.length_bytes,
       (SELECT ARRAY[count(*), count(*) FILTER (WHERE c.state IN ('done', 'stopped')), sum(c.records)]
        FROM ingestion_chunk c WHERE c.import_id = i.id),
       (SELECT array_agg(child.id || child.state ORDER BY child.id) FROM ingestion_import child WHERE child.parent_id = i.id),
       (SELECT count(*) FROM ingestion_chunk c JOIN ingestion_import child ON child.id = c.import_id
        WHERE child.parent_id = i.id AND c.state IN ('done', 'stopped'))
FROM ingestion_import i LEFT JOIN ingestion_upload u ON u.id = i.upload_id
WHERE i.id = %(import_id)s;
