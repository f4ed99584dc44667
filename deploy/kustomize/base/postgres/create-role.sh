# Run once, when the data directory is made (by the image's entrypoint, which sources it): the role and the database
# of the application. It is no superuser; the one privilege beyond its own tables lets merges do without
# row-by-row foreign key checks (docs/adr/0004-integrity-gate.md). Keys are compared by bytes in any locale, and the
# provider "builtin" keeps other texts from depending on the C library of an image.
psql --set ON_ERROR_STOP=1 --no-psqlrc --username "${POSTGRES_USER:-postgres}" --dbname postgres \
    --set password="$(cat "${SLUICE_PASSWORD_FILE:?}")" <<'SQL'
CREATE ROLE sluice LOGIN PASSWORD :'password';
GRANT SET ON PARAMETER session_replication_role TO sluice;
CREATE DATABASE sluice OWNER sluice TEMPLATE template0 ENCODING 'UTF8'
    LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C.UTF-8';
REVOKE ALL ON DATABASE sluice FROM PUBLIC;
SQL
