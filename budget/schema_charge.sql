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

-- The answer to a charge whose request was seen before: as then. Another content is an error.
CREATE FUNCTION pgveil.charged_before(p_charge pgveil.journal, p_analyst text, p_dataset text,
    p_fingerprint text, p_releases pgveil.release[])
RETURNS pgveil.answer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    v_adoption record;
    v_adopted integer[] := '{}';
    v_draws bigint[] := array_fill(0::bigint, ARRAY[cardinality(p_releases)]);
    v_all constant pgveil.release := pgveil.sum_of(p_releases, '{}');
    v_drawn pgveil.release;
    v_same boolean := true;
    v_mu2 bigint := p_charge.mu2_pico;
    v_zcdp bigint := p_charge.zcdp_pico;
    v_answer pgveil.answer;
BEGIN
    FOR v_adoption IN SELECT a.* FROM pgveil.adoptions(p_charge.request) a LOOP
        v_mu2 := v_mu2 + v_adoption.mu2_pico;
        v_zcdp := v_zcdp + v_adoption.zcdp_pico;
        v_adopted := v_adopted || v_adoption.place;
        v_draws[v_adoption.place] := v_adoption.draw;
        v_same := v_same AND (p_releases[v_adoption.place]).fingerprint = v_adoption.fingerprint
                  AND (p_releases[v_adoption.place]).mu2 = v_adoption.mu2_pico;
    END LOOP;
    v_drawn := pgveil.sum_of(p_releases, v_adopted);
    IF (p_charge.analyst, p_charge.dataset, p_charge.delta_atto, p_charge.epsilon_nano,
        p_charge.fingerprint, p_charge.detail) IS DISTINCT FROM
       (p_analyst, p_dataset, v_drawn.delta, v_drawn.epsilon, p_fingerprint, v_drawn.measures)
       OR v_same IS NOT TRUE
       OR v_mu2 <> v_all.mu2
          AND v_mu2 <> greatest(v_all.mu2, pgveil.setting('minimum_mu2_pico', p_dataset)) THEN
        RAISE EXCEPTION 'request % was charged with another content', p_charge.request;
    END IF;
    v_answer := pgveil.answer_of('ok', NULL, p_analyst, p_dataset, v_mu2, v_zcdp);
    v_answer.adopted := array_to_string(v_draws, ' ');
    RETURN v_answer;
END
$function$;

-- The accounts that a charge debits, locked, by id: those of the analyst, of the analyst's groups and of
-- the dataset, and their like on the other datasets over the same database.
CREATE FUNCTION pgveil.locked_accounts(p_analyst text, p_dataset text) RETURNS pgveil.account[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    v_datasets constant text[] := pgveil.siblings(p_dataset);
BEGIN
    RETURN ARRAY(
        SELECT a FROM pgveil.account a
        WHERE a.dataset = ANY (v_datasets)
          AND (a.holder = 'dataset'
               OR a.holder = 'analyst' AND a.name = p_analyst
                  AND (a.granted OR a.dataset <> p_dataset)
               OR a.holder = 'group' AND a.name IN (SELECT m.group_name FROM pgveil.membership m
                                                    WHERE m.analyst = p_analyst))
        ORDER BY a.id FOR UPDATE OF a);
END
$function$;

-- Writes what the account owes now: in its new window, where one has begun.
CREATE FUNCTION pgveil.spend(p_account pgveil.account, p_due pgveil.release) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    UPDATE pgveil.account a SET
        window_starts = p_account.window_starts,
        window_ends = p_account.window_ends,
        mu2_spent_pico = p_account.mu2_spent_pico + p_due.mu2,
        zcdp_spent_pico = p_account.zcdp_spent_pico + p_due.zcdp,
        delta_spent_atto = p_account.delta_spent_atto + p_due.delta,
        epsilon_spent_nano = p_account.epsilon_spent_nano + coalesce(p_due.epsilon, 0),
        all_pure = p_account.all_pure AND p_due.epsilon IS NOT NULL
    WHERE a.id = p_account.id;
END
$function$;

-- Debits the accounts of the analyst, of the analyst's groups and of the dataset, and those of the other
-- datasets over the same database, or none of them. The same request debits once; the same request with another content is an error. Not durable by itself:
-- see pgveil.charge.
--
-- A release whose very draw was kept for another analyst takes that draw over. The analyst pays for it as
-- for a draw of his own; an account that several analysts share, and that has been debited for the draw,
-- is not debited again. In the journal: one entry of kind charge for what was debited everywhere (the
-- minimum too), and one of kind adoption for each release that was taken over.
CREATE FUNCTION pgveil.debit(p_request uuid, p_analyst text, p_dataset text, p_epoch text,
    p_fingerprint text, p_releases json)
RETURNS pgveil.answer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    v_releases constant pgveil.release[] := pgveil.releases(p_releases);
    v_all constant pgveil.release := pgveil.sum_of(v_releases, '{}');
    v_minimum constant bigint := pgveil.setting('minimum_mu2_pico', p_dataset);
    v_price pgveil.release := v_all; -- of the whole charge
    v_accounts pgveil.account[];
    v_account pgveil.account;
    v_entry pgveil.journal;
    v_draws pgveil.draw[];           -- that each release takes over
    v_adopted integer[];
    v_due pgveil.release;
    v_dues pgveil.release[] := '{}'; -- of each account
    v_answer pgveil.answer;
    v_own boolean := false;
BEGIN
    IF p_request IS NULL OR v_minimum IS NULL OR cardinality(v_releases) = 0 THEN
        RAISE EXCEPTION 'a charge has a request id and releases';
    END IF;
    v_price.mu2 := greatest(v_all.mu2, v_minimum);
    v_price.zcdp := greatest(v_all.zcdp, v_minimum);
    v_accounts := pgveil.locked_accounts(p_analyst, p_dataset);
    SELECT j.* INTO v_entry FROM pgveil.journal j
    WHERE j.request = p_request AND j.kind = 'charge';
    IF FOUND THEN
        RETURN pgveil.charged_before(v_entry, p_analyst, p_dataset, p_fingerprint, v_releases);
    END IF;
    FOREACH v_account IN ARRAY v_accounts LOOP
        v_own := v_own OR v_account.holder = 'analyst' AND v_account.dataset = p_dataset;
    END LOOP;
    IF NOT v_own THEN
        RETURN pgveil.answer_of('no_account', NULL, p_analyst, p_dataset, 0, 0);
    END IF;
    IF NOT EXISTS (SELECT 1 FROM pgveil.analyst n WHERE n.name = p_analyst AND n.enabled) THEN
        RETURN pgveil.answer_of('frozen', 'analyst', p_analyst, p_dataset, 0, 0);
    END IF;
    -- Locked from here on, so that the time of the windows is the time in the journal.
    PERFORM 1 FROM pgveil.head h FOR UPDATE;
    v_entry.at := pgveil.ledger_time();
    v_entry.debited := '{}';
    FOR i IN 1 .. cardinality(v_accounts) LOOP
        v_account := pgveil.rolled(v_accounts[i], v_entry.at);
        v_accounts[i] := v_account;
        IF v_account.frozen IS NOT NULL AND v_account.dataset = p_dataset THEN
            RETURN pgveil.answer_of('frozen', v_account.holder, p_analyst, p_dataset, 0, 0);
        END IF;
    END LOOP;

    v_draws := pgveil.adoptable(v_releases, p_analyst, p_dataset, v_accounts, p_epoch,
                                v_entry.at);
    v_adopted := pgveil.places(v_draws);
    FOR i IN 1 .. cardinality(v_accounts) LOOP
        v_account := v_accounts[i];
        v_due := v_all;
        IF cardinality(v_adopted) > 0 THEN
            v_due := pgveil.sum_of(v_releases, pgveil.covered(v_account, v_accounts, v_draws));
        END IF;
        v_due.mu2 := v_due.mu2 + (v_price.mu2 - v_all.mu2);
        v_due.zcdp := v_due.zcdp + (v_price.zcdp - v_all.zcdp);
        v_dues := v_dues || v_due;
        IF (v_account.granted OR v_account.dataset = p_dataset)
           AND NOT pgveil.admits(v_account, v_due.mu2, v_due.zcdp, v_due.delta, v_due.epsilon) THEN
            RETURN pgveil.answer_of('exceeded', CASE WHEN v_account.dataset = p_dataset
                                                THEN v_account.holder ELSE 'database' END,
                                    p_analyst, p_dataset, v_price.mu2, v_price.zcdp);
        END IF;
    END LOOP;
    FOR i IN 1 .. cardinality(v_accounts) LOOP
        PERFORM pgveil.spend(v_accounts[i], v_dues[i]);
        v_account := v_accounts[i];
        v_entry.debited := v_entry.debited || v_account.id;
    END LOOP;

    v_due := pgveil.sum_of(v_releases, v_adopted);
    v_entry.kind := 'charge';
    v_entry.request := p_request;
    v_entry.analyst := p_analyst;
    v_entry.dataset := p_dataset;
    v_entry.mu2_pico := v_due.mu2 + (v_price.mu2 - v_all.mu2);
    v_entry.zcdp_pico := v_due.zcdp + (v_price.zcdp - v_all.zcdp);
    v_entry.delta_atto := v_due.delta;
    v_entry.epsilon_nano := v_due.epsilon;
    v_entry.fingerprint := p_fingerprint;
    v_entry.detail := v_due.measures;
    PERFORM pgveil.append(v_entry);
    FOR i IN 1 .. cardinality(v_adopted) LOOP
        PERFORM pgveil.adopt(v_entry, v_releases[v_adopted[i]], v_adopted[i],
                             v_draws[v_adopted[i]], v_accounts);
    END LOOP;
    v_answer := pgveil.answer_of('ok', NULL, p_analyst, p_dataset, v_price.mu2, v_price.zcdp);
    IF cardinality(v_adopted) > 0 THEN
        v_answer.adopted := (SELECT string_agg(coalesce(d.id, 0)::text, ' ' ORDER BY n)
                             FROM generate_subscripts(v_draws, 1) n
                             CROSS JOIN LATERAL (SELECT (v_draws[n]).id) d);
    END IF;
    RETURN v_answer;
END
$function$;

-- The one call that spends: pgveil.debit, durable before it answers. The debit is committed without
-- waiting for the disk, so that the locks are free for the next charge at once; the second commit waits
-- until the log is on disk up to its own record, and so every debit before it, for all waiting sessions
-- together. Nobody is told of a charge that a crash could lose. A procedure that commits can pin no
-- search_path; it therefore only calls, by qualified names.
CREATE PROCEDURE pgveil.charge(p_request uuid, p_analyst text, p_dataset text, p_epoch text,
    p_fingerprint text, p_releases json,
    OUT outcome text, OUT refused_by text, OUT dataset text, OUT epsilon text, OUT delta text,
    OUT cap_mode text, OUT cap_pico bigint, OUT spent_pico bigint, OUT delta_keys_atto bigint,
    OUT delta_conv_atto bigint, OUT delta_spent_atto bigint, OUT epsilon_nano bigint,
    OUT epsilon_spent_nano bigint, OUT all_pure boolean, OUT spent_share text, OUT budget_window text,
    OUT window_ends text, OUT dataset_capped boolean, OUT dataset_cap_pico bigint,
    OUT dataset_spent_pico bigint, OUT booked_pico bigint, OUT minimum_pico bigint, OUT adopted text)
LANGUAGE plpgsql AS $procedure$
BEGIN
    PERFORM pg_catalog.set_config('synchronous_commit', 'off', true);
    SELECT d.* INTO outcome, refused_by, dataset, epsilon, delta, cap_mode, cap_pico, spent_pico, delta_keys_atto,
         delta_conv_atto, delta_spent_atto, epsilon_nano, epsilon_spent_nano, all_pure, spent_share,
         budget_window, window_ends, dataset_capped, dataset_cap_pico, dataset_spent_pico, booked_pico,
         minimum_pico, adopted
    FROM pgveil.debit(p_request, p_analyst, p_dataset, p_epoch, p_fingerprint, p_releases) d;
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
    SELECT j.* INTO v_entry FROM pgveil.journal j
    WHERE j.request = p_request AND j.kind = 'charge';
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
