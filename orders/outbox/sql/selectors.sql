-- Reading how far the outbox has got.

-- name: entries_kept
-- From the first and last number of each lane, not by counting.
SELECT coalesce(max(last) - min(first) + 1, 0)
FROM (SELECT (SELECT e.id FROM outbox_entry e WHERE e.lane = l.lane ORDER BY e.id LIMIT 1) AS first,
             (SELECT e.id FROM outbox_entry e WHERE e.lane = l.lane ORDER BY e.id DESC LIMIT 1) AS last
      FROM outbox_lane l) ends;

-- name: lags
-- What of each lane is not acknowledged: entries, events and the oldest time among the first so many, whether there are
-- more, and the numbers between which the others lie. With a batch open, from where it stands; else by transaction.
SELECT l.lane, l.owner, l.leased_until > clock_timestamp() AS owned, l.acknowledged_at, l.published, l.halted_reason,
       u.entries, u.events, u.first_id, u.last_id,
       extract(epoch FROM clock_timestamp() - u.oldest)::float AS age_seconds,
       CASE WHEN u.entries > %(cap)s
            THEN (SELECT e.id FROM outbox_entry e WHERE e.lane = l.lane ORDER BY e.id DESC LIMIT 1) END AS end_id
FROM outbox_lane l
CROSS JOIN LATERAL (
    SELECT count(*) AS entries, coalesce(sum(e.orders), 0)::bigint AS events, min(e.created_at) AS oldest,
           min(e.id) AS first_id, max(e.id) AS last_id
    FROM (
        (SELECT e.id, e.created_at, CASE WHEN row_number() OVER (ORDER BY e.id) = 1
                                         THEN greatest(e.orders - l.after_event, 0) ELSE e.orders END AS orders
         FROM outbox_entry e
         WHERE l.batch IS NOT NULL AND e.lane = l.lane AND e.id > l.after_id
           AND pg_visible_in_snapshot(e.xid, l.position) IS NOT TRUE
         ORDER BY e.id LIMIT %(cap)s + 1)
        UNION ALL
        (SELECT e.id, e.created_at, e.orders
         FROM outbox_entry e
         WHERE l.batch IS NULL AND e.lane = l.lane
           AND e.xid >= coalesce(pg_snapshot_xmax(l.position), '0'::xid8)
         ORDER BY e.xid, e.id LIMIT %(cap)s + 1)
        UNION ALL
        (SELECT e.id, e.created_at, e.orders
         FROM pg_snapshot_xip(l.position) running(xid)
         JOIN outbox_entry e ON e.lane = l.lane AND e.xid = running.xid
         WHERE l.batch IS NULL LIMIT %(cap)s + 1)
    ) e
) u
WHERE l.lane = ANY(%(lanes)s::smallint[])
ORDER BY l.lane;

-- name: publishing
-- How much of an import's bulk entries is acknowledged: "import:12/" up to, but without, "import:120".
SELECT count(*), count(published_at), coalesce(sum(orders), 0)::bigint,
       coalesce(sum(orders) FILTER (WHERE published_at IS NOT NULL), 0)::bigint, max(published_at)
FROM outbox_receipt WHERE source >= %(prefix)s || '/' AND source < %(prefix)s || '0';
