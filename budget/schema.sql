-- The ledger: schema "pgveil" of a PostgreSQL server of its own (14 or later, never the protected one).
--
-- The whole script is idempotent. Sent as one simple query it is one transaction; an advisory lock lets
-- several instances start at once. Everything that must be atomic is one function, called by one
-- statement. Functions run with the rights of the caller, pin their search_path and qualify every name.
--
-- Amounts are integers: mu2 in 1e-12, delta in 1e-18, epsilon in 1e-9. Charges and caps are rounded
-- against the analyst before they come here.
--
-- Locks are always taken in this order: accounts by id, then the journal's head.

DO $script$
DECLARE
    v_known constant integer := 1; -- the version this script makes
    v_found integer;
    v_routine text;
BEGIN
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

        -- What may be spent and what was. One row per analyst and dataset, and one per dataset that
        -- all its analysts share. Rows are never deleted: what was spent stays with the name.
        -- mu2_spent_pico (and so delta, epsilon) = the floor + the journal's charges that debited this
        -- account, have seq > counted_from and at >= window_starts.
        CREATE TABLE pgveil.account (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            holder text NOT NULL CHECK (holder IN ('analyst', 'dataset')),
            name text NOT NULL,    -- the analyst; '' for the dataset
            dataset text NOT NULL,
            granted boolean NOT NULL DEFAULT true,  -- false: revoked, what was spent is kept
            enforced boolean NOT NULL DEFAULT true, -- false: counted, but refuses nothing
            epsilon_nano bigint NOT NULL CHECK (epsilon_nano > 0),
            delta_atto bigint NOT NULL CHECK (delta_atto > 0 AND delta_atto < 1000000000000000000),
            mu2_cap_pico bigint NOT NULL CHECK (mu2_cap_pico >= 0),
            delta_conv_atto bigint NOT NULL CHECK (delta_conv_atto > 0),
            delta_keys_atto bigint NOT NULL CHECK (delta_keys_atto >= 0),
            mu2_spent_pico bigint NOT NULL DEFAULT 0 CHECK (mu2_spent_pico >= 0),
            delta_spent_atto bigint NOT NULL DEFAULT 0 CHECK (delta_spent_atto >= 0),
            epsilon_spent_nano bigint NOT NULL DEFAULT 0 CHECK (epsilon_spent_nano >= 0),
            all_pure boolean NOT NULL DEFAULT true,
            -- spent for good: under no window, before the account got one
            mu2_floor_pico bigint NOT NULL DEFAULT 0,
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
            CHECK (delta_conv_atto + delta_keys_atto < delta_atto)
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

-- ------------------------------------------------------------------------------------------------
-- Small parts

CREATE FUNCTION pgveil.setting(p_name text, p_dataset text) RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT s.value FROM pgveil.setting s
    WHERE s.name = p_name AND s.dataset IN (p_dataset, '') ORDER BY s.dataset DESC LIMIT 1
$function$;

-- An integer in units of 10^-p_places as a plain decimal.
CREATE FUNCTION pgveil.decimal_text(p_value bigint, p_places integer) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT trim_scale(p_value * ('1e-' || p_places)::numeric)::text
$function$;

CREATE FUNCTION pgveil.time_text(p_at timestamptz) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT CASE WHEN isfinite(p_at)
        THEN to_char(p_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') ELSE '' END
$function$;

CREATE FUNCTION pgveil.window_start(p_window text, p_at timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT CASE WHEN p_window = 'none' THEN '-infinity'::timestamptz
        ELSE date_trunc(p_window, p_at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' END
$function$;

CREATE FUNCTION pgveil.window_end(p_window text, p_at timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT CASE WHEN p_window = 'none' THEN 'infinity'::timestamptz
        ELSE (date_trunc(p_window, p_at AT TIME ZONE 'UTC') + ('1 ' || p_window)::interval)
             AT TIME ZONE 'UTC' END
$function$;

-- The ledger's clock: that of the server, never behind the journal.
CREATE FUNCTION pgveil.ledger_time() RETURNS timestamptz
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT greatest(clock_timestamp(), h.at) FROM pgveil.head h
$function$;

-- The account as it is at p_at: in a new window where the old one has ended. A window never moves back.
CREATE FUNCTION pgveil.rolled(p_account pgveil.account, p_at timestamptz) RETURNS pgveil.account
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    IF p_at >= p_account.window_ends THEN
        p_account.window_starts := pgveil.window_start(p_account.budget_window, p_at);
        p_account.window_ends := pgveil.window_end(p_account.budget_window, p_at);
        p_account.mu2_spent_pico := p_account.mu2_floor_pico;
        p_account.delta_spent_atto := p_account.delta_floor_atto;
        p_account.epsilon_spent_nano := p_account.epsilon_floor_nano;
        p_account.all_pure := p_account.floor_pure;
    END IF;
    RETURN p_account;
END
$function$;

-- What the journal says was spent: the floor and the charges since.
CREATE FUNCTION pgveil.recounted(p_account pgveil.account) RETURNS pgveil.account
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    v_mu2 numeric;
    v_delta numeric;
    v_epsilon numeric;
    v_pure boolean;
BEGIN
    SELECT coalesce(sum(j.mu2_pico), 0), coalesce(sum(j.delta_atto), 0),
           coalesce(sum(j.epsilon_nano), 0), coalesce(bool_and(j.epsilon_nano IS NOT NULL), true)
    INTO v_mu2, v_delta, v_epsilon, v_pure
    FROM pgveil.journal j
    WHERE j.kind = 'charge' AND j.dataset = p_account.dataset AND p_account.id = ANY (j.debited)
      AND j.seq > p_account.counted_from AND j.at >= p_account.window_starts;
    p_account.mu2_spent_pico := p_account.mu2_floor_pico + v_mu2;
    p_account.delta_spent_atto := p_account.delta_floor_atto + v_delta;
    p_account.epsilon_spent_nano := p_account.epsilon_floor_nano + v_epsilon;
    p_account.all_pure := p_account.floor_pure AND v_pure;
    RETURN p_account;
END
$function$;

-- Whether one more charge is admitted: delta for keys, and Gaussian DP or basic composition.
CREATE FUNCTION pgveil.admits(p_account pgveil.account, p_mu2 bigint, p_delta bigint, p_epsilon bigint)
RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT NOT p_account.enforced
        OR p_delta <= p_account.delta_keys_atto - p_account.delta_spent_atto
           AND (p_mu2 <= p_account.mu2_cap_pico - p_account.mu2_spent_pico
                OR p_account.all_pure AND p_epsilon IS NOT NULL
                   AND p_epsilon <= p_account.epsilon_nano - p_account.epsilon_spent_nano)
$function$;

-- ------------------------------------------------------------------------------------------------
-- The journal

-- Canonical form of an entry: every field as length:text, or - where it is NULL.
CREATE FUNCTION pgveil.encoded(p_entry pgveil.journal) RETURNS bytea
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT convert_to(string_agg(coalesce(octet_length(convert_to(f.value, 'UTF8')) || ':' || f.value,
                                          '-'), ',' ORDER BY f.place), 'UTF8')
    FROM unnest(ARRAY[p_entry.seq::text, pgveil.time_text(p_entry.at), p_entry.kind,
                      p_entry.request::text, p_entry.analyst, p_entry.dataset,
                      array_to_string(p_entry.debited, ' '), p_entry.mu2_pico::text,
                      p_entry.delta_atto::text, p_entry.epsilon_nano::text, p_entry.fingerprint,
                      p_entry.detail]) WITH ORDINALITY AS f(value, place)
$function$;

-- Appends one entry; the caller holds the locks on accounts. Returns its seq.
CREATE FUNCTION pgveil.append(p_at timestamptz, p_kind text, p_request uuid, p_analyst text,
    p_dataset text, p_debited bigint[], p_mu2 bigint, p_delta bigint, p_epsilon bigint,
    p_fingerprint text, p_detail text)
RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    v_head pgveil.head;
    v_entry pgveil.journal;
BEGIN
    SELECT h.* INTO STRICT v_head FROM pgveil.head h FOR UPDATE;
    v_entry.seq := v_head.seq + 1;
    v_entry.at := greatest(p_at, v_head.at);
    v_entry.kind := p_kind;
    v_entry.request := p_request;
    v_entry.analyst := p_analyst;
    v_entry.dataset := p_dataset;
    v_entry.debited := p_debited;
    v_entry.mu2_pico := p_mu2;
    v_entry.delta_atto := p_delta;
    v_entry.epsilon_nano := p_epsilon;
    v_entry.fingerprint := p_fingerprint;
    v_entry.detail := p_detail;
    v_entry.prev_hash := v_head.hash;
    v_entry.hash := sha256(v_head.hash || pgveil.encoded(v_entry));
    INSERT INTO pgveil.journal SELECT (v_entry).*;
    UPDATE pgveil.head SET seq = v_entry.seq, at = v_entry.at, hash = v_entry.hash;
    RETURN v_entry.seq;
END
$function$;

-- An entry about something other than a charge.
CREATE FUNCTION pgveil.note(p_kind text, p_analyst text, p_dataset text, p_detail text) RETURNS bigint
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $function$
    SELECT pgveil.append(clock_timestamp(), p_kind, NULL, p_analyst, p_dataset, '{}', 0, 0, NULL, '',
                         p_detail)
$function$;

-- ------------------------------------------------------------------------------------------------
-- What pgveil calls

-- The row that budget/ledger.c reads; change both together.
CREATE TYPE pgveil.answer AS (
    outcome text,        -- ok, exceeded, no_account, frozen
    refused_by text,     -- analyst, dataset or NULL: whose account refuses
    dataset text,
    epsilon text,
    delta text,
    mu2_cap_pico bigint,
    mu2_spent_pico bigint,
    delta_keys_atto bigint,
    delta_conv_atto bigint,
    delta_spent_atto bigint,
    epsilon_nano bigint,
    epsilon_spent_nano bigint,
    all_pure boolean,
    budget_window text,
    window_ends text,
    dataset_capped boolean,
    dataset_mu2_cap_pico bigint,
    dataset_mu2_spent_pico bigint,
    booked_mu2_pico bigint,
    minimum_mu2_pico bigint
);

CREATE FUNCTION pgveil.answer_of(p_outcome text, p_refused_by text, p_analyst text, p_dataset text,
                                 p_booked bigint)
RETURNS pgveil.answer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    v_at constant timestamptz := pgveil.ledger_time();
    v_own pgveil.account;
    v_shared pgveil.account;
    v_answer pgveil.answer;
BEGIN
    SELECT r.* INTO v_own FROM pgveil.account a CROSS JOIN LATERAL pgveil.rolled(a, v_at) r
    WHERE a.holder = 'analyst' AND a.name = p_analyst AND a.dataset = p_dataset AND a.granted;
    SELECT r.* INTO v_shared FROM pgveil.account a CROSS JOIN LATERAL pgveil.rolled(a, v_at) r
    WHERE a.holder = 'dataset' AND a.dataset = p_dataset;
    IF v_own.id IS NULL THEN
        v_answer.outcome := 'no_account';
        v_answer.dataset := p_dataset;
        RETURN v_answer;
    END IF;
    RETURN (p_outcome, p_refused_by, p_dataset, pgveil.decimal_text(v_own.epsilon_nano, 9),
            pgveil.decimal_text(v_own.delta_atto, 18), v_own.mu2_cap_pico, v_own.mu2_spent_pico,
            v_own.delta_keys_atto, v_own.delta_conv_atto, v_own.delta_spent_atto, v_own.epsilon_nano,
            v_own.epsilon_spent_nano, v_own.all_pure, v_own.budget_window,
            pgveil.time_text(v_own.window_ends), coalesce(v_shared.enforced, false),
            coalesce(v_shared.mu2_cap_pico, 0), coalesce(v_shared.mu2_spent_pico, 0), p_booked,
            pgveil.setting('minimum_mu2_pico', p_dataset))::pgveil.answer;
END
$function$;

-- Debits the analyst's account and the dataset's in one durable transaction, or neither. The same
-- request debits once; the same request with another content is an error.
CREATE FUNCTION pgveil.charge(p_request uuid, p_analyst text, p_dataset text, p_mu2 bigint,
    p_delta bigint, p_epsilon bigint, p_fingerprint text, p_mechanism text)
RETURNS pgveil.answer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    v_accounts pgveil.account[];
    v_account pgveil.account;
    v_earlier pgveil.journal;
    v_booked bigint;
    v_at timestamptz;
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);
    IF p_request IS NULL OR p_mu2 IS NULL OR p_mu2 < 0 OR p_delta IS NULL OR p_delta < 0
       OR p_epsilon < 0 THEN
        RAISE EXCEPTION 'a charge has a request id and no negative amount';
    END IF;
    SELECT array_agg(l ORDER BY (l).id) INTO v_accounts FROM (
        SELECT a AS l FROM pgveil.account a
        WHERE a.dataset = p_dataset
          AND (a.holder = 'dataset' OR a.holder = 'analyst' AND a.name = p_analyst AND a.granted)
        ORDER BY a.id FOR UPDATE) locked;
    v_booked := greatest(p_mu2, pgveil.setting('minimum_mu2_pico', p_dataset));

    SELECT j.* INTO v_earlier FROM pgveil.journal j WHERE j.request = p_request;
    IF FOUND THEN
        IF (v_earlier.analyst, v_earlier.dataset, v_earlier.delta_atto, v_earlier.epsilon_nano,
            v_earlier.fingerprint, v_earlier.detail) IS DISTINCT FROM
           (p_analyst, p_dataset, p_delta, p_epsilon, p_fingerprint, p_mechanism)
           OR v_earlier.mu2_pico < p_mu2 THEN
            RAISE EXCEPTION 'request % was charged with another content', p_request;
        END IF;
        RETURN pgveil.answer_of('ok', NULL, p_analyst, p_dataset, v_earlier.mu2_pico);
    END IF;

    IF NOT EXISTS (SELECT 1 FROM unnest(v_accounts) a WHERE a.holder = 'analyst') THEN
        RETURN pgveil.answer_of('no_account', NULL, p_analyst, p_dataset, 0);
    END IF;
    IF NOT EXISTS (SELECT 1 FROM pgveil.analyst n WHERE n.name = p_analyst AND n.enabled) THEN
        RETURN pgveil.answer_of('frozen', 'analyst', p_analyst, p_dataset, 0);
    END IF;
    -- Locked from here on, so that the time of the windows is the time in the journal.
    PERFORM 1 FROM pgveil.head h FOR UPDATE;
    v_at := pgveil.ledger_time();
    FOR i IN 1 .. cardinality(v_accounts) LOOP
        v_account := pgveil.rolled(v_accounts[i], v_at);
        IF v_account.frozen IS NOT NULL THEN
            RETURN pgveil.answer_of('frozen', v_account.holder, p_analyst, p_dataset, 0);
        END IF;
        IF NOT pgveil.admits(v_account, v_booked, p_delta, p_epsilon) THEN
            RETURN pgveil.answer_of('exceeded', v_account.holder, p_analyst, p_dataset, v_booked);
        END IF;
        v_accounts[i] := v_account;
    END LOOP;
    FOREACH v_account IN ARRAY v_accounts LOOP
        UPDATE pgveil.account a SET
            window_starts = v_account.window_starts,
            window_ends = v_account.window_ends,
            mu2_spent_pico = v_account.mu2_spent_pico + v_booked,
            delta_spent_atto = v_account.delta_spent_atto + p_delta,
            epsilon_spent_nano = v_account.epsilon_spent_nano + coalesce(p_epsilon, 0),
            all_pure = v_account.all_pure AND p_epsilon IS NOT NULL
        WHERE a.id = v_account.id;
    END LOOP;
    PERFORM pgveil.append(v_at, 'charge', p_request, p_analyst, p_dataset,
        (SELECT array_agg(a.id ORDER BY a.id) FROM unnest(v_accounts) a),
        v_booked, p_delta, p_epsilon, p_fingerprint, p_mechanism);
    RETURN pgveil.answer_of('ok', NULL, p_analyst, p_dataset, v_booked);
END
$function$;

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
        PERFORM pgveil.note('freeze', v_entry.analyst, v_entry.dataset, 'measurements failed in a row');
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
        a.name, a.dataset, 0) r
    WHERE a.holder = 'analyst' AND a.name = p_analyst AND a.granted
      AND (p_dataset IS NULL OR a.dataset = p_dataset)
    ORDER BY a.dataset
$function$;

-- The last p_limit charges of an analyst, newest last, as dp.history shows them.
CREATE FUNCTION pgveil.history(p_analyst text, p_dataset text, p_limit bigint)
RETURNS TABLE (at text, statement text, epsilon text, mu2_pico text, delta text, share text, state text)
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $function$
    SELECT pgveil.time_text(j.at), j.fingerprint,
           coalesce(pgveil.decimal_text(j.epsilon_nano, 9), ''), j.mu2_pico::text,
           pgveil.decimal_text(j.delta_atto, 18),
           coalesce(round(j.mu2_pico::numeric / nullif(a.mu2_cap_pico, 0), 6)::text, ''),
           coalesce(r.state, 'charged')
    FROM (SELECT l.* FROM pgveil.journal l
          WHERE l.dataset = p_dataset AND l.analyst = p_analyst AND l.kind = 'charge'
          ORDER BY l.seq DESC LIMIT p_limit) j
    JOIN pgveil.account a
      ON a.holder = 'analyst' AND a.name = j.analyst AND a.dataset = j.dataset
    LEFT JOIN pgveil.resolution r ON r.request = j.request
    ORDER BY j.seq
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

-- ------------------------------------------------------------------------------------------------
-- What the DBA's tool calls

CREATE FUNCTION pgveil.analyst_add(p_name text, p_verifier text) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    INSERT INTO pgveil.analyst (name, verifier) VALUES (p_name, p_verifier)
    ON CONFLICT (name) DO NOTHING;
    IF NOT FOUND THEN
        RETURN 'exists';
    END IF;
    PERFORM pgveil.note('analyst', p_name, '', 'added');
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
    PERFORM pgveil.note('analyst', p_name, '', CASE WHEN p_enabled THEN 'enabled' ELSE 'disabled' END);
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
    PERFORM pgveil.note('analyst', p_name, '', 'password changed');
    RETURN 'ok';
END
$function$;

CREATE FUNCTION pgveil.analysts(p_name text)
RETURNS TABLE (analyst text, enabled text, datasets text, created_at text)
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $function$
    SELECT n.name, CASE WHEN n.enabled THEN 'yes' ELSE 'no' END,
           coalesce((SELECT string_agg(a.dataset, ', ' ORDER BY a.dataset) FROM pgveil.account a
                     WHERE a.holder = 'analyst' AND a.name = n.name AND a.granted), ''),
           pgveil.time_text(n.created_at)
    FROM pgveil.analyst n WHERE p_name IS NULL OR n.name = p_name ORDER BY n.name
$function$;

-- Sets what one account may spend. What was spent stays spent, by these rules:
--   same window: nothing changes but the caps;
--   from no window to one: what was spent so far is spent for good, in every window to come;
--   to no window: everything that the journal counts for this account is spent;
--   between two windows: the one that ends later is finished first, from the earlier start.
CREATE FUNCTION pgveil.set_account(p_id bigint, p_epsilon bigint, p_delta bigint, p_mu2_cap bigint,
    p_delta_conv bigint, p_delta_keys bigint, p_window text, p_at timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    v_account pgveil.account;
    v_counted pgveil.account;
BEGIN
    SELECT r.* INTO STRICT v_account FROM pgveil.account a
    CROSS JOIN LATERAL pgveil.rolled(a, p_at) r WHERE a.id = p_id;
    IF v_account.budget_window <> p_window THEN
        IF v_account.budget_window = 'none' THEN
            v_account.mu2_floor_pico := v_account.mu2_spent_pico;
            v_account.delta_floor_atto := v_account.delta_spent_atto;
            v_account.epsilon_floor_nano := v_account.epsilon_spent_nano;
            v_account.floor_pure := v_account.all_pure;
            SELECT h.seq INTO STRICT v_account.counted_from FROM pgveil.head h;
            v_account.window_starts := pgveil.window_start(p_window, p_at);
            v_account.window_ends := pgveil.window_end(p_window, p_at);
        ELSE
            v_account.window_starts :=
                least(v_account.window_starts, pgveil.window_start(p_window, p_at));
            v_account.window_ends := greatest(v_account.window_ends, pgveil.window_end(p_window, p_at));
        END IF;
        v_counted := pgveil.recounted(v_account);
        v_account.mu2_spent_pico := v_counted.mu2_spent_pico;
        v_account.delta_spent_atto := v_counted.delta_spent_atto;
        v_account.epsilon_spent_nano := v_counted.epsilon_spent_nano;
        v_account.all_pure := v_counted.all_pure;
    END IF;
    UPDATE pgveil.account a SET
        granted = true, epsilon_nano = p_epsilon, delta_atto = p_delta, mu2_cap_pico = p_mu2_cap,
        delta_conv_atto = p_delta_conv, delta_keys_atto = p_delta_keys, budget_window = p_window,
        window_starts = v_account.window_starts, window_ends = v_account.window_ends,
        mu2_spent_pico = v_account.mu2_spent_pico, delta_spent_atto = v_account.delta_spent_atto,
        epsilon_spent_nano = v_account.epsilon_spent_nano, all_pure = v_account.all_pure,
        mu2_floor_pico = v_account.mu2_floor_pico, delta_floor_atto = v_account.delta_floor_atto,
        epsilon_floor_nano = v_account.epsilon_floor_nano, floor_pure = v_account.floor_pure,
        counted_from = v_account.counted_from
    WHERE a.id = p_id;
END
$function$;

-- Grants an analyst a budget on a dataset. The first grant on a dataset also sets the dataset's cap,
-- shared by all analysts, to the same amount and window; later grants leave it alone.
CREATE FUNCTION pgveil.grant_budget(p_analyst text, p_dataset text, p_epsilon bigint, p_delta bigint,
    p_mu2_cap bigint, p_delta_conv bigint, p_delta_keys bigint, p_window text)
RETURNS TABLE (outcome text, cap_set boolean)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    v_at timestamptz;
    v_id bigint;
    v_cap_set boolean := false;
    v_holder text;
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pgveil.analyst n WHERE n.name = p_analyst) THEN
        RETURN QUERY SELECT 'unknown', false;
        RETURN;
    END IF;
    PERFORM pgveil.dataset(p_dataset);
    FOREACH v_holder IN ARRAY ARRAY['dataset', 'analyst'] LOOP
        v_at := pgveil.ledger_time();
        INSERT INTO pgveil.account (holder, name, dataset, epsilon_nano, delta_atto, mu2_cap_pico,
            delta_conv_atto, delta_keys_atto, budget_window, window_starts, window_ends)
        VALUES (v_holder, CASE WHEN v_holder = 'analyst' THEN p_analyst ELSE '' END, p_dataset,
            p_epsilon, p_delta, p_mu2_cap, p_delta_conv, p_delta_keys, p_window,
            pgveil.window_start(p_window, v_at), pgveil.window_end(p_window, v_at))
        ON CONFLICT ON CONSTRAINT account_holder_name_dataset_key DO NOTHING;
        v_cap_set := v_cap_set OR FOUND AND v_holder = 'dataset';
    END LOOP;
    SELECT a.id INTO STRICT v_id FROM pgveil.account a
    WHERE a.holder = 'analyst' AND a.name = p_analyst AND a.dataset = p_dataset FOR UPDATE;
    PERFORM 1 FROM pgveil.head h FOR UPDATE;
    v_at := pgveil.ledger_time();
    PERFORM pgveil.set_account(v_id, p_epsilon, p_delta, p_mu2_cap, p_delta_conv, p_delta_keys,
                               p_window, v_at);
    PERFORM pgveil.append(v_at, 'grant', NULL, p_analyst, p_dataset, ARRAY[v_id], 0, 0, NULL, '',
        format('epsilon %s delta %s mu2_cap_pico %s window %s%s',
               pgveil.decimal_text(p_epsilon, 9), pgveil.decimal_text(p_delta, 18), p_mu2_cap, p_window,
               CASE WHEN v_cap_set THEN ', and the same as the cap of the dataset' ELSE '' END));
    RETURN QUERY SELECT 'ok', v_cap_set;
END
$function$;

-- Every account, filtered by analyst and dataset (NULL: all); the dataset's own cap has no analyst.
CREATE FUNCTION pgveil.budgets(p_analyst text, p_dataset text)
RETURNS TABLE (analyst text, dataset text, epsilon text, delta text, budget_window text,
    window_ends text, spent text, remaining text, spent_mu2 text, cap_mu2 text, spent_delta text,
    cap_delta text, charges text, unresolved text, state text)
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $function$
    SELECT a.name, a.dataset, pgveil.decimal_text(a.epsilon_nano, 9),
           pgveil.decimal_text(a.delta_atto, 18), a.budget_window, pgveil.time_text(r.window_ends),
           m.share::text, greatest(1 - m.share, 0)::text, r.mu2_spent_pico::text,
           a.mu2_cap_pico::text, pgveil.decimal_text(r.delta_spent_atto, 18),
           pgveil.decimal_text(a.delta_keys_atto, 18), c.charges::text, c.unresolved::text,
           CASE WHEN NOT a.granted THEN 'revoked'
                WHEN a.frozen IS NOT NULL THEN 'frozen: ' || a.frozen
                WHEN NOT a.enforced THEN 'not enforced'
                WHEN a.holder = 'analyst' AND n.enabled IS NOT TRUE THEN 'analyst disabled'
                ELSE 'active' END
    FROM pgveil.account a
    LEFT JOIN pgveil.analyst n ON n.name = a.name
    CROSS JOIN LATERAL pgveil.rolled(a, (SELECT pgveil.ledger_time())) r
    CROSS JOIN LATERAL (SELECT round(coalesce(r.mu2_spent_pico::numeric
                                              / nullif(a.mu2_cap_pico, 0), 0), 6) AS share) m
    CROSS JOIN LATERAL (
        SELECT count(*) AS charges, count(*) FILTER (WHERE s.request IS NULL) AS unresolved
        FROM pgveil.journal j LEFT JOIN pgveil.resolution s ON s.request = j.request
        WHERE j.kind = 'charge' AND j.dataset = a.dataset
          AND (a.holder = 'dataset' OR j.analyst = a.name)) c
    WHERE (p_analyst IS NULL OR a.name = p_analyst) AND (p_dataset IS NULL OR a.dataset = p_dataset)
    ORDER BY a.dataset, a.holder DESC, a.name
$function$;

CREATE FUNCTION pgveil.status()
RETURNS TABLE (schema_version text, entries text, last_entry text, head text, analysts text,
    datasets text, unresolved text, durable text)
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

DO $script$
DECLARE
    v_routine text;
BEGIN
    FOR v_routine IN
        SELECT p.oid::pg_catalog.regprocedure::text FROM pg_catalog.pg_proc p
        WHERE p.pronamespace = 'pgveil'::pg_catalog.regnamespace
    LOOP
        EXECUTE 'REVOKE ALL ON FUNCTION ' || v_routine || ' FROM PUBLIC';
    END LOOP;
END
$script$;
