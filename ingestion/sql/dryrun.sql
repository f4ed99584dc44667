-- Copying real rows in front of the temporary tables of a dry run; `real.` stands for the schema of the real ones.

-- name: identity_columns
SELECT attname FROM pg_attribute
WHERE attrelid = ('pg_temp.' || quote_ident(%(table)s))::regclass AND attidentity <> '';

-- name: numbered_columns
-- Columns that take their numbers from a sequence of the real table.
SELECT a.attname FROM pg_attribute a JOIN pg_attrdef d ON (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
WHERE a.attrelid = ('pg_temp.' || quote_ident(%(table)s))::regclass AND pg_get_expr(d.adbin, d.adrelid) LIKE 'nextval(%%';

-- name: bring_users
INSERT INTO accounts_user
SELECT * FROM real.accounts_user
WHERE id = ANY(string_to_array(%(users)s, E'\x1f')) OR email = ANY(string_to_array(%(emails)s, E'\x1f'))
ON CONFLICT DO NOTHING;

-- name: bring_memberships
INSERT INTO accounts_rolemembership
SELECT * FROM real.accounts_rolemembership WHERE user_id = ANY(string_to_array(%(users)s, E'\x1f'))
ON CONFLICT DO NOTHING;

-- name: bring_items
INSERT INTO orders_item
SELECT * FROM real.orders_item WHERE sku = ANY(string_to_array(%(items)s, E'\x1f')) ON CONFLICT DO NOTHING;

-- name: bring_orders
INSERT INTO orders_order
SELECT * FROM real.orders_order WHERE id = ANY(string_to_array(%(orders)s, E'\x1f')) ON CONFLICT DO NOTHING;

-- name: bring_lines
INSERT INTO orders_orderline
SELECT * FROM real.orders_orderline WHERE order_id = ANY(string_to_array(%(orders)s, E'\x1f')) ON CONFLICT DO NOTHING;

-- name: bring_imports
INSERT INTO ingestion_import
SELECT * FROM real.ingestion_import i
WHERE i.id = %(parent)s OR i.parent_id = %(parent)s
   OR i.id = (SELECT parent_id FROM real.ingestion_import WHERE id = %(parent)s)
   OR i.parent_id = (SELECT parent_id FROM real.ingestion_import WHERE id = %(parent)s);

-- name: bring_chunks
INSERT INTO ingestion_chunk
SELECT c.* FROM real.ingestion_chunk c JOIN ingestion_import i ON i.id = c.import_id;
