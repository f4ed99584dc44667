-- Who relays which lane. Every change is a compare-and-set on (lane, owner, epoch); times are those of the database.
-- Whoever changes several lanes locks them first, from the lowest on: nobody waits in a circle.

-- name: present
-- Say that a relay is there. Written only when half of what was said before is over.
INSERT INTO outbox_relay (owner, lanes, seen_until)
VALUES (%(owner)s, %(lanes)s::smallint[], clock_timestamp() + %(seconds)s * interval '1 second')
ON CONFLICT (owner) DO UPDATE SET lanes = excluded.lanes, seen_until = excluded.seen_until
WHERE outbox_relay.seen_until < clock_timestamp() + %(seconds)s / 2.0 * interval '1 second';

-- name: present_still
UPDATE outbox_relay SET seen_until = clock_timestamp() + %(seconds)s * interval '1 second'
WHERE owner = %(owner)s AND seen_until < clock_timestamp() + %(seconds)s / 2.0 * interval '1 second';

-- name: share
-- How many of some lanes a relay may hold: all of them divided by those who are there for them (the asking one, too),
-- rounded up.
SELECT ceil(count(*)::numeric / (
    SELECT count(*) FROM (
        SELECT r.owner FROM outbox_relay r WHERE r.seen_until > clock_timestamp() AND r.lanes && %(lanes)s::smallint[]
        UNION SELECT h.owner FROM outbox_lane h WHERE h.owner <> '' AND h.leased_until > clock_timestamp()
                                                    AND h.lane = ANY(%(lanes)s::smallint[])
        UNION SELECT %(owner)s::text
    ) there))::int
FROM outbox_lane WHERE lane = ANY(%(lanes)s::smallint[]);

-- name: lock_lanes
-- One relay at a time chooses.
SELECT lane FROM outbox_lane ORDER BY lane FOR NO KEY UPDATE;

-- name: held
SELECT count(*)::int FROM outbox_lane WHERE owner = %(owner)s AND leased_until > clock_timestamp() AND lane = ANY(%(lanes)s::smallint[]);

-- name: claim
-- Free lanes, those first that have waited longest; another epoch for each, so that who had them before is found out.
UPDATE outbox_lane l
SET owner = %(owner)s, epoch = l.epoch + 1,
    leased_until = clock_timestamp() + %(seconds)s * interval '1 second',
    system_identifier = coalesce(l.system_identifier, (SELECT system_identifier FROM pg_control_system()))
WHERE l.lane IN (
    SELECT f.lane FROM outbox_lane f
    WHERE f.lane = ANY(%(lanes)s::smallint[]) AND f.halted_reason = ''
      AND (f.owner IN ('', %(owner)s) OR f.leased_until <= clock_timestamp())
      AND NOT (f.owner = %(owner)s AND f.leased_until > clock_timestamp())
    ORDER BY f.leased_until NULLS FIRST, f.lane LIMIT %(wanted)s)
RETURNING l.lane, l.epoch;

-- name: renew
WITH held AS MATERIALIZED (
    SELECT h.lane FROM outbox_lane h
    JOIN unnest(%(lanes)s::smallint[], %(epochs)s::bigint[]) AS mine(lane, epoch) USING (lane, epoch)
    WHERE h.owner = %(owner)s ORDER BY h.lane FOR NO KEY UPDATE OF h
)
UPDATE outbox_lane l SET leased_until = clock_timestamp() + %(seconds)s * interval '1 second'
FROM held WHERE l.lane = held.lane
RETURNING l.lane;

-- name: release
WITH held AS MATERIALIZED (
    SELECT h.lane FROM outbox_lane h
    JOIN unnest(%(lanes)s::smallint[], %(epochs)s::bigint[]) AS mine(lane, epoch) USING (lane, epoch)
    WHERE h.owner = %(owner)s ORDER BY h.lane FOR NO KEY UPDATE OF h
)
UPDATE outbox_lane l SET owner = '', leased_until = NULL
FROM held WHERE l.lane = held.lane
RETURNING l.lane;

-- name: depart
WITH gone AS (DELETE FROM outbox_relay WHERE owner = %(owner)s),
held AS MATERIALIZED (
    SELECT h.lane FROM outbox_lane h WHERE h.owner = %(owner)s ORDER BY h.lane FOR NO KEY UPDATE
)
UPDATE outbox_lane l SET owner = '', leased_until = NULL FROM held WHERE l.lane = held.lane;

-- name: absent_delete
DELETE FROM outbox_relay WHERE seen_until < clock_timestamp() - interval '1 hour';
