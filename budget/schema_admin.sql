-- The ledger: what the DBA's tool calls (budget/ledger_admin.c). Ends by taking all rights from PUBLIC.

-- ------------------------------------------------------------------------------------------------
-- Names

-- The names of a kind that the ledger has anything about: analyst, group or dataset, or holder for
-- analysts and groups. Those of removed analysts too.
CREATE FUNCTION pgveil.names(p_kind text) RETURNS TABLE (name text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT n.name FROM pgveil.analyst n WHERE p_kind IN ('analyst', 'holder')
    UNION SELECT m.group_name FROM pgveil.membership m WHERE p_kind IN ('group', 'holder')
    UNION SELECT a.name FROM pgveil.account a
          WHERE a.holder <> 'dataset' AND p_kind IN (a.holder, 'holder')
    UNION SELECT d.name FROM pgveil.dataset d WHERE p_kind = 'dataset'
    UNION SELECT a.dataset FROM pgveil.account a WHERE p_kind = 'dataset'
    ORDER BY 1
$function$;

-- What a name looks like to a reader: compatibility forms decomposed, without accents, without case, and
-- letters of Cyrillic and Greek as the Latin letters that they look like (Unicode's confusables.txt, UTS 39).
CREATE FUNCTION pgveil.look_of(p_name text) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    RETURN lower(translate(regexp_replace(normalize(p_name, NFKD), '[\u0300-\u036f]', '', 'g'),
        'АВЕКМНОРСТУХЅІЈԌԚԜҮаеорсухѕіјһԁԛԝүӏѵгӀ' || 'ΑΒΕΖΗΙΚΜΝΟΡΤΥΧαγικνορυϲϳ' || 'ı',
        'abekmhopctyxsijgqwyaeopcyxsijhdqwyivrl' || 'abezhikmnoptyxayiknopucj' || 'i')
        COLLATE "C");
END
$function$;

-- Whose name p_name could be taken for: another one of the kind that looks the same. NULL: none, or the
-- name is known already.
CREATE FUNCTION pgveil.alike(p_kind text, p_name text) RETURNS TABLE (name text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT n.name FROM pgveil.names(p_kind) n
    WHERE pgveil.look_of(n.name) = pgveil.look_of(p_name)
      AND p_name NOT IN (SELECT k.name FROM pgveil.names(p_kind) k)
    LIMIT 1
$function$;

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
RETURNS TABLE (analyst text, enabled text, datasets text[], groups text[], created_at text)
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $function$
    SELECT n.name, CASE WHEN n.enabled THEN 'yes' ELSE 'no' END,
           ARRAY(SELECT a.dataset FROM pgveil.account a
                 WHERE a.holder = 'analyst' AND a.name = n.name AND a.granted ORDER BY a.dataset),
           ARRAY(SELECT m.group_name FROM pgveil.membership m WHERE m.analyst = n.name
                 ORDER BY m.group_name),
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

CREATE FUNCTION pgveil.groups() RETURNS TABLE (group_name text, analysts json, capped_datasets json)
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $function$
    SELECT g.name,
           to_json(ARRAY(SELECT m.analyst FROM pgveil.membership m WHERE m.group_name = g.name
                         ORDER BY m.analyst)),
           to_json(ARRAY(SELECT a.dataset FROM pgveil.account a
                         WHERE a.holder = 'group' AND a.name = g.name AND a.enforced
                         ORDER BY a.dataset))
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
    v_cap_id bigint; -- of the dataset, where it is new
    v_cap_set boolean := false;
    v_new boolean;
    v_at timestamptz;
    v_terms constant text := format('epsilon %s delta %s mode %s cap %s window %s',
        pgveil.decimal_text(p_epsilon, 9), pgveil.decimal_text(p_delta, 18), p_mode, p_cap, p_window);
BEGIN
    IF p_holder = 'analyst' THEN
        IF NOT EXISTS (SELECT 1 FROM pgveil.analyst n WHERE n.name = p_name) THEN
            RETURN QUERY SELECT 'unknown', false;
            RETURN;
        END IF;
        SELECT i.o_id, i.o_new INTO v_id, v_cap_set
        FROM pgveil.account_id('dataset', '', p_dataset, p_epsilon, p_delta, p_mode, p_cap,
                               p_delta_conv, p_delta_keys, p_window) i;
        v_cap_id := CASE WHEN v_cap_set THEN v_id END;
    END IF;
    PERFORM pgveil.dataset(p_dataset);
    SELECT i.o_id, i.o_new INTO v_id, v_new
    FROM pgveil.account_id(p_holder, p_name, p_dataset, p_epsilon, p_delta, p_mode, p_cap,
                           p_delta_conv, p_delta_keys, p_window) i;
    SELECT a.* INTO STRICT v_account FROM pgveil.account a WHERE a.id = v_id FOR UPDATE;
    -- What is new is counted while no charge is under way: those that come debit it.
    PERFORM 1 FROM pgveil.head h FOR UPDATE;
    PERFORM pgveil.put_account(pgveil.recounted(a)) FROM pgveil.account a WHERE a.id = v_cap_id;
    v_at := pgveil.ledger_time();
    v_account := pgveil.rewindowed(pgveil.rolled(v_account, v_at), p_window, v_at);
    IF v_new THEN
        v_account := pgveil.recounted(v_account);
    END IF;
    v_account.granted := true;
    v_account.enforced := true;
    v_account.epsilon_nano := p_epsilon;
    v_account.delta_atto := p_delta;
    v_account.cap_mode := p_mode;
    v_account.cap_pico := p_cap;
    v_account.delta_conv_atto := p_delta_conv;
    v_account.delta_keys_atto := p_delta_keys;
    PERFORM pgveil.put_account(v_account);
    -- So the journal alone says whose account a number is, and under which terms.
    IF v_cap_set THEN
        PERFORM pgveil.note('cap', '', p_dataset, ARRAY[v_cap_id],
                            'dataset: ' || v_terms || '; by the first grant');
    END IF;
    PERFORM pgveil.note(CASE p_holder WHEN 'analyst' THEN 'grant' ELSE 'cap' END, p_name, p_dataset,
                        ARRAY[v_id], p_holder || ': ' || v_terms);
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

-- The accounts that must admit a charge of the analyst's, as they are now: their caps, and what is spent.
CREATE FUNCTION pgveil.limits(p_analyst text, p_dataset text)
RETURNS TABLE (holder text, name text, dataset text, cap_mode text, cap_pico text, spent_pico text,
    cap_epsilon text, spent_epsilon text, all_pure text, own text)
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $function$
    SELECT a.holder, a.name, a.dataset, a.cap_mode, a.cap_pico::text, pgveil.spent_pico(r)::text,
           a.epsilon_nano::text, r.epsilon_spent_nano::text, r.all_pure::text,
           (a.holder = 'analyst' AND a.dataset = p_dataset)::text
    FROM pgveil.account a
    CROSS JOIN LATERAL pgveil.rolled(a, (SELECT pgveil.ledger_time())) r
    WHERE a.id = ANY (pgveil.debited_accounts(ARRAY[p_analyst], p_dataset))
      AND a.enforced AND (a.granted OR a.dataset = p_dataset)
    ORDER BY a.holder, a.dataset <> p_dataset, a.id
$function$;

-- The settings that there are, with their first values.
CREATE FUNCTION pgveil.first_settings() RETURNS TABLE (name text, value bigint)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $function$
    VALUES ('failures_max', 10::bigint), ('kept_bytes_max', 67108864), ('minimum_mu2_pico', 1000)
$function$;

-- p_dataset NULL: of all.
CREATE FUNCTION pgveil.settings(p_dataset text)
RETURNS TABLE (setting text, dataset text, in_force text, first_value text)
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $function$
    SELECT f.name, s.dataset, s.value::text, f.value::text
    FROM pgveil.first_settings() f JOIN pgveil.setting s ON s.name = f.name
    WHERE p_dataset IS NULL OR s.dataset IN ('', p_dataset)
    ORDER BY f.name, s.dataset
$function$;

-- p_value NULL: the first value for all (p_dataset ''), none of its own for one dataset.
CREATE FUNCTION pgveil.set_setting(p_name text, p_dataset text, p_value bigint) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    v_first constant bigint := (SELECT f.value FROM pgveil.first_settings() f WHERE f.name = p_name);
    v_value constant bigint := CASE WHEN p_dataset = '' THEN coalesce(p_value, v_first) ELSE p_value END;
    v_before bigint;
BEGIN
    IF v_first IS NULL OR v_value < 1 THEN
        RETURN 'unknown';
    END IF;
    SELECT s.value INTO v_before FROM pgveil.setting s
    WHERE s.name = p_name AND s.dataset = p_dataset FOR UPDATE;
    IF v_value IS NULL THEN
        DELETE FROM pgveil.setting s WHERE s.name = p_name AND s.dataset = p_dataset;
        IF NOT FOUND THEN
            RETURN 'unknown';
        END IF;
    ELSE
        INSERT INTO pgveil.setting AS s (name, dataset, value) VALUES (p_name, p_dataset, v_value)
        ON CONFLICT (name, dataset) DO UPDATE SET value = excluded.value;
    END IF;
    PERFORM pgveil.note('setting', '', p_dataset, '{}',
        format('%s: %s, before %s', p_name, coalesce(v_value::text, 'none of its own'),
               coalesce(v_before::text, 'none of its own')));
    RETURN 'ok';
END
$function$;

-- The DBA's word that a ledger which was set back is to be used. p_seq, p_hash: the entry that was noted
-- outside and is not here.
CREATE FUNCTION pgveil.accept(p_seq bigint, p_hash text) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    PERFORM pgveil.note('accept', '', '', '{}',
        format('this journal does not hold entry %s:%s, noted elsewhere', p_seq, p_hash));
    RETURN 'ok';
END
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

-- The settings by which this server may lose in a crash what it has confirmed; '' where there is none.
CREATE FUNCTION pgveil.not_durable() RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT coalesce(string_agg(s.name || ' = ' || s.risky, ', ' ORDER BY s.name), '')
    FROM (VALUES ('fsync', 'off'), ('full_page_writes', 'off'), ('synchronous_commit', 'off'),
                 ('data_sync_retry', 'on')) s(name, risky)
    WHERE current_setting(s.name) = s.risky
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
           CASE WHEN pgveil.not_durable() = '' THEN 'yes' ELSE 'no: ' || pgveil.not_durable() END
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
    SELECT j.seq FROM pgveil.journal j
    WHERE j.seq::text = p_key OR j.kind = 'charge' AND j.request::text = lower(p_key)
$function$;

-- The draws that are kept, newest first; NULL: of all datasets, of all analysts.
CREATE FUNCTION pgveil.answers(p_dataset text, p_analyst text)
RETURNS TABLE (draw text, dataset text, analysts json, charged_at text, entry text, n_answers text,
    n_groups text, bytes text, mu2_pico text, delta text, epsilon text)
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $function$
    SELECT d.id::text, d.dataset,
           to_json(ARRAY(SELECT p.analyst FROM pgveil.paid p WHERE p.draw = d.id ORDER BY p.seq)),
           pgveil.time_text(d.at), d.seq::text, k.answers::text, coalesce(k.groups, 0)::text,
           d.bytes::text, d.mu2_pico::text, pgveil.decimal_text(d.delta_atto, 18),
           coalesce(pgveil.decimal_text(d.epsilon_nano, 9), '')
    FROM pgveil.draw d CROSS JOIN LATERAL (
        SELECT count(*) AS answers,
               max(coalesce(cardinality(a.noisy), cardinality(a.keys) / a.n_keys)) AS groups
        FROM pgveil.kept_answer a WHERE a.draw = d.id) k
    WHERE (p_dataset IS NULL OR d.dataset = p_dataset)
      AND (p_analyst IS NULL OR EXISTS (SELECT 1 FROM pgveil.paid p
                                        WHERE p.draw = d.id AND p.analyst = p_analyst))
    ORDER BY d.id DESC
$function$;

-- Forgets the draws of a dataset: all, one, or those of an analyst (who then would pay again; what others
-- have paid for too stays theirs). Nothing is given back.
CREATE FUNCTION pgveil.answers_forget(p_dataset text, p_analyst text, p_draw bigint)
RETURNS TABLE (outcome text, draws text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    v_draws bigint[];
BEGIN
    -- Before the draws: a charge that takes one over holds the head, and asks for the draw.
    PERFORM 1 FROM pgveil.head h FOR UPDATE;
    v_draws := ARRAY(
        SELECT d.id FROM pgveil.draw d
        WHERE d.dataset = p_dataset AND (p_draw IS NULL OR d.id = p_draw)
          AND (p_analyst IS NULL OR EXISTS (SELECT 1 FROM pgveil.paid p
                                            WHERE p.draw = d.id AND p.analyst = p_analyst))
        ORDER BY d.id FOR UPDATE);
    IF cardinality(v_draws) = 0 THEN
        RETURN QUERY SELECT 'unknown', '0';
        RETURN;
    END IF;
    DELETE FROM pgveil.paid p
    WHERE p.draw = ANY (v_draws) AND (p_analyst IS NULL OR p.analyst = p_analyst);
    DELETE FROM pgveil.draw d
    WHERE d.id = ANY (v_draws) AND NOT EXISTS (SELECT 1 FROM pgveil.paid p WHERE p.draw = d.id);
    PERFORM pgveil.note('forget', coalesce(p_analyst, ''), p_dataset, '{}',
                        format('%s kept draws', cardinality(v_draws)));
    RETURN QUERY SELECT 'ok', cardinality(v_draws)::text;
END
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
