-- What a careful engineer writes by hand: the file into an unlogged staging table, then one INSERT … SELECT for each
-- table. Run by psql with the file as its standard input. The record's number keeps "the earliest record wins" true.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET work_mem = '256MB';
SET synchronous_commit = on;

CREATE UNLOGGED TABLE staging (
    record bigint GENERATED ALWAYS AS IDENTITY,
    order_id text, user_id text, sku text, quantity integer, item_name text, unit_price numeric(18, 4),
    currency text, ordered_at timestamptz, country text, user_name text, user_email text
);

\copy staging (order_id, user_id, sku, quantity, item_name, unit_price, currency, ordered_at, country, user_name, user_email) FROM pstdin WITH (FORMAT csv, HEADER true)
ANALYZE staging;

BEGIN;

INSERT INTO accounts_user (id, email, name, country, password, is_active, is_staff, is_superuser, version, created_at, updated_at)
SELECT DISTINCT ON (user_id) user_id, lower(user_email), user_name, '', '!', true, false, false, 1, now(), now()
FROM staging ORDER BY user_id, record
ON CONFLICT DO NOTHING;

INSERT INTO orders_item (sku, name, created_at, updated_at)
SELECT DISTINCT ON (sku) sku, item_name, now(), now()
FROM staging ORDER BY sku, record
ON CONFLICT DO NOTHING;

INSERT INTO orders_order (id, user_id, status, ordered_at, country, currency, version, created_at, updated_at)
SELECT DISTINCT ON (order_id) order_id, user_id, 'placed', ordered_at, country, currency, 1, now(), now()
FROM staging ORDER BY order_id, record
ON CONFLICT DO NOTHING;

INSERT INTO orders_orderline (order_id, line_no, item_id, quantity, unit_price)
SELECT order_id, record, sku, quantity, unit_price
FROM staging
ON CONFLICT DO NOTHING;

COMMIT;
DROP TABLE staging;
