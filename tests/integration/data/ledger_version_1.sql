-- The ledger's schema as its version 1 made it: for the test of the upgrade, not to be changed.
-- The ledger: schema "pgveil" of a PostgreSQL server of its own (14 or later, never the protected one).
--
-- This file makes the tables; schema_account.sql, schema_charge.sql and schema_admin.sql follow in this
-- order with the functions. The whole script is idempotent. Sent as one simple query it is one
-- transaction; an advisory lock lets several instances start at once. Everything that must be atomic is
-- one routine, called by one statement. Functions run with the rights of the caller, pin their
-- search_path and qualify every name.
--
-- Amounts are integers: mu2 (squared Gaussian-DP parameter) and zcdp (twice rho) in 1e-12, delta in
-- 1e-18, epsilon in 1e-9. Charges and caps are rounded against the analyst. Every charge is counted in
-- all currencies, so that a change of an account's cap_mode forgets nothing.
--
-- Locks are always taken in this order: accounts by id, then the journal's head.

DO $script$
DECLARE
    v_known constant integer := 1; -- the version this script makes
    v_found integer;
    v_routine text;
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
    IF pg_catalog.to_regtype('pgveil.answer') IS NOT NULL THEN
        DROP TYPE pgveil.answer;
    END IF;
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
END
$script$;
-- The ledger: accounts, windows and the journal; the parts that the functions of the other files use.
-- PL/pgSQL keeps the plans of its statements between calls, which SQL functions do not.

CREATE FUNCTION pgveil.setting(p_name text, p_dataset text) RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    RETURN (SELECT s.value FROM pgveil.setting s
            WHERE s.name = p_name AND s.dataset IN (p_dataset, '') ORDER BY s.dataset DESC LIMIT 1);
END
$function$;

-- An integer in units of 10^-p_places as a plain decimal.
CREATE FUNCTION pgveil.decimal_text(p_value bigint, p_places integer) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    RETURN trim_scale(p_value * ('1e-' || p_places)::numeric)::text;
END
$function$;

CREATE FUNCTION pgveil.time_text(p_at timestamptz) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    RETURN CASE WHEN isfinite(p_at)
        THEN to_char(p_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') ELSE '' END;
END
$function$;

CREATE FUNCTION pgveil.window_start(p_window text, p_at timestamptz) RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    RETURN CASE WHEN p_window = 'none' THEN '-infinity'::timestamptz
        ELSE date_trunc(p_window, p_at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' END;
END
$function$;

CREATE FUNCTION pgveil.window_end(p_window text, p_at timestamptz) RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    RETURN CASE WHEN p_window = 'none' THEN 'infinity'::timestamptz
        ELSE (date_trunc(p_window, p_at AT TIME ZONE 'UTC') + ('1 ' || p_window)::interval)
             AT TIME ZONE 'UTC' END;
END
$function$;

-- The ledger's clock: that of the server, never behind the journal.
CREATE FUNCTION pgveil.ledger_time() RETURNS timestamptz
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    RETURN (SELECT greatest(clock_timestamp(), h.at) FROM pgveil.head h);
END
$function$;

-- Twice the rho of zero-concentrated DP that pure DP implies, 2 epsilon tanh(epsilon / 2), rounded up.
CREATE FUNCTION pgveil.zcdp_of_pure(p_epsilon bigint) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    v_epsilon constant numeric := round(p_epsilon * 0.000000001, 40);
    v_power numeric;
BEGIN
    IF v_epsilon > 100 THEN
        RETURN least(ceil(2e12 * v_epsilon), 9223372036854775807); -- tanh is at most one
    END IF;
    v_power := exp(v_epsilon);
    RETURN ceil(2e12 * v_epsilon * (v_power - 1) / (v_power + 1) + 1e-12);
END
$function$;

-- The account as it is at p_at: in a new window where the old one has ended. A window never moves back.
CREATE FUNCTION pgveil.rolled(p_account pgveil.account, p_at timestamptz) RETURNS pgveil.account
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    IF p_at >= p_account.window_ends THEN
        p_account.window_starts := pgveil.window_start(p_account.budget_window, p_at);
        p_account.window_ends := pgveil.window_end(p_account.budget_window, p_at);
        p_account.mu2_spent_pico := p_account.mu2_floor_pico;
        p_account.zcdp_spent_pico := p_account.zcdp_floor_pico;
        p_account.delta_spent_atto := p_account.delta_floor_atto;
        p_account.epsilon_spent_nano := p_account.epsilon_floor_nano;
        p_account.all_pure := p_account.floor_pure;
    END IF;
    RETURN p_account;
END
$function$;

-- The account with what the journal says was spent: the floor and the charges since.
CREATE FUNCTION pgveil.recounted(p_account pgveil.account) RETURNS pgveil.account
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    v_sum record;
BEGIN
    SELECT coalesce(sum(j.mu2_pico), 0) AS mu2, coalesce(sum(j.zcdp_pico), 0) AS zcdp,
           coalesce(sum(j.delta_atto), 0) AS delta, coalesce(sum(j.epsilon_nano), 0) AS epsilon,
           coalesce(bool_and(j.epsilon_nano IS NOT NULL), true) AS pure
    INTO v_sum
    FROM pgveil.journal j
    WHERE j.kind = 'charge' AND j.dataset = p_account.dataset AND p_account.id = ANY (j.debited)
      AND j.seq > p_account.counted_from AND j.at >= p_account.window_starts;
    p_account.mu2_spent_pico := p_account.mu2_floor_pico + v_sum.mu2;
    p_account.zcdp_spent_pico := p_account.zcdp_floor_pico + v_sum.zcdp;
    p_account.delta_spent_atto := p_account.delta_floor_atto + v_sum.delta;
    p_account.epsilon_spent_nano := p_account.epsilon_floor_nano + v_sum.epsilon;
    p_account.all_pure := p_account.floor_pure AND v_sum.pure;
    RETURN p_account;
END
$function$;

-- What is spent in the currency of the account's cap.
CREATE FUNCTION pgveil.spent_pico(p_account pgveil.account) RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    RETURN CASE p_account.cap_mode WHEN 'zcdp' THEN p_account.zcdp_spent_pico
                                   ELSE p_account.mu2_spent_pico END;
END
$function$;

-- The share of the budget that is spent: by the cap's currency, or by epsilon where that is less and
-- every charge was pure. Six places, rounded up.
CREATE FUNCTION pgveil.spent_share(p_account pgveil.account) RETURNS numeric
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    v_epsilon constant numeric := p_account.epsilon_spent_nano::numeric / p_account.epsilon_nano;
    v_cap constant numeric :=
        pgveil.spent_pico(p_account)::numeric / nullif(p_account.cap_pico, 0);
    v_share constant numeric :=
        CASE WHEN p_account.all_pure THEN least(v_epsilon, v_cap) ELSE coalesce(v_cap, 1) END;
BEGIN
    RETURN trim_scale(ceil(v_share * 1000000) / 1000000);
END
$function$;

-- Whether one more charge is admitted: delta for keys, and the filter of the cap or basic composition.
CREATE FUNCTION pgveil.admits(p_account pgveil.account, p_mu2 bigint, p_zcdp bigint, p_delta bigint,
                              p_epsilon bigint)
RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    RETURN NOT p_account.enforced
        OR p_delta <= p_account.delta_keys_atto - p_account.delta_spent_atto
           AND (CASE p_account.cap_mode
                    WHEN 'gdp' THEN p_mu2 <= p_account.cap_pico - p_account.mu2_spent_pico
                    WHEN 'zcdp' THEN p_zcdp <= p_account.cap_pico - p_account.zcdp_spent_pico
                    ELSE false END
                OR p_account.all_pure AND p_epsilon IS NOT NULL
                   AND p_epsilon <= p_account.epsilon_nano - p_account.epsilon_spent_nano);
END
$function$;

-- ------------------------------------------------------------------------------------------------
-- The journal

-- One field of the canonical form: length:text, or - where it is NULL; each ends with a comma.
CREATE FUNCTION pgveil.encoded_field(p_value text) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    RETURN coalesce(octet_length(p_value) || ':' || p_value, '-') || ',';
END
$function$;

-- Canonical form of an entry. Changing it breaks every chain: add fields only with a new version.
CREATE FUNCTION pgveil.encoded(p_entry pgveil.journal) RETURNS bytea
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    RETURN convert_to(
        pgveil.encoded_field(p_entry.seq::text) || pgveil.encoded_field(pgveil.time_text(p_entry.at))
        || pgveil.encoded_field(p_entry.kind) || pgveil.encoded_field(p_entry.request::text)
        || pgveil.encoded_field(p_entry.analyst) || pgveil.encoded_field(p_entry.dataset)
        || pgveil.encoded_field(array_to_string(p_entry.debited, ' '))
        || pgveil.encoded_field(p_entry.mu2_pico::text)
        || pgveil.encoded_field(p_entry.zcdp_pico::text)
        || pgveil.encoded_field(p_entry.delta_atto::text)
        || pgveil.encoded_field(p_entry.epsilon_nano::text)
        || pgveil.encoded_field(p_entry.fingerprint) || pgveil.encoded_field(p_entry.detail), 'UTF8');
END
$function$;

-- Appends an entry: fills seq, at (not before the journal's last) and the hashes. The caller holds the
-- locks on accounts.
CREATE FUNCTION pgveil.append(p_entry pgveil.journal) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    v_head pgveil.head;
BEGIN
    SELECT h.* INTO STRICT v_head FROM pgveil.head h FOR UPDATE;
    p_entry.seq := v_head.seq + 1;
    p_entry.at := greatest(coalesce(p_entry.at, clock_timestamp()), v_head.at);
    p_entry.prev_hash := v_head.hash;
    p_entry.hash := sha256(v_head.hash || pgveil.encoded(p_entry));
    INSERT INTO pgveil.journal SELECT (p_entry).*;
    UPDATE pgveil.head SET seq = p_entry.seq, at = p_entry.at, hash = p_entry.hash;
END
$function$;

-- An entry about something other than a charge.
CREATE FUNCTION pgveil.note(p_kind text, p_analyst text, p_dataset text, p_debited bigint[],
                            p_detail text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    v_entry pgveil.journal;
BEGIN
    v_entry.kind := p_kind;
    v_entry.analyst := p_analyst;
    v_entry.dataset := p_dataset;
    v_entry.debited := p_debited;
    v_entry.mu2_pico := 0;
    v_entry.zcdp_pico := 0;
    v_entry.delta_atto := 0;
    v_entry.fingerprint := '';
    v_entry.detail := p_detail;
    PERFORM pgveil.append(v_entry);
END
$function$;
-- The ledger: what pgveil calls (budget/ledger.c).

-- The row that budget/ledger.c reads; change both together. cap, spent, booked and minimum are in the
-- currency of the own account's cap_mode, the dataset's two in that of the dataset's.
CREATE TYPE pgveil.answer AS (
    outcome text,        -- ok, exceeded, no_account, frozen
    refused_by text,     -- analyst, group, dataset or NULL: whose account refuses
    dataset text,
    epsilon text,
    delta text,
    cap_mode text,
    cap_pico bigint,
    spent_pico bigint,
    delta_keys_atto bigint,
    delta_conv_atto bigint,
    delta_spent_atto bigint,
    epsilon_nano bigint,
    epsilon_spent_nano bigint,
    all_pure boolean,
    spent_share text,
    budget_window text,
    window_ends text,
    dataset_capped boolean,
    dataset_cap_pico bigint,
    dataset_spent_pico bigint,
    booked_pico bigint,
    minimum_pico bigint
);

CREATE FUNCTION pgveil.answer_of(p_outcome text, p_refused_by text, p_analyst text, p_dataset text,
                                 p_mu2 bigint, p_zcdp bigint)
RETURNS pgveil.answer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    v_at constant timestamptz := pgveil.ledger_time();
    v_own pgveil.account;
    v_shared pgveil.account;
    v_answer pgveil.answer;
BEGIN
    SELECT a.* INTO v_own FROM pgveil.account a
    WHERE a.holder = 'analyst' AND a.name = p_analyst AND a.dataset = p_dataset AND a.granted;
    v_answer.dataset := p_dataset;
    IF NOT FOUND THEN
        v_answer.outcome := 'no_account';
        RETURN v_answer;
    END IF;
    SELECT a.* INTO v_shared FROM pgveil.account a
    WHERE a.holder = 'dataset' AND a.name = '' AND a.dataset = p_dataset;
    v_own := pgveil.rolled(v_own, v_at);
    v_shared := pgveil.rolled(v_shared, v_at);
    v_answer.outcome := p_outcome;
    v_answer.refused_by := p_refused_by;
    v_answer.epsilon := pgveil.decimal_text(v_own.epsilon_nano, 9);
    v_answer.delta := pgveil.decimal_text(v_own.delta_atto, 18);
    v_answer.cap_mode := v_own.cap_mode;
    v_answer.cap_pico := v_own.cap_pico;
    v_answer.spent_pico := pgveil.spent_pico(v_own);
    v_answer.delta_keys_atto := v_own.delta_keys_atto;
    v_answer.delta_conv_atto := v_own.delta_conv_atto;
    v_answer.delta_spent_atto := v_own.delta_spent_atto;
    v_answer.epsilon_nano := v_own.epsilon_nano;
    v_answer.epsilon_spent_nano := v_own.epsilon_spent_nano;
    v_answer.all_pure := v_own.all_pure;
    v_answer.spent_share := pgveil.spent_share(v_own);
    v_answer.budget_window := v_own.budget_window;
    v_answer.window_ends := pgveil.time_text(v_own.window_ends);
    v_answer.dataset_capped := coalesce(v_shared.enforced AND v_shared.cap_mode <> 'pure', false);
    v_answer.dataset_cap_pico := coalesce(v_shared.cap_pico, 0);
    v_answer.dataset_spent_pico := coalesce(pgveil.spent_pico(v_shared), 0);
    v_answer.booked_pico := CASE v_own.cap_mode WHEN 'zcdp' THEN p_zcdp ELSE p_mu2 END;
    v_answer.minimum_pico := pgveil.setting('minimum_mu2_pico', p_dataset);
    RETURN v_answer;
END
$function$;

-- Debits the accounts of the analyst, of the analyst's groups and of the dataset, or none of them. The
-- same request debits once; the same request with another content is an error. Not durable by itself:
-- see pgveil.charge.
CREATE FUNCTION pgveil.debit(p_request uuid, p_analyst text, p_dataset text, p_mu2 bigint,
    p_delta bigint, p_epsilon bigint, p_fingerprint text, p_mechanism text)
RETURNS pgveil.answer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    v_accounts pgveil.account[] := '{}';
    v_account pgveil.account;
    v_entry pgveil.journal;
    v_minimum constant bigint := pgveil.setting('minimum_mu2_pico', p_dataset);
    v_own boolean := false;
BEGIN
    IF p_request IS NULL OR p_mu2 IS NULL OR p_mu2 < 0 OR p_delta IS NULL OR p_delta < 0
       OR p_epsilon < 0 OR v_minimum IS NULL THEN
        RAISE EXCEPTION 'a charge has a request id and no negative amount';
    END IF;
    FOR v_account IN
        SELECT a.* FROM pgveil.account a
        WHERE a.dataset = p_dataset
          AND (a.holder = 'dataset' OR a.holder = 'analyst' AND a.name = p_analyst AND a.granted
               OR a.holder = 'group' AND a.name IN (SELECT m.group_name FROM pgveil.membership m
                                                    WHERE m.analyst = p_analyst))
        ORDER BY a.id FOR UPDATE OF a
    LOOP
        v_accounts := v_accounts || v_account;
        v_own := v_own OR v_account.holder = 'analyst';
    END LOOP;

    SELECT j.* INTO v_entry FROM pgveil.journal j WHERE j.request = p_request;
    IF FOUND THEN
        IF (v_entry.analyst, v_entry.dataset, v_entry.delta_atto, v_entry.epsilon_nano,
            v_entry.fingerprint, v_entry.detail) IS DISTINCT FROM
           (p_analyst, p_dataset, p_delta, p_epsilon, p_fingerprint, p_mechanism)
           OR v_entry.mu2_pico <> greatest(p_mu2, v_minimum) AND v_entry.mu2_pico <> p_mu2 THEN
            RAISE EXCEPTION 'request % was charged with another content', p_request;
        END IF;
        RETURN pgveil.answer_of('ok', NULL, p_analyst, p_dataset, v_entry.mu2_pico, v_entry.zcdp_pico);
    END IF;

    IF NOT v_own THEN
        RETURN pgveil.answer_of('no_account', NULL, p_analyst, p_dataset, 0, 0);
    END IF;
    IF NOT EXISTS (SELECT 1 FROM pgveil.analyst n WHERE n.name = p_analyst AND n.enabled) THEN
        RETURN pgveil.answer_of('frozen', 'analyst', p_analyst, p_dataset, 0, 0);
    END IF;
    v_entry.kind := 'charge';
    v_entry.request := p_request;
    v_entry.analyst := p_analyst;
    v_entry.dataset := p_dataset;
    v_entry.debited := '{}';
    v_entry.mu2_pico := greatest(p_mu2, v_minimum);
    -- A Gaussian's mu2 is its zcdp; for pure DP there is a smaller bound.
    v_entry.zcdp_pico := greatest(least(p_mu2, pgveil.zcdp_of_pure(p_epsilon)), v_minimum);
    v_entry.delta_atto := p_delta;
    v_entry.epsilon_nano := p_epsilon;
    v_entry.fingerprint := p_fingerprint;
    v_entry.detail := p_mechanism;
    -- Locked from here on, so that the time of the windows is the time in the journal.
    PERFORM 1 FROM pgveil.head h FOR UPDATE;
    v_entry.at := pgveil.ledger_time();
    FOR i IN 1 .. cardinality(v_accounts) LOOP
        v_account := pgveil.rolled(v_accounts[i], v_entry.at);
        IF v_account.frozen IS NOT NULL THEN
            RETURN pgveil.answer_of('frozen', v_account.holder, p_analyst, p_dataset, 0, 0);
        END IF;
        IF NOT pgveil.admits(v_account, v_entry.mu2_pico, v_entry.zcdp_pico, p_delta, p_epsilon) THEN
            RETURN pgveil.answer_of('exceeded', v_account.holder, p_analyst, p_dataset,
                                    v_entry.mu2_pico, v_entry.zcdp_pico);
        END IF;
        v_accounts[i] := v_account;
        v_entry.debited := v_entry.debited || v_account.id;
    END LOOP;
    FOREACH v_account IN ARRAY v_accounts LOOP
        UPDATE pgveil.account a SET
            window_starts = v_account.window_starts,
            window_ends = v_account.window_ends,
            mu2_spent_pico = v_account.mu2_spent_pico + v_entry.mu2_pico,
            zcdp_spent_pico = v_account.zcdp_spent_pico + v_entry.zcdp_pico,
            delta_spent_atto = v_account.delta_spent_atto + p_delta,
            epsilon_spent_nano = v_account.epsilon_spent_nano + coalesce(p_epsilon, 0),
            all_pure = v_account.all_pure AND p_epsilon IS NOT NULL
        WHERE a.id = v_account.id;
    END LOOP;
    PERFORM pgveil.append(v_entry);
    RETURN pgveil.answer_of('ok', NULL, p_analyst, p_dataset, v_entry.mu2_pico, v_entry.zcdp_pico);
END
$function$;

-- The one call that spends: pgveil.debit, durable before it answers. The debit is committed without
-- waiting for the disk, so that the locks are free for the next charge at once; the second commit waits
-- until the log is on disk up to its own record, and so every debit before it, for all waiting sessions
-- together. Nobody is told of a charge that a crash could lose. A procedure that commits can pin no
-- search_path; it therefore only calls, by qualified names.
CREATE PROCEDURE pgveil.charge(p_request uuid, p_analyst text, p_dataset text, p_mu2 bigint,
    p_delta bigint, p_epsilon bigint, p_fingerprint text, p_mechanism text,
    OUT outcome text, OUT refused_by text, OUT dataset text, OUT epsilon text, OUT delta text,
    OUT cap_mode text, OUT cap_pico bigint, OUT spent_pico bigint, OUT delta_keys_atto bigint,
    OUT delta_conv_atto bigint, OUT delta_spent_atto bigint, OUT epsilon_nano bigint,
    OUT epsilon_spent_nano bigint, OUT all_pure boolean, OUT spent_share text, OUT budget_window text,
    OUT window_ends text, OUT dataset_capped boolean, OUT dataset_cap_pico bigint,
    OUT dataset_spent_pico bigint, OUT booked_pico bigint, OUT minimum_pico bigint)
LANGUAGE plpgsql AS $procedure$
BEGIN
    PERFORM pg_catalog.set_config('synchronous_commit', 'off', true);
    SELECT d.* INTO outcome, refused_by, dataset, epsilon, delta, cap_mode, cap_pico, spent_pico, delta_keys_atto,
         delta_conv_atto, delta_spent_atto, epsilon_nano, epsilon_spent_nano, all_pure, spent_share,
         budget_window, window_ends, dataset_capped, dataset_cap_pico, dataset_spent_pico, booked_pico,
         minimum_pico
    FROM pgveil.debit(p_request, p_analyst, p_dataset, p_mu2, p_delta, p_epsilon, p_fingerprint,
                      p_mechanism) d;
    COMMIT;
    PERFORM pg_catalog.set_config('synchronous_commit', 'on', true);
    PERFORM pg_catalog.pg_logical_emit_message(true, 'pgveil', '');
    COMMIT;
END
$procedure$;

-- What became of a charge. Told once; the first word stands. Failures in a row freeze the account.
CREATE FUNCTION pgveil.resolve(p_request uuid, p_answered boolean) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    v_entry pgveil.journal;
    v_account pgveil.account;
BEGIN
    SELECT j.* INTO v_entry FROM pgveil.journal j WHERE j.request = p_request;
    IF NOT FOUND THEN
        RETURN 'unknown';
    END IF;
    -- Bookkeeping alone: nobody needs to wait for the disk.
    PERFORM set_config('synchronous_commit', 'off', true);
    SELECT a.* INTO STRICT v_account FROM pgveil.account a
    WHERE a.holder = 'analyst' AND a.name = v_entry.analyst AND a.dataset = v_entry.dataset
    FOR UPDATE;
    INSERT INTO pgveil.resolution (request, state)
    VALUES (p_request, CASE WHEN p_answered THEN 'answered' ELSE 'failed' END)
    ON CONFLICT (request) DO NOTHING;
    IF NOT FOUND THEN
        RETURN 'known';
    END IF;
    IF p_answered THEN
        UPDATE pgveil.account a SET failures = 0 WHERE a.id = v_account.id AND a.failures <> 0;
        RETURN 'answered';
    END IF;
    UPDATE pgveil.account a SET failures = a.failures + 1 WHERE a.id = v_account.id;
    IF v_account.frozen IS NULL
       AND v_account.failures + 1 >= pgveil.setting('failures_max', v_entry.dataset) THEN
        UPDATE pgveil.account a
        SET frozen = a.failures || ' measurements failed in a row' WHERE a.id = v_account.id;
        PERFORM pgveil.note('freeze', v_entry.analyst, v_entry.dataset, ARRAY[v_account.id],
                            'measurements failed in a row');
    END IF;
    RETURN 'failed';
END
$function$;

-- The analyst's accounts, of one dataset or (NULL) of all; no row where nothing is granted.
CREATE FUNCTION pgveil.accounts(p_analyst text, p_dataset text) RETURNS SETOF pgveil.answer
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $function$
    SELECT r.* FROM pgveil.account a
    LEFT JOIN pgveil.analyst n ON n.name = a.name
    LEFT JOIN pgveil.account s ON s.holder = 'dataset' AND s.dataset = a.dataset
    CROSS JOIN LATERAL pgveil.answer_of(
        CASE WHEN a.frozen IS NOT NULL OR n.enabled IS NOT TRUE OR s.frozen IS NOT NULL
             THEN 'frozen' ELSE 'ok' END,
        CASE WHEN a.frozen IS NOT NULL OR n.enabled IS NOT TRUE THEN 'analyst'
             WHEN s.frozen IS NOT NULL THEN 'dataset' END,
        a.name, a.dataset, 0, 0) r
    WHERE a.holder = 'analyst' AND a.name = p_analyst AND a.granted
      AND (p_dataset IS NULL OR a.dataset = p_dataset)
    ORDER BY a.dataset
$function$;

-- The last p_limit charges of an analyst, newest last, as dp.history shows them.
CREATE FUNCTION pgveil.history(p_analyst text, p_dataset text, p_limit bigint)
RETURNS TABLE (at text, statement text, epsilon text, mu2_pico text, delta text, share text, state text)
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $function$
    SELECT pgveil.time_text(j.at), j.fingerprint,
           coalesce(pgveil.decimal_text(j.epsilon_nano, 9), ''), p.price::text,
           pgveil.decimal_text(j.delta_atto, 18),
           trim_scale(round(coalesce(p.price::numeric / nullif(a.cap_pico, 0),
                                     j.epsilon_nano::numeric / a.epsilon_nano, 0), 6))::text,
           coalesce(r.state, 'charged')
    FROM (SELECT l.* FROM pgveil.journal l
          WHERE l.dataset = p_dataset AND l.analyst = p_analyst AND l.kind = 'charge'
          ORDER BY l.seq DESC LIMIT p_limit) j
    JOIN pgveil.account a
      ON a.holder = 'analyst' AND a.name = j.analyst AND a.dataset = j.dataset
    CROSS JOIN LATERAL (SELECT CASE a.cap_mode WHEN 'zcdp' THEN j.zcdp_pico ELSE j.mu2_pico END
                        AS price) p
    LEFT JOIN pgveil.resolution r ON r.request = j.request
    ORDER BY j.seq
$function$;

-- The journal's newest entry: to be noted outside the ledger.
CREATE FUNCTION pgveil.newest() RETURNS TABLE (seq bigint, hash text)
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $function$
    SELECT h.seq, encode(h.hash, 'hex') FROM pgveil.head h
$function$;

-- Whether the journal still holds the entry that was noted. Not so in an older or another ledger.
CREATE FUNCTION pgveil.continues(p_seq bigint, p_hash text) RETURNS boolean
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $function$
    SELECT EXISTS (SELECT 1 FROM pgveil.journal j
                   WHERE j.seq = p_seq AND encode(j.hash, 'hex') = lower(p_hash))
        OR p_seq = 0
           AND EXISTS (SELECT 1 FROM pgveil.head h
                       LEFT JOIN pgveil.journal j ON j.seq = 1
                       WHERE encode(coalesce(j.prev_hash, h.hash), 'hex') = lower(p_hash))
$function$;

CREATE FUNCTION pgveil.login(p_analyst text) RETURNS TABLE (verifier text, enabled boolean)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT n.verifier, n.enabled FROM pgveil.analyst n WHERE n.name = p_analyst
$function$;

-- The dataset's identity and secret seed, made when it is first named.
CREATE FUNCTION pgveil.dataset(p_name text) RETURNS TABLE (instance uuid, hash_seed bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    INSERT INTO pgveil.dataset (name, hash_seed)
    VALUES (p_name, ('x' || encode(substr(sha256(uuid_send(gen_random_uuid())
                                                 || uuid_send(gen_random_uuid())), 1, 8),
                                   'hex'))::bit(64)::bigint)
    ON CONFLICT (name) DO NOTHING;
    RETURN QUERY SELECT d.instance, d.hash_seed FROM pgveil.dataset d WHERE d.name = p_name;
END
$function$;
-- The ledger: what the DBA's tool calls (budget/ledger_admin.c). Ends by taking all rights from PUBLIC.

CREATE FUNCTION pgveil.analyst_add(p_name text, p_verifier text) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    INSERT INTO pgveil.analyst (name, verifier) VALUES (p_name, p_verifier)
    ON CONFLICT (name) DO NOTHING;
    IF NOT FOUND THEN
        RETURN 'exists';
    END IF;
    PERFORM pgveil.note('analyst', p_name, '', '{}', 'added');
    RETURN 'ok';
END
$function$;

CREATE FUNCTION pgveil.analyst_enable(p_name text, p_enabled boolean) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    UPDATE pgveil.analyst n SET enabled = p_enabled WHERE n.name = p_name;
    IF NOT FOUND THEN
        RETURN 'unknown';
    END IF;
    PERFORM pgveil.note('analyst', p_name, '', '{}',
                        CASE WHEN p_enabled THEN 'enabled' ELSE 'disabled' END);
    RETURN 'ok';
END
$function$;

CREATE FUNCTION pgveil.analyst_passwd(p_name text, p_verifier text) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    UPDATE pgveil.analyst n SET verifier = p_verifier WHERE n.name = p_name;
    IF NOT FOUND THEN
        RETURN 'unknown';
    END IF;
    PERFORM pgveil.note('analyst', p_name, '', '{}', 'password changed');
    RETURN 'ok';
END
$function$;

-- Takes login and grants away. The accounts stay, with what was spent, for whoever gets the name next.
CREATE FUNCTION pgveil.analyst_remove(p_name text) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    DELETE FROM pgveil.analyst n WHERE n.name = p_name;
    IF NOT FOUND THEN
        RETURN 'unknown';
    END IF;
    PERFORM 1 FROM pgveil.account a WHERE a.holder = 'analyst' AND a.name = p_name
    ORDER BY a.id FOR UPDATE;
    UPDATE pgveil.account a SET granted = false WHERE a.holder = 'analyst' AND a.name = p_name;
    PERFORM pgveil.note('analyst', p_name, '', '{}', 'removed');
    RETURN 'ok';
END
$function$;

CREATE FUNCTION pgveil.analysts(p_name text)
RETURNS TABLE (analyst text, enabled text, datasets text, groups text, created_at text)
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $function$
    SELECT n.name, CASE WHEN n.enabled THEN 'yes' ELSE 'no' END,
           coalesce((SELECT string_agg(a.dataset, ', ' ORDER BY a.dataset) FROM pgveil.account a
                     WHERE a.holder = 'analyst' AND a.name = n.name AND a.granted), ''),
           coalesce((SELECT string_agg(m.group_name, ', ' ORDER BY m.group_name)
                     FROM pgveil.membership m WHERE m.analyst = n.name), ''),
           pgveil.time_text(n.created_at)
    FROM pgveil.analyst n WHERE p_name IS NULL OR n.name = p_name ORDER BY n.name
$function$;

CREATE FUNCTION pgveil.member(p_group text, p_analyst text, p_joins boolean) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    IF p_joins THEN
        IF NOT EXISTS (SELECT 1 FROM pgveil.analyst n WHERE n.name = p_analyst) THEN
            RETURN 'unknown';
        END IF;
        INSERT INTO pgveil.membership (group_name, analyst) VALUES (p_group, p_analyst)
        ON CONFLICT DO NOTHING;
    ELSE
        DELETE FROM pgveil.membership m WHERE m.group_name = p_group AND m.analyst = p_analyst;
    END IF;
    IF NOT FOUND THEN
        RETURN CASE WHEN p_joins THEN 'exists' ELSE 'unknown' END;
    END IF;
    PERFORM pgveil.note('group', p_analyst, '', '{}',
                        CASE WHEN p_joins THEN 'joined ' ELSE 'left ' END || p_group);
    RETURN 'ok';
END
$function$;

CREATE FUNCTION pgveil.groups() RETURNS TABLE (group_name text, analysts text, capped_datasets text)
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $function$
    SELECT g.name,
           coalesce((SELECT string_agg(m.analyst, ', ' ORDER BY m.analyst) FROM pgveil.membership m
                     WHERE m.group_name = g.name), ''),
           coalesce((SELECT string_agg(a.dataset, ', ' ORDER BY a.dataset) FROM pgveil.account a
                     WHERE a.holder = 'group' AND a.name = g.name AND a.enforced), '')
    FROM (SELECT m.group_name AS name FROM pgveil.membership m
          UNION SELECT a.name FROM pgveil.account a WHERE a.holder = 'group') g
    ORDER BY g.name
$function$;

-- The account's id, made where there is none yet.
CREATE FUNCTION pgveil.account_id(p_holder text, p_name text, p_dataset text, p_epsilon bigint,
    p_delta bigint, p_mode text, p_cap bigint, p_delta_conv bigint, p_delta_keys bigint, p_window text,
    OUT o_id bigint, OUT o_new boolean)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    v_at constant timestamptz := pgveil.ledger_time();
BEGIN
    INSERT INTO pgveil.account AS a (holder, name, dataset, epsilon_nano, delta_atto, cap_mode, cap_pico,
        delta_conv_atto, delta_keys_atto, budget_window, window_starts, window_ends)
    VALUES (p_holder, p_name, p_dataset, p_epsilon, p_delta, p_mode, p_cap, p_delta_conv,
        p_delta_keys, p_window, pgveil.window_start(p_window, v_at), pgveil.window_end(p_window, v_at))
    ON CONFLICT (holder, name, dataset) DO NOTHING RETURNING a.id INTO o_id;
    o_new := FOUND;
    IF NOT o_new THEN
        SELECT a.id INTO STRICT o_id FROM pgveil.account a
        WHERE a.holder = p_holder AND a.name = p_name AND a.dataset = p_dataset;
    END IF;
END
$function$;

-- The account with another window. What was spent stays spent, by these rules:
--   from no window to one: what was spent so far is spent for good, in every window to come;
--   to no window: everything that the journal counts for this account is spent;
--   between two windows: the one that ends later is finished first, from the earlier start.
CREATE FUNCTION pgveil.rewindowed(p_account pgveil.account, p_window text, p_at timestamptz)
RETURNS pgveil.account
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    IF p_account.budget_window = p_window THEN
        RETURN p_account;
    END IF;
    IF p_account.budget_window = 'none' THEN
        p_account.mu2_floor_pico := p_account.mu2_spent_pico;
        p_account.zcdp_floor_pico := p_account.zcdp_spent_pico;
        p_account.delta_floor_atto := p_account.delta_spent_atto;
        p_account.epsilon_floor_nano := p_account.epsilon_spent_nano;
        p_account.floor_pure := p_account.all_pure;
        p_account.counted_from := (SELECT h.seq FROM pgveil.head h);
        p_account.window_starts := pgveil.window_start(p_window, p_at);
        p_account.window_ends := pgveil.window_end(p_window, p_at);
    ELSE
        p_account.window_starts := least(p_account.window_starts, pgveil.window_start(p_window, p_at));
        p_account.window_ends := greatest(p_account.window_ends, pgveil.window_end(p_window, p_at));
    END IF;
    p_account.budget_window := p_window;
    RETURN pgveil.recounted(p_account);
END
$function$;

-- Writes an account back; the row is locked by the caller.
CREATE FUNCTION pgveil.put_account(p_account pgveil.account) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    UPDATE pgveil.account a SET
        granted = p_account.granted, enforced = p_account.enforced, cap_mode = p_account.cap_mode,
        epsilon_nano = p_account.epsilon_nano, delta_atto = p_account.delta_atto,
        cap_pico = p_account.cap_pico, delta_conv_atto = p_account.delta_conv_atto,
        delta_keys_atto = p_account.delta_keys_atto, mu2_spent_pico = p_account.mu2_spent_pico,
        zcdp_spent_pico = p_account.zcdp_spent_pico, delta_spent_atto = p_account.delta_spent_atto,
        epsilon_spent_nano = p_account.epsilon_spent_nano, all_pure = p_account.all_pure,
        mu2_floor_pico = p_account.mu2_floor_pico, zcdp_floor_pico = p_account.zcdp_floor_pico,
        delta_floor_atto = p_account.delta_floor_atto,
        epsilon_floor_nano = p_account.epsilon_floor_nano, floor_pure = p_account.floor_pure,
        counted_from = p_account.counted_from, budget_window = p_account.budget_window,
        window_starts = p_account.window_starts, window_ends = p_account.window_ends,
        failures = p_account.failures, frozen = p_account.frozen
    WHERE a.id = p_account.id;
END
$function$;

-- Sets what an analyst, a group or (p_holder 'dataset', p_name '') all analysts together may spend on a
-- dataset. An analyst's first grant on a dataset also sets the dataset's cap, to the same amount; later
-- grants leave it alone. What was spent stays spent.
CREATE FUNCTION pgveil.set_budget(p_holder text, p_name text, p_dataset text, p_epsilon bigint,
    p_delta bigint, p_mode text, p_cap bigint, p_delta_conv bigint, p_delta_keys bigint, p_window text)
RETURNS TABLE (outcome text, cap_set boolean)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    v_account pgveil.account;
    v_id bigint;
    v_cap_set boolean := false;
    v_at timestamptz;
BEGIN
    IF p_holder = 'analyst' THEN
        IF NOT EXISTS (SELECT 1 FROM pgveil.analyst n WHERE n.name = p_name) THEN
            RETURN QUERY SELECT 'unknown', false;
            RETURN;
        END IF;
        SELECT i.o_new INTO v_cap_set
        FROM pgveil.account_id('dataset', '', p_dataset, p_epsilon, p_delta, p_mode, p_cap,
                               p_delta_conv, p_delta_keys, p_window) i;
    END IF;
    PERFORM pgveil.dataset(p_dataset);
    SELECT i.o_id INTO v_id
    FROM pgveil.account_id(p_holder, p_name, p_dataset, p_epsilon, p_delta, p_mode, p_cap,
                           p_delta_conv, p_delta_keys, p_window) i;
    SELECT a.* INTO STRICT v_account FROM pgveil.account a WHERE a.id = v_id FOR UPDATE;
    PERFORM 1 FROM pgveil.head h FOR UPDATE;
    v_at := pgveil.ledger_time();
    v_account := pgveil.rewindowed(pgveil.rolled(v_account, v_at), p_window, v_at);
    v_account.granted := true;
    v_account.enforced := true;
    v_account.epsilon_nano := p_epsilon;
    v_account.delta_atto := p_delta;
    v_account.cap_mode := p_mode;
    v_account.cap_pico := p_cap;
    v_account.delta_conv_atto := p_delta_conv;
    v_account.delta_keys_atto := p_delta_keys;
    PERFORM pgveil.put_account(v_account);
    PERFORM pgveil.note(CASE p_holder WHEN 'analyst' THEN 'grant' ELSE 'cap' END, p_name, p_dataset,
        ARRAY[v_id],
        format('%s: epsilon %s delta %s mode %s cap %s window %s%s', p_holder,
               pgveil.decimal_text(p_epsilon, 9), pgveil.decimal_text(p_delta, 18), p_mode, p_cap,
               p_window, CASE WHEN v_cap_set THEN '; the same for all analysts together' ELSE '' END));
    RETURN QUERY SELECT 'ok', v_cap_set;
END
$function$;

-- One change of a budget by its name: revoke, freeze, unfreeze, reset, enforce, release.
CREATE FUNCTION pgveil.change_budget(p_holder text, p_name text, p_dataset text, p_change text)
RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    v_account pgveil.account;
    v_detail text;
BEGIN
    SELECT a.* INTO v_account FROM pgveil.account a
    WHERE a.holder = p_holder AND a.name = p_name AND a.dataset = p_dataset FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'unknown';
    END IF;
    PERFORM 1 FROM pgveil.head h FOR UPDATE;
    v_detail := p_holder;
    CASE p_change
        WHEN 'revoke' THEN v_account.granted := false;
        WHEN 'freeze' THEN v_account.frozen := 'by the DBA';
        WHEN 'unfreeze' THEN
            v_account.frozen := NULL;
            v_account.failures := 0;
        WHEN 'enforce' THEN v_account.enforced := true;
        WHEN 'release' THEN v_account.enforced := false;
        WHEN 'reset' THEN
            v_account := pgveil.rolled(v_account, pgveil.ledger_time());
            v_detail := format('%s: forgets mu2 %s zcdp %s delta %s epsilon %s', p_holder,
                v_account.mu2_spent_pico, v_account.zcdp_spent_pico, v_account.delta_spent_atto,
                v_account.epsilon_spent_nano);
            v_account.mu2_floor_pico := 0;
            v_account.zcdp_floor_pico := 0;
            v_account.delta_floor_atto := 0;
            v_account.epsilon_floor_nano := 0;
            v_account.floor_pure := true;
            SELECT h.seq INTO STRICT v_account.counted_from FROM pgveil.head h;
            v_account := pgveil.recounted(v_account);
    END CASE;
    PERFORM pgveil.put_account(v_account);
    PERFORM pgveil.note(p_change, p_name, p_dataset, ARRAY[v_account.id], v_detail);
    RETURN 'ok';
END
$function$;

-- Every account, filtered by analyst (or group) and dataset; NULL: all.
CREATE FUNCTION pgveil.budgets(p_name text, p_dataset text)
RETURNS TABLE (holder text, name text, dataset text, epsilon text, delta text, mode text,
    budget_window text, window_ends text, spent text, remaining text, spent_pico text, cap_pico text,
    spent_delta text, cap_delta text, charges text, unresolved text, state text)
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $function$
    SELECT a.holder, a.name, a.dataset, pgveil.decimal_text(a.epsilon_nano, 9),
           pgveil.decimal_text(a.delta_atto, 18), a.cap_mode, a.budget_window,
           pgveil.time_text(r.window_ends), m.share::text, trim_scale(greatest(1 - m.share, 0))::text,
           pgveil.spent_pico(r)::text, a.cap_pico::text, pgveil.decimal_text(r.delta_spent_atto, 18),
           pgveil.decimal_text(a.delta_keys_atto, 18), coalesce(c.charges, 0)::text,
           coalesce(c.unresolved, 0)::text,
           CASE WHEN NOT a.granted THEN 'revoked'
                WHEN a.frozen IS NOT NULL THEN 'frozen: ' || a.frozen
                WHEN NOT a.enforced THEN 'not enforced'
                WHEN a.holder = 'analyst' AND n.enabled IS NOT TRUE THEN 'analyst disabled'
                ELSE 'active' END
    FROM pgveil.account a
    LEFT JOIN pgveil.analyst n ON a.holder = 'analyst' AND n.name = a.name
    CROSS JOIN LATERAL pgveil.rolled(a, (SELECT pgveil.ledger_time())) r
    CROSS JOIN LATERAL (SELECT pgveil.spent_share(r) AS share) m
    LEFT JOIN (
        SELECT u.id, count(*) AS charges, count(*) FILTER (WHERE s.request IS NULL) AS unresolved
        FROM pgveil.journal j LEFT JOIN pgveil.resolution s ON s.request = j.request
        CROSS JOIN LATERAL unnest(j.debited) u(id)
        WHERE j.kind = 'charge' AND (p_dataset IS NULL OR j.dataset = p_dataset)
        GROUP BY u.id) c ON c.id = a.id
    WHERE (p_name IS NULL OR a.name = p_name) AND (p_dataset IS NULL OR a.dataset = p_dataset)
    ORDER BY a.dataset, a.holder <> 'dataset', a.holder, a.name
$function$;

CREATE FUNCTION pgveil.datasets()
RETURNS TABLE (dataset text, instance text, n_analysts text, charges text, cap text)
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $function$
    SELECT d.name, d.instance::text,
           (SELECT count(*) FROM pgveil.account a
            WHERE a.holder = 'analyst' AND a.dataset = d.name AND a.granted)::text,
           (SELECT count(*) FROM pgveil.journal j
            WHERE j.dataset = d.name AND j.kind = 'charge')::text,
           coalesce((SELECT CASE WHEN a.enforced
                         THEN format('epsilon %s, delta %s, window %s',
                                     pgveil.decimal_text(a.epsilon_nano, 9),
                                     pgveil.decimal_text(a.delta_atto, 18), a.budget_window)
                         ELSE 'not enforced' END
                     FROM pgveil.account a WHERE a.holder = 'dataset' AND a.dataset = d.name),
                    'with the first grant')
    FROM pgveil.dataset d ORDER BY d.name
$function$;

CREATE FUNCTION pgveil.status()
RETURNS TABLE (schema_version text, entries text, last_entry text, head text, n_analysts text,
    n_datasets text, unresolved text, durable text)
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $function$
    SELECT (SELECT max(v.version) FROM pgveil.version v)::text, h.seq::text, pgveil.time_text(h.at),
           encode(h.hash, 'hex'), (SELECT count(*) FROM pgveil.analyst)::text,
           (SELECT count(*) FROM pgveil.dataset)::text,
           (SELECT count(*) FROM pgveil.journal j LEFT JOIN pgveil.resolution s
                ON s.request = j.request WHERE j.kind = 'charge' AND s.request IS NULL)::text,
           CASE WHEN current_setting('fsync') = 'on' AND current_setting('full_page_writes') = 'on'
                THEN 'yes' ELSE 'no' END
    FROM pgveil.head h
$function$;

-- Entries in ascending order: with p_newest the last p_limit, else the first p_limit after p_after.
CREATE FUNCTION pgveil.entries(p_name text, p_dataset text, p_after bigint, p_limit bigint,
                               p_newest boolean)
RETURNS TABLE (seq text, at text, kind text, request text, analyst text, dataset text, mu2_pico text,
    zcdp_pico text, delta text, epsilon text, state text, fingerprint text, detail text, debited text,
    prev_hash text, hash text)
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $function$
    SELECT j.seq::text, pgveil.time_text(j.at), j.kind, coalesce(j.request::text, ''), j.analyst,
           j.dataset, j.mu2_pico::text, j.zcdp_pico::text, pgveil.decimal_text(j.delta_atto, 18),
           coalesce(pgveil.decimal_text(j.epsilon_nano, 9), ''),
           CASE WHEN j.kind = 'charge' THEN coalesce(r.state, 'charged') ELSE '' END, j.fingerprint,
           j.detail, array_to_string(j.debited, ' '), encode(j.prev_hash, 'hex'),
           encode(j.hash, 'hex')
    FROM (SELECT l.* FROM pgveil.journal l
          WHERE (p_name IS NULL OR l.analyst = p_name)
            AND (p_dataset IS NULL OR l.dataset = p_dataset) AND l.seq > p_after
          ORDER BY CASE WHEN p_newest THEN -l.seq ELSE l.seq END LIMIT p_limit) j
    LEFT JOIN pgveil.resolution r ON r.request = j.request
    ORDER BY j.seq
$function$;

-- The entry with this seq or request id.
CREATE FUNCTION pgveil.entry(p_key text) RETURNS TABLE (seq bigint)
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $function$
    SELECT j.seq FROM pgveil.journal j WHERE j.seq::text = p_key OR j.request::text = lower(p_key)
$function$;

-- What is wrong with the entries from p_from to p_to: a row for each finding, none where all is well.
CREATE FUNCTION pgveil.check_journal(p_from bigint, p_to bigint)
RETURNS TABLE (seq text, finding text)
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $function$
    SELECT c.seq::text, f.finding
    FROM (SELECT j.*, lag(j.seq) OVER w AS seq_before, lag(j.hash) OVER w AS hash_before,
                 lag(j.at) OVER w AS at_before, sha256(j.prev_hash || pgveil.encoded(j)) AS hash_now
          FROM pgveil.journal j WHERE j.seq BETWEEN p_from - 1 AND p_to
          WINDOW w AS (ORDER BY j.seq)) c
    CROSS JOIN LATERAL (VALUES
        (CASE WHEN c.hash_now <> c.hash THEN 'the entry was changed: its hash does not fit' END),
        (CASE WHEN c.hash_before <> c.prev_hash AND c.seq_before = c.seq - 1
              THEN 'it does not continue the entry before' END),
        (CASE WHEN c.seq > 1 AND c.seq >= p_from AND c.seq_before IS DISTINCT FROM c.seq - 1
              THEN 'entries before it are missing' END),
        (CASE WHEN c.at < c.at_before THEN 'it is older than the entry before' END),
        (CASE WHEN c.mu2_pico < 0 OR c.zcdp_pico < 0 OR c.delta_atto < 0 OR c.epsilon_nano < 0
              THEN 'it has a negative amount' END)) f(finding)
    WHERE f.finding IS NOT NULL AND c.seq >= p_from
    ORDER BY c.seq
$function$;

-- What is wrong beside the entries: the head, the accounts' sums, resolutions of no charge, and (where
-- a head noted earlier is given) whether the journal still holds it.
CREATE FUNCTION pgveil.check_state(p_head_seq bigint, p_head_hash text)
RETURNS TABLE (seq text, finding text)
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $function$
    SELECT h.seq::text, 'entries at the end of the journal are missing, or were added by hand'
    FROM pgveil.head h LEFT JOIN (SELECT l.* FROM pgveil.journal l ORDER BY l.seq DESC LIMIT 1) j ON true
    WHERE h.seq <> coalesce(j.seq, 0) OR h.hash <> coalesce(j.hash, h.hash)
    UNION ALL
    SELECT '', format('the account %s of %s %s on %s does not show what the journal adds up to',
                      a.id, a.holder, a.name, a.dataset)
    FROM pgveil.account a LEFT JOIN (
        SELECT b.id, sum(j.mu2_pico) AS mu2, sum(j.zcdp_pico) AS zcdp, sum(j.delta_atto) AS delta,
               sum(j.epsilon_nano) AS epsilon, bool_and(j.epsilon_nano IS NOT NULL) AS pure
        FROM pgveil.journal j CROSS JOIN LATERAL unnest(j.debited) u(id)
        JOIN pgveil.account b ON b.id = u.id AND j.seq > b.counted_from AND j.at >= b.window_starts
        WHERE j.kind = 'charge'
        GROUP BY b.id) c ON c.id = a.id
    WHERE (a.mu2_spent_pico, a.zcdp_spent_pico, a.delta_spent_atto, a.epsilon_spent_nano, a.all_pure)
          IS DISTINCT FROM
          (a.mu2_floor_pico + coalesce(c.mu2, 0), a.zcdp_floor_pico + coalesce(c.zcdp, 0),
           a.delta_floor_atto + coalesce(c.delta, 0), a.epsilon_floor_nano + coalesce(c.epsilon, 0),
           a.floor_pure AND coalesce(c.pure, true))
    UNION ALL
    SELECT '', format('the resolution of request %s belongs to no charge', s.request)
    FROM pgveil.resolution s LEFT JOIN pgveil.journal j ON j.request = s.request
    WHERE j.request IS NULL
    UNION ALL
    SELECT p_head_seq::text, CASE WHEN h.seq < p_head_seq
        THEN 'the journal ends before the head that was noted: this is an older ledger'
        ELSE 'the entry is not the one whose head was noted: this is another ledger' END
    FROM pgveil.head h
    WHERE p_head_seq > 0 AND NOT pgveil.continues(p_head_seq, p_head_hash)
$function$;

DO $script$
DECLARE
    v_routine text;
BEGIN
    FOR v_routine IN
        SELECT p.oid::pg_catalog.regprocedure::text FROM pg_catalog.pg_proc p
        WHERE p.pronamespace = 'pgveil'::pg_catalog.regnamespace
    LOOP
        EXECUTE 'REVOKE ALL ON ROUTINE ' || v_routine || ' FROM PUBLIC';
    END LOOP;
END
$script$;
