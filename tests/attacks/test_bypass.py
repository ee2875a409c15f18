"""Parameters and ways round the classifier (4.1, 4.7, R10 to R12)."""
import time

import psycopg2
import pytest
from harness import raw_protocol as raw
from harness.money import journal

COUNT = "SELECT count(*) FROM people"


@pytest.mark.parametrize("setting", ["dp.epsilon", "dp.delta"])
@pytest.mark.parametrize("value", [
    "1e20", "NaN", "nan", "inf", "Infinity", "-1", "0", "-0", "1e-320", "1e999999999", "1e-999999999",
    "0x10", "1,5", "1e", "--1", "9" * 400, "0." + "0" * 400 + "1", "1 or 1", "\u0661", "1e-20"])
def test_a_privacy_parameter_out_of_range_is_refused(analyst, setting, value):
    """P1, T10: before anything is charged, with the accepted range."""
    connection = analyst.connect("with_bob")
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT set_config('{setting}', %s, false)", (value,))
        try:
            cursor.execute("SELECT zip, count(*) FROM people GROUP BY zip")
            raise AssertionError(f"{setting} = {value} was accepted")
        except psycopg2.Error as error:
            assert error.diag.sqlstate == "22023" and error.diag.message_hint, error
    assert connection.notices == []
    connection.close()


def test_an_empty_parameter_is_the_default(analyst):
    """P1."""
    assert len(analyst.rows("with_bob", COUNT, settings={"dp.epsilon": "", "dp.mechanism": ""})) == 1


def test_the_analysts_randomness_has_no_effect(analyst):
    """P2, N6: the same seed, the same statement, another draw each time."""
    connection = analyst.connect("with_bob")
    with connection.cursor() as cursor:
        cursor.execute("SET dp.epsilon = '0.01'")
        cursor.execute("SET dp.reuse = 'off'")
        seen = set()
        for _ in range(6):
            cursor.execute("SELECT setseed(0.5)")
            cursor.execute("SET seed = 0.5")
            cursor.execute(COUNT)
            seen.add(cursor.fetchone()[0])
    connection.close()
    assert len(seen) > 3


@pytest.mark.parametrize("text", [
    "SELECT count(*) FROM pe/**/ople", 'SELECT count(*) FROM U&"\\0070eople"', 'SELECT count(*) FROM "people"',
    "SELECT count(*) FROM public . people", "SELECT count(*) FROM ONLY people", "TABLE people",
    "SELECT count(*) FROM people*", "SELECT /* FROM zones */ count(*) FROM people -- zones",
    "WITH zones AS (TABLE people) SELECT * FROM zones", "SELECT (TABLE people LIMIT 1)",
    "WITH people AS (SELECT * FROM people) SELECT count(*) FROM people",
    "SELECT * FROM zones WHERE zip IN (SELECT zip FROM people)",
    "SELECT count(*) FROM zones, LATERAL (SELECT * FROM people) x",
    "SELECT (SELECT p FROM people p LIMIT 1)", "VALUES ((SELECT max(name) FROM people))",
    "SELECT people.* FROM people", "SELECT row_to_json(p) FROM people p",
    "SELECT count(p.*) FROM people p", "SELECT count(p) FROM people p",
    "SELECT 1 FROM people", "SELECT zip FROM people ORDER BY count(*)",
    "SELECT count(*) OVER () FROM people", "SELECT max(name) OVER (PARTITION BY zip) FROM people",
    "SELECT name FROM people FETCH FIRST ROW ONLY", "SELECT name FROM people FOR UPDATE",
    "SELECT * FROM people UNION SELECT * FROM people", "SELECT zip FROM zones EXCEPT SELECT zip FROM people"])
def test_odd_spellings_reach_no_row(pair, text):
    """P6, G4, S10: what is answered is noisy and charged; the rest is refused."""
    for seen in pair.run(text):
        if seen.error:
            assert seen.sqlstate in ("42501", "0A000", "42P01", "42803", "42601"), (text, seen.error)
        elif "ONLY" not in text:
            assert any("cost" in notice for notice in seen.notices), (text, seen.rows)
        assert "name 1" not in str(seen.rows) and "Bob" not in str(seen.rows)


@pytest.mark.parametrize("text", [
    "SELECT pg_read_file('/etc/passwd')", "SELECT lo_import('/etc/passwd')", "SELECT lo_creat(-1)",
    "SELECT * FROM dblink('', 'SELECT 1') AS x(a int)", "COPY people TO STDOUT", "COPY people FROM STDIN",
    "COPY (SELECT name FROM people) TO STDOUT", "COPY (SELECT 1) TO PROGRAM 'true'",
    "COPY (SELECT 1) TO '/tmp/x'", "DO $$ BEGIN PERFORM 1; END $$", "CALL f()",
    "CREATE TABLE x AS SELECT name FROM people", "CREATE TEMP TABLE x AS SELECT name FROM people",
    "SELECT name INTO TEMP x FROM people", "CREATE TABLE public.x (a int)", "LISTEN x", "NOTIFY x",
    "LOCK TABLE people", "CREATE VIEW v AS SELECT * FROM people", "CREATE TEMP VIEW v AS SELECT * FROM people",
    "CREATE FUNCTION sum(integer) RETURNS integer LANGUAGE sql AS 'SELECT 1'", "CREATE SCHEMA evil",
    "CREATE RULE r AS ON SELECT TO zones DO INSTEAD SELECT * FROM people", "CREATE MATERIALIZED VIEW m AS TABLE people",
    "ALTER TABLE people DISABLE ROW LEVEL SECURITY", "DROP POLICY x ON people", "ALTER ROLE CURRENT_USER PASSWORD 'x'",
    "ALTER SYSTEM SET fsync = off", "ALTER DATABASE with_bob SET work_mem = '1GB'", "CREATE EXTENSION dblink",
    "CREATE ROLE evil", "GRANT pgveil_admin TO CURRENT_USER", "SET ROLE pgveil_admin",
    "SET SESSION AUTHORIZATION pgveil_admin", "SET row_security = off; SELECT name FROM people",
    "INSERT INTO zones SELECT zip, name FROM people", "UPDATE zones SET name = (SELECT name FROM people LIMIT 1)",
    "DELETE FROM zones USING people", "MERGE INTO zones USING people ON true WHEN MATCHED THEN DELETE",
    "TRUNCATE people", "CREATE STATISTICS s ON zip, dept FROM people", "VACUUM people",
    "REINDEX TABLE people", "CLUSTER people", "COMMENT ON TABLE people IS 'x'", "PREPARE TRANSACTION 'x'",
    "LOAD 'x'", "CHECKPOINT", "DISCARD people", "EXPLAIN ANALYZE SELECT count(*) FROM people",
    "EXPLAIN (ANALYZE, BUFFERS) SELECT count(*) FROM people", "EXPLAIN (ANALYZE true) SELECT name FROM people",
    "PREPARE p AS SELECT name FROM people", "DECLARE c CURSOR FOR SELECT name FROM people",
    "CREATE TEMP TABLE x AS EXECUTE p", "CREATE TEMP TABLE x (LIKE people INCLUDING ALL); SELECT 1 / 0",
    "CREATE INDEX ON people (name)", "CREATE TYPE pg_temp.text AS (a int)",
    "SELECT query_to_xml('SELECT name FROM people', true, true, '')",
    "SELECT table_to_xml('people', true, true, '')", "SELECT ts_stat('SELECT name FROM people')",
    "SELECT pg_advisory_lock(1)", "SELECT pg_notify('a', 'b')", "SELECT pg_terminate_backend(pg_backend_pid())",
    "SELECT pg_export_snapshot()", "SELECT txid_current()", "SELECT pg_current_wal_lsn()",
    "SELECT pg_ls_dir('.')", "SELECT pg_stat_file('base')", "SELECT pg_reload_conf()",
    "SELECT set_config('role', 'pgveil_admin', false)", "SELECT set_config('session_authorization', 'pgveil_admin', false)",
    "SELECT rolpassword FROM pg_authid", "SELECT query FROM pg_stat_activity", "SELECT * FROM pg_locks",
    "SELECT * FROM pg_stat_database", "SELECT * FROM pg_stat_wal", "SELECT * FROM pg_stat_get_activity(NULL)",
    "SELECT stavalues1 FROM pg_statistic", "SELECT * FROM pg_hba_file_rules", "SELECT * FROM pg_largeobject",
    "SELECT currval('pg_catalog.x')", "SELECT pg_database_size('postgres'), 1 / 0",
    "SELECT dp.private_rows('x')", "SELECT pg_promote()"])
def test_what_is_not_allowed_fails_alike_on_both(pair, text):
    """P7, P8, E7, T5, 4.7, R10."""
    with_bob, without = pair.run(text)
    assert with_bob.error and without.error, (text, with_bob.rows)
    assert with_bob.error == without.error
    assert with_bob.sqlstate not in ("58000", "XX000")
    assert not any("cost" in notice for notice in with_bob.notices + without.notices)


CATALOGUE = [
    "SELECT relname, reltuples, relpages, relkind FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1",
    "SELECT tablename, attname, n_distinct, most_common_vals::text, histogram_bounds::text, correlation FROM pg_stats"
    " WHERE schemaname = 'public' ORDER BY 1, 2",
    "SELECT relname, n_live_tup, n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_user_tables ORDER BY 1",
    "SELECT pg_relation_size('people'), pg_total_relation_size('people'), pg_table_size('visits')",
    "SELECT * FROM pg_sequences", "SELECT * FROM pg_stats_ext",
    "SELECT table_name, column_name, data_type, column_default FROM information_schema.columns"
    " WHERE table_schema = 'public' ORDER BY 1, 2",
    "SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint"
    " WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2",
    "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index"
    " WHERE indrelid::regclass::text IN ('people', 'visits', 'parent') ORDER BY 1",
    "SELECT description FROM pg_description d JOIN pg_class c ON c.oid = d.objoid"
    " WHERE relnamespace = 'public'::regnamespace ORDER BY 1",
    "SELECT enumlabel FROM pg_enum ORDER BY 1", "SELECT * FROM dp.columns ORDER BY 1, 2, 3",
    "SELECT inhrelid::regclass, inhparent::regclass FROM pg_inherits", "SELECT * FROM people LIMIT 0",
    "SELECT * FROM people WHERE false", "SELECT * FROM people WHERE 1 = 0", "SELECT name FROM people WHERE 1 <> 1",
    "EXPLAIN (COSTS off) SELECT * FROM zones", "SHOW server_version",
]


@pytest.mark.parametrize("text", CATALOGUE)
def test_the_catalogue_is_the_same_with_and_without_a_person(pair, text):
    """4.7, G5's probes: nothing of the rows, and no charge."""
    with_bob, without = pair.run(text)
    assert with_bob.error is None and without.error is None, (with_bob.error, without.error)
    assert with_bob.rows == without.rows and with_bob.status == without.status
    assert not with_bob.notices and "Bob" not in str(with_bob.rows)


@pytest.mark.parametrize("text", [
    "SELECT count(*) FROM people WHERE id = 77", "SELECT sum(salary), avg(salary) FROM people WHERE id = 77",
    "SELECT count(*) FROM people WHERE id < 0", "SELECT avg(f8) FROM people WHERE name = 'Bob'",
    "SELECT zip, count(*) FROM people WHERE id = 77 GROUP BY zip", "SELECT DISTINCT name FROM people",
    "SELECT name, count(*) FROM people GROUP BY name", "SELECT dept, count(*) FROM people WHERE id = 77 GROUP BY dept",
    "SELECT dept FROM people WHERE id = 77 GROUP BY dept HAVING count(*) > -1000",
    "SELECT n, count(*) FROM people WHERE id = 77 GROUP BY n", "SELECT count(*) FROM people WHERE 2 < 1"])
def test_a_single_persons_presence_shows_in_no_shape(pair, text):
    """G1, G5, G6, N7: rows, columns, NULLs, command tag, price."""
    with_bob, without = pair.run(text)
    assert with_bob.without_values() == without.without_values()
    assert "cost" in with_bob.notices[0]
    nulls = [[value is None for value in row] for seen in (with_bob, without) for row in seen.rows]
    assert not any(any(row) for row in nulls)


def test_a_temporary_table_in_front_of_a_private_one_is_the_analysts_own(analyst):
    """P6, R10: names are resolved by the session, and never mixed."""
    connection = analyst.connect("with_bob")
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE people AS SELECT 1 AS id")
        cursor.execute("SELECT count(*) FROM people")
        assert cursor.fetchall() == [(1,)] and not any("cost" in n for n in connection.notices)
        cursor.execute("SELECT count(*) FROM public.people")
        assert any("cost" in n for n in connection.notices)
        cursor.execute("CREATE TEMP TABLE text (a integer); CREATE TEMP TABLE numeric (a integer);"
                       "CREATE TEMP TABLE pg_class (a integer); CREATE TEMP TABLE pg_prepared_statements (name text);"
                       "CREATE TEMP TABLE unnest (a integer); CREATE TEMP TABLE release (a integer)")
        cursor.execute("SELECT zip, count(*), sum(n2) FROM public.people GROUP BY zip")
        cursor.execute("SELECT kind, count(*) FROM public.visits GROUP BY kind")
        assert len(cursor.fetchall()) == 4
        cursor.execute("SET search_path = pg_temp")
        with pytest.raises(psycopg2.Error) as error:
            cursor.execute("SELECT count(*) FROM zones")
        assert error.value.pgcode == "42P01"
        cursor.execute("SELECT count(*) FROM people")
        assert cursor.fetchall() == [(1,)]
    connection.close()


def test_a_table_made_between_parse_and_bind_is_seen(analyst):
    """P6: the same prepared text, twice, with another meaning."""
    with raw.log_in(analyst, "with_bob") as session:
        run = [raw.bind((), "", "s"), raw.describe("P"), raw.execute(), raw.SYNC]
        assert "E" not in session.kinds(raw.parse(COUNT, "s"), raw.SYNC)
        first = session.exchange(*run)
        assert [k for k, _ in first] == list("2TDCZ")
        session.exchange(raw.query("CREATE TEMP TABLE people (id integer)"))
        second = session.exchange(*run)
        assert [b[6:] for k, b in second if k == "D"] == [b"0"], second
        session.exchange(raw.query("DROP TABLE pg_temp.people"))
        third = session.exchange(*run)
        assert [b[6:] for k, b in third if k == "D"] != [b"0"], third


def test_names_of_pgveils_own_statements_are_worth_nothing(fresh_analyst):
    """R10: an analyst who guesses them harms neither answers nor refusals."""
    with raw.log_in(fresh_analyst, "with_bob") as session:
        for name in ("pgveil flight", "pgveil: a statement that does not exist"):
            session.exchange(raw.query(f'PREPARE "{name}" AS SELECT 1'))
        assert session.error(raw.query("SELECT name FROM people"))["C"] == "42501"
        assert "D" in session.kinds(raw.query(COUNT))
        assert session.error(raw.parse("SELECT name FROM people"), raw.bind(), raw.execute(),
                             raw.SYNC)["C"] == "42501"
        assert session.error(raw.parse("LOCK TABLE people"), raw.SYNC)["C"] == "42501"
    assert len(journal(fresh_analyst.pgveil, fresh_analyst)) == 1


@pytest.mark.parametrize("encoding, text", [
    ("SJIS", b"SELECT '\x95\x5c' FROM people --'"), ("GBK", b"SELECT '\xbf\x5c' || name FROM people --'"),
    ("BIG5", b"SELECT '\xa5\x5c', name FROM people --'"), ("EUC_JP", b"SELECT '\x8f\xa1' FROM people"),
    ("UTF8", b"SELECT '\xc0\xa7' FROM people"), ("LATIN1", b"SELECT '\xe9', name FROM people")])
def test_no_encoding_hides_a_private_name(analyst, encoding, text):
    """R11."""
    with raw.log_in(analyst, "with_bob") as session:
        assert "E" not in session.kinds(raw.query(f"SET client_encoding = '{encoding}'"))
        replies = session.exchange(raw.framed(b"Q", text + b"\0"))
        assert any(kind == "E" for kind, _ in replies) and not any(kind == "D" for kind, _ in replies)


@pytest.mark.parametrize("setting, text", [
    ("standard_conforming_strings = off", rb"SELECT '\'' ; LISTEN evil; --'"),
    ("client_encoding = 'SJIS'", b"SELECT E'\xe3\x81\x82\\' ; LISTEN evil; --'")])
@pytest.mark.parametrize("extended", [False, True])
def test_a_setting_in_flight_changes_no_reading(analyst, setting, text, extended):
    """R11, P7: a text is one string before the setting and two statements after it, and is sent before
    the setting's reply could be seen."""
    with raw.log_in(analyst, "with_bob") as session:
        first = ([raw.parse(f"SET {setting}"), raw.bind(), raw.execute(), raw.SYNC] if extended
                 else [raw.query(f"SET {setting}")])
        session.send(*first, raw.framed(b"Q", text + b"\0"))
        replies = session.until("Z") + session.until("Z")
        assert b"LISTEN\0" not in [body for kind, body in replies if kind == "C"], replies


def test_startup_options_give_no_power(analyst):
    """P8, R10."""
    for options in ("-c role=pgveil_admin", "-c session_authorization=pgveil_admin", "-c session_preload_libraries=x",
                    "-c log_statement=all", "-c session_replication_role=replica"):
        with pytest.raises(psycopg2.Error):
            analyst.connect("with_bob", options=options).close()
    with pytest.raises(psycopg2.Error):
        analyst.connect("with_bob", replication="database").cursor().execute("IDENTIFY_SYSTEM")
    connection = analyst.connect("with_bob", options="-c dp.epsilon=0.5 -c search_path=pg_temp,public")
    with connection.cursor() as cursor:
        cursor.execute(COUNT)
        assert any("cost" in n for n in connection.notices)
    connection.close()


def test_a_great_parameter_stops_nobody_else(analyst):
    """9, R2: two megabytes of text in a private statement; others are served within seconds."""
    with analyst.connect3("with_bob") as connection:
        begin = time.monotonic()
        connection.execute("SELECT count(*) FROM people WHERE name = %s", ("x" * 2_000_000,))
        assert time.monotonic() - begin < 10


SHAPES = {
    "brackets": lambda n: "SELECT count(*) FROM people WHERE " + "(" * n + "id = 1" + ")" * n,
    "not": lambda n: "SELECT count(*) FROM people WHERE " + "NOT " * n + "b",
    "plus": lambda n: "SELECT sum(" + "+".join(["salary"] * n) + ") FROM people",
    "minus": lambda n: "SELECT sum(" + "- " * n + "salary) FROM people",
    "and": lambda n: "SELECT count(*) FROM people WHERE " + " AND ".join(["b"] * n),
    "case": lambda n: "SELECT count(*) FROM people WHERE " + "CASE WHEN b THEN " * n + "b" + " END" * n,
    "casts": lambda n: "SELECT sum(salary" + "::bigint" * n + ") FROM people",
    "union": lambda n: " UNION ALL ".join(["SELECT count(*) FROM people"] * n),
    "subqueries": lambda n: "SELECT * FROM (" * n + "SELECT count(*) FROM people" + ") x" * n,
    "joins": lambda n: "SELECT count(*) FROM people " + " ".join(f"JOIN people p{i} USING (id)" for i in range(n)),
    "with": lambda n: "WITH " + ", ".join(f"c{i} AS (SELECT count(*) FROM people)" for i in range(n)) + " SELECT 1",
    "in": lambda n: f"SELECT count(*) FROM people WHERE id IN ({','.join(map(str, range(n)))})",
    "columns": lambda n: "SELECT " + ",".join(f"sum(salary + {i})" for i in range(n)) + " FROM people",
    "same": lambda n: "SELECT " + ",".join(["count(*)"] * n) + " FROM people",
    "keys": lambda n: "SELECT count(*) FROM people GROUP BY " + ",".join(f"salary + {i}" for i in range(n)),
    "coalesce": lambda n: "SELECT count(*) FROM people WHERE " + "coalesce(" * n + "b" + ")" * n,
    "arrays": lambda n: "SELECT " + "ARRAY[" * n + "count(*)" + "]" * n + " FROM people",
    "concat": lambda n: "SELECT count(*) FROM people WHERE " + " || ".join(["name"] * n) + " = 'x'",
}


@pytest.mark.parametrize("shape", SHAPES)
def test_no_shape_of_a_statement_ends_the_server(pgveil, analyst, shape):
    """9: refused or answered, and nobody else waits for it."""
    for size in (60, 900, 4000):
        connection = analyst.connect("with_bob")
        begin = time.monotonic()
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET dp.epsilon = '0.01'; SET statement_timeout = '10s'")
                cursor.execute("EXPLAIN " + SHAPES[shape](size))
        except psycopg2.Error as error:
            assert error.pgcode, (shape, size, error)
        finally:
            connection.close()
        assert pgveil.alive() and time.monotonic() - begin < 12, (shape, size, time.monotonic() - begin)


DOUBLING = {
    "with": lambda n: "WITH c0 AS (SELECT id, salary AS s FROM people)" + "".join(
        f", c{i} AS (SELECT id, s + s AS s FROM c{i - 1})" for i in range(1, n)) +
    f" SELECT sum(least(greatest(s, 0), 10)) FROM c{n - 1}",
    "subqueries": lambda n: "SELECT sum(least(greatest(s, 0), 10)) FROM " + "(SELECT id, s + s AS s FROM " * n +
    "(SELECT id, salary AS s FROM people) x0" + "".join(f") x{i}" for i in range(1, n + 1)),
    "joins": lambda n: "WITH c0 AS (SELECT id FROM people)" + "".join(
        f", c{i} AS (SELECT a.id FROM c{i - 1} a JOIN c{i - 1} b ON a.id = b.id)" for i in range(1, n)) +
    f" SELECT count(*) FROM c{n - 1}",
    "stars": lambda n: "WITH c0 AS (SELECT id, salary AS s FROM people)" + "".join(
        f", c{i} AS (SELECT *, c{i - 1}.* FROM c{i - 1})" for i in range(1, n)) + f" SELECT count(*) FROM c{n - 1}",
    "texts": lambda n: "WITH c0 AS (SELECT id, name AS s FROM people)" + "".join(
        f", c{i} AS (SELECT id, s || s AS s FROM c{i - 1})" for i in range(1, n)) +
    f" SELECT s, count(*) FROM c{n - 1} GROUP BY s",
    "conditions": lambda n: "WITH c0 AS (SELECT id, b AS s FROM people)" + "".join(
        f", c{i} AS (SELECT id, s AND s AS s FROM c{i - 1})" for i in range(1, n)) +
    f" SELECT count(*) FROM c{n - 1} WHERE s",
    "releases": lambda n: "WITH c0 AS (SELECT count(*) AS s FROM people)" + "".join(
        f", c{i} AS (SELECT a.s + b.s AS s FROM c{i - 1} a, c{i - 1} b)" for i in range(1, n)) + f" SELECT * FROM c{n - 1}",
}


@pytest.mark.parametrize("shape", DOUBLING)
def test_no_doubling_of_names_ends_the_server(pgveil, analyst, shape):
    """9, R2: every step writes what the step before was twice."""
    for size in (6, 26, 60):
        connection = analyst.connect("with_bob")
        begin = time.monotonic()
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET statement_timeout = '5s'")
                cursor.execute("EXPLAIN " + DOUBLING[shape](size))
        except psycopg2.Error as error:
            assert error.pgcode, (shape, size, error)
        finally:
            connection.close()
        assert pgveil.alive() and time.monotonic() - begin < 10, (shape, size)
