-- What every twin database has: the schema dp, the guard of the private tables, and what is taken from
-- PUBLIC so that one analyst can neither see nor disturb another. Run once, by the administrator, in a
-- database fresh from template0.

REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO pgveil_analyst;

CREATE SCHEMA dp;
GRANT USAGE ON SCHEMA dp TO pgveil_analyst;
COMMENT ON SCHEMA dp IS 'Differential privacy: your budget, what it was spent on, and what the columns allow';

-- The guard. IMMUTABLE, so that planning a statement already evaluates it: whatever gets as far as a
-- plan over the table ends here, however it got there, and the (empty) table is never counted. Parse and
-- Describe do not plan.
CREATE FUNCTION dp.private_rows(relation text) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = pg_catalog
    AS $guard$
BEGIN
    RAISE EXCEPTION USING
        ERRCODE = '0A000',
        MESSAGE = pg_catalog.format('this use of the private table %s is not supported', relation),
        DETAIL = 'It would read rows of individual people.',
        HINT = 'Ask for aggregates in a plain SELECT: SELECT count(*) FROM ' OPERATOR(pg_catalog.||) relation;
END
$guard$;
CREATE FUNCTION dp.answered_by_pgveil(relation text) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = pg_catalog
    AS $guard$
BEGIN
    RAISE EXCEPTION USING
        ERRCODE = '0A000',
        MESSAGE = pg_catalog.format('this use of %s is not supported', relation),
        HINT = 'Read it in a plain SELECT: SELECT * FROM ' OPERATOR(pg_catalog.||) relation;
END
$guard$;
REVOKE ALL ON FUNCTION dp.private_rows(text), dp.answered_by_pgveil(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION dp.private_rows(text), dp.answered_by_pgveil(text) TO pgveil_analyst;

-- Error statements about the aggregates of a release. pgveil puts columns in their place; they are here
-- so that a statement with them can be prepared and described. Each returns what double precision is.
CREATE FUNCTION dp.not_of_a_release(function text) RETURNS double precision
    LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog
    AS $guard$
BEGIN
    RAISE EXCEPTION USING
        ERRCODE = '0A000',
        MESSAGE = pg_catalog.format('this use of %s is not supported', function),
        DETAIL = 'It tells the error of an aggregate over private tables.',
        HINT = pg_catalog.format('Write %s(count(*)) in the SELECT that reads the private table.', function);
END
$guard$;
CREATE FUNCTION dp.interval_low(aggregate double precision) RETURNS double precision
    LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog
    AS $guard$ BEGIN RETURN dp.not_of_a_release('dp.interval_low'); END $guard$;
CREATE FUNCTION dp.interval_high(aggregate double precision) RETURNS double precision
    LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog
    AS $guard$ BEGIN RETURN dp.not_of_a_release('dp.interval_high'); END $guard$;
CREATE FUNCTION dp.stddev(aggregate double precision) RETURNS double precision
    LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog
    AS $guard$ BEGIN RETURN dp.not_of_a_release('dp.stddev'); END $guard$;
CREATE FUNCTION dp.interval_low(aggregate interval) RETURNS interval
    LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog
    AS $guard$ BEGIN RETURN dp.not_of_a_release('dp.interval_low'); END $guard$;
CREATE FUNCTION dp.interval_high(aggregate interval) RETURNS interval
    LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog
    AS $guard$ BEGIN RETURN dp.not_of_a_release('dp.interval_high'); END $guard$;
CREATE FUNCTION dp.stddev(aggregate interval) RETURNS interval
    LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog
    AS $guard$ BEGIN RETURN dp.not_of_a_release('dp.stddev'); END $guard$;
COMMENT ON FUNCTION dp.interval_low(double precision) IS 'Lower end of the interval in which the aggregate without noise lies with probability dp.confidence';
COMMENT ON FUNCTION dp.interval_high(double precision) IS 'Upper end of the interval in which the aggregate without noise lies with probability dp.confidence';
COMMENT ON FUNCTION dp.stddev(double precision) IS 'Standard deviation of the noise of an aggregate';
COMMENT ON FUNCTION dp.interval_low(interval) IS 'Lower end of the interval in which the aggregate without noise lies with probability dp.confidence';
COMMENT ON FUNCTION dp.interval_high(interval) IS 'Upper end of the interval in which the aggregate without noise lies with probability dp.confidence';
COMMENT ON FUNCTION dp.stddev(interval) IS 'Standard deviation of the noise of an aggregate';
REVOKE ALL ON FUNCTION dp.not_of_a_release(text), dp.interval_low(double precision),
    dp.interval_high(double precision), dp.stddev(double precision), dp.interval_low(interval),
    dp.interval_high(interval), dp.stddev(interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION dp.not_of_a_release(text), dp.interval_low(double precision),
    dp.interval_high(double precision), dp.stddev(double precision), dp.interval_low(interval),
    dp.interval_high(interval), dp.stddev(interval) TO pgveil_analyst;

-- The column order is that of the arrays which pgveil puts in their place.
CREATE TABLE dp.budget (
    dataset text,
    epsilon numeric,
    delta numeric,
    spent numeric,
    remaining numeric,
    spent_mu2 numeric,
    cap_mu2 numeric,
    window_ends timestamptz,
    queries_left bigint
);
COMMENT ON TABLE dp.budget IS 'What you were granted for this dataset and what is left of it';
COMMENT ON COLUMN dp.budget.spent IS 'share of the budget, 0 to 1';
COMMENT ON COLUMN dp.budget.remaining IS 'share of the budget, 0 to 1';
COMMENT ON COLUMN dp.budget.spent_mu2 IS 'in units of 1e-12, as the ledger counts';
COMMENT ON COLUMN dp.budget.cap_mu2 IS 'in units of 1e-12, as the ledger counts';
COMMENT ON COLUMN dp.budget.window_ends IS 'when the budget starts afresh; NULL: never';
COMMENT ON COLUMN dp.budget.queries_left IS 'how many ungrouped counts at the present dp.epsilon it buys';

CREATE TABLE dp.history (
    at timestamptz,
    statement text,
    epsilon numeric,
    mu2_pico numeric,
    delta numeric,
    share numeric,
    state text
);
COMMENT ON TABLE dp.history IS 'Your charges on this dataset, oldest first';
COMMENT ON COLUMN dp.history.statement IS 'fingerprint of what was measured';
COMMENT ON COLUMN dp.history.epsilon IS 'of a purely epsilon-private charge; NULL otherwise';
COMMENT ON COLUMN dp.history.mu2_pico IS 'squared Gaussian-DP parameter in units of 1e-12';
COMMENT ON COLUMN dp.history.delta IS 'spent on choosing which groups to show';
COMMENT ON COLUMN dp.history.share IS 'of the budget, 0 to 1';

ALTER TABLE dp.budget ENABLE ROW LEVEL SECURITY;
ALTER TABLE dp.history ENABLE ROW LEVEL SECURITY;
CREATE POLICY "pgveil answers queries on this table" ON dp.budget
    USING (dp.answered_by_pgveil('dp.budget'));
CREATE POLICY "pgveil answers queries on this table" ON dp.history
    USING (dp.answered_by_pgveil('dp.history'));

CREATE TABLE dp.columns (
    table_schema name NOT NULL,
    table_name name NOT NULL,
    column_name name NOT NULL,
    data_type text NOT NULL,
    low text,
    high text,
    domain text[],
    unit boolean NOT NULL,
    public boolean NOT NULL
);
COMMENT ON TABLE dp.columns IS 'What the policy says of each column';
COMMENT ON COLUMN dp.columns.low IS 'values are clamped to low .. high in sums and averages; auto: to a range that is found by a measurement';
COMMENT ON COLUMN dp.columns.high IS 'values are clamped to low .. high in sums and averages; auto: to a range that is found by a measurement';
COMMENT ON COLUMN dp.columns.domain IS 'the keys of which every one appears in GROUP BY';
COMMENT ON COLUMN dp.columns.unit IS 'names the person, or whatever the privacy unit is, that a row belongs to';
COMMENT ON COLUMN dp.columns.public IS 'rows of the table can be read as they are';
GRANT SELECT ON dp.budget, dp.history, dp.columns TO pgveil_analyst;

-- No code of the analyst's own.
REVOKE ALL ON LANGUAGE plpgsql, sql FROM PUBLIC;

-- Relations by name: other sessions, the whole server, settings of roles. By pattern, because
-- versions differ; a view that is not there is not missed.
DO $revoke$
DECLARE
    v_relation regclass;
BEGIN
    FOR v_relation IN
        SELECT c.oid::regclass
        FROM pg_class c
        WHERE c.relnamespace = 'pg_catalog'::regnamespace
          AND c.relkind IN ('r', 'v')
          AND c.relname ~ ('^('
              || 'pg_stat_(activity|archiver|bgwriter|checkpointer|database|gssapi|io|progress_|recovery|replication|slru|ssl|subscription|wal)'
              || '|pg_locks|pg_prepared_xacts|pg_db_role_setting|pg_largeobject|pg_subscription'
              || '|pg_replication_|pg_wait_events|pg_shmem_allocations|pg_backend_memory_contexts'
              || ')')
    LOOP
        EXECUTE format('REVOKE ALL ON %s FROM PUBLIC', v_relation);
    END LOOP;
END
$revoke$;

-- Functions by name: what reaches other sessions or the whole server, keeps locks or objects that
-- outlive a statement, or runs a text as SQL behind pgveil's back. pg_advisory_unlock_all stays,
-- drivers call it when they reset a connection.
DO $revoke$
DECLARE
    v_function regprocedure;
BEGIN
    FOR v_function IN
        SELECT p.oid::regprocedure
        FROM pg_proc p
        WHERE p.pronamespace = 'pg_catalog'::regnamespace
          AND p.prokind = 'f'
          AND p.proname <> 'pg_advisory_unlock_all'
          AND p.proname ~ ('^('
              || 'pg_stat_get_(activity|backend_|db_|wal|slru|bgwriter_|buf_|checkpoint|archiver|progress|replication|subscription|recovery)'
              || '|pg_(try_)?advisory_|pg_lock_status|pg_prepared_xact|pg_blocking_pids|pg_safe_snapshot'
              || '|pg_isolation_test|pg_current_wal_|pg_last_wal_|pg_wal_|pg_walfile|pg_get_wal_'
              || '|txid_|pg_current_xact_id|pg_current_snapshot|pg_snapshot_|pg_visible_in_snapshot'
              || '|pg_xact_|pg_last_committed_xact|pg_get_multixact|pg_export_snapshot'
              || '|lo_|loread$|lowrite$|pg_notify$|pg_listening_channels|pg_notification_queue'
              || '|pg_logical_|pg_replication_|pg_create_|pg_drop_replication|pg_copy_'
              || '|pg_tablespace_size|pg_tablespace_databases|pg_ls_|pg_stat_file|pg_read_'
              || '|(query|table|schema|database|cursor)_to_xml|ts_stat$|ts_rewrite$'
              || '|pg_get_replication|pg_show_replication'
              || '|pg_cancel_backend|pg_terminate_backend|pg_log_backend|pg_get_backend'
              || ')')
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', v_function);
    END LOOP;
END
$revoke$;
