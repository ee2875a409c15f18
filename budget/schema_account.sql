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

-- Whether the account counts an entry of the journal that debited it: it is of the present window, and
-- was neither forgotten by a reset nor made part of the floor.
CREATE FUNCTION pgveil.counts(p_account pgveil.account, p_seq bigint, p_at timestamptz) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $function$
    SELECT p_seq OPERATOR(pg_catalog.>) p_account.counted_from
       AND p_at OPERATOR(pg_catalog.>=) p_account.window_starts
$function$;

-- The account with what the journal says was spent: the floor and the charges since, on whatever dataset
-- over the same database.
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
    WHERE j.kind IN ('charge', 'adoption') AND j.dataset = ANY (pgveil.siblings(p_account.dataset))
      AND j.debited && ARRAY(SELECT k.of FROM pgveil.kin k WHERE k.account = p_account.id)
      AND pgveil.counts(p_account, j.seq, j.at);
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
-- Put in the place of its call by the planner: so it may pin no search_path, and qualifies all names.
CREATE FUNCTION pgveil.encoded_field(p_value text) RETURNS text
LANGUAGE sql IMMUTABLE AS $function$
    SELECT coalesce(pg_catalog.octet_length(p_value)::pg_catalog.text OPERATOR(pg_catalog.||) ':'
                    OPERATOR(pg_catalog.||) p_value, '-') OPERATOR(pg_catalog.||) ','
$function$;

-- Canonical form of an entry. Changing it breaks every chain: add fields only with a new version.
CREATE FUNCTION pgveil.encoded(p_entry pgveil.journal) RETURNS bytea
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    v_at constant text := pgveil.time_text(p_entry.at);
    v_debited constant text := array_to_string(p_entry.debited, ' ');
BEGIN
    RETURN convert_to(
        pgveil.encoded_field(p_entry.seq::text) || pgveil.encoded_field(v_at)
        || pgveil.encoded_field(p_entry.kind) || pgveil.encoded_field(p_entry.request::text)
        || pgveil.encoded_field(p_entry.analyst) || pgveil.encoded_field(p_entry.dataset)
        || pgveil.encoded_field(v_debited) || pgveil.encoded_field(p_entry.mu2_pico::text)
        || pgveil.encoded_field(p_entry.zcdp_pico::text)
        || pgveil.encoded_field(p_entry.delta_atto::text)
        || pgveil.encoded_field(p_entry.epsilon_nano::text)
        || pgveil.encoded_field(p_entry.fingerprint) || pgveil.encoded_field(p_entry.detail), 'UTF8');
END
$function$;

-- Appends an entry: fills seq, at (not before the journal's last) and the hashes. The caller holds the
-- locks on accounts and head, and writes the head that is returned (pgveil.put_head).
CREATE FUNCTION pgveil.append(p_head pgveil.head, p_entry pgveil.journal) RETURNS pgveil.head
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    p_entry.seq := p_head.seq + 1;
    p_entry.at := greatest(coalesce(p_entry.at, clock_timestamp()), p_head.at);
    p_entry.prev_hash := p_head.hash;
    p_entry.hash := sha256(p_head.hash || pgveil.encoded(p_entry));
    INSERT INTO pgveil.journal SELECT (p_entry).*;
    p_head.seq := p_entry.seq;
    p_head.at := p_entry.at;
    p_head.hash := p_entry.hash;
    RETURN p_head;
END
$function$;

CREATE FUNCTION pgveil.put_head(p_head pgveil.head) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    UPDATE pgveil.head SET seq = p_head.seq, at = p_head.at, hash = p_head.hash;
END
$function$;

-- An entry about something other than a charge.
CREATE FUNCTION pgveil.note(p_kind text, p_analyst text, p_dataset text, p_debited bigint[],
                            p_detail text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    v_head pgveil.head;
    v_entry pgveil.journal;
BEGIN
    SELECT h.* INTO STRICT v_head FROM pgveil.head h FOR UPDATE;
    v_entry.kind := p_kind;
    v_entry.analyst := p_analyst;
    v_entry.dataset := p_dataset;
    v_entry.debited := p_debited;
    v_entry.mu2_pico := 0;
    v_entry.zcdp_pico := 0;
    v_entry.delta_atto := 0;
    v_entry.fingerprint := '';
    v_entry.detail := p_detail;
    PERFORM pgveil.put_head(pgveil.append(v_head, v_entry));
END
$function$;
