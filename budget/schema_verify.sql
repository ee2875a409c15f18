-- The ledger: what `pgveilctl ledger verify` finds. Each function returns a row for each finding, none where
-- all is well; budget/ctl_ledger.c adds the prices, which it recomputes.

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
        (CASE WHEN c.debited <> string_to_array(array_to_string(c.debited, ' '), ' ')::bigint[]
              THEN 'its accounts are not a plain list' END),
        (CASE WHEN c.at < c.at_before THEN 'it is older than the entry before' END),
        (CASE WHEN c.mu2_pico < 0 OR c.zcdp_pico < 0 OR c.delta_atto < 0 OR c.epsilon_nano < 0
              THEN 'it has a negative amount' END)) f(finding)
    WHERE f.finding IS NOT NULL AND c.seq >= p_from
    ORDER BY c.seq
$function$;

-- What is wrong with the entries of kind adoption: each follows a charge of its request, names a charge of
-- another analyst as the draw's, and leaves out no account that was not debited for the draw, and counts
-- that, when the adoption was written. What a window has forgotten since is not looked at.
CREATE FUNCTION pgveil.check_adoptions() RETURNS TABLE (seq bigint, finding text)
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $function$
    WITH adoption AS MATERIALIZED (
        SELECT j.*, t.number[2]::bigint AS draw, t.number[3]::bigint AS drawn_by
        FROM pgveil.journal j CROSS JOIN LATERAL (SELECT pgveil.taken(j.detail)) t(number)
        WHERE j.kind = 'adoption'
    ), paying AS (
        SELECT a.seq, c.debited, c.seq AS charge, d.seq AS first, d.analyst AS other,
               d.debited AS first_debited, d.at AS first_at
        FROM adoption a
        LEFT JOIN pgveil.journal c ON c.request = a.request AND c.kind = 'charge' AND c.seq < a.seq
            AND (c.analyst, c.dataset) = (a.analyst, a.dataset)
        LEFT JOIN pgveil.journal d ON d.seq = a.drawn_by AND d.kind = 'charge' AND d.seq < a.seq
            AND d.dataset = a.dataset AND d.analyst <> a.analyst
    )
    SELECT p.seq, 'it follows no charge of its request' FROM paying p WHERE p.charge IS NULL
    UNION ALL
    SELECT p.seq, 'it takes over a draw that no other analyst was charged for' FROM paying p
    WHERE p.first IS NULL
    UNION ALL
    SELECT a.seq, format('the account %s of %s %s on %s was not debited for it', b.id, b.holder,
                         b.name, b.dataset)
    FROM adoption a JOIN paying p ON p.seq = a.seq
    CROSS JOIN LATERAL unnest(p.debited) u(id)
    JOIN pgveil.account b ON b.id = u.id
    CROSS JOIN LATERAL (SELECT ARRAY(SELECT n.of FROM pgveil.kin n WHERE n.account = b.id) AS "all") k
    WHERE u.id <> ALL (a.debited)
      AND (b.holder = 'analyst' OR pgveil.counts(b, a.seq, a.at)
           AND NOT (coalesce(k."all" && p.first_debited AND pgveil.counts(b, p.first, p.first_at), false)
                    OR EXISTS (SELECT 1 FROM adoption e
                               WHERE e.draw = a.draw AND e.seq < a.seq AND k."all" && e.debited
                                 AND pgveil.counts(b, e.seq, e.at))))
$function$;

-- What of the accounts is not as the DBA's entries in the journal left it: terms, state, and since when
-- charges count, on top of what. Charges debit what they debit; all else changes with an entry alone.
CREATE FUNCTION pgveil.check_accounts() RETURNS TABLE (finding text)
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $function$
    WITH said AS MATERIALIZED (
        SELECT j.debited[1] AS id, j.seq, j.kind, j.analyst AS name, j.dataset,
               split_part(j.detail, ';', 1) AS terms
        FROM pgveil.journal j
        WHERE cardinality(j.debited) = 1 AND j.kind IN (
            'grant', 'cap', 'revoke', 'freeze', 'unfreeze', 'reset', 'enforce', 'release')
        UNION ALL -- a dataset's first cap had no entry of its own once
        SELECT a.id, j.seq, 'cap', '', j.dataset,
               replace(split_part(j.detail, ';', 1), 'analyst: ', 'dataset: ')
        FROM pgveil.journal j
        JOIN pgveil.account a ON a.holder = 'dataset' AND a.dataset = j.dataset
        WHERE j.kind = 'grant' AND j.detail LIKE '%; the same for all analysts together'
        UNION ALL
        SELECT a.id, j.seq, 'revoke', a.name, a.dataset, ''
        FROM pgveil.journal j JOIN pgveil.account a ON a.holder = 'analyst' AND a.name = j.analyst
        WHERE j.kind = 'analyst' AND j.detail = 'removed'
    ), windowed AS ( -- what was spent under no window is spent for good where one begins
        SELECT w.id, max(w.seq) AS seq
        FROM (SELECT s.id, s.seq, s.terms LIKE '%window none' AS none,
                     lag(s.terms LIKE '%window none') OVER (PARTITION BY s.id ORDER BY s.seq) AS none_before
              FROM said s WHERE s.kind IN ('grant', 'cap')) w
        WHERE w.none_before AND NOT w.none GROUP BY w.id
    ), left_as AS (
        SELECT s.id,
               (array_agg(s.terms ORDER BY s.seq DESC) FILTER (WHERE s.kind IN ('grant', 'cap')))[1] AS terms,
               (array_agg(s.name ORDER BY s.seq DESC))[1] AS name,
               (array_agg(s.dataset ORDER BY s.seq DESC))[1] AS dataset,
               (array_agg(s.kind <> 'revoke' ORDER BY s.seq DESC)
                   FILTER (WHERE s.kind IN ('grant', 'cap', 'revoke')))[1] AS granted,
               (array_agg(s.kind <> 'release' ORDER BY s.seq DESC)
                   FILTER (WHERE s.kind IN ('grant', 'cap', 'enforce', 'release')))[1] AS enforced,
               coalesce((array_agg(s.kind = 'freeze' ORDER BY s.seq DESC)
                   FILTER (WHERE s.kind IN ('freeze', 'unfreeze')))[1], false) AS frozen,
               coalesce(max(s.seq) FILTER (WHERE s.kind = 'reset'), 0) AS reset,
               coalesce(min(w.seq), 0) AS windowed
        FROM said s LEFT JOIN windowed w ON w.id = s.id GROUP BY s.id
    ), for_good AS (
        SELECT l.id, sum(j.mu2_pico) AS mu2, sum(j.zcdp_pico) AS zcdp, sum(j.delta_atto) AS delta,
               sum(j.epsilon_nano) AS epsilon, bool_and(j.epsilon_nano IS NOT NULL) AS pure
        FROM pgveil.journal j CROSS JOIN LATERAL unnest(j.debited) d(id)
        JOIN left_as l ON l.id = d.id AND j.seq > l.reset AND j.seq < l.windowed
        WHERE j.kind IN ('charge', 'adoption') GROUP BY l.id
    )
    SELECT format('the account %s of %s %s on %s %s', a.id, a.holder, a.name, a.dataset, f.finding)
    FROM pgveil.account a LEFT JOIN left_as l ON l.id = a.id LEFT JOIN for_good g ON g.id = a.id
    CROSS JOIN LATERAL (SELECT CASE a.cap_mode WHEN 'pure' THEN a.delta_atto
                                    ELSE (a.delta_atto + 9) / 10 END AS aside) m
    CROSS JOIN LATERAL (VALUES
        (CASE WHEN (l.terms, l.name, l.dataset) IS DISTINCT FROM
                   (format('%s: epsilon %s delta %s mode %s cap %s window %s', a.holder,
                           pgveil.decimal_text(a.epsilon_nano, 9), pgveil.decimal_text(a.delta_atto, 18),
                           a.cap_mode, a.cap_pico, a.budget_window), a.name, a.dataset)
                OR (a.delta_conv_atto, a.delta_keys_atto) <> (a.delta_atto - m.aside, m.aside - 1000000)
              THEN 'does not have the terms that the journal says' END),
        (CASE WHEN (l.granted, l.enforced, l.frozen) IS DISTINCT FROM
                   (a.granted, a.enforced, a.frozen IS NOT NULL)
              THEN 'is not in the state that the journal says' END),
        (CASE WHEN a.counted_from <> greatest(l.reset, l.windowed, 1) - 1
                OR a.window_starts > pgveil.window_start(a.budget_window, pgveil.ledger_time())
                OR CASE WHEN l.windowed > l.reset
                        THEN a.mu2_floor_pico < coalesce(g.mu2, 0) OR a.zcdp_floor_pico < coalesce(g.zcdp, 0)
                             OR a.delta_floor_atto < coalesce(g.delta, 0)
                             OR a.epsilon_floor_nano < coalesce(g.epsilon, 0)
                             OR a.floor_pure AND NOT coalesce(g.pure, true)
                        ELSE (a.mu2_floor_pico, a.zcdp_floor_pico, a.delta_floor_atto,
                              a.epsilon_floor_nano, a.floor_pure) <> (0, 0, 0, 0, true) END
              THEN 'forgets what the journal does not' END)) f(finding)
    WHERE f.finding IS NOT NULL
$function$;

-- What is wrong with the answers that are kept: each is of a charge, and whoever may have it has paid by a
-- charge of his own.
CREATE FUNCTION pgveil.check_kept() RETURNS TABLE (finding text)
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $function$
    SELECT format('draw %s is of no charge', d.id)
    FROM pgveil.draw d LEFT JOIN pgveil.journal j ON j.seq = d.seq
    WHERE (j.kind, j.request, j.dataset, j.at) IS DISTINCT FROM ('charge', d.request, d.dataset, d.at)
    UNION ALL
    SELECT format('draw %s is given to %s, who has not paid for it', p.draw, p.analyst)
    FROM pgveil.paid p LEFT JOIN pgveil.draw d ON d.id = p.draw
    LEFT JOIN pgveil.journal j ON j.seq = p.seq
    WHERE (j.analyst, j.dataset, j.at) IS DISTINCT FROM (p.analyst, d.dataset, p.at)
       OR (j.kind = 'charge' AND j.request = d.request
           OR j.kind = 'adoption' AND (pgveil.taken(j.detail))[2] = p.draw::text) IS NOT TRUE
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
        FROM pgveil.journal j CROSS JOIN LATERAL (
            SELECT DISTINCT k.account AS id FROM unnest(j.debited) d(id)
            JOIN pgveil.kin k ON k.of = d.id) u
        JOIN pgveil.account b ON b.id = u.id AND pgveil.counts(b, j.seq, j.at)
        JOIN (SELECT DISTINCT a.dataset, s.name FROM pgveil.account a
              CROSS JOIN LATERAL unnest(pgveil.siblings(a.dataset)) s(name)) n
          ON n.dataset = b.dataset AND n.name = j.dataset
        WHERE j.kind IN ('charge', 'adoption')
        GROUP BY b.id) c ON c.id = a.id
    WHERE (a.mu2_spent_pico, a.zcdp_spent_pico, a.delta_spent_atto, a.epsilon_spent_nano, a.all_pure)
          IS DISTINCT FROM
          (a.mu2_floor_pico + coalesce(c.mu2, 0), a.zcdp_floor_pico + coalesce(c.zcdp, 0),
           a.delta_floor_atto + coalesce(c.delta, 0), a.epsilon_floor_nano + coalesce(c.epsilon, 0),
           a.floor_pure AND coalesce(c.pure, true))
    UNION ALL
    SELECT '', format('the resolution of request %s belongs to no charge', s.request)
    FROM pgveil.resolution s LEFT JOIN pgveil.journal j
        ON j.request = s.request AND j.kind = 'charge'
    WHERE j.request IS NULL
    UNION ALL
    SELECT '', f.finding FROM pgveil.check_accounts() f
    UNION ALL
    SELECT '', f.finding FROM pgveil.check_kept() f
    UNION ALL
    SELECT f.seq::text, f.finding FROM pgveil.check_adoptions() f
    UNION ALL
    SELECT p_head_seq::text, CASE WHEN h.seq < p_head_seq
        THEN 'the journal ends before the head that was noted: this is an older ledger'
        ELSE 'the entry is not the one whose head was noted: this is another ledger' END
    FROM pgveil.head h
    WHERE p_head_seq > 0 AND NOT pgveil.continues(p_head_seq, p_head_hash)
$function$;
