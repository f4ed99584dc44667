-- Making the reports again from the orders. What is right already is not touched: a rebuild of good reports writes
-- nothing. Comments on why this agrees with consumers that run: `reports.rebuilding`.

-- name: rebuild_hold
-- From here on consumers wait, and the next statement sees every order that an event they had applied can tell of.
LOCK TABLE reports_order IN SHARE ROW EXCLUSIVE MODE;

-- name: rebuild_orders
WITH sold AS (
    SELECT order_id, item_id AS sku, sum(quantity) AS quantity,
           trunc(sum(quantity * coalesce(unit_price, 0)) * 10000) AS revenue
    FROM orders_orderline GROUP BY order_id, item_id
), listed AS (
    SELECT order_id, jsonb_agg(jsonb_build_array(sku, quantity, revenue) ORDER BY sku) AS items
    FROM sold GROUP BY order_id
)
INSERT INTO reports_order AS t (order_id, version, day, country, currency, user_id, cancelled, items)
SELECT o.id, o.version, (coalesce(o.ordered_at, o.created_at) AT TIME ZONE 'UTC')::date, o.country, o.currency,
       o.user_id, o.status = 'cancelled', coalesce(l.items, '[]')
FROM orders_order o LEFT JOIN listed l ON l.order_id = o.id
ON CONFLICT (order_id) DO UPDATE
SET version = excluded.version, day = excluded.day, country = excluded.country, currency = excluded.currency,
    user_id = excluded.user_id, cancelled = excluded.cancelled, items = excluded.items
WHERE (t.version, t.day, t.country, t.currency, t.user_id, t.cancelled, t.items) IS DISTINCT FROM
      (excluded.version, excluded.day, excluded.country, excluded.currency, excluded.user_id, excluded.cancelled,
       excluded.items);

-- name: rebuild_orders_gone
-- Orders of another past, after a backup was restored.
DELETE FROM reports_order t WHERE NOT EXISTS (SELECT FROM orders_order o WHERE o.id = t.order_id);

-- name: rebuild_totals
-- What each order adds, once for the three sums of whole orders.
CREATE TEMPORARY TABLE reports_totals AS
SELECT o.day, o.country, o.currency, o.user_id, (NOT o.cancelled)::int AS orders, o.cancelled::int AS cancelled,
       CASE WHEN o.cancelled THEN 0 ELSE i.quantity END AS quantity,
       CASE WHEN o.cancelled THEN 0 ELSE i.revenue END AS revenue
FROM reports_order o, LATERAL (
    SELECT coalesce(sum((item->>1)::bigint), 0)::bigint AS quantity,
           coalesce(sum((item->>2)::numeric), 0) * 0.0001 AS revenue
    FROM jsonb_array_elements(o.items) item) i;

-- name: rebuild_days
WITH fresh AS (
    SELECT day, currency, sum(orders) AS orders, sum(cancelled) AS cancelled, sum(quantity) AS quantity,
           sum(revenue)::numeric(38, 4) AS revenue
    FROM reports_totals GROUP BY day, currency
), gone AS (
    DELETE FROM reports_day t
    WHERE NOT EXISTS (SELECT FROM fresh f WHERE (f.day, f.currency) = (t.day, t.currency))
)
INSERT INTO reports_day AS t (day, currency, orders, cancelled, quantity, revenue)
SELECT day, currency, orders, cancelled, quantity, revenue FROM fresh
ON CONFLICT (day, currency) DO UPDATE
SET orders = excluded.orders, cancelled = excluded.cancelled, quantity = excluded.quantity, revenue = excluded.revenue
WHERE (t.orders, t.cancelled, t.quantity, t.revenue) IS DISTINCT FROM
      (excluded.orders, excluded.cancelled, excluded.quantity, excluded.revenue);

-- name: rebuild_countries
WITH fresh AS (
    SELECT country, currency, day, sum(orders) AS orders, sum(cancelled) AS cancelled, sum(quantity) AS quantity,
           sum(revenue)::numeric(38, 4) AS revenue
    FROM reports_totals GROUP BY country, currency, day
), gone AS (
    DELETE FROM reports_country t WHERE NOT EXISTS (
        SELECT FROM fresh f WHERE (f.country, f.currency, f.day) = (t.country, t.currency, t.day))
)
INSERT INTO reports_country AS t (country, currency, day, orders, cancelled, quantity, revenue)
SELECT country, currency, day, orders, cancelled, quantity, revenue FROM fresh
ON CONFLICT (country, currency, day) DO UPDATE
SET orders = excluded.orders, cancelled = excluded.cancelled, quantity = excluded.quantity, revenue = excluded.revenue
WHERE (t.orders, t.cancelled, t.quantity, t.revenue) IS DISTINCT FROM
      (excluded.orders, excluded.cancelled, excluded.quantity, excluded.revenue);

-- name: rebuild_users
WITH fresh AS (
    SELECT user_id, currency, day, country, sum(orders) AS orders, sum(cancelled) AS cancelled,
           sum(quantity) AS quantity, sum(revenue)::numeric(38, 4) AS revenue
    FROM reports_totals WHERE user_id IS NOT NULL GROUP BY user_id, currency, day, country
), gone AS (
    DELETE FROM reports_user t WHERE NOT EXISTS (
        SELECT FROM fresh f
        WHERE (f.user_id, f.currency, f.day, f.country) = (t.user_id, t.currency, t.day, t.country))
)
INSERT INTO reports_user AS t (user_id, currency, day, country, orders, cancelled, quantity, revenue)
SELECT user_id, currency, day, country, orders, cancelled, quantity, revenue FROM fresh
ON CONFLICT (user_id, currency, day, country) DO UPDATE
SET orders = excluded.orders, cancelled = excluded.cancelled, quantity = excluded.quantity, revenue = excluded.revenue
WHERE (t.orders, t.cancelled, t.quantity, t.revenue) IS DISTINCT FROM
      (excluded.orders, excluded.cancelled, excluded.quantity, excluded.revenue);

-- name: rebuild_items
WITH fresh AS (
    SELECT item->>0 AS sku, o.currency, o.day, count(*) FILTER (WHERE NOT o.cancelled) AS orders,
           count(*) FILTER (WHERE o.cancelled) AS cancelled,
           coalesce(sum((item->>1)::bigint) FILTER (WHERE NOT o.cancelled), 0) AS quantity,
           (coalesce(sum((item->>2)::numeric) FILTER (WHERE NOT o.cancelled), 0) * 0.0001)::numeric(38, 4) AS revenue
    FROM reports_order o, LATERAL jsonb_array_elements(o.items) item GROUP BY item->>0, o.currency, o.day
), gone AS (
    DELETE FROM reports_item t
    WHERE NOT EXISTS (SELECT FROM fresh f WHERE (f.sku, f.currency, f.day) = (t.sku, t.currency, t.day))
)
INSERT INTO reports_item AS t (sku, currency, day, orders, cancelled, quantity, revenue)
SELECT sku, currency, day, orders, cancelled, quantity, revenue FROM fresh
ON CONFLICT (sku, currency, day) DO UPDATE
SET orders = excluded.orders, cancelled = excluded.cancelled, quantity = excluded.quantity, revenue = excluded.revenue
WHERE (t.orders, t.cancelled, t.quantity, t.revenue) IS DISTINCT FROM
      (excluded.orders, excluded.cancelled, excluded.quantity, excluded.revenue);

-- name: rebuild_totals_end
DROP TABLE reports_totals;

-- name: rebuild_forget
-- Before everything is read again from the topic. The history stays: it tells where events were read first.
TRUNCATE reports_order, reports_day, reports_country, reports_user, reports_item;
