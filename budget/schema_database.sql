-- The ledger: datasets over one database. The guarantee of a dataset is about people, and another
-- dataset over the same database asks about the same people: what is spent on either counts on both,
-- analyst by analyst, group by group, and for all together.

-- The dataset and those that were ever served over a database that it was served over.
CREATE FUNCTION pgveil.siblings(p_dataset text) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    RETURN ARRAY(SELECT p_dataset
                 UNION SELECT y.dataset FROM pgveil.dataset_database x
                       JOIN pgveil.dataset_database y ON y.database = x.database
                       WHERE x.dataset = p_dataset);
END
$function$;

-- Notes which database a dataset is served over, by a name that tells it from others, and returns the
-- dataset's siblings. What accounts have spent is counted anew where there is a new one.
CREATE FUNCTION pgveil.serve(p_dataset text, p_database text) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    v_before constant text[] := pgveil.siblings(p_dataset);
    v_siblings text[];
    v_others text;
    v_account pgveil.account;
BEGIN
    PERFORM pgveil.dataset(p_dataset);
    LOCK TABLE pgveil.dataset_database IN EXCLUSIVE MODE;
    INSERT INTO pgveil.dataset_database (dataset, database)
    VALUES (p_dataset, p_database) ON CONFLICT DO NOTHING;
    v_siblings := pgveil.siblings(p_dataset);
    v_others := array_to_string(ARRAY(SELECT u.name FROM unnest(v_siblings) u(name)
                                      WHERE u.name <> p_dataset ORDER BY u.name), ', ');
    IF NOT v_siblings <@ v_before THEN
        -- All locked before any is counted, and the head: no charge is under way then.
        PERFORM 1 FROM pgveil.account a WHERE a.dataset = ANY (v_siblings) ORDER BY a.id FOR UPDATE;
        PERFORM 1 FROM pgveil.head h FOR UPDATE;
        FOR v_account IN SELECT a.* FROM pgveil.account a WHERE a.dataset = ANY (v_siblings) LOOP
            PERFORM pgveil.put_account(pgveil.recounted(
                pgveil.rolled(v_account, pgveil.ledger_time())));
        END LOOP;
        PERFORM pgveil.note('database', '', p_dataset, '{}', 'the same as that of ' || v_others);
    END IF;
    RETURN v_others;
END
$function$;
