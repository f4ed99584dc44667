-- Reading how far the outbox has got.

-- name: entries_kept
-- From the first and last number of each lane, not by counting.
SELECT coalesce(max(last) - min(first) + 1, 0)
FROM (SELECT (SELECT e.id FROM outbox_entry e WHERE e.lane = l.lane ORDER BY e.id LIMIT 1) AS first,
             (SELECT e.id FROM outbox_entry e WHERE e.lane = l.lane ORDER BY e.id DESC LIMIT 1) AS last
      FROM outbox_lane l) ends;
