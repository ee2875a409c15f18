-- The ledger: the charge. Charges of one dataset come as a batch: whatever waited while the batch before was
-- under way shares locks, commit and disk.

-- One charge of a batch, as the caller wants it, and what its releases cost together.
CREATE TYPE pgveil.wanted AS (
    request uuid,
    analyst text,
    epoch text,
    fingerprint text,
    releases pgveil.release[],
    price pgveil.release
);

CREATE FUNCTION pgveil.wanted(p_charges json) RETURNS pgveil.wanted[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    v_charge record;
    v_releases pgveil.release[];
    v_wanted pgveil.wanted[] := '{}';
BEGIN
    FOR v_charge IN
        SELECT c.* FROM json_to_recordset(p_charges)
            AS c(request uuid, analyst text, epoch text, fingerprint text, releases json)
    LOOP
        v_releases := pgveil.releases(v_charge.releases);
        IF v_charge.request IS NULL OR v_charge.analyst IS NULL OR v_charge.epoch IS NULL
           OR v_charge.fingerprint IS NULL OR cardinality(v_releases) = 0 THEN
            RAISE EXCEPTION 'a charge has a request id, an analyst, an epoch, a fingerprint and releases';
        END IF;
        v_wanted := v_wanted || ROW(v_charge.request, v_charge.analyst, v_charge.epoch,
            v_charge.fingerprint, v_releases, pgveil.sum_of(v_releases, '{}'))::pgveil.wanted;
    END LOOP;
    RETURN v_wanted;
END
$function$;

-- The accounts that charges of these analysts debit, by id: those of the analysts, of their groups and of
-- the dataset, and their like on the other datasets over the same database.
CREATE FUNCTION pgveil.debited_accounts(p_analysts text[], p_dataset text) RETURNS bigint[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    v_datasets constant text[] := pgveil.siblings(p_dataset);
BEGIN
    RETURN ARRAY(
        SELECT a.id FROM pgveil.account a
        WHERE (a.holder, a.name) IN (
                  SELECT 'dataset', '' UNION ALL SELECT 'analyst', unnest(p_analysts) UNION ALL
                  SELECT 'group', m.group_name FROM pgveil.membership m
                  WHERE m.analyst = ANY (p_analysts))
          AND a.dataset = ANY (v_datasets)
          AND (a.holder <> 'analyst' OR a.granted OR a.dataset <> p_dataset)
        ORDER BY a.id);
END
$function$;

CREATE FUNCTION pgveil.locked_accounts(p_ids bigint[]) RETURNS pgveil.account[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    RETURN ARRAY(SELECT a FROM pgveil.account a WHERE a.id = ANY (p_ids) ORDER BY a.id FOR UPDATE OF a);
END
$function$;

-- What is to be known of each charge of a batch, in its order, once p_accounts are locked: the places in
-- p_accounts of those that it debits, with their ids, of the analyst's own and of the dataset's; whether the
-- analyst is enabled, the request was charged before, and there is a draw that a release might take over.
-- Each look-up is one by an index, however the tables grow while a session keeps the plan.
CREATE FUNCTION pgveil.known_of(p_wanted pgveil.wanted[], p_accounts pgveil.account[], p_dataset text)
RETURNS TABLE (request uuid, analyst text, epoch text, fingerprint text, releases pgveil.release[],
               price pgveil.release, places integer[], ids bigint[], own integer, shared integer,
               enabled boolean, charged boolean, drawn boolean)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    RETURN QUERY
        SELECT w.request, w.analyst, w.epoch, w.fingerprint, w.releases, w.price, a.places, a.ids,
               a.own, a.shared, (SELECT n.enabled FROM pgveil.analyst n WHERE n.name = w.analyst) IS TRUE,
               (SELECT j.seq FROM pgveil.journal j
                WHERE j.request = w.request AND j.kind = 'charge') IS NOT NULL,
               (SELECT bool_or((SELECT true FROM pgveil.draw d
                                WHERE d.dataset = p_dataset AND d.fingerprint = r.fingerprint LIMIT 1))
                FROM unnest(w.releases) r) IS TRUE
        FROM unnest(p_wanted) WITH ORDINALITY w
        CROSS JOIN LATERAL (
            SELECT array_agg(p.ordinality::integer ORDER BY p.ordinality) AS places,
                   array_agg(p.id ORDER BY p.ordinality) AS ids,
                   min(p.ordinality) FILTER (
                       WHERE p.holder = 'analyst' AND p.dataset = p_dataset)::integer AS own,
                   min(p.ordinality) FILTER (
                       WHERE p.holder = 'dataset' AND p.dataset = p_dataset)::integer AS shared
            FROM unnest(p_accounts) WITH ORDINALITY p
            WHERE p.holder = 'dataset' OR p.holder = 'analyst' AND p.name = w.analyst
               OR p.holder = 'group'
                  AND (SELECT true FROM pgveil.membership m
                       WHERE m.group_name = p.name AND m.analyst = w.analyst)) a
        ORDER BY w.ordinality;
END
$function$;

-- The account after it was debited.
CREATE FUNCTION pgveil.debited(p_account pgveil.account, p_due pgveil.release) RETURNS pgveil.account
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    p_account.mu2_spent_pico := p_account.mu2_spent_pico + p_due.mu2;
    p_account.zcdp_spent_pico := p_account.zcdp_spent_pico + p_due.zcdp;
    p_account.delta_spent_atto := p_account.delta_spent_atto + p_due.delta;
    p_account.epsilon_spent_nano := p_account.epsilon_spent_nano + coalesce(p_due.epsilon, 0);
    p_account.all_pure := p_account.all_pure AND p_due.epsilon IS NOT NULL;
    RETURN p_account;
END
$function$;

-- Writes what the accounts at these places owe now: in a new window, where one has begun.
CREATE FUNCTION pgveil.put_spent(p_accounts pgveil.account[], p_places integer[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    UPDATE pgveil.account a SET
        window_starts = n.window_starts,
        window_ends = n.window_ends,
        mu2_spent_pico = n.mu2_spent_pico,
        zcdp_spent_pico = n.zcdp_spent_pico,
        delta_spent_atto = n.delta_spent_atto,
        epsilon_spent_nano = n.epsilon_spent_nano,
        all_pure = n.all_pure
    FROM unnest(p_accounts) WITH ORDINALITY n
    WHERE a.id = n.id AND n.ordinality = ANY (p_places);
END
$function$;

CREATE FUNCTION pgveil.no_account(p_dataset text) RETURNS pgveil.answer
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    v_answer pgveil.answer;
BEGIN
    v_answer.outcome := 'no_account';
    v_answer.dataset := p_dataset;
    RETURN v_answer;
END
$function$;

-- The answer to a charge whose request was seen before: as then. Another content is an error.
CREATE FUNCTION pgveil.charged_before(p_wanted pgveil.wanted, p_own pgveil.account,
                                      p_shared pgveil.account, p_dataset text, p_minimum bigint)
RETURNS pgveil.answer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    v_charge pgveil.journal;
    v_adoption record;
    v_adopted integer[] := '{}';
    v_releases constant pgveil.release[] := p_wanted.releases;
    v_draws bigint[] := array_fill(0::bigint, ARRAY[cardinality(v_releases)]);
    v_price constant pgveil.release := p_wanted.price;
    v_drawn pgveil.release;
    v_same boolean := true;
    v_mu2 bigint;
    v_zcdp bigint;
BEGIN
    SELECT j.* INTO STRICT v_charge FROM pgveil.journal j
    WHERE j.request = p_wanted.request AND j.kind = 'charge';
    v_mu2 := v_charge.mu2_pico;
    v_zcdp := v_charge.zcdp_pico;
    FOR v_adoption IN SELECT a.* FROM pgveil.adoptions(v_charge.request) a LOOP
        v_mu2 := v_mu2 + v_adoption.mu2_pico;
        v_zcdp := v_zcdp + v_adoption.zcdp_pico;
        v_adopted := v_adopted || v_adoption.place;
        v_draws[v_adoption.place] := v_adoption.draw;
        v_same := v_same AND (v_releases[v_adoption.place]).fingerprint = v_adoption.fingerprint
                  AND (v_releases[v_adoption.place]).mu2 = v_adoption.mu2_pico;
    END LOOP;
    v_drawn := pgveil.sum_of(v_releases, v_adopted);
    IF (v_charge.analyst, v_charge.dataset, v_charge.delta_atto, v_charge.epsilon_nano,
        v_charge.fingerprint, v_charge.detail) IS DISTINCT FROM
       (p_wanted.analyst, p_dataset, v_drawn.delta, v_drawn.epsilon, p_wanted.fingerprint,
        v_drawn.measures)
       OR v_same IS NOT TRUE
       OR v_mu2 <> v_price.mu2 AND v_mu2 <> greatest(v_price.mu2, p_minimum) THEN
        RAISE EXCEPTION 'request % was charged with another content', v_charge.request;
    END IF;
    IF p_own.id IS NULL THEN
        RETURN pgveil.no_account(p_dataset);
    END IF;
    RETURN pgveil.answer_of('ok', NULL, p_own, p_shared, p_minimum, v_mu2, v_zcdp,
                            array_to_string(v_draws, ' '));
END
$function$;

-- For each release the draw that it takes over, as text.
CREATE FUNCTION pgveil.adopted_text(p_draws pgveil.draw[]) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    RETURN (SELECT string_agg(coalesce((p_draws[n]).id, 0)::text, ' ' ORDER BY n)
            FROM generate_subscripts(p_draws, 1) n);
END
$function$;

-- Whose account at these places, of the dataset itself, is frozen; NULL: none.
CREATE FUNCTION pgveil.frozen_by(p_accounts pgveil.account[], p_places integer[], p_dataset text)
RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    v_place integer;
BEGIN
    FOREACH v_place IN ARRAY p_places LOOP
        IF (p_accounts[v_place]).frozen IS NOT NULL AND (p_accounts[v_place]).dataset = p_dataset THEN
            RETURN (p_accounts[v_place]).holder;
        END IF;
    END LOOP;
    RETURN NULL;
END
$function$;

-- Whose account at these places does not admit what it would be debited; NULL: all do.
CREATE FUNCTION pgveil.exceeded_by(p_accounts pgveil.account[], p_places integer[],
                                   p_dues pgveil.release[], p_dataset text)
RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    v_account pgveil.account;
    v_due pgveil.release;
BEGIN
    FOR i IN 1 .. cardinality(p_places) LOOP
        v_account := p_accounts[p_places[i]];
        v_due := p_dues[i];
        IF (v_account.granted OR v_account.dataset = p_dataset)
           AND NOT pgveil.admits(v_account, v_due.mu2, v_due.zcdp, v_due.delta, v_due.epsilon) THEN
            RETURN CASE WHEN v_account.dataset = p_dataset THEN v_account.holder ELSE 'database' END;
        END IF;
    END LOOP;
    RETURN NULL;
END
$function$;

-- What is to be debited where the releases at the places p_without are not: with what the charge's price is
-- above that of all its releases, p_all, to reach the minimum.
CREATE FUNCTION pgveil.due(p_releases pgveil.release[], p_without integer[], p_all pgveil.release,
                           p_price pgveil.release)
RETURNS pgveil.release
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    v_due pgveil.release := pgveil.sum_of(p_releases, p_without);
BEGIN
    v_due.mu2 := v_due.mu2 + (p_price.mu2 - p_all.mu2);
    v_due.zcdp := v_due.zcdp + (p_price.zcdp - p_all.zcdp);
    RETURN v_due;
END
$function$;

-- Each charge in its order: debits the accounts of the analyst, of the analyst's groups and of the dataset,
-- and those of the other datasets over the same database, or none of them. One answer for each. The same
-- request debits once; the same request with another content is an error, and an error is one of the whole
-- batch: nothing of it happened. Not durable by itself: see pgveil.charge.
--
-- A release whose very draw was kept for another analyst takes that draw over. The analyst pays for it as
-- for a draw of his own; an account that several analysts share, and that has been debited for the draw,
-- is not debited again. In the journal: one entry of kind charge for what was debited everywhere (the
-- minimum too), and one of kind adoption for each release that was taken over.
CREATE FUNCTION pgveil.debit(p_dataset text, p_charges json) RETURNS pgveil.answer[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
AS $function$
DECLARE
    v_wanted constant pgveil.wanted[] := pgveil.wanted(p_charges);
    v_analysts constant text[] := ARRAY(SELECT w.analyst FROM unnest(v_wanted) w);
    v_ids constant bigint[] := pgveil.debited_accounts(v_analysts, p_dataset);
    v_accounts pgveil.account[] := pgveil.locked_accounts(v_ids); -- as they are after the charges so far
    v_minimum bigint;
    v_mine pgveil.account[];         -- those of the charge, where it takes draws over
    v_changed integer[] := '{}';     -- places in v_accounts
    v_head pgveil.head;
    v_at timestamptz;                -- of the whole batch
    v_charge record;
    v_price pgveil.release;          -- what is booked: the minimum at least
    v_draws pgveil.draw[];           -- that each release takes over
    v_adopted integer[];             -- the places of such releases
    v_due pgveil.release;            -- everywhere
    v_dues pgveil.release[];         -- of each account of the charge
    v_refused_by text;
    v_entry pgveil.journal;
    v_answers pgveil.answer[] := '{}';
BEGIN
    -- Locked before the time is taken: the time of the windows is that in the journal.
    SELECT h.* INTO STRICT v_head FROM pgveil.head h FOR UPDATE;
    -- Who changes which accounts there are holds the head, and may have been waited for.
    IF pgveil.debited_accounts(v_analysts, p_dataset) <> v_ids THEN
        RAISE EXCEPTION 'the accounts to be debited have changed meanwhile'
            USING ERRCODE = 'serialization_failure', HINT = 'Send the charges again.';
    END IF;
    v_minimum := pgveil.setting('minimum_mu2_pico', p_dataset);
    IF v_minimum IS NULL THEN
        RAISE EXCEPTION 'there is no setting minimum_mu2_pico';
    END IF;
    v_at := greatest(clock_timestamp(), v_head.at);
    FOR i IN 1 .. cardinality(v_accounts) LOOP
        IF v_at >= (v_accounts[i]).window_ends THEN
            v_accounts[i] := pgveil.rolled(v_accounts[i], v_at);
        END IF;
    END LOOP;

    FOR v_charge IN SELECT k.* FROM pgveil.known_of(v_wanted, v_accounts, p_dataset) k LOOP
        IF v_charge.charged THEN
            v_answers := v_answers || pgveil.charged_before(
                ROW(v_charge.request, v_charge.analyst, v_charge.epoch, v_charge.fingerprint,
                    v_charge.releases, v_charge.price)::pgveil.wanted,
                v_accounts[v_charge.own], v_accounts[v_charge.shared], p_dataset, v_minimum);
            CONTINUE;
        ELSIF v_charge.own IS NULL THEN
            v_answers := v_answers || pgveil.no_account(p_dataset);
            CONTINUE;
        END IF;
        v_refused_by := CASE WHEN v_charge.enabled
            THEN pgveil.frozen_by(v_accounts, v_charge.places, p_dataset) ELSE 'analyst' END;
        IF v_refused_by IS NOT NULL THEN
            v_answers := v_answers || pgveil.answer_of('frozen', v_refused_by,
                v_accounts[v_charge.own], v_accounts[v_charge.shared], v_minimum, 0, 0, NULL);
            CONTINUE;
        END IF;

        v_price := v_charge.price;
        v_price.mu2 := greatest(v_price.mu2, v_minimum);
        v_price.zcdp := greatest(v_price.zcdp, v_minimum);
        v_adopted := '{}';
        IF v_charge.drawn THEN
            v_mine := ARRAY(SELECT v_accounts[u.place]
                            FROM unnest(v_charge.places) WITH ORDINALITY u(place, n) ORDER BY u.n);
            v_draws := pgveil.adoptable(v_charge.releases, v_charge.analyst, p_dataset, v_mine,
                                        v_charge.epoch, v_at);
            v_adopted := pgveil.places(v_draws);
        END IF;
        IF cardinality(v_adopted) = 0 THEN
            v_due := v_price;
            v_dues := array_fill(v_due, ARRAY[cardinality(v_charge.places)]);
        ELSE
            v_due := pgveil.due(v_charge.releases, v_adopted, v_charge.price, v_price);
            v_dues := ARRAY(
                SELECT pgveil.due(v_charge.releases, pgveil.covered(v_mine[n], v_mine, v_draws),
                                  v_charge.price, v_price)
                FROM generate_subscripts(v_mine, 1) n ORDER BY n);
        END IF;
        v_refused_by := pgveil.exceeded_by(v_accounts, v_charge.places, v_dues, p_dataset);
        IF v_refused_by IS NOT NULL THEN
            v_answers := v_answers || pgveil.answer_of('exceeded', v_refused_by,
                v_accounts[v_charge.own], v_accounts[v_charge.shared], v_minimum, v_price.mu2,
                v_price.zcdp, NULL);
            CONTINUE;
        END IF;

        FOR i IN 1 .. cardinality(v_charge.places) LOOP
            v_accounts[v_charge.places[i]] :=
                pgveil.debited(v_accounts[v_charge.places[i]], v_dues[i]);
        END LOOP;
        v_changed := v_changed || v_charge.places;
        v_entry := ROW(NULL, v_at, 'charge', v_charge.request, v_charge.analyst, p_dataset,
            v_charge.ids, v_due.mu2, v_due.zcdp, v_due.delta, v_due.epsilon, v_charge.fingerprint,
            v_due.measures, NULL, NULL)::pgveil.journal;
        v_head := pgveil.append(v_head, v_entry);
        FOR i IN 1 .. cardinality(v_adopted) LOOP
            v_head := pgveil.adopt(v_head, v_entry, v_charge.releases[v_adopted[i]], v_adopted[i],
                                   v_draws[v_adopted[i]], v_mine);
        END LOOP;
        v_answers := v_answers || pgveil.answer_of('ok', NULL, v_accounts[v_charge.own],
            v_accounts[v_charge.shared], v_minimum, v_price.mu2, v_price.zcdp,
            CASE WHEN cardinality(v_adopted) > 0 THEN pgveil.adopted_text(v_draws) END);
    END LOOP;
    IF cardinality(v_changed) > 0 THEN
        PERFORM pgveil.put_spent(v_accounts, v_changed);
        PERFORM pgveil.put_head(v_head);
    END IF;
    RETURN v_answers;
END
$function$;

-- Answers as one text: of each its fields, in order, in the form in which the journal hashes fields.
CREATE FUNCTION pgveil.packed(p_answers pgveil.answer[]) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    RETURN (
        SELECT string_agg(pgveil.encoded_field(a.outcome) || pgveil.encoded_field(a.refused_by)
            || pgveil.encoded_field(a.dataset) || pgveil.encoded_field(a.epsilon)
            || pgveil.encoded_field(a.delta) || pgveil.encoded_field(a.cap_mode)
            || pgveil.encoded_field(a.cap_pico::text) || pgveil.encoded_field(a.spent_pico::text)
            || pgveil.encoded_field(a.delta_keys_atto::text)
            || pgveil.encoded_field(a.delta_conv_atto::text)
            || pgveil.encoded_field(a.delta_spent_atto::text)
            || pgveil.encoded_field(a.epsilon_nano::text)
            || pgveil.encoded_field(a.epsilon_spent_nano::text)
            || pgveil.encoded_field(CASE WHEN a.all_pure THEN 't' WHEN NOT a.all_pure THEN 'f' END)
            || pgveil.encoded_field(a.spent_share) || pgveil.encoded_field(a.budget_window)
            || pgveil.encoded_field(a.window_ends)
            || pgveil.encoded_field(CASE WHEN a.dataset_capped THEN 't'
                                         WHEN NOT a.dataset_capped THEN 'f' END)
            || pgveil.encoded_field(a.dataset_cap_pico::text)
            || pgveil.encoded_field(a.dataset_spent_pico::text)
            || pgveil.encoded_field(a.booked_pico::text)
            || pgveil.encoded_field(a.minimum_pico::text) || pgveil.encoded_field(a.adopted), '')
        FROM unnest(p_answers) a);
END
$function$;

-- The one call that spends: pgveil.debit, durable before it answers. The debits are committed without
-- waiting for the disk, so that the locks are free for the next batch at once; the second commit waits
-- until the log is on disk up to its own record, and so every debit before it, for all waiting sessions
-- together. Nobody is told of a charge that a crash could lose: where the wait for a standby is cut short,
-- the server warns, whatever the role's settings, and the caller asks again. A procedure that commits can pin no
-- search_path, and returns one row; it therefore only calls, by qualified names, and packs the answers.
CREATE PROCEDURE pgveil.charge(p_dataset text, p_charges json, OUT answers text)
LANGUAGE plpgsql AS $procedure$
BEGIN
    PERFORM pg_catalog.set_config('synchronous_commit', 'off', true);
    answers := pgveil.packed(pgveil.debit(p_dataset, p_charges));
    COMMIT;
    PERFORM pg_catalog.set_config('synchronous_commit', 'on', true);
    PERFORM pg_catalog.set_config('client_min_messages', 'warning', true);
    PERFORM pg_catalog.pg_logical_emit_message(true, 'pgveil', '');
    COMMIT;
END
$procedure$;
