"""Views of the policy: their definitions are expanded, over tables that may be hidden, and mean what
PostgreSQL means by them."""
import copy
import random
import pathlib
import re

import psycopg2
import pytest
from harness import clinic
from harness.pgveil import AMPLE, Pgveil

VIEWS = """
CREATE VIEW adults AS SELECT id AS person, age, sex, upper(city) AS place FROM patients WHERE age >= 18;
CREATE VIEW paid(number, patient, price, chapter) AS
    SELECT v.id, v.patient_id, v.cost, c.chapter FROM visits v LEFT JOIN icd_codes c USING (code)
    WHERE v.cost > 10;
CREATE VIEW adult_visits AS
    SELECT a.*, p.price, p.chapter FROM adults a JOIN paid p ON p.patient = a.person;
CREATE VIEW by_sex AS SELECT sex, count(*) AS people, avg(age) AS mean FROM patients GROUP BY sex;
CREATE VIEW grown AS WITH q AS (SELECT sex, count(*) AS n FROM patients WHERE age > 60 GROUP BY sex)
    SELECT * FROM q;
CREATE VIEW chapters AS SELECT DISTINCT chapter FROM icd_codes;
CREATE VIEW frequent AS SELECT patient_id, count(*) AS n, avg(minutes) AS mean, to_char(now(), 'YYYY')
    AS read_in FROM visits v WHERE EXISTS (SELECT 1 FROM patients p WHERE p.id = v.patient_id AND
    p.insured) GROUP BY patient_id HAVING count(*) > 2;
CREATE VIEW thrice AS SELECT id, generate_series(1, 3) AS n FROM patients;
CREATE SCHEMA "My Views";
CREATE VIEW "My Views"."The Young" AS
    SELECT id AS "The Id", age FROM patients WHERE age < 18 AND sex = 'f'::text;
"""

QUESTIONS = [
    "SELECT count(*), avg(age) FROM adults",
    "SELECT count(*) FROM public.adults WHERE public.adults.age > 40",
    "SELECT a.sex, sum(a.age) FROM adults a GROUP BY a.sex ORDER BY 1",
    "SELECT adults.sex, count(DISTINCT adults.person) FROM adults GROUP BY adults.sex ORDER BY 1",
    "SELECT chapter, count(*), sum(price) FROM paid GROUP BY chapter HAVING count(*) > 60 ORDER BY 1",
    "SELECT x.c FROM (SELECT sum(p) AS c FROM paid AS paid(n, o, p, q)) x",
    "SELECT sex, avg(price) FROM adult_visits GROUP BY sex ORDER BY sex",
    "SELECT count(*) FROM adult_visits v JOIN patients p ON p.id = v.person WHERE p.insured",
    "SELECT count(*) FROM patients p LEFT JOIN paid ON paid.patient = p.id",
    "SELECT * FROM by_sex ORDER BY sex",
    "SELECT sum(people) FROM by_sex",
    "SELECT b.sex, b.people, g.n FROM by_sex b JOIN grown g ON g.sex = b.sex ORDER BY 1",
    "WITH a AS (SELECT age FROM adults WHERE sex = 'f') SELECT count(*), avg(age) FROM a",
    "WITH adults AS (SELECT 1 AS one) SELECT count(*) FROM adults",
    "SELECT (SELECT count(*) FROM adults) - (SELECT count(*) FROM paid)",
    "SELECT sex, count(*) FROM patients p WHERE EXISTS (SELECT 1 FROM paid WHERE paid.patient = p.id) "
    "AND id IN (SELECT person FROM adults) GROUP BY sex ORDER BY 1",
    "SELECT count(*), sum(n), count(mean) FROM frequent",
    "SELECT * FROM chapters ORDER BY 1",
    'SELECT count(*), sum(t.age) FROM "My Views"."The Young" t WHERE t."The Id" < 400',
    "SELECT count(*) FROM adults WHERE false",
    "SELECT person, place FROM adults LIMIT 0",
    "SELECT * FROM clinic.public.by_sex ORDER BY 1",
]


@pytest.fixture(scope="module")
def served(protected):
    protected.query("postgres", "CREATE DATABASE clinic_views")
    connection = protected.connect("clinic_views")
    with connection.cursor() as cursor:
        clinic.create(cursor, random.Random(20260101))
    connection.close()
    protected.query("clinic_views", "DELETE FROM visits WHERE patient_id IS NULL")
    protected.query("clinic_views", VIEWS)
    protected.query("clinic_views", "REVOKE ALL ON ALL TABLES IN SCHEMA public FROM pgveil_reader; "
                                    "GRANT SELECT ON patients, visits, icd_codes TO pgveil_reader")
    policy = copy.deepcopy(clinic.POLICY)
    for name in ("adults", "paid", "adult_visits", "by_sex", "grown", "chapters", "frequent",
                 "thrice"):
        policy["tables"][f"public.{name}"] = {"view": True}
    policy["tables"]['"My Views"."The Young"'] = {"view": True}
    return policy


def running(protected, policy, program):
    pgveil = Pgveil(protected, program=program, datasets=("clinic_views",),
                    policies={"clinic_views": policy})
    try:
        pgveil.start()
        yield pgveil
        assert pgveil.end() == 0, pgveil.log_text()[-5000:]
    finally:
        pgveil.stop()


@pytest.fixture(scope="module")
def exact(protected, served):
    yield from running(protected, served, "tests/pgveil-zero-noise")


@pytest.fixture(scope="module")
def hidden(protected, served):
    """The same with the tables hidden from analysts."""
    policy = copy.deepcopy(served)
    for name in ("patients", "visits"):
        policy["tables"][f"public.{name}"]["hidden"] = True
    yield from running(protected, policy, "tests/pgveil-zero-noise")


def rows_of(connection, sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall(), [(c.name, c.type_code) for c in cursor.description]


def ask(pgveil, sql):
    analyst = pgveil.analyst(grants={"clinic_views": AMPLE})
    connection = analyst.connect("clinic_views")
    try:
        return rows_of(connection, sql)
    finally:
        connection.close()


@pytest.mark.parametrize("sql", QUESTIONS)
def test_a_view_means_what_postgresql_means(exact, protected, sql):
    sql = sql.replace("clinic.", "clinic_views.")
    direct = protected.connect("clinic_views")
    expected = rows_of(direct, sql)
    direct.close()
    answer = ask(exact, sql)
    assert answer[1] == expected[1]
    assert [[round(float(v), 6) if isinstance(v, float) else v for v in row] for row in answer[0]] \
        == [[round(float(v), 6) if isinstance(v, float) else v for v in row] for row in expected[0]]


def test_hidden_tables_are_read_through_a_view_and_not_by_name(hidden, protected):
    direct = protected.connect("clinic_views")
    for sql in ("SELECT count(*) FROM adults", "SELECT sex, avg(price) FROM adult_visits "
                                               "GROUP BY sex ORDER BY sex"):
        assert ask(hidden, sql) == rows_of(direct, sql)
    direct.close()
    for sql in ("SELECT count(*) FROM patients", "SELECT count(*) FROM public.patients",
                "DECLARE c CURSOR WITH HOLD FOR SELECT count(*) FROM public.patients",
                "COPY (SELECT count(*) FROM public.patients) TO STDOUT",
                'COPY (SELECT count(*) FROM "definition of a view".public.patients) TO STDOUT',
                'DECLARE c CURSOR WITH HOLD FOR SELECT count(*) '
                'FROM "definition of a view".public.patients',
                "SELECT count(*) FROM patients JOIN adults ON person = id",
                "WITH a AS (SELECT * FROM adults) SELECT count(*) FROM a JOIN patients ON true"):
        with pytest.raises(psycopg2.Error) as error:
            ask(hidden, sql)
        assert error.value.pgcode in ("42P01", "0A000"), (sql, error.value)


@pytest.mark.parametrize("sql, sqlstate", [
    ("SELECT * FROM adults", "42501"),
    ("SELECT person FROM adults ORDER BY 1 LIMIT 1", "42501"),
    ("SELECT count(*) FROM adults TABLESAMPLE system (10)", "0A000"),
    ("CREATE TEMP VIEW v AS SELECT * FROM adults", "42501"),
    ("DELETE FROM adults", "42501"),
    ("SELECT count(nothing) FROM adults", "42703"),
    ("SELECT count(*) FROM thrice", "0A000"),
])
def test_what_a_view_does_not_allow_is_refused(exact, sql, sqlstate):
    with pytest.raises(psycopg2.Error) as error:
        ask(exact, sql)
    assert error.value.pgcode == sqlstate, error.value


@pytest.mark.parametrize("definition, entry, says", [
    ("SELECT relname FROM pg_class, secrets", {"view": True}, "pg_class, which is not in the policy"),
    ("SELECT id FROM patients", {"public": True}, "is not an ordinary or partitioned table"),
])
def test_a_view_that_does_not_fit_the_policy_is_an_error_of_the_policy(protected, served, definition,
                                                                      entry, says):
    protected.query("clinic_views", "CREATE TABLE IF NOT EXISTS secrets (a int)")
    protected.query("clinic_views", f"CREATE OR REPLACE VIEW unfit AS {definition}")
    policy = copy.deepcopy(served)
    policy["tables"]["public.unfit"] = entry
    pgveil = Pgveil(protected, datasets=("clinic_views",), policies={"clinic_views": policy})
    try:
        with pytest.raises(RuntimeError):
            pgveil.start()
        assert says in pgveil.log_text()
    finally:
        pgveil.stop()
        protected.query("clinic_views", "DROP VIEW unfit")


def test_the_functions_of_columns_that_nobody_asks_for_make_one_value(protected):
    """The list of parser/derived.c: none of them returns a set or is an aggregate."""
    source = (pathlib.Path(__file__).parents[2] / "parser/derived.c").read_text()
    names = re.findall(r'"(\w+)"', re.search(r"row_functions\[\] = {(.*?)};", source, re.S)[1])
    rows = protected.query("postgres", "SELECT proname, bool_or(proretset OR prokind <> 'f') FROM"
                           " pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace GROUP BY 1")
    several = dict(rows)
    assert len(names) > 50 and [name for name in names if several.get(name)] == []
