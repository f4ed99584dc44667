-- Resolving users, items and roles in file order.

-- name: gate_shared
-- The integrity gate, shared: while we hold it no user can be deleted (the trigger takes it exclusively).
SELECT pg_advisory_xact_lock_shared(%(key)s);

-- name: deletion_epoch
-- Read after the gate is held.
SELECT epoch FROM accounts_deletionepoch;

-- name: users_by_id
-- Attributes of those users that exist. Who is staff, was given a role by a person, or has a token, may log in by other
-- means than a password. The ids come as one string: psycopg adapts long lists slowly.
SELECT id, coalesce(email, '') AS email, name, coalesce(age::text, '') AS age, country,
       (password NOT LIKE '!%%' OR is_staff OR is_superuser OR EXISTS (
           SELECT FROM accounts_rolemembership m WHERE m.user_id = accounts_user.id AND m.import_id IS NULL
       ) OR EXISTS (
           SELECT FROM knox_authtoken t WHERE t.user_id = accounts_user.id
       ))::int AS can_log_in,
       coalesce(import_id, 0) AS import_id
FROM accounts_user WHERE id = ANY(string_to_array(%(ids)s, E'\x1f'));

-- name: items_by_sku
SELECT sku, name, coalesce(import_id, 0) AS import_id
FROM orders_item WHERE sku = ANY(string_to_array(%(ids)s, E'\x1f'));

-- name: emails_taken
SELECT email, id FROM accounts_user WHERE email = ANY(string_to_array(%(emails)s, E'\x1f'));

-- name: roles_known
SELECT slug, id, is_importable FROM accounts_role;

-- name: roles_grantable
-- Roles whose every permission the person holds through roles of their own.
SELECT r.slug FROM accounts_role r
WHERE NOT EXISTS (
    SELECT FROM accounts_role_permissions rp
    WHERE rp.role_id = r.id AND NOT EXISTS (
        SELECT FROM accounts_rolemembership m
        JOIN accounts_role_permissions own ON own.role_id = m.role_id
        WHERE m.user_id = %(user_id)s AND own.permission_id = rp.permission_id
    )
);

-- name: memberships_add
INSERT INTO accounts_rolemembership (user_id, role_id, import_id, created_at)
SELECT u, r, %(import_id)s, %(now)s
FROM unnest(string_to_array(%(users)s, E'\x1f'), string_to_array(%(roles)s, ',')::bigint[]) AS given(u, r)
ORDER BY u, r
ON CONFLICT (user_id, role_id) DO NOTHING;

-- name: user_update
-- Only a user who cannot log in, and only once per import (the earliest record wins).
UPDATE accounts_user
SET name = coalesce(%(name)s, name), email = coalesce(%(email)s, email), age = coalesce(%(age)s, age),
    country = coalesce(%(country)s, country), import_id = %(import_id)s, import_chunk = %(chunk)s,
    version = version + 1, updated_at = %(now)s
WHERE id = %(id)s AND password LIKE '!%%' AND NOT is_staff AND NOT is_superuser;

-- name: item_update
UPDATE orders_item
SET name = coalesce(%(name)s, name), import_id = %(import_id)s, import_chunk = %(chunk)s, updated_at = %(now)s
WHERE sku = %(sku)s;

-- name: totals_below
-- Records and rejected records of the chunks before this one, for the error limits. A chunk that is merged already
-- also counts what its merge refused.
SELECT coalesce(sum(records), 0),
       coalesce(sum(greatest((resolution->>'rejected')::bigint, (outcomes->>'rejected')::bigint)), 0),
       coalesce(sum((resolution->>'ignored')::bigint), 0)
FROM ingestion_chunk WHERE import_id = %(import_id)s AND number < %(number)s;

-- name: chunk_resolved
-- Compare-and-set: only the holder of the token may say so.
UPDATE ingestion_chunk SET resolved_at = %(now)s, resolution = %(resolution)s
WHERE id = %(id)s AND token = %(token)s AND state = 'claimed';

-- name: bad_orders_add
INSERT INTO ingestion_badorder (import_id, order_id)
SELECT %(import_id)s, o FROM unnest(string_to_array(%(ids)s, E'\x1f')) AS o
ON CONFLICT DO NOTHING;

-- name: bad_orders_among
SELECT order_id FROM ingestion_badorder
WHERE import_id = %(import_id)s AND order_id = ANY(string_to_array(%(ids)s, E'\x1f'));
