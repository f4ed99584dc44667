-- Applying a batch of events. Everything is locked in one order – orders, users, items, countries, days, each by its
-- key – so consumers never wait for each other in a circle; what many orders share is locked last and shortest.

-- name: patience
-- A rebuild holds everything for a while; whoever waits for it must let the broker know now and then that it lives.
SELECT set_config('lock_timeout', %(milliseconds)s, true);

-- name: states_insert
-- Orders that nobody has seen, and their ids. Who inserts the same one at once waits here for the other's commit.
INSERT INTO reports_order (order_id, version, day, country, currency, user_id, cancelled, items)
SELECT order_id, version, day, country, currency, user_id, cancelled, items
FROM json_to_recordset(%(states)s::json) AS s (
    order_id text, version integer, day date, country text, currency text, user_id text, cancelled boolean, items jsonb)
ORDER BY order_id COLLATE "C"
ON CONFLICT (order_id) DO NOTHING
RETURNING order_id;

-- name: states_lock
-- Those that are known, as they are.
SELECT order_id, version, day::text, country, currency, user_id, cancelled, items::text
FROM reports_order WHERE order_id = ANY(%(ids)s::varchar[])
ORDER BY order_id FOR UPDATE;

-- name: states_update
-- Put newer versions in the place of older ones; their rows are locked.
UPDATE reports_order o
SET version = s.version, day = s.day, country = s.country, currency = s.currency, user_id = s.user_id,
    cancelled = s.cancelled, items = s.items
FROM json_to_recordset(%(states)s::json) AS s (
    order_id text, version integer, day date, country text, currency text, user_id text, cancelled boolean, items jsonb)
WHERE o.order_id = s.order_id;

-- name: history_insert
-- Events of versions that are newer than what was known, so they are not there yet.
INSERT INTO reports_history (event_id, order_id, version, type, topic, partition, "offset", consumed_at)
SELECT s.event_id, s.order_id, s.version, s.type, s.topic, s.partition, s."offset", %(now)s
FROM json_to_recordset(%(entries)s::json) AS s (
    event_id text, order_id text, version integer, type text, topic text, partition integer, "offset" bigint);

-- name: history_insert_missing
-- Events that come late, or again: some are there already.
INSERT INTO reports_history (event_id, order_id, version, type, topic, partition, "offset", consumed_at)
SELECT s.event_id, s.order_id, s.version, s.type, s.topic, s.partition, s."offset", %(now)s
FROM json_to_recordset(%(entries)s::json) AS s (
    event_id text, order_id text, version integer, type text, topic text, partition integer, "offset" bigint)
WHERE NOT EXISTS (SELECT FROM reports_history h WHERE h.order_id = s.order_id AND h.version = s.version);

-- name: users_add
-- Columns of the rows as in `reports.deltas`; the same below.
INSERT INTO reports_user AS t (user_id, currency, day, country, orders, cancelled, quantity, revenue)
SELECT r->>0, r->>1, (r->>2)::date, r->>3,
       (r->>4)::bigint, (r->>5)::bigint, (r->>6)::bigint, (r->>7)::numeric * 0.0001
FROM json_array_elements(%(rows)s::json) WITH ORDINALITY AS e (r, number) ORDER BY number
ON CONFLICT (user_id, currency, day, country) DO UPDATE
SET orders = t.orders + excluded.orders, cancelled = t.cancelled + excluded.cancelled,
    quantity = t.quantity + excluded.quantity, revenue = t.revenue + excluded.revenue;

-- name: items_add
INSERT INTO reports_item AS t (sku, currency, day, orders, cancelled, quantity, revenue)
SELECT r->>0, r->>1, (r->>2)::date, (r->>3)::bigint, (r->>4)::bigint, (r->>5)::bigint, (r->>6)::numeric * 0.0001
FROM json_array_elements(%(rows)s::json) WITH ORDINALITY AS e (r, number) ORDER BY number
ON CONFLICT (sku, currency, day) DO UPDATE
SET orders = t.orders + excluded.orders, cancelled = t.cancelled + excluded.cancelled,
    quantity = t.quantity + excluded.quantity, revenue = t.revenue + excluded.revenue;

-- name: countries_add
INSERT INTO reports_country AS t (country, currency, day, orders, cancelled, quantity, revenue)
SELECT r->>0, r->>1, (r->>2)::date, (r->>3)::bigint, (r->>4)::bigint, (r->>5)::bigint, (r->>6)::numeric * 0.0001
FROM json_array_elements(%(rows)s::json) WITH ORDINALITY AS e (r, number) ORDER BY number
ON CONFLICT (country, currency, day) DO UPDATE
SET orders = t.orders + excluded.orders, cancelled = t.cancelled + excluded.cancelled,
    quantity = t.quantity + excluded.quantity, revenue = t.revenue + excluded.revenue;

-- name: days_add
INSERT INTO reports_day AS t (day, currency, orders, cancelled, quantity, revenue)
SELECT (r->>0)::date, r->>1, (r->>2)::bigint, (r->>3)::bigint, (r->>4)::bigint, (r->>5)::numeric * 0.0001
FROM json_array_elements(%(rows)s::json) WITH ORDINALITY AS e (r, number) ORDER BY number
ON CONFLICT (day, currency) DO UPDATE
SET orders = t.orders + excluded.orders, cancelled = t.cancelled + excluded.cancelled,
    quantity = t.quantity + excluded.quantity, revenue = t.revenue + excluded.revenue;

-- name: positions_set
-- How far the partitions of this batch have been read. A member that was slow does not take back what another one has
-- written meanwhile; but where the topic ends before that, it is a new one.
INSERT INTO reports_consumer AS t (
    id, topic, partition, "offset", end_offset, events, dead_letters, member, last_event_at, seen_at)
SELECT s.topic || '/' || s.partition, s.topic, s.partition, s."offset", s.end_offset, s.events, s.dead_letters,
       s.member, s.last_event_at, %(now)s
FROM json_to_recordset(%(positions)s::json) AS s (
    topic text, partition integer, "offset" bigint, end_offset bigint, events bigint, dead_letters bigint, member text,
    last_event_at timestamptz)
ORDER BY s.topic, s.partition
ON CONFLICT (id) DO UPDATE
SET "offset" = CASE WHEN excluded.end_offset < t."offset" THEN excluded."offset"
                    ELSE GREATEST(t."offset", excluded."offset") END,
    end_offset = excluded.end_offset, events = t.events + excluded.events,
    dead_letters = t.dead_letters + excluded.dead_letters, member = excluded.member,
    last_event_at = GREATEST(t.last_event_at, excluded.last_event_at), seen_at = excluded.seen_at;
