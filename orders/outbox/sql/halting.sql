-- Keys that are halted, and what is held of them.

-- name: halt
-- A key that is halted already stays so because of the event that was refused first, as long as that one is held. A
-- release that was decided meanwhile counts all the same: what is held now is tried in its turn.
INSERT INTO outbox_halted AS h (topic, key, reason, event_id, halted_at)
VALUES (%(topic)s, %(key)s, %(reason)s, %(event_id)s, clock_timestamp())
ON CONFLICT (topic, key) DO UPDATE SET reason = excluded.reason, event_id = excluded.event_id
WHERE NOT EXISTS (SELECT FROM outbox_held e WHERE e.topic = h.topic AND e.key = h.key AND e.event_id = h.event_id);

-- name: halt_again
-- Refused when it was tried once more: the release that let it be tried is used up.
UPDATE outbox_halted
SET reason = %(reason)s, event_id = %(event_id)s, halted_at = clock_timestamp(), attempts = attempts + 1
WHERE topic = %(topic)s AND key = %(key)s;

-- name: hold
-- An event that is sent again after a crash is held once.
INSERT INTO outbox_held (topic, key, event_id, type, version, partition_key, placed_at, time, data)
VALUES (%(topic)s, %(key)s, %(event_id)s, %(type)s, %(version)s, %(partition_key)s, %(placed_at)s,
        nullif(%(time)s, '')::timestamptz, %(data)s)
ON CONFLICT (topic, key, event_id) DO NOTHING;

-- name: lock_halted
SELECT id FROM outbox_halted WHERE topic = %(topic)s AND key = %(key)s FOR UPDATE;

-- name: released
SELECT h.topic, h.key FROM outbox_halted h
WHERE EXISTS (SELECT FROM outbox_decision d
              WHERE d.topic = h.topic AND d.key = h.key AND d.decision = 'released' AND d.at >= h.halted_at)
ORDER BY h.id;

-- name: lock_released
-- Asked again under the lock: it may have been sent, and halted again, meanwhile.
SELECT h.id FROM outbox_halted h
WHERE h.topic = %(topic)s AND h.key = %(key)s
  AND EXISTS (SELECT FROM outbox_decision d
              WHERE d.topic = h.topic AND d.key = h.key AND d.decision = 'released' AND d.at >= h.halted_at)
FOR UPDATE SKIP LOCKED;
