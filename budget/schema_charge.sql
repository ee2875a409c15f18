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
    minimum_pico bigint,
    adopted text         -- of a charge: for each release the draw that it takes over, or 0
);

-- The answer of an account. p_shared: the dataset's; p_minimum: of the dataset; p_mu2, p_zcdp: what is
-- booked, or would be.
CREATE FUNCTION pgveil.answer_of(p_outcome text, p_refused_by text, p_own pgveil.account,
    p_shared pgveil.account, p_minimum bigint, p_mu2 bigint, p_zcdp bigint, p_adopted text)
RETURNS pgveil.answer
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    RETURN ROW(p_outcome, p_refused_by, p_own.dataset,
        pgveil.decimal_text(p_own.epsilon_nano, 9), pgveil.decimal_text(p_own.delta_atto, 18),
        p_own.cap_mode, p_own.cap_pico, pgveil.spent_pico(p_own), p_own.delta_keys_atto,
        p_own.delta_conv_atto, p_own.delta_spent_atto, p_own.epsilon_nano, p_own.epsilon_spent_nano,
        p_own.all_pure, pgveil.spent_share(p_own)::text, p_own.budget_window,
        pgveil.time_text(p_own.window_ends),
        coalesce(p_shared.enforced AND p_shared.cap_mode <> 'pure', false),
        coalesce(p_shared.cap_pico, 0), coalesce(pgveil.spent_pico(p_shared), 0),
        CASE p_own.cap_mode WHEN 'zcdp' THEN p_zcdp ELSE p_mu2 END, p_minimum,
        p_adopted)::pgveil.answer;
END
$function$;

-- What became of a charge. Told once; the first word stands. Failures in a row freeze the account.
CREATE FUNCTION pgveil.resolve(p_request uuid, p_answered boolean) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    v_entry pgveil.journal;
    v_account pgveil.account;
BEGIN
    SELECT j.* INTO v_entry FROM pgveil.journal j
    WHERE j.request = p_request AND j.kind = 'charge';
    IF NOT FOUND THEN
        RETURN 'unknown';
    END IF;
    -- Bookkeeping alone: nobody needs to wait for the disk.
    PERFORM set_config('synchronous_commit', 'off', true);
    INSERT INTO pgveil.resolution (request, state)
    VALUES (p_request, CASE WHEN p_answered THEN 'answered' ELSE 'failed' END)
    ON CONFLICT (request) DO NOTHING;
    IF NOT FOUND THEN
        RETURN 'known';
    END IF;
    -- An answer finds nothing to change as a rule, and then locks nothing that charges wait for.
    IF p_answered THEN
        UPDATE pgveil.account a SET failures = 0
        WHERE a.holder = 'analyst' AND a.name = v_entry.analyst AND a.dataset = v_entry.dataset
          AND a.failures <> 0;
        RETURN 'answered';
    END IF;
    SELECT a.* INTO STRICT v_account FROM pgveil.account a
    WHERE a.holder = 'analyst' AND a.name = v_entry.analyst AND a.dataset = v_entry.dataset
    FOR UPDATE;
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
    CROSS JOIN (SELECT pgveil.ledger_time() AS at) t
    CROSS JOIN LATERAL pgveil.answer_of(
        CASE WHEN a.frozen IS NOT NULL OR n.enabled IS NOT TRUE OR s.frozen IS NOT NULL
             THEN 'frozen' ELSE 'ok' END,
        CASE WHEN a.frozen IS NOT NULL OR n.enabled IS NOT TRUE THEN 'analyst'
             WHEN s.frozen IS NOT NULL THEN 'dataset' END,
        pgveil.rolled(a, t.at), pgveil.rolled(s, t.at),
        pgveil.setting('minimum_mu2_pico', a.dataset), 0, 0, NULL) r
    WHERE a.holder = 'analyst' AND a.name = p_analyst AND a.granted
      AND (p_dataset IS NULL OR a.dataset = p_dataset)
    ORDER BY a.dataset
$function$;

-- The last p_limit charges of an analyst, newest last, as dp.history shows them: each with its adoptions,
-- so that nobody sees what others have asked.
CREATE FUNCTION pgveil.history(p_analyst text, p_dataset text, p_limit bigint)
RETURNS TABLE (at text, statement text, epsilon text, mu2_pico text, delta text, share text, state text)
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $function$
    SELECT pgveil.time_text(j.at), j.fingerprint,
           coalesce(pgveil.decimal_text(p.epsilon, 9), ''), p.price::text,
           pgveil.decimal_text(p.delta, 18),
           trim_scale(round(coalesce(p.price::numeric / nullif(a.cap_pico, 0),
                                     p.epsilon::numeric / a.epsilon_nano, 0), 6))::text,
           coalesce(r.state, 'charged')
    FROM (SELECT l.* FROM pgveil.journal l
          WHERE l.dataset = p_dataset AND l.analyst = p_analyst AND l.kind = 'charge'
          ORDER BY l.seq DESC LIMIT p_limit) j
    JOIN pgveil.account a
      ON a.holder = 'analyst' AND a.name = j.analyst AND a.dataset = j.dataset
    CROSS JOIN LATERAL (
        SELECT (j.delta_atto + coalesce(sum(t.delta_atto), 0))::bigint AS delta,
               CASE WHEN j.epsilon_nano IS NOT NULL
                         AND coalesce(bool_and(t.epsilon_nano IS NOT NULL), true)
                    THEN (j.epsilon_nano + coalesce(sum(t.epsilon_nano), 0))::bigint END AS epsilon,
               (CASE a.cap_mode WHEN 'zcdp' THEN j.zcdp_pico + coalesce(sum(t.zcdp_pico), 0)
                                ELSE j.mu2_pico + coalesce(sum(t.mu2_pico), 0) END)::bigint AS price
        FROM pgveil.journal t WHERE t.request = j.request AND t.kind = 'adoption') p
    LEFT JOIN pgveil.resolution r ON r.request = j.request
    ORDER BY j.seq
$function$;

-- The journal's newest entry: to be noted outside the ledger. A debit shows before it is on disk; the record
-- written here makes this transaction's commit wait for all that it has seen.
CREATE FUNCTION pgveil.newest() RETURNS TABLE (seq bigint, hash text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    SELECT h.seq, encode(h.hash, 'hex') INTO seq, hash FROM pgveil.head h;
    PERFORM pg_logical_emit_message(true, 'pgveil', '');
    RETURN NEXT;
END
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
