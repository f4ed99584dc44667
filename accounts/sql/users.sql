-- Users.

-- name: enter_gate
-- Deletes nothing; the statement's trigger takes the integrity gate before any row is locked.
DELETE FROM accounts_user WHERE false;
