-- Keys that are halted, and what is held of them.

-- name: halt
-- Refused once more: a decision made before does not count any more.
INSERT INTO outbox_halted (topic, key, reason, event_id, halted_at)
VALUES (%(topic)s, %(key)s, %(reason)s, %(event_id)s, clock_timestamp())
ON CONFLICT (topic, key) DO UPDATE
SET reason = excluded.reason, event_id = excluded.event_id, halted_at = excluded.halted_at,
    attempts = outbox_halted.attempts + 1;

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
