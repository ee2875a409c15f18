"""Bounds that are found: paid for once, used by what is asked afterwards, found again in a new epoch; what
is measured within them; and how far answers are off.

ALPHA is the chance that a right program fails one of the statistical checks."""
import json
import math
import random
from decimal import ROUND_CEILING, Decimal

import psycopg2
import pytest
from harness.money import journal
from harness.pgveil import AMPLE, Pgveil

ALPHA = 1e-6
PEOPLE = 3000
SCHEMA = """
CREATE TABLE people (id integer PRIMARY KEY, income numeric(12,2), balance double precision, age integer,
    town text);
CREATE TABLE payments (person integer, amount numeric(12,2), pieces integer);
CREATE TABLE few (id integer PRIMARY KEY, x integer);
"""
POLICY = {"tables": {
    "public.people": {"unit": "id", "max_rows": 1, "columns": {
        "id": {}, "town": {"domain": ["Aachen", "Bremen"]}, "age": {"bounds": [0, 120]},
        "income": {"bounds": "auto"}, "balance": {"bounds": {"auto": True, "unit": "0.01"}}}},
    "public.payments": {"unit": {"column": "person", "references": "public.people"}, "max_rows": 10,
                        "columns": {"person": {}, "pieces": {"bounds": "auto"},
                                    "amount": {"bounds": {"auto": True, "within": [0, 100000]}}}},
    "public.few": {"unit": {"column": "id", "references": "public.people"}, "max_rows": 1,
                   "columns": {"id": {}, "x": {"bounds": "auto"}}}}}


def fill(connection):
    source = random.Random(7)
    cursor = connection.cursor()
    for person in range(1, PEOPLE + 1):
        cursor.execute("INSERT INTO people VALUES (%s, %s, %s, %s, %s)", (
            person, round(math.exp(source.gauss(8, 1)), 2),
            "NaN" if person == 5 else "Infinity" if person == 6 else source.gauss(0, 1000),
            source.randrange(100), source.choice(["Aachen", "Bremen", "elsewhere", None])))
        for _ in range(source.choice([0, 1, 4])):
            cursor.execute("INSERT INTO payments VALUES (%s, %s, %s)", (
                person, round(source.expovariate(0.01), 2), source.randrange(-2, 9)))
    # Nobody's: they may decide about nothing.
    cursor.execute("INSERT INTO payments SELECT NULL, 99000, 1000000 FROM generate_series(1, 500)")
    cursor.execute("INSERT INTO payments SELECT 1000000 + i, 99000, 1000000 FROM generate_series(1, 500) i")
    cursor.execute("INSERT INTO few SELECT i, 7 FROM generate_series(1, 3) i")
    cursor.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO pgveil_reader")


@pytest.fixture(scope="module")
def incomes(protected):
    protected.query("postgres", "CREATE DATABASE incomes")
    protected.query("incomes", SCHEMA)
    connection = protected.connect("incomes")
    fill(connection)
    connection.close()
    yield protected
    protected.query("postgres", "DROP DATABASE incomes WITH (FORCE)")


def running(protected, program="pgveil", **changes):
    pgveil = Pgveil(protected, program=program, datasets=("incomes",),
                    policies={"incomes": {**POLICY, **changes}})
    try:
        pgveil.start()
        pgveil.analyst("whale", {"incomes": AMPLE})
        yield pgveil
        assert pgveil.alive(), pgveil.log_text()[-5000:]
        assert pgveil.end() == 0, pgveil.log_text()[-5000:]
    finally:
        pgveil.stop()


@pytest.fixture(scope="module")
def server(incomes):
    yield from running(incomes)


@pytest.fixture(scope="module")
def exact(incomes):
    yield from running(incomes, "tests/pgveil-zero-noise")


@pytest.fixture
def analyst(server):
    return server.analyst(grants={"incomes": AMPLE})


def explained(analyst, sql, settings=None):
    answer = analyst.rows("incomes", f"EXPLAIN (FORMAT JSON) {sql}", settings=settings)[0][0]
    return (json.loads(answer) if isinstance(answer, str) else answer)[0]["Plan"]


def bounds(analyst, sql, average=False):
    """Low and high of the one column of the statement; they must be known."""
    found, = explained(analyst, sql)["Automatic Bounds"]
    assert found["Found"], found
    names = ("Low of Averages", "High of Averages") if average else ("Low", "High")
    return tuple(Decimal(found[name]) for name in names)


def charges(analyst):
    """What each charge paid for: the kinds of measures, release by release."""
    rows = analyst.pgveil.ledger(f"SELECT detail FROM pgveil.journal WHERE kind = 'charge' AND analyst = "
                                 f"'{analyst.name}' ORDER BY seq")
    return [[[measure["measure"] for measure in release] for release in json.loads(row[0])] for row in rows]


def query(protected, sql):
    return protected.query("incomes", sql)


# --- who pays for what ---------------------------------------------------------------------------------

def test_the_first_answer_pays_for_the_bounds_and_later_ones_do_not(analyst):
    analyst.rows("incomes", "SELECT sum(income) FROM people")
    analyst.rows("incomes", "SELECT avg(income), count(income) FROM people WHERE age > 30")
    analyst.rows("incomes", "SELECT town, sum(income * 2) FROM people GROUP BY town")
    assert charges(analyst) == [[["bounds"], ["sum"]], [["sum", "count"]], [["sum"]]]
    # One epsilon each, to what its integers round away.
    first, *later = journal(analyst.pgveil, analyst)
    assert all(abs(price - first) < first * 1e-5 for price in later)


def test_a_statement_that_is_asked_again_is_the_same_and_free(analyst):
    sql = "SELECT sum(income), avg(balance) FROM people"
    once = analyst.rows("incomes", sql)
    assert analyst.rows("incomes", sql) == once
    assert len(charges(analyst)) == 1
