-- name: metrics_positions
-- Partitions of which something was heard lately: those of a topic that is not used any more fall silent.
SELECT partition, GREATEST(0, end_offset - "offset"), EXTRACT(EPOCH FROM now() - seen_at)::float8
FROM reports_consumer WHERE seen_at > now() - interval '7 days' ORDER BY topic, partition;
