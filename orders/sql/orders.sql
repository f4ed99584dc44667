-- Orders: what the ORM has no words for.

-- name: user_hold
-- Hold a user against deletion until the transaction ends, as a foreign key's check does (which comes too late to be
-- told apart from other refusals: it is deferred).
SELECT id FROM accounts_user WHERE id = %(id)s FOR KEY SHARE;

-- name: document
-- An order with its first lines: one statement, so one snapshot, and header and lines belong together.
SELECT o.id, o.user_id, o.status, o.ordered_at, o.country, o.currency, o.version, o.import_id, o.attributes::text,
       o.created_at, o.updated_at,
       (SELECT json_agg(json_build_array(line_no, item_id, quantity, unit_price::text) ORDER BY line_no)
        FROM (SELECT line_no, item_id, quantity, unit_price FROM orders_orderline
              WHERE order_id = o.id ORDER BY line_no LIMIT %(lines)s) l)
FROM orders_order o WHERE o.id = %(id)s;
