-- name: bytes_of_owner
-- What counts towards somebody's quota: bytes stored or announced by uploads that are alive, and what was unpacked of
-- them. Partial uploads that a final one was made of are counted there.
SELECT coalesce(sum(greatest(upload.offset_bytes, coalesce(upload.length_bytes, 0))), 0) + coalesce(sum(unpacked.bytes), 0)
FROM ingestion_upload AS upload
LEFT JOIN LATERAL (
    SELECT segment.offset_bytes + segment.length_bytes AS bytes
    FROM ingestion_segment AS segment
    WHERE segment.upload_id = upload.id AND segment.content = 'unpacked'
    ORDER BY segment.number DESC
    LIMIT 1
) AS unpacked ON true
WHERE upload.owner_id = %(owner_id)s
  AND upload.state IN ('receiving', 'complete')
  AND NOT (
      upload.concatenation = 'partial'
      AND EXISTS (
          SELECT FROM ingestion_upload AS final
          WHERE final.owner_id = upload.owner_id
            AND final.concatenation = 'final'
            AND final.state = 'complete'
            AND final.parts ? upload.id::text
      )
  );

-- name: counted_parts
-- Bytes of these parts that count by themselves, as no final upload has them yet.
SELECT coalesce(sum(upload.offset_bytes), 0)
FROM ingestion_upload AS upload
WHERE upload.id = ANY(%(parts)s::uuid[])
  AND NOT EXISTS (
      SELECT FROM ingestion_upload AS final
      WHERE final.owner_id = upload.owner_id
        AND final.concatenation = 'final'
        AND final.state = 'complete'
        AND final.parts ? upload.id::text
  );

-- name: lock_quota
-- Two uploads of one person, created at the same time, must not both get the last room. Until the transaction ends.
SELECT pg_advisory_xact_lock(hashtextextended('upload-quota ' || %(owner_id)s, 0));

-- name: take_upload
-- Take the upload for writing: a higher token, and a lease by the clock of the database, which all processes share.
-- Only if nobody writes, or if the writer that holds `expected_token` was asked to let go and did not.
UPDATE ingestion_upload
SET writer_token = writer_token + 1, writer_until = now() + make_interval(secs => %(lease_seconds)s), yield_token = 0
WHERE id = %(upload_id)s
  AND state = 'receiving'
  AND (writer_until IS NULL OR writer_until < now() OR writer_token = %(expected_token)s)
RETURNING writer_token;

-- name: ask_writer_to_yield
-- The token of the one who writes right now, who is thereby asked to save what it has and let go; no row: nobody.
UPDATE ingestion_upload
SET yield_token = writer_token
WHERE id = %(upload_id)s AND state = 'receiving' AND writer_until >= now()
RETURNING writer_token;

-- name: current_writer
-- The token of the one who writes right now; no row: nobody.
SELECT writer_token FROM ingestion_upload WHERE id = %(upload_id)s AND state = 'receiving' AND writer_until >= now();

-- name: evict_writer
-- Take the upload from a writer that was asked to let go and did not. What it has not saved is lost.
UPDATE ingestion_upload
SET writer_token = writer_token + 1, writer_until = NULL, yield_token = 0
WHERE id = %(upload_id)s AND writer_token = %(expected_token)s AND writer_until IS NOT NULL;

-- name: renew_writer
-- Keep the lease; says whether somebody asked for the upload. No row: it was taken away.
UPDATE ingestion_upload
SET writer_until = now() + make_interval(secs => %(lease_seconds)s)
WHERE id = %(upload_id)s AND writer_token = %(token)s AND state = 'receiving'
RETURNING yield_token = writer_token;

-- name: release_writer
UPDATE ingestion_upload SET writer_until = NULL WHERE id = %(upload_id)s AND writer_token = %(token)s;

-- name: blobs_of_upload
-- Blobs that only this upload names; those of a concatenation belong to the others, too.
SELECT DISTINCT segment.name
FROM ingestion_segment AS segment
WHERE segment.upload_id = %(upload_id)s
  AND NOT EXISTS (
      SELECT FROM ingestion_segment AS other WHERE other.name = segment.name AND other.upload_id <> segment.upload_id
  );

-- name: copy_segments
-- The segments of a part, behind those that a final upload already has; they name the same blobs.
INSERT INTO ingestion_segment (upload_id, content, number, offset_bytes, length_bytes, name)
SELECT %(final_id)s, 'stored', number + %(number)s, offset_bytes + %(offset_bytes)s, length_bytes, name
FROM ingestion_segment
WHERE upload_id = %(part_id)s AND content = 'stored'
ORDER BY number;

-- name: expired_uploads
-- Uploads whose time is over and that no unfinished import reads; of one that was never completed no import can end.
SELECT upload.id
FROM ingestion_upload AS upload
WHERE upload.state IN ('receiving', 'complete')
  AND upload.expires_at <= %(now)s
  AND (upload.state = 'receiving' OR NOT EXISTS (
      SELECT FROM ingestion_import AS import
      WHERE import.upload_id = upload.id AND import.state <> ALL (%(ended)s)
  ))
ORDER BY upload.expires_at
LIMIT %(limit)s;
