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
