-- The ledger: schema "pgveil" of a PostgreSQL server of its own (14 or later, never the protected one).
--
-- This file makes the tables; the other files of this name follow with the functions, in the order that
-- budget/ledger.c has them. The whole script is idempotent. Sent as one simple query it is one transaction;
-- an advisory lock lets several instances start at once. Everything that must be atomic is one routine, called by one statement. Functions run with the rights of the caller, pin their
-- search_path and qualify every name.
--
-- Amounts are integers: mu2 (squared Gaussian-DP parameter) and zcdp (twice rho) in 1e-12, delta in
-- 1e-18, epsilon in 1e-9. Charges and caps are rounded against the analyst. Every charge is counted in
-- all currencies, so that a change of an account's cap_mode forgets nothing.
--
-- Locks are always taken in this order: accounts by id, the journal's head, draws.

DO $script$
DECLARE
    v_known constant integer := 3; -- the version this script makes
    v_found integer;
    v_routine text;
    v_type text;
BEGIN
    IF pg_catalog.current_setting('server_encoding') <> 'UTF8' THEN
        RAISE EXCEPTION 'the ledger needs a database with the encoding UTF8';
    END IF;
    PERFORM pg_catalog.pg_advisory_xact_lock(7810182655114243);
    IF pg_catalog.to_regnamespace('pgveil') IS NULL THEN
        CREATE SCHEMA pgveil;
    END IF;
    REVOKE ALL ON SCHEMA pgveil FROM PUBLIC;
    IF pg_catalog.to_regclass('pgveil.version') IS NULL THEN
        CREATE TABLE pgveil.version (
            version integer PRIMARY KEY,
            at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
        );
    END IF;
    SELECT pg_catalog.max(v.version) INTO v_found FROM pgveil.version v;
    IF v_found > v_known THEN
        RAISE EXCEPTION 'the ledger has schema version %, this program knows versions up to %',
            v_found, v_known USING HINT = 'Use the version of pgveil that made it, or a later one.';
    END IF;
    -- Functions are made anew below; only the triggers' stay.
    FOR v_routine IN
        SELECT p.oid::pg_catalog.regprocedure::text FROM pg_catalog.pg_proc p
        WHERE p.pronamespace = pg_catalog.to_regnamespace('pgveil')::pg_catalog.oid
          AND p.prorettype <> 'pg_catalog.trigger'::pg_catalog.regtype
    LOOP
        EXECUTE 'DROP ROUTINE ' || v_routine;
    END LOOP;
    FOR v_type IN
        SELECT c.oid::pg_catalog.regclass::text FROM pg_catalog.pg_class c
        WHERE c.relnamespace = pg_catalog.to_regnamespace('pgveil')::pg_catalog.oid
          AND c.relkind = 'c'
        ORDER BY c.oid DESC -- a type of several goes before them
    LOOP
        EXECUTE 'DROP TYPE ' || v_type;
    END LOOP;
END
$script$;

CREATE OR REPLACE FUNCTION pgveil.refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    RAISE EXCEPTION 'pgveil.% is append-only: % is refused', tg_table_name, tg_op
        USING ERRCODE = 'insufficient_privilege';
END
$function$;

-- Migrations: each block brings the tables from one version to the next.
DO $script$
DECLARE
    v_version integer;
    v_table text;
BEGIN
    SELECT coalesce(pg_catalog.max(v.version), 0) INTO v_version FROM pgveil.version v;
    IF v_version < 1 THEN
        CREATE TABLE pgveil.setting (
            name text NOT NULL,
            dataset text NOT NULL DEFAULT '', -- '': for all that have no value of their own
            value bigint NOT NULL CHECK (value >= 0),
            PRIMARY KEY (name, dataset)
        );
        -- The least that a measured statement costs; failed measurements in a row that freeze.
        INSERT INTO pgveil.setting (name, value)
        VALUES ('minimum_mu2_pico', 1000), ('failures_max', 10);

        CREATE TABLE pgveil.analyst (
            name text PRIMARY KEY CHECK (name <> '' AND pg_catalog.octet_length(name) <= 63),
            verifier text NOT NULL CHECK (verifier LIKE 'SCRAM-SHA-256$%'),
            enabled boolean NOT NULL DEFAULT true,
            created_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
        );

        CREATE TABLE pgveil.dataset (
            name text PRIMARY KEY CHECK (name <> '' AND pg_catalog.octet_length(name) <= 63),
            instance uuid NOT NULL DEFAULT pg_catalog.gen_random_uuid(),
            hash_seed bigint NOT NULL -- secret: orders a unit's groups
        );

        -- Analysts whose spending a DBA wants to bound together.
        CREATE TABLE pgveil.membership (
            group_name text NOT NULL CHECK (group_name <> '' AND pg_catalog.octet_length(group_name) <= 63),
            analyst text NOT NULL,
            PRIMARY KEY (group_name, analyst)
        );

        -- What may be spent and what was. One row per analyst and dataset, one per group and dataset,
        -- and one per dataset that all its analysts share. Rows are never deleted: what was spent
        -- stays with the name. What is spent, in each currency, = the floor + the journal's charges
        -- that debited this account, have seq > counted_from and at >= window_starts.
        CREATE TABLE pgveil.account (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            holder text NOT NULL CHECK (holder IN ('analyst', 'group', 'dataset')),
            name text NOT NULL,    -- the analyst or group; '' for the dataset
            dataset text NOT NULL,
            granted boolean NOT NULL DEFAULT true,  -- false: revoked, what was spent is kept
            enforced boolean NOT NULL DEFAULT true, -- false: counted, but refuses nothing
            cap_mode text NOT NULL CHECK (cap_mode IN ('gdp', 'zcdp', 'pure')),
            epsilon_nano bigint NOT NULL CHECK (epsilon_nano > 0),
            delta_atto bigint NOT NULL CHECK (delta_atto > 0 AND delta_atto < 1000000000000000000),
            cap_pico bigint NOT NULL CHECK (cap_pico >= 0), -- of mu2 or zcdp; pure: 0
            delta_conv_atto bigint NOT NULL CHECK (delta_conv_atto >= 0),
            delta_keys_atto bigint NOT NULL CHECK (delta_keys_atto >= 0),
            mu2_spent_pico bigint NOT NULL DEFAULT 0 CHECK (mu2_spent_pico >= 0),
            zcdp_spent_pico bigint NOT NULL DEFAULT 0 CHECK (zcdp_spent_pico >= 0),
            delta_spent_atto bigint NOT NULL DEFAULT 0 CHECK (delta_spent_atto >= 0),
            epsilon_spent_nano bigint NOT NULL DEFAULT 0 CHECK (epsilon_spent_nano >= 0),
            all_pure boolean NOT NULL DEFAULT true,
            -- spent for good: under no window, before the account got one
            mu2_floor_pico bigint NOT NULL DEFAULT 0,
            zcdp_floor_pico bigint NOT NULL DEFAULT 0,
            delta_floor_atto bigint NOT NULL DEFAULT 0,
            epsilon_floor_nano bigint NOT NULL DEFAULT 0,
            floor_pure boolean NOT NULL DEFAULT true,
            counted_from bigint NOT NULL DEFAULT 0,
            budget_window text NOT NULL CHECK (budget_window IN ('none', 'day', 'week', 'month')),
            window_starts timestamptz NOT NULL,
            window_ends timestamptz NOT NULL,
            failures bigint NOT NULL DEFAULT 0, -- failed measurements in a row
            frozen text,                        -- why; NULL: not frozen
            UNIQUE (holder, name, dataset),
            CHECK (delta_conv_atto + delta_keys_atto < delta_atto),
            CHECK (cap_mode <> 'pure' OR cap_pico = 0)
        );
        CREATE INDEX account_dataset ON pgveil.account (dataset);

        CREATE TABLE pgveil.journal (
            seq bigint PRIMARY KEY,
            at timestamptz NOT NULL,
            kind text NOT NULL,
            request uuid UNIQUE,          -- of a charge
            analyst text NOT NULL,
            dataset text NOT NULL,
            debited bigint[] NOT NULL,    -- account ids, ascending
            mu2_pico bigint NOT NULL,
            zcdp_pico bigint NOT NULL,
            delta_atto bigint NOT NULL,
            epsilon_nano bigint,          -- NULL: not pure
            fingerprint text NOT NULL,
            detail text NOT NULL,         -- of a charge: its releases as JSON
            prev_hash bytea NOT NULL,
            hash bytea NOT NULL,
            CHECK ((kind = 'charge') = (request IS NOT NULL))
        );
        CREATE INDEX journal_analyst ON pgveil.journal (dataset, analyst, seq);

        CREATE TABLE pgveil.head (
            one boolean PRIMARY KEY DEFAULT true CHECK (one),
            seq bigint NOT NULL,
            at timestamptz NOT NULL,
            hash bytea NOT NULL
        );
        INSERT INTO pgveil.head (seq, at, hash)
        VALUES (0, pg_catalog.clock_timestamp(),
                pg_catalog.sha256(pg_catalog.convert_to(
                    'pgveil ledger ' || pg_catalog.gen_random_uuid()::text, 'UTF8')));

        CREATE TABLE pgveil.resolution (
            request uuid PRIMARY KEY REFERENCES pgveil.journal (request),
            state text NOT NULL CHECK (state IN ('answered', 'failed')),
            at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
        );

        FOREACH v_table IN ARRAY ARRAY['journal', 'resolution'] LOOP
            EXECUTE pg_catalog.format(
                'CREATE TRIGGER append_only_rows BEFORE UPDATE OR DELETE ON pgveil.%I
                 FOR EACH ROW EXECUTE FUNCTION pgveil.refuse_change()', v_table);
            EXECUTE pg_catalog.format(
                'CREATE TRIGGER append_only_table BEFORE TRUNCATE ON pgveil.%I
                 FOR EACH STATEMENT EXECUTE FUNCTION pgveil.refuse_change()', v_table);
        END LOOP;
        CREATE TRIGGER never_deleted BEFORE DELETE ON pgveil.account
            FOR EACH ROW EXECUTE FUNCTION pgveil.refuse_change();
        CREATE TRIGGER never_emptied BEFORE TRUNCATE ON pgveil.account
            FOR EACH STATEMENT EXECUTE FUNCTION pgveil.refuse_change();
        INSERT INTO pgveil.version (version) VALUES (1);
    END IF;
    IF v_version < 2 THEN
        -- A charge may be several entries: what was debited everywhere, and one adoption for each
        -- release whose draw was another analyst's. All bear the request.
        ALTER TABLE pgveil.resolution DROP CONSTRAINT resolution_request_fkey;
        ALTER TABLE pgveil.journal DROP CONSTRAINT journal_request_key,
            DROP CONSTRAINT journal_check,
            ADD CHECK ((kind IN ('charge', 'adoption')) = (request IS NOT NULL));
        CREATE UNIQUE INDEX journal_charge ON pgveil.journal (request) WHERE kind = 'charge';
        CREATE INDEX journal_adoption ON pgveil.journal (request) WHERE kind = 'adoption';

        -- A release that was measured once, with one noise.
        CREATE TABLE pgveil.draw (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            dataset text NOT NULL,
            fingerprint text NOT NULL,     -- of rows, measures, noise and threshold; '': not shared
            request uuid NOT NULL,         -- of the charge that paid for it first
            release integer NOT NULL,      -- its place in that request
            seq bigint NOT NULL,           -- the charge in the journal
            at timestamptz NOT NULL,       -- when it was charged, which says to which epoch it belongs
            mu2_pico bigint NOT NULL,      -- its price, without the minimum
            delta_atto bigint NOT NULL,
            epsilon_nano bigint,
            UNIQUE (request, release)
        );
        CREATE INDEX draw_fingerprint ON pgveil.draw (dataset, fingerprint);
        CREATE INDEX draw_at ON pgveil.draw (dataset, at);

        -- One noisy vector of a draw: signed, in grid units, before anything was done with it.
        CREATE TABLE pgveil.kept_answer (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            draw bigint NOT NULL REFERENCES pgveil.draw (id) ON DELETE CASCADE,
            measure integer NOT NULL,      -- its place in the release
            identity text NOT NULL,        -- of what is measured, whatever the noise
            mechanism text NOT NULL CHECK (mechanism IN ('laplace', 'gaussian')),
            scale10 integer NOT NULL,
            exp2 integer NOT NULL,
            sensitivity bigint NOT NULL,   -- of one coordinate, in grid units
            groups bigint NOT NULL,        -- coordinates that one unit can touch
            m bigint NOT NULL,
            mu2_pico bigint NOT NULL,
            delta_atto bigint NOT NULL,
            epsilon_nano bigint,
            keys_of bigint REFERENCES pgveil.kept_answer (id) ON DELETE CASCADE,
            n_keys integer NOT NULL,
            keys text[],                   -- row by row; only where this answer decided the keys
            noisy numeric[],               -- NULL: the keys alone are the answer
            UNIQUE (draw, measure),
            CHECK (keys IS NULL OR keys_of IS NULL),
            CHECK (keys IS NOT NULL OR noisy IS NOT NULL)
        );
        CREATE INDEX kept_answer_identity ON pgveil.kept_answer (identity);
        CREATE INDEX kept_answer_keys_of ON pgveil.kept_answer (keys_of);

        -- Who has paid for a draw, and by which entry of the journal.
        CREATE TABLE pgveil.paid (
            draw bigint NOT NULL REFERENCES pgveil.draw (id) ON DELETE CASCADE,
            analyst text NOT NULL,
            seq bigint NOT NULL,
            at timestamptz NOT NULL,
            PRIMARY KEY (draw, analyst)
        );

        -- Which databases a dataset was ever served over, by a name that tells one from another.
        CREATE TABLE pgveil.dataset_database (
            dataset text NOT NULL,
            database text NOT NULL,
            at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
            PRIMARY KEY (dataset, database)
        );
        CREATE INDEX dataset_database_name ON pgveil.dataset_database (database);
        CREATE TRIGGER append_only_rows BEFORE UPDATE OR DELETE ON pgveil.dataset_database
            FOR EACH ROW EXECUTE FUNCTION pgveil.refuse_change();
        CREATE TRIGGER append_only_table BEFORE TRUNCATE ON pgveil.dataset_database
            FOR EACH STATEMENT EXECUTE FUNCTION pgveil.refuse_change();
        -- Whose charges an account counts: its own, and those of the same holder on another dataset
        -- over the same database.
        CREATE VIEW pgveil.kin AS
            SELECT a.id AS account, k.id AS of
            FROM pgveil.account a JOIN pgveil.account k ON k.holder = a.holder AND k.name = a.name
            WHERE k.dataset = a.dataset
               OR EXISTS (SELECT 1 FROM pgveil.dataset_database x
                          JOIN pgveil.dataset_database y ON y.database = x.database
                          WHERE x.dataset = a.dataset AND y.dataset = k.dataset);
        INSERT INTO pgveil.version (version) VALUES (2);
    END IF;
    IF v_version < 3 THEN
        -- Public keys of a measure that adds up over groups: what it is without them, and which they
        -- are, in the order of the groups, so that coarser groups are found.
        ALTER TABLE pgveil.kept_answer ADD COLUMN family text, ADD COLUMN fold_keys text[],
            ADD CHECK ((family IS NULL) = (fold_keys IS NULL));
        CREATE INDEX kept_answer_family ON pgveil.kept_answer (family) WHERE family IS NOT NULL;
        -- What a draw takes on the disk, in bytes, and how much of it an analyst may have kept of a
        -- dataset. Draws from before count as what small ones take.
        ALTER TABLE pgveil.draw ADD COLUMN bytes bigint NOT NULL DEFAULT 1000;
        CREATE INDEX paid_analyst ON pgveil.paid (analyst);
        INSERT INTO pgveil.setting (name, value) VALUES ('kept_bytes_max', 67108864);
        INSERT INTO pgveil.version (version) VALUES (3);
    END IF;
END
$script$;
