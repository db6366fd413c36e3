-- As the owner, after each migration: telehealth-migrate.service does it. Safe to run again.
-- The application may change rows of every table except the append-only ones, which are known by their triggers.
BEGIN;
DO $$
DECLARE
    found record;
BEGIN
    FOR found IN
        SELECT c.oid::regclass AS name, c.relispartition AS part,
               EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = c.relname || '_no_change') AS grows_only
        FROM pg_class c
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND pg_get_userbyid(c.relowner) = current_user
    LOOP
        EXECUTE format('REVOKE ALL ON %s FROM telehealth_app', found.name);
        IF found.part THEN
            CONTINUE;  -- a month of the log is used through the log only
        ELSIF found.name = 'django_migrations'::regclass THEN
            EXECUTE format('GRANT SELECT ON %s TO telehealth_app', found.name);
        ELSIF found.grows_only AND found.name = 'vault_auditentry'::regclass THEN
            -- Every column but the id, which the database gives: an entry with one of its writer's choice could stand
            -- before others, or far above, so that the sealer took all that follow for late.
            EXECUTE format('GRANT SELECT, INSERT (%s) ON %s TO telehealth_app', (
                SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute
                WHERE attrelid = found.name AND attnum > 0 AND NOT attisdropped AND attname <> 'id'
            ), found.name);
        ELSIF found.grows_only THEN
            EXECUTE format('GRANT SELECT, INSERT ON %s TO telehealth_app', found.name);
        ELSE
            EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO telehealth_app', found.name);
        END IF;
    END LOOP;

    -- Named, so that a trigger that was renamed or lost stops the update instead of opening the log.
    IF has_table_privilege('telehealth_app', 'vault_auditentry', 'INSERT, UPDATE, DELETE, TRUNCATE')
        OR has_column_privilege('telehealth_app', 'vault_auditentry', 'id', 'INSERT, UPDATE')
        OR has_table_privilege('telehealth_app', 'vault_auditbatch', 'UPDATE, DELETE, TRUNCATE')
        OR has_table_privilege('telehealth_app', 'vault_auditnode', 'UPDATE, DELETE, TRUNCATE')
        OR has_table_privilege('telehealth_app', 'vault_auditwitnessing', 'UPDATE, DELETE, TRUNCATE')
        OR has_table_privilege('telehealth_app', 'vault_auditarchive', 'UPDATE, DELETE, TRUNCATE')
        OR has_table_privilege('telehealth_app', 'vault_auditcarried', 'UPDATE, DELETE, TRUNCATE')
        OR EXISTS (
            SELECT FROM pg_inherits
            WHERE inhparent = 'vault_auditentry'::regclass
                AND has_table_privilege('telehealth_app', inhrelid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE')
        )
        OR has_table_privilege('telehealth_app', 'consults_consent', 'UPDATE, DELETE, TRUNCATE')
        OR has_table_privilege('telehealth_app', 'consults_consentstatement', 'UPDATE, DELETE, TRUNCATE')
        OR has_table_privilege('telehealth_app', 'consults_auditreview', 'UPDATE, DELETE, TRUNCATE')
        OR has_table_privilege('telehealth_app', 'consults_retentionperiod', 'UPDATE, DELETE, TRUNCATE')
        OR has_table_privilege('telehealth_app', 'consults_legalhold', 'UPDATE, DELETE, TRUNCATE')
        OR has_table_privilege('telehealth_app', 'consults_holdlift', 'UPDATE, DELETE, TRUNCATE')
        OR has_table_privilege('telehealth_app', 'consults_consenterasure', 'UPDATE, DELETE, TRUNCATE')
    THEN
        RAISE EXCEPTION 'The application could rewrite the audit log or consent. Nothing was granted.';
    END IF;
END
$$;
COMMIT;
