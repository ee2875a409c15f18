-- The ledger: answers that are kept, and who may have them again for nothing (docs/ledger.md).
--
-- A draw is one release, measured once. It belongs to who paid for it, as long as the own account
-- counts that payment. A draw is found only in the epoch in which it was charged, by the time in the
-- journal; the names of epochs are those of windows, and 'hour'.

-- One release of a charge, as the caller prices it.
CREATE TYPE pgveil.release AS (
    mu2 bigint,
    zcdp bigint,
    delta bigint,
    epsilon bigint,   -- NULL: not pure
    fingerprint text, -- NULL: its draw is nobody else's
    measures text     -- the integers of its noise, for the journal
);

-- The row that budget/ledger_answers.c reads; change both together.
CREATE TYPE pgveil.kept AS (
    id bigint,
    release integer,
    measure integer,
    identity text,
    since text,
    mechanism text,
    scale10 integer,
    exp2 integer,
    sensitivity bigint,
    groups bigint,
    m bigint,
    mu2_pico bigint,
    delta_atto bigint,
    epsilon_nano bigint,
    keys_of bigint,
    n_keys integer,
    keys text[],
    noisy numeric[],
    family text,
    fold_keys text[]
);

-- The releases of a charge, from JSON. Where one is not pure, none counts as pure: an account that need
-- not be debited for that one has been, and is not pure either.
CREATE FUNCTION pgveil.releases(p_releases json) RETURNS pgveil.release[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    v_release record;
    v_one pgveil.release;
    v_pure boolean := true;
    v_releases pgveil.release[] := '{}';
BEGIN
    FOR v_release IN
        SELECT r.* FROM json_to_recordset(p_releases)
            AS r(mu2 bigint, delta bigint, epsilon bigint, fingerprint text, measures json)
    LOOP
        IF v_release.mu2 IS NULL OR v_release.mu2 < 0 OR v_release.delta IS NULL
           OR v_release.delta < 0 OR v_release.epsilon < 0 OR v_release.measures IS NULL THEN
            RAISE EXCEPTION 'a release has measures and no negative amount';
        END IF;
        -- A Gaussian's mu2 is its zcdp; for pure DP there is a smaller bound.
        v_releases := v_releases || ROW(v_release.mu2,
            least(v_release.mu2, pgveil.zcdp_of_pure(v_release.epsilon)), v_release.delta,
            v_release.epsilon, v_release.fingerprint, v_release.measures::text)::pgveil.release;
        v_pure := v_pure AND v_release.epsilon IS NOT NULL;
    END LOOP;
    FOR i IN 1 .. cardinality(v_releases) LOOP
        EXIT WHEN v_pure;
        v_one := v_releases[i];
        v_one.epsilon := NULL;
        v_releases[i] := v_one;
    END LOOP;
    RETURN v_releases;
END
$function$;

-- What the releases cost together, and their measures; without those whose places are in p_without.
CREATE FUNCTION pgveil.sum_of(p_releases pgveil.release[], p_without integer[]) RETURNS pgveil.release
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    v_release pgveil.release;
    v_sum pgveil.release := ROW(0, 0, 0, 0, NULL, '')::pgveil.release;
BEGIN
    FOR i IN 1 .. cardinality(p_releases) LOOP
        IF i = ANY (p_without) THEN
            CONTINUE;
        END IF;
        v_release := p_releases[i];
        v_sum.mu2 := v_sum.mu2 + v_release.mu2;
        v_sum.zcdp := v_sum.zcdp + v_release.zcdp;
        v_sum.delta := v_sum.delta + v_release.delta;
        v_sum.epsilon := v_sum.epsilon + v_release.epsilon; -- NULL as soon as one is not pure
        v_sum.measures := v_sum.measures || CASE v_sum.measures WHEN '' THEN '' ELSE ',' END
                          || v_release.measures;
    END LOOP;
    v_sum.measures := '[' || v_sum.measures || ']';
    RETURN v_sum;
END
$function$;

-- What the detail of an adoption says: the release, from 0, the draw, and the charge that paid for the
-- draw first. NULL where it says nothing of the kind.
CREATE FUNCTION pgveil.taken(p_detail text) RETURNS text[]
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT regexp_match(p_detail, '^{"release":([0-9]{1,9}),"draw":([0-9]{1,18}),"of":([0-9]{1,18}),')
$function$;

-- The adoptions of a request: the place of each release, from 1, and the draw that it took over.
CREATE FUNCTION pgveil.adoptions(p_request uuid)
RETURNS TABLE (place integer, draw bigint, fingerprint text, mu2_pico bigint, zcdp_pico bigint)
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $function$
    SELECT (t.number[1])::integer + 1, (t.number[2])::bigint, j.fingerprint, j.mu2_pico,
           j.zcdp_pico
    FROM pgveil.journal j CROSS JOIN LATERAL (SELECT pgveil.taken(j.detail)) t(number)
    WHERE j.request = p_request AND j.kind = 'adoption' ORDER BY j.seq
$function$;

-- Whether the account was debited for the draw, by whomever and on whatever dataset over the same database,
-- and counts that still.
CREATE FUNCTION pgveil.covers(p_account pgveil.account, p_draw pgveil.draw) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    RETURN EXISTS (
        SELECT 1
        FROM (SELECT p_draw.seq UNION SELECT p.seq FROM pgveil.paid p WHERE p.draw = p_draw.id) s(seq)
        JOIN pgveil.journal j ON j.seq = s.seq
        WHERE j.debited && ARRAY(SELECT k.of FROM pgveil.kin k WHERE k.account = p_account.id)
          AND pgveil.counts(p_account, j.seq, j.at));
END
$function$;

-- The places of the draws that there are.
CREATE FUNCTION pgveil.places(p_draws pgveil.draw[]) RETURNS integer[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    v_places integer[] := '{}';
BEGIN
    FOR i IN 1 .. cardinality(p_draws) LOOP
        IF (p_draws[i]).id IS NOT NULL THEN
            v_places := v_places || i;
        END IF;
    END LOOP;
    RETURN v_places;
END
$function$;

-- The places of those draws for which the account, one of p_accounts, need not be debited: it was, and so
-- was its like on every other dataset over the same database (what debits the one counts on the other). An
-- analyst's own account is always debited: the price must not tell what others have asked.
CREATE FUNCTION pgveil.covered(p_account pgveil.account, p_accounts pgveil.account[],
                               p_draws pgveil.draw[])
RETURNS integer[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    v_covered integer[] := '{}';
    v_place integer;
BEGIN
    IF p_account.holder = 'analyst' THEN
        RETURN '{}';
    END IF;
    FOREACH v_place IN ARRAY pgveil.places(p_draws) LOOP
        IF NOT EXISTS (SELECT 1 FROM unnest(p_accounts) a
                       WHERE (a.holder, a.name) = (p_account.holder, p_account.name)
                         AND NOT pgveil.covers(a, p_draws[v_place])) THEN
            v_covered := v_covered || v_place;
        END IF;
    END LOOP;
    RETURN v_covered;
END
$function$;

-- A draw of another analyst that is exactly what the release would be: drawn from the same rows by the
-- same law at the same price, in this epoch and in the present window of the dataset's account, not yet
-- paid for by the analyst, and on no key list that the analyst has not paid for. NULL: there is none.
CREATE FUNCTION pgveil.adoptable(p_release pgveil.release, p_analyst text, p_shared pgveil.account,
                                 p_since timestamptz, p_without pgveil.draw[])
RETURNS pgveil.draw
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    v_draw pgveil.draw;
BEGIN
    SELECT d.* INTO v_draw FROM pgveil.draw d
    WHERE d.dataset = p_shared.dataset AND d.fingerprint = p_release.fingerprint
      AND d.fingerprint <> '' AND d.at >= p_since
      AND (d.mu2_pico, d.delta_atto) = (p_release.mu2, p_release.delta)
      AND d.epsilon_nano IS NOT DISTINCT FROM p_release.epsilon
      AND NOT EXISTS (SELECT 1 FROM unnest(p_without) w WHERE w.id = d.id)
      AND NOT EXISTS (SELECT 1 FROM pgveil.paid p WHERE p.draw = d.id AND p.analyst = p_analyst)
      -- His own, of which he has had his part forgotten.
      AND NOT EXISTS (SELECT 1 FROM pgveil.journal j WHERE j.seq = d.seq AND j.analyst = p_analyst)
      AND NOT EXISTS (
          SELECT 1 FROM pgveil.kept_answer k JOIN pgveil.kept_answer l ON l.id = k.keys_of
          WHERE k.draw = d.id AND l.draw <> d.id
            AND NOT EXISTS (SELECT 1 FROM pgveil.paid p
                            WHERE p.draw = l.draw AND p.analyst = p_analyst))
      AND pgveil.covers(p_shared, d)
    ORDER BY d.id LIMIT 1;
    RETURN v_draw;
END
$function$;

-- For each release the draw that it takes over, or NULL; no draw twice.
CREATE FUNCTION pgveil.adoptable(p_releases pgveil.release[], p_analyst text, p_dataset text,
                                 p_accounts pgveil.account[], p_epoch text, p_at timestamptz)
RETURNS pgveil.draw[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    v_shared pgveil.account;
    v_release pgveil.release;
    v_draws pgveil.draw[] := '{}';
    v_draw pgveil.draw;
BEGIN
    FOREACH v_shared IN ARRAY p_accounts LOOP
        EXIT WHEN v_shared.holder = 'dataset' AND v_shared.dataset = p_dataset;
    END LOOP;
    FOREACH v_release IN ARRAY p_releases LOOP
        v_draw := NULL;
        IF v_shared.holder = 'dataset' AND v_shared.dataset = p_dataset AND EXISTS (
            SELECT 1 FROM pgveil.draw d
            WHERE d.dataset = p_dataset AND d.fingerprint = v_release.fingerprint) THEN
            v_draw := pgveil.adoptable(v_release, p_analyst, v_shared,
                                       pgveil.window_start(p_epoch, p_at), v_draws);
        END IF;
        v_draws := v_draws || v_draw;
    END LOOP;
    RETURN v_draws;
END
$function$;

-- Deletes what an analyst has kept of a dataset beyond the setting kept_bytes_max, the oldest first, but
-- nothing of the request, whose answer is being given. What others have paid for too stays theirs, and counts
-- as theirs. p_bytes: of what has just been added. Not every small draw is followed by a look at all there
-- are: on average one in a sixty-fourth of the bound is.
CREATE FUNCTION pgveil.forget_beyond(p_analyst text, p_dataset text, p_request uuid, p_bytes bigint)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    v_most constant bigint := pgveil.setting('kept_bytes_max', p_dataset);
    v_draws bigint[];
BEGIN
    IF random() * v_most > 64.0 * p_bytes THEN
        RETURN;
    END IF;
    v_draws := ARRAY(
        SELECT o.id FROM (
            SELECT d.id, p.seq, sum(d.bytes) OVER (ORDER BY p.seq DESC, d.id DESC) AS upto
            FROM pgveil.paid p JOIN pgveil.draw d ON d.id = p.draw AND d.dataset = p_dataset
            WHERE p.analyst = p_analyst) o
        WHERE o.upto > v_most AND o.seq < (SELECT j.seq FROM pgveil.journal j
                                           WHERE j.request = p_request AND j.kind = 'charge'));
    IF cardinality(v_draws) = 0 THEN
        RETURN;
    END IF;
    -- Locked before it is asked who else has paid: nobody takes a draw over that is about to go.
    v_draws := ARRAY(SELECT d.id FROM pgveil.draw d WHERE d.id = ANY (v_draws)
                     ORDER BY d.id FOR UPDATE SKIP LOCKED);
    DELETE FROM pgveil.paid p WHERE p.draw = ANY (v_draws) AND p.analyst = p_analyst;
    DELETE FROM pgveil.draw d
    WHERE d.id = ANY (v_draws) AND NOT EXISTS (SELECT 1 FROM pgveil.paid p WHERE p.draw = d.id);
END
$function$;

-- Takes a draw over: the entry in the journal, and whom the draw belongs to from now on. p_accounts: those
-- of the charge. p_head, and what is returned: as pgveil.append has it.
CREATE FUNCTION pgveil.adopt(p_head pgveil.head, p_charge pgveil.journal, p_release pgveil.release,
                             p_place integer, p_draw pgveil.draw, p_accounts pgveil.account[])
RETURNS pgveil.head
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    v_entry pgveil.journal := p_charge;
    v_account pgveil.account;
BEGIN
    v_entry.kind := 'adoption';
    v_entry.debited := '{}';
    FOREACH v_account IN ARRAY p_accounts LOOP
        IF cardinality(pgveil.covered(v_account, p_accounts, ARRAY[p_draw])) = 0 THEN
            v_entry.debited := v_entry.debited || v_account.id;
        END IF;
    END LOOP;
    v_entry.mu2_pico := p_release.mu2;
    v_entry.zcdp_pico := p_release.zcdp;
    v_entry.delta_atto := p_release.delta;
    v_entry.epsilon_nano := p_release.epsilon;
    v_entry.fingerprint := p_release.fingerprint;
    v_entry.detail := format('{"release":%s,"draw":%s,"of":%s,"measures":%s}', p_place - 1,
                             p_draw.id, p_draw.seq, p_release.measures);
    p_head := pgveil.append(p_head, v_entry);
    INSERT INTO pgveil.paid (draw, analyst, seq, at)
    VALUES (p_draw.id, p_charge.analyst, p_head.seq, p_charge.at);
    PERFORM pgveil.forget_beyond(p_charge.analyst, p_charge.dataset, p_charge.request, p_draw.bytes);
    RETURN p_head;
END
$function$;

-- The analyst's account as it is now; NULL where it may not be used: no grant, disabled, or frozen, be it
-- the own account, that of a group or the dataset's.
CREATE FUNCTION pgveil.usable_account(p_analyst text, p_dataset text, p_at timestamptz)
RETURNS pgveil.account
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    v_own pgveil.account;
BEGIN
    SELECT a.* INTO v_own FROM pgveil.account a
    JOIN pgveil.analyst n ON n.name = a.name AND n.enabled
    WHERE a.holder = 'analyst' AND a.name = p_analyst AND a.dataset = p_dataset AND a.granted
      AND NOT EXISTS (
          SELECT 1 FROM pgveil.account f
          WHERE f.dataset = p_dataset AND f.frozen IS NOT NULL
            AND (f.holder = 'dataset' OR f.id = a.id
                 OR f.holder = 'group' AND f.name IN (SELECT m.group_name FROM pgveil.membership m
                                                      WHERE m.analyst = p_analyst)));
    RETURN CASE WHEN FOUND THEN pgveil.rolled(v_own, p_at) END;
END
$function$;

CREATE FUNCTION pgveil.kept_row(p_answer pgveil.kept_answer, p_draw pgveil.draw, p_release integer)
RETURNS pgveil.kept
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    RETURN ROW(p_answer.id, p_release, p_answer.measure, p_answer.identity,
        pgveil.time_text(p_draw.at), p_answer.mechanism, p_answer.scale10, p_answer.exp2,
        p_answer.sensitivity, p_answer.groups, p_answer.m, p_answer.mu2_pico, p_answer.delta_atto,
        p_answer.epsilon_nano, coalesce(p_answer.keys_of, 0), p_answer.n_keys, p_answer.keys,
        p_answer.noisy, p_answer.family, p_answer.fold_keys)::pgveil.kept;
END
$function$;

-- Waits until the analyst's payments for these answers are on disk. A charge that takes a draw over shows
-- before it is; who is told what became of it has waited already.
CREATE FUNCTION pgveil.wait_for_payment(p_analyst text, p_answers bigint[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    IF EXISTS (
        SELECT 1 FROM pgveil.kept_answer k
        LEFT JOIN pgveil.kept_answer l ON l.id = k.keys_of
        JOIN pgveil.paid p ON p.draw IN (k.draw, l.draw) AND p.analyst = p_analyst
        JOIN pgveil.journal j ON j.seq = p.seq AND j.kind = 'adoption'
        LEFT JOIN pgveil.resolution r ON r.request = j.request
        WHERE k.id = ANY (p_answers) AND r.request IS NULL) THEN
        PERFORM set_config('synchronous_commit', 'on', true);
        PERFORM set_config('client_min_messages', 'warning', true);
        PERFORM pg_logical_emit_message(true, 'pgveil', '');
    END IF;
END
$function$;

-- What the analyst has paid for and may have again, and after it the key lists that it is measured on. Each
-- of p_questions is an identity; or FAMILY:KEY:KEY.., which asks for answers of the family in groups by at
-- least those keys (FAMILY: for any). Of each the most exact ones, no more than p_most; of finer groups
-- those are compared that are added up, as many as there are groups.
CREATE FUNCTION pgveil.kept(p_analyst text, p_dataset text, p_epoch text, p_questions text[],
                            p_most bigint)
RETURNS SETOF pgveil.kept
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    v_at constant timestamptz := pgveil.ledger_time();
    v_since constant timestamptz := pgveil.window_start(p_epoch, v_at);
    v_own constant pgveil.account := pgveil.usable_account(p_analyst, p_dataset, v_at);
    v_usable bigint[];
BEGIN
    IF v_own.id IS NULL THEN
        RETURN;
    END IF;
    v_usable := ARRAY(
        WITH question AS (
            SELECT q.text, string_to_array(q.text, ':') AS parts FROM unnest(p_questions) q(text)
        )
        SELECT f.id FROM question i
        CROSS JOIN LATERAL (
            SELECT k.id FROM pgveil.kept_answer k
            JOIN pgveil.draw d ON d.id = k.draw AND d.dataset = p_dataset AND d.at >= v_since
            JOIN pgveil.paid p ON p.draw = d.id AND p.analyst = p_analyst
            WHERE k.identity = i.text AND pgveil.counts(v_own, p.seq, p.at)
              AND (k.keys_of IS NULL OR EXISTS (
                  SELECT 1 FROM pgveil.kept_answer l
                  JOIN pgveil.draw e ON e.id = l.draw AND e.at >= v_since
                  JOIN pgveil.paid q ON q.draw = e.id AND q.analyst = p_analyst
                  WHERE l.id = k.keys_of AND pgveil.counts(v_own, q.seq, q.at)))
            ORDER BY k.mu2_pico DESC, k.id LIMIT p_most) f
        WHERE cardinality(i.parts) = 1
        UNION
        SELECT f.id FROM question i
        CROSS JOIN LATERAL (
            SELECT k.id FROM pgveil.kept_answer k
            JOIN pgveil.draw d ON d.id = k.draw AND d.dataset = p_dataset AND d.at >= v_since
            JOIN pgveil.paid p ON p.draw = d.id AND p.analyst = p_analyst
            WHERE k.family = i.parts[1] AND k.fold_keys @> array_remove(i.parts[2:], '')
              AND pgveil.counts(v_own, p.seq, p.at)
            ORDER BY k.mu2_pico::double precision / cardinality(k.noisy) DESC, k.id
            LIMIT p_most) f
        WHERE cardinality(i.parts) > 1);
    IF cardinality(v_usable) = 0 THEN
        RETURN;
    END IF;
    PERFORM pgveil.wait_for_payment(p_analyst, v_usable);
    RETURN QUERY
        WITH wanted AS (
            SELECT u.id, true AS asked FROM unnest(v_usable) u(id)
            UNION ALL
            SELECT DISTINCT k.keys_of, false FROM pgveil.kept_answer k
            WHERE k.id = ANY (v_usable) AND k.keys_of <> ALL (v_usable)
        )
        SELECT r.* FROM wanted w JOIN pgveil.kept_answer k ON k.id = w.id
        JOIN pgveil.draw d ON d.id = k.draw
        CROSS JOIN LATERAL pgveil.kept_row(k, d, d.release) r
        ORDER BY w.asked DESC, k.identity, k.mu2_pico DESC, k.id;
END
$function$;

-- The draws that a charge of the analyst took over, and after them the key lists that they are measured on. release is
-- the place in the charge; -1 for those key lists.
CREATE FUNCTION pgveil.adopted(p_request uuid, p_analyst text) RETURNS SETOF pgveil.kept
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $function$
    WITH taken AS MATERIALIZED (
        SELECT k.id, k.keys_of, a.place - 1 AS release
        FROM pgveil.adoptions(p_request) a
        JOIN pgveil.kept_answer k ON k.draw = a.draw
        WHERE EXISTS (SELECT 1 FROM pgveil.journal j WHERE j.request = p_request
                      AND j.kind = 'charge' AND j.analyst = p_analyst)
    ), wanted AS (
        SELECT t.id, t.release FROM taken t
        UNION ALL
        SELECT DISTINCT t.keys_of, -1 FROM taken t
        WHERE t.keys_of IS NOT NULL AND t.keys_of NOT IN (SELECT o.id FROM taken o)
    )
    SELECT r.* FROM wanted w JOIN pgveil.kept_answer k ON k.id = w.id
    JOIN pgveil.draw d ON d.id = k.draw
    CROSS JOIN LATERAL pgveil.kept_row(k, d, w.release) r
    ORDER BY w.release < 0, w.release, k.measure
$function$;

-- Deletes draws that nobody can use any more, some at a time: of an earlier epoch, or (where the epoch
-- does not end) from before the window of every account. An hour is left to whoever is just reading.
CREATE FUNCTION pgveil.forget_expired(p_dataset text, p_epoch text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    v_at constant timestamptz := pgveil.ledger_time();
    v_horizon constant timestamptz := greatest(
        pgveil.window_start(p_epoch, v_at),
        (SELECT min(r.window_starts) FROM pgveil.account a
         CROSS JOIN LATERAL pgveil.rolled(a, v_at) r WHERE a.dataset = p_dataset));
BEGIN
    DELETE FROM pgveil.draw d WHERE d.id IN (
        SELECT e.id FROM pgveil.draw e
        WHERE e.dataset = p_dataset AND e.at < v_horizon - interval '1 hour'
        ORDER BY e.at LIMIT 1000 FOR UPDATE SKIP LOCKED);
END
$function$;

-- Deletes what a charge has surpassed: draws that the analyst alone has paid for, and of which every answer
-- has 32 more exact ones of the same identity (no more than half as many are handed out). So what is asked
-- again and again for a fresh draw does not fill the disk.
CREATE FUNCTION pgveil.forget_surpassed(p_request uuid, p_analyst text, p_dataset text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    v_surpassed bigint[];
    v_draws bigint[];
BEGIN
    v_surpassed := ARRAY(
        SELECT o.id FROM (
            SELECT k.id, row_number() OVER (PARTITION BY k.identity
                                            ORDER BY k.mu2_pico DESC, k.id) AS place
            FROM pgveil.kept_answer k
            JOIN pgveil.draw d ON d.id = k.draw AND d.dataset = p_dataset
            JOIN pgveil.paid p ON p.draw = d.id AND p.analyst = p_analyst
            WHERE k.identity IN (SELECT n.identity FROM pgveil.kept_answer n
                                 JOIN pgveil.draw e ON e.id = n.draw AND e.request = p_request)) o
        WHERE o.place > 32);
    IF cardinality(v_surpassed) = 0 THEN
        RETURN;
    END IF;
    -- Locked before it is asked who else has paid: nobody takes a draw over that is about to go.
    v_draws := ARRAY(
        SELECT d.id FROM pgveil.draw d
        WHERE d.id IN (SELECT k.draw FROM pgveil.kept_answer k WHERE k.id = ANY (v_surpassed))
        ORDER BY d.id FOR UPDATE SKIP LOCKED);
    DELETE FROM pgveil.draw d
    WHERE d.id = ANY (v_draws)
      AND NOT EXISTS (SELECT 1 FROM pgveil.paid p WHERE p.draw = d.id AND p.analyst <> p_analyst)
      AND NOT EXISTS (SELECT 1 FROM pgveil.kept_answer k
                      LEFT JOIN pgveil.kept_answer l ON l.keys_of = k.id AND l.draw <> d.id
                      WHERE k.draw = d.id AND (k.id <> ALL (v_surpassed) OR l.id IS NOT NULL));
END
$function$;

-- Keeps the answers of one release. p_drawn: the charge, in the journal.
CREATE FUNCTION pgveil.keep_release(p_drawn pgveil.journal, p_release integer, p_price pgveil.release,
                                    p_answers json)
RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    v_answer record;
    v_draw bigint;
    v_id bigint;
    v_keys bigint;
    v_bytes bigint := 400; -- about what rows and entries of indexes take, beside their contents
BEGIN
    INSERT INTO pgveil.draw (dataset, fingerprint, request, release, seq, at, mu2_pico, delta_atto,
                             epsilon_nano)
    VALUES (p_drawn.dataset, coalesce(p_price.fingerprint, ''), p_drawn.request, p_release,
            p_drawn.seq, p_drawn.at, p_price.mu2, p_price.delta, p_price.epsilon)
    ON CONFLICT (request, release) DO NOTHING RETURNING id INTO v_draw;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    INSERT INTO pgveil.paid (draw, analyst, seq, at)
    VALUES (v_draw, p_drawn.analyst, p_drawn.seq, p_drawn.at);
    FOR v_answer IN
        SELECT a.* FROM json_to_recordset(p_answers) AS a(measure integer, identity text,
            mechanism text, scale10 integer, exp2 integer, sensitivity bigint, groups bigint,
            m bigint, mu2 bigint, delta bigint, epsilon bigint, keys_of bigint, keys_here boolean,
            n_keys integer, keys text[], noisy numeric[], family text, fold_keys text[])
        ORDER BY a.measure
    LOOP
        IF v_answer.keys_of IS NOT NULL AND NOT EXISTS (
            SELECT 1 FROM pgveil.kept_answer k
            JOIN pgveil.paid p ON p.draw = k.draw AND p.analyst = p_drawn.analyst
            WHERE k.id = v_answer.keys_of AND k.keys IS NOT NULL) THEN
            RAISE EXCEPTION 'the analyst has not paid for the key list %', v_answer.keys_of;
        END IF;
        INSERT INTO pgveil.kept_answer (draw, measure, identity, mechanism, scale10, exp2,
            sensitivity, groups, m, mu2_pico, delta_atto, epsilon_nano, keys_of, n_keys, keys, noisy,
            family, fold_keys)
        VALUES (v_draw, v_answer.measure, v_answer.identity, v_answer.mechanism, v_answer.scale10,
            v_answer.exp2, v_answer.sensitivity, v_answer.groups, v_answer.m, v_answer.mu2,
            v_answer.delta, v_answer.epsilon,
            CASE WHEN v_answer.keys_here THEN v_keys ELSE v_answer.keys_of END, v_answer.n_keys,
            v_answer.keys, v_answer.noisy, v_answer.family, v_answer.fold_keys)
        RETURNING id INTO v_id;
        v_keys := CASE WHEN v_answer.keys IS NOT NULL THEN v_id ELSE v_keys END;
        v_bytes := v_bytes + 600 + coalesce(pg_column_size(v_answer.noisy), 0)
                   + coalesce(pg_column_size(v_answer.keys), 0)
                   + coalesce(pg_column_size(v_answer.fold_keys), 0);
    END LOOP;
    UPDATE pgveil.draw d SET bytes = v_bytes WHERE d.id = v_draw;
    RETURN v_draw;
END
$function$;

-- Keeps what a charge has measured, for who paid. Answers of draws that the charge took over are not
-- kept again. 'kept'; 'known' where it was kept before; 'unknown' where the journal has no such charge of
-- this analyst and dataset. Nobody waits for the disk: what is lost costs the analyst, not the guarantee.
CREATE FUNCTION pgveil.keep(p_request uuid, p_analyst text, p_dataset text, p_epoch text,
                            p_releases json, p_answers json)
RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    v_drawn pgveil.journal;
    v_releases pgveil.release[];
    v_adopted integer[];
    v_sum pgveil.release;
    v_answers record;
    v_draw bigint;
    v_kept boolean := false;
BEGIN
    SELECT j.* INTO v_drawn FROM pgveil.journal j
    WHERE j.request = p_request AND j.kind = 'charge' AND j.analyst = p_analyst
      AND j.dataset = p_dataset;
    IF NOT FOUND THEN
        RETURN 'unknown';
    END IF;
    PERFORM set_config('synchronous_commit', 'off', true);
    v_releases := pgveil.releases(p_releases);
    v_adopted := ARRAY(SELECT a.place FROM pgveil.adoptions(p_request) a);
    v_sum := pgveil.sum_of(v_releases, v_adopted);
    IF v_sum.measures <> v_drawn.detail OR v_sum.mu2 > v_drawn.mu2_pico
       OR v_sum.delta <> v_drawn.delta_atto OR v_sum.epsilon IS DISTINCT FROM v_drawn.epsilon_nano THEN
        RAISE EXCEPTION 'request % was charged with another content', p_request;
    END IF;
    FOR v_answers IN
        SELECT a.* FROM json_to_recordset(p_answers) AS a(release integer, answers json)
    LOOP
        IF v_answers.release NOT BETWEEN 0 AND cardinality(v_releases) - 1
           OR v_answers.release + 1 = ANY (v_adopted) THEN
            RAISE EXCEPTION 'request % has not measured release %', p_request, v_answers.release;
        END IF;
        v_draw := pgveil.keep_release(v_drawn, v_answers.release, v_releases[v_answers.release + 1],
                                      v_answers.answers);
        v_kept := v_kept OR v_draw IS NOT NULL;
    END LOOP;
    PERFORM pgveil.forget_surpassed(p_request, p_analyst, p_dataset);
    PERFORM pgveil.forget_beyond(p_analyst, p_dataset, p_request,
        (SELECT coalesce(sum(d.bytes), 0)::bigint FROM pgveil.draw d WHERE d.request = p_request));
    IF v_draw % 64 = 0 THEN
        PERFORM pgveil.forget_expired(p_dataset, p_epoch);
    END IF;
    RETURN CASE WHEN v_kept THEN 'kept' ELSE 'known' END;
END
$function$;
