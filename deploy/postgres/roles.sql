-- Postgres 15 (Debian 12). Once, as the superuser, with both passwords in the environment, so that no list of
-- processes shows them; safe to run again, for example to change a password:
--     OWNER_PASSWORD=… APP_PASSWORD=… psql -X -f roles.sql
-- Two roles: the owner migrates and is used by nothing else; the application can read and write rows, and no more.
\set ON_ERROR_STOP on
\getenv owner_password OWNER_PASSWORD
\getenv app_password APP_PASSWORD
SET log_statement = 'none';

SELECT 'CREATE ROLE telehealth_owner' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'telehealth_owner') \gexec
SELECT 'CREATE ROLE telehealth_app' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'telehealth_app') \gexec
ALTER ROLE telehealth_owner LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD :'owner_password';
ALTER ROLE telehealth_app LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD :'app_password';
-- A failing statement would stand in the server's log with its values.
ALTER ROLE telehealth_app SET log_min_error_statement = 'panic';

SELECT 'CREATE DATABASE telehealth OWNER telehealth_owner ENCODING ''UTF8'' TEMPLATE template0'
    WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'telehealth') \gexec
REVOKE ALL ON DATABASE telehealth FROM PUBLIC;
GRANT CONNECT ON DATABASE telehealth TO telehealth_app;

\connect telehealth
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO telehealth_app;
-- What a migration makes can at first only be read and grow. `grants.sql`, run after each migration, opens
-- the tables that may change. A table that somebody forgets stays safe instead of open.
ALTER DEFAULT PRIVILEGES FOR ROLE telehealth_owner IN SCHEMA public GRANT SELECT, INSERT ON TABLES TO telehealth_app;
ALTER DEFAULT PRIVILEGES FOR ROLE telehealth_owner IN SCHEMA public GRANT USAGE ON SEQUENCES TO telehealth_app;
