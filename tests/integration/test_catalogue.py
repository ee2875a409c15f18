"""What tools ask before a person asks anything: psql's backslash commands, completion, drivers."""
import subprocess

import psycopg2
import pytest
from harness import processes, raw_protocol as raw
from harness.pgveil import AMPLE


def psql(analyst, command, dataset="clinic"):
    out, err = analyst.psql(dataset, command + "\n")
    assert "ERROR" not in err, err
    return out


def test_tables_of_the_policy_are_listed_and_nothing_else(analyst):
    out = psql(analyst, "\\dt")
    for table in ("patients", "visits", "icd_codes"):
        assert table in out
    assert "(3 rows)" in out


def test_a_table_is_described_with_its_columns_types_and_keys(analyst):
    out = psql(analyst, "\\d visits")
    for piece in ("patient_id | integer", "cost       | numeric(10,2)", "Ward No    | smallint",
                  "note       | character varying(40)", "arrived    | timestamp without time zone"):
        assert piece in out, out
    out = psql(analyst, "\\d people", "census")
    assert "people_pkey" in out and "PRIMARY KEY" in out, out


def test_tables_say_whether_their_rows_can_be_read(analyst):
    lines = {line.split("|")[1].strip(): line for line in psql(analyst, "\\dt+", "census").splitlines()
             if line.count("|") > 5}
    assert "public" in lines["regions"].rsplit("|", 1)[1]
    assert "private" in lines["people"].rsplit("|", 1)[1]


def test_comments_of_the_protected_database_are_not_copied(analyst):
    """They could carry something of the data."""
    assert "dollars per week" not in psql(analyst, "\\d+ people", "census")


@pytest.mark.parametrize("command", ["\\l", "\\l+", "\\dn", "\\dn+", "\\df", "\\dv", "\\di", "\\ds",
                                     "\\dT", "\\du", "\\dp", "\\d", "\\d+", "\\dt *.*", "\\do", "\\dC",
                                     "\\dD", "\\dy", "\\dx", "\\conninfo", "\\encoding", "\\da", "\\db",
                                     "\\dm", "\\dE", "\\sf lower(text)", "\\df dp.*", "\\dt dp.*",
                                     "\\dv dp.*"])
def test_psqls_commands_work(analyst, command):
    psql(analyst, command)


def test_the_datasets_are_listed_as_databases(analyst):
    out = psql(analyst, "\\l")
    assert "clinic" in out and "census" in out


def test_the_dp_schema_describes_the_policy(analyst):
    rows = analyst.rows("clinic", "SELECT * FROM dp.columns")
    text = str(rows)
    for piece in ("patients", "visits", "cost", "5000", "2026-12-31", "A00"):
        assert piece in text, text
    assert "secret" not in text


def test_completion_finds_tables_and_columns(analyst):
    """The statements that psql 15 sends for `SELECT * FROM pat<Tab>` and `WHERE a<Tab>`."""
    tables = analyst.rows("clinic", """
        SELECT c.relname, NULL::pg_catalog.text FROM pg_catalog.pg_class c
        WHERE c.relkind IN ('r', 'S', 'v', 'm', 'f', 'p') AND (c.relname) LIKE 'pat%%'
          AND pg_catalog.pg_table_is_visible(c.oid)
          AND c.relnamespace <> (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = 'pg_catalog')
        UNION ALL
        SELECT NULL::pg_catalog.text, n.nspname FROM pg_catalog.pg_namespace n
        WHERE n.nspname LIKE 'pat%%' AND n.nspname NOT LIKE E'pg\\\\_%%' LIMIT 1000""".replace("%%", "%"))
    assert ("patients", None) in tables
    columns = analyst.rows("clinic", """
        SELECT DISTINCT a.attname, NULL::pg_catalog.text
        FROM pg_catalog.pg_attribute a, pg_catalog.pg_class c
        WHERE c.oid = a.attrelid AND a.attnum > 0 AND NOT a.attisdropped
          AND (c.relname) = 'patients' AND pg_catalog.pg_table_is_visible(c.oid)""")
    assert {name for name, _ in columns} == {"id", "age", "sex", "city", "weight", "insured"}


def test_tab_completion_in_a_terminal(analyst):
    """psql itself, on a terminal, completes a table's name."""
    processes.skip_without_terminals()
    script = ("import os,pty,sys,time\n"
              "pid, fd = pty.fork()\n"
              "if pid == 0: os.execvp('psql', ['psql', '-X', sys.argv[1]])\n"
              "import select\n"
              "def read(t):\n"
              "    out = b''\n"
              "    while select.select([fd], [], [], t)[0]:\n"
              "        try: piece = os.read(fd, 4096)\n"
              "        except OSError: break\n"
              "        if not piece: break\n"
              "        out += piece\n"
              "    return out\n"
              "read(2)\n"
              "os.write(fd, b'SELECT count(*) FROM pati\\t')\n"
              "print(read(2).decode())\n"
              "os.write(fd, b'\\x15\\\\q\\n')\n"
              "read(1)\n")
    result = subprocess.run(["/usr/bin/python3", "-c", script, analyst.conninfo("clinic")],
                            capture_output=True, text=True, timeout=60, check=False,
                            env={**processes.environment(), "TERM": "dumb", "HOME": "/nonexistent"})
    assert "patients" in result.stdout, result.stdout + result.stderr


def test_statistics_say_nothing_of_the_data(analyst):
    for sql in ("SELECT reltuples FROM pg_class WHERE relname = 'patients' AND reltuples > 0",
                "SELECT * FROM pg_stats WHERE tablename = 'patients'",
                "SELECT 1 FROM pg_class WHERE relname = 'patients' AND "
                "pg_relation_size(oid) > 0",
                "SELECT 1 FROM pg_stat_user_tables WHERE relname = 'patients' AND n_live_tup > 0"):
        try:
            assert analyst.rows("clinic", sql) == [], sql
        except psycopg2.Error as error:
            assert error.pgcode in ("42501", "0A000"), error


def test_public_rows_are_readable_and_private_ones_are_not_there(analyst):
    assert analyst.rows("census", "SELECT count(*) FROM regions") == [(4,)]
    assert len(analyst.rows("clinic", "SELECT * FROM icd_codes ORDER BY code")) == 5
    assert analyst.rows("clinic", "SELECT * FROM patients LIMIT 0") == []
    assert analyst.rows("clinic", "SELECT id, age FROM patients WHERE false") == []
    assert analyst.rows("clinic", "SELECT * FROM patients WHERE 1 = 0") == []


def test_probes_cost_nothing(pgveil):
    analyst = pgveil.analyst(grants={"clinic": ("1", "1e-6")})
    analyst.rows("clinic", "SELECT count(*) FROM patients LIMIT 0")
    analyst.rows("clinic", "SELECT city, avg(age) FROM patients WHERE 1 = 0 GROUP BY city")
    with analyst.connect3("clinic") as connection:
        connection.pgconn.prepare(b"s", b"SELECT sex, count(*) FROM patients GROUP BY sex")
        described = connection.pgconn.describe_prepared(b"s")
        assert [described.ftype(0), described.ftype(1)] == [25, 20]
    assert analyst.rows("clinic", "SELECT * FROM dp.history") == []


def test_one_analyst_does_not_see_another(pgveil, analyst):
    other = pgveil.analyst(grants={"clinic": AMPLE})
    connection = other.connect("clinic")
    with connection.cursor() as cursor:
        cursor.execute("SET application_name = 'something personal'")
        cursor.execute("CREATE TEMP TABLE mine (a int)")
    for sql in ("SELECT query, application_name FROM pg_stat_activity",
                "SELECT * FROM pg_stat_get_activity(NULL)"):
        try:
            assert "personal" not in str(analyst.rows("clinic", sql))
        except psycopg2.Error as error:
            assert error.pgcode == "42501"
    connection.close()


def test_a_view_or_function_of_ones_own_gives_no_silent_zero(analyst):
    connection = analyst.connect("clinic")
    with connection.cursor() as cursor:
        with pytest.raises(psycopg2.Error):
            cursor.execute("CREATE TEMP VIEW v AS SELECT * FROM patients")
            cursor.execute("SELECT count(*) FROM v")
    connection.close()


def test_errors_of_the_twin_pass_unchanged(analyst):
    session = raw.log_in(analyst, "clinic")
    error = session.error(raw.query("SELEC 1"))
    assert (error["C"], error["P"]) == ("42601", "1")
    error = session.error(raw.query("SELECT nosuch FROM icd_codes"))
    assert (error["C"], error["P"]) == ("42703", "8")
