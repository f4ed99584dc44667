-- Lanes that stand still because something in them cannot be read.

-- name: halt
UPDATE outbox_lane SET halted_reason = %(reason)s, owner = '', epoch = epoch + 1, leased_until = NULL
WHERE lane = %(lane)s AND owner = %(owner)s AND epoch = %(epoch)s;

-- name: resume
UPDATE outbox_lane SET halted_reason = '' WHERE lane = %(lane)s AND halted_reason <> '';

-- name: skip
-- Only the entry that comes next in the lane's batch can be left out: all before it are acknowledged.
UPDATE outbox_lane l SET halted_reason = '', after_id = n.id, after_event = 0
FROM (
    SELECT e.id FROM outbox_lane s JOIN outbox_entry e ON e.lane = s.lane
    WHERE s.lane = %(lane)s AND s.batch IS NOT NULL AND e.id > s.after_id AND e.id <= s.until_id
      AND pg_visible_in_snapshot(e.xid, s.batch) AND pg_visible_in_snapshot(e.xid, s.position) IS NOT TRUE
    ORDER BY e.id LIMIT 1
) n
WHERE l.lane = %(lane)s AND l.halted_reason <> '' AND n.id = %(entry)s;
