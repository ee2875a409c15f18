"""Coarser groups are derived from finer ones that were paid for: their noisy values added up, with the
noise of so many draws, for nothing where that is precise enough and else for what is missing. N and the
false alarms of what is statistical stand beside it."""
import io
import math
import random

import pytest
from harness.pgveil import Pgveil
from test_reuse import Asked

SCRIPT = """
CREATE TYPE size AS ENUM ('small', 'middle', 'large');
CREATE TABLE people (id integer PRIMARY KEY,
    size size NOT NULL, half size NOT NULL, club boolean NOT NULL, maybe boolean, listed boolean,
    ward smallint CHECK (ward IN (1, 2, 3)), team varchar(5) NOT NULL CHECK (team IN ('a', 'b')),
    loose text NOT NULL, late text NOT NULL, age integer NOT NULL,
    month integer NOT NULL CHECK (month BETWEEN 1 AND 12), far bigint NOT NULL CHECK (far BETWEEN -9 AND 3));
ALTER TABLE people ADD CONSTRAINT late CHECK (late IN ('p', 'q')) NOT VALID;
CREATE TABLE orders (id integer PRIMARY KEY, person_id integer REFERENCES people,
    kind text NOT NULL CHECK (kind IN ('x', 'y', 'z')), paid boolean, amount numeric(8,2));
INSERT INTO people SELECT i, (enum_range(NULL::size))[i % 3 + 1], (enum_range(NULL::size))[i % 3 + 1],
    i % 7 < 3, nullif(i % 5, 0) < 3, nullif(i % 5, 0) < 3, nullif(i % 4, 0),
    (ARRAY['a', 'b'])[(i % 11 < 5)::int + 1], (ARRAY['p', 'q', 'r'])[i % 3 + 1], (ARRAY['p', 'q'])[i % 2 + 1], i % 90,
    i % 12 + 1, i % 13 - 9
    FROM generate_series(1, 700) i;
INSERT INTO orders SELECT i, nullif(i % 500, 0), (ARRAY['x', 'y', 'z'])[i % 3 + 1],
    nullif(i % 5, 0) < 3, i % 300 + 0.25 FROM generate_series(1, 2000) i;
GRANT SELECT ON people, orders TO pgveil_reader;
"""
BOTH = [True, False]
POLICY = {"epoch": "none", "tables": {
    "public.people": {"unit": "id", "max_rows": 1, "columns": {
        "id": {}, "size": {"domain": ["large", "small", "middle"]}, "half": {"domain": ["large", "small"]},
        "club": {"domain": BOTH}, "maybe": {"domain": BOTH}, "listed": {"domain": [None, True, False]},
        "ward": {"domain": [3, None, 1, 2]}, "team": {"domain": ["a", "b"]},
        "month": {"domain": [*range(2, 13), 1]}, "far": {"domain": [-9, 0, 3]}, "loose": {"domain": ["p", "q"]}, "late": {"domain": ["p", "q"]}, "age": {"bounds": [0, 90]}}},
    "public.orders": {"unit": {"column": "person_id", "references": "public.people"}, "max_rows": 5,
        "columns": {"id": {}, "person_id": {}, "kind": {"domain": ["x", "y", "z"]},
                    "paid": {"domain": [True, False, None]}, "amount": {"bounds": [0, 500]}}}}}
FOUR = ("SELECT size, club, ward, team, count(*), sum(age) FROM people "
        "GROUP BY size, club, ward, team")
GRANT = ("200", "0.000001")  # with a small delta epsilon decides about the noise
GAUSSIAN = "-c dp.mechanism=gaussian -c dp.epsilon="


@pytest.fixture(scope="module")
def served(protected):
    protected.query("postgres", "CREATE DATABASE fold")
    protected.query("fold", SCRIPT)
    yield protected
    protected.query("postgres", "DROP DATABASE fold")


def running(served, program):
    pgveil = Pgveil(served, program=program, datasets=("fold",), policies={"fold": POLICY})
    try:
        yield pgveil.start()
        assert pgveil.alive(), pgveil.log_text()[-3000:]
        assert pgveil.end() == 0, pgveil.log_text()[-3000:]
    finally:
        pgveil.stop()


@pytest.fixture(scope="module")
def exact(served):
    yield from running(served, "tests/pgveil-zero-noise")


@pytest.fixture(scope="module")
def noisy(served):
    yield from running(served, "pgveil")


def ask_as(pgveil, epsilon):
    analyst = pgveil.analyst(grants={"fold": GRANT})
    asked = Asked(analyst.connect("fold", options=f"{GAUSSIAN}{epsilon}"))
    asked.name = analyst.name
    return asked


@pytest.fixture
def sure(exact):
    asked = ask_as(exact, 5)
    yield asked
    asked.connection.close()


@pytest.fixture
def asked(noisy):
    asked = ask_as(noisy, 0.5)
    yield asked
    asked.connection.close()


def reuse(asked, sql):
    """What EXPLAIN says of all columns: all, part or none."""
    release, = asked.explain(sql)["Plan"]["Releases"]
    extent, = {column["Reuse"] for column in release["Columns"]}
    return extent


def check(asked, protected, sql, direct=None):
    """For nothing, and PostgreSQL's own answer."""
    assert reuse(asked, sql) == "all", sql
    rows, expected = asked.free(sql), protected.query("fold", direct or sql)
    assert len(rows) == len(expected)
    for row, real in zip(rows, expected):
        for a, b in zip(row, real):
            assert a == b or abs(float(a) - float(b)) < 1e-6 * max(1, abs(float(b))), (sql, row, real)


# --- what is derived is the truth, without noise -----------------------------------------------------


@pytest.mark.parametrize("sql", [
    "SELECT size::text, count(*), avg(age) FROM people GROUP BY size ORDER BY 1",
    "SELECT club, sum(age) FROM people GROUP BY club ORDER BY 1",
    "SELECT ward, count(*) FROM people GROUP BY ward ORDER BY 1",
    "SELECT team, size::text, sum(age) FROM people GROUP BY team, size ORDER BY 1, 2",
    "SELECT ward, team, club, avg(age) FROM people GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
    "SELECT team, ward, club, size::text, count(*) FROM people GROUP BY team, ward, club, size "
    "ORDER BY 1, 2, 3, 4",
    "SELECT count(*), avg(age), sum(age) FROM people"])
def test_without_noise_what_is_derived_is_the_exact_answer(sure, served, sql):
    sure.paid(FOUR)
    sure.rows("SET dp.epsilon = 0.02")
    check(sure, served, sql)


def test_joins_conditions_and_null_are_derived_exactly(sure, served):
    owned = " JOIN (SELECT id AS owner FROM people) q ON q.owner = o.person_id"
    sure.paid("SELECT kind, paid, count(*), sum(amount), count(amount) FILTER (WHERE paid) FROM orders o "
              "WHERE amount > 2 GROUP BY kind, paid")
    sure.paid("SELECT p.club, o.kind, o.paid, p.ward, count(*), sum(o.amount) FROM orders o "
              "JOIN people p ON p.id = o.person_id GROUP BY 1, 2, 3, 4")
    sure.paid("SELECT p.team, o.paid, count(*), count(o.id) FROM people p "
              "LEFT JOIN orders o ON o.person_id = p.id GROUP BY 1, 2")
    sure.rows("SET dp.epsilon = 0.02")
    for sql in ("SELECT kind, count(*), sum(amount) FROM orders o{} WHERE amount > 2 GROUP BY 1 ORDER BY 1",
                "SELECT paid, count(*), count(amount) FILTER (WHERE paid) FROM orders o{} WHERE amount > 2 "
                "GROUP BY 1 ORDER BY 1",
                "SELECT count(*), sum(amount) FROM orders o{} WHERE amount > 2"):
        check(sure, served, sql.format(""), sql.format(owned))
    check(sure, served, "SELECT o.paid, p.ward, count(*), sum(o.amount) FROM orders o "
                        "JOIN people p ON p.id = o.person_id GROUP BY 1, 2 ORDER BY 1, 2")
    check(sure, served, "SELECT count(*) FROM orders o JOIN people p ON p.id = o.person_id")
    # Persons without an order have NULL, which the domain lists.
    check(sure, served, "SELECT p.team, count(*), count(o.id) FROM people p "
                        "LEFT JOIN orders o ON o.person_id = p.id GROUP BY 1 ORDER BY 1")
    check(sure, served, "SELECT count(*), count(o.id) FROM people p "
                        "LEFT JOIN orders o ON o.person_id = p.id")


@pytest.mark.parametrize("column, complete", [
    ("size", True), ("club", True), ("listed", True), ("ward", True), ("team", True),
    ("month", True), ("far", False),
    ("half", False), ("maybe", False), ("loose", False), ("late", False)])
def test_a_key_is_dropped_where_the_catalogue_proves_that_every_row_has_one(sure, served, column, complete):
    """Where it does not, a derived answer would be wrong: rows are missing in most of these columns."""
    sure.paid(f"SELECT {column}, club, count(*) FROM people WHERE age < 80 GROUP BY 1, 2")
    sure.rows("SET dp.epsilon = 0.02")
    sql = "SELECT club, count(*) FROM people WHERE age < 80 GROUP BY club ORDER BY 1"
    if complete:
        check(sure, served, sql)
        return
    assert reuse(sure, sql) == "none"
    assert [tuple(map(int, row)) for row in sure.paid(sql)] == served.query("fold", sql)


WHOLE = ["size", "club", "listed", "ward", "team", "month"]
IN_PART = {"half": "half IN ('large', 'small')", "maybe": "maybe IS NOT NULL", "loose": "loose IN ('p', 'q')",
           "far": "far IN (-9, 0, 3)"}


@pytest.mark.parametrize("seed", range(12))
def test_groupings_at_random_are_derived_where_they_may_be_and_right_in_any_case(sure, served, seed):
    """The fine grouping, which of its keys stay and in what order, aggregates and condition are drawn. Groups
    without a row are zeros here and missing in PostgreSQL."""
    dice = random.Random(seed)
    fine = dice.sample(WHOLE, dice.randint(1, 4)) + dice.sample(sorted(IN_PART), dice.randint(0, 1))
    dice.shuffle(fine)
    aggregates = dice.choice(["count(*)", "count(*), sum(age)", "sum(age) FILTER (WHERE club), count(*)",
                              "count(ward), sum(least(age, 40)), count(*)"])
    where = f"age > -1 AND id > {-seed} AND {dice.choice(['true', 'team = $$a$$', 'age BETWEEN 10 AND 60'])}"
    sure.rows("SET dp.epsilon = 8")
    sure.paid(f"SELECT {', '.join(fine)}, {aggregates} FROM people WHERE {where} GROUP BY {', '.join(fine)}")
    sure.rows("SET dp.epsilon = 0.01")
    for _ in range(4):
        keys = dice.sample(fine, dice.randint(0, len(fine)))
        sql = "SELECT {}{} FROM people WHERE {}{}"
        columns = "".join(key + ", " for key in keys)
        groups = f" GROUP BY {', '.join(keys)}" if keys else ""
        dropped = [key for key in fine if key not in keys and key in IN_PART]
        asked = sql.format(columns, aggregates, where, groups)
        if not dropped:
            assert reuse(sure, asked) == "all", asked
        kept = "".join(f" AND {IN_PART[key]}" for key in keys if key in IN_PART)
        width = len(keys)
        rows = {row[:width]: row[width:] for row in sure.rows(asked)}
        real = {row[:width]: row[width:] for row in served.query(
            "fold", sql.format(columns, aggregates, where + kept, groups))}
        assert real.keys() <= rows.keys()
        for group, values in rows.items():
            expected = [number or 0 for number in real.get(group, [0] * len(values))]
            assert [int(value) for value in values] == expected, (asked, group)


def test_null_is_a_key_that_an_outer_join_adds(sure, served):
    """kind is NOT NULL, and of persons without an order it is NULL all the same."""
    sure.paid("SELECT p.team, o.kind, count(*) FROM people p LEFT JOIN orders o ON o.person_id = p.id "
              "GROUP BY 1, 2")
    sure.rows("SET dp.epsilon = 0.02")
    sql = ("SELECT p.team, count(*) FROM people p LEFT JOIN orders o ON o.person_id = p.id "
           "GROUP BY 1 ORDER BY 1")
    assert reuse(sure, sql) == "none"
    assert [tuple(row) for row in sure.paid(sql)] == served.query("fold", sql)
    by_kind = ("SELECT o.kind, count(*) FROM people p LEFT JOIN orders o ON o.person_id = p.id {}"
               "GROUP BY 1 ORDER BY 1")
    check(sure, served, by_kind.format(""), by_kind.format("WHERE o.kind IS NOT NULL "))


def test_a_change_of_the_catalogue_is_seen_with_the_next_sync(exact, served):
    check_sql = "CONSTRAINT people_team_check"
    steps = ((f"ALTER TABLE people DROP {check_sql}", "none"),
             (f"ALTER TABLE people ADD {check_sql} CHECK (team IN ('a', 'b'))", "all"))
    for age, (change, extent) in enumerate(steps, start=70):
        served.query("fold", change)
        exact.ctl("dataset", "sync", "fold")
        asked = ask_as(exact, 5)
        asked.paid(f"SELECT team, count(*) FROM people WHERE age < {age} GROUP BY team")
        asked.rows("SET dp.epsilon = 0.02")
        assert reuse(asked, f"SELECT count(*) FROM people WHERE age < {age}") == extent, change
        asked.connection.close()


def test_a_table_that_is_locked_proves_nothing_and_keeps_nobody_waiting(exact, served):
    owner = served.connect("fold")
    owner.autocommit = False
    with owner.cursor() as cursor:
        cursor.execute("LOCK people IN ACCESS EXCLUSIVE MODE")
        exact.ctl("dataset", "sync", "fold")
    owner.rollback()
    owner.close()
    asked = ask_as(exact, 5)
    asked.paid("SELECT team, club, count(*) FROM people WHERE age < 60 GROUP BY team, club")
    asked.rows("SET dp.epsilon = 0.02")
    assert reuse(asked, "SELECT club, count(*) FROM people WHERE age < 60 GROUP BY club") == "none"
    assert reuse(asked, "SELECT team, count(*) FROM people WHERE age < 60 GROUP BY team") == "all"
    asked.connection.close()
    exact.ctl("dataset", "sync", "fold")


# --- what it costs -----------------------------------------------------------------------------------


def test_what_is_derived_is_the_sum_of_what_was_told(asked):
    told = asked.paid(FOUR)
    asked.rows("SET dp.epsilon = 0.02")
    total = sum(row[4] for row in told)
    assert asked.free("SELECT count(*) FROM people") == [(total,)]
    for column in range(4):
        name = ("size", "club", "ward", "team")[column]
        for value, number, ages in asked.free(
                f"SELECT {name}, count(*), sum(age) FROM people GROUP BY {name}"):
            assert number == sum(row[4] for row in told if row[column] == value)
            assert ages == sum(row[5] for row in told if row[column] == value)


def test_more_precision_costs_what_is_missing(asked, noisy):
    asked.rows("SET dp.epsilon = 1")
    asked.paid("SELECT club, team, count(*) FROM people GROUP BY 1, 2")
    sql = "SELECT club, count(*) FROM people GROUP BY club"
    fresh = ask_as(noisy, 1)
    _, whole = fresh.cost(sql)
    fresh.connection.close()
    said = asked.explain(sql)["Budget"]["price_mu2_pico"]
    assert reuse(asked, sql) == "part"
    rows, price = asked.cost(sql)
    assert price == said
    # A sum of two draws is worth half a draw: 1/12 beside the variance shows in the fifth digit.
    assert 0.5 <= price / whole < 0.51
    assert asked.free(sql) == rows
    asked.rows("SET dp.epsilon = 0.3")
    assert asked.free(sql) == rows, "and the better answer is given where less is asked for"


def test_explain_says_where_it_comes_from(asked):
    asked.paid(FOUR)
    asked.rows("SET dp.epsilon = 0.02")
    sql = "SELECT team, count(*) FROM people GROUP BY 1"
    text = "\n".join(row[0] for row in asked.rows(f"EXPLAIN {sql}"))
    assert ", from the kept answer grouped by size, club, ward, team, nothing is drawn" in text, text
    column = asked.explain(sql)["Plan"]["Releases"][0]["Columns"][0]
    assert column["Reused Groups"] == "size, club, ward, team"


def test_every_form_of_a_statement_has_it(asked):
    asked.paid(FOUR)
    asked.rows("SET dp.epsilon = 0.02")
    expected = sorted(asked.free("SELECT team, count(*) FROM people GROUP BY team"))
    total = sum(row[1] for row in expected)
    assert asked.free("SELECT team, (SELECT count(*) FROM people), count(*) FROM people GROUP BY team "
                      "ORDER BY team") == [(team, total, number) for team, number in expected]
    asked.rows("BEGIN")
    asked.rows("DECLARE c CURSOR FOR SELECT team, count(*) FROM people GROUP BY team ORDER BY 1")
    assert asked.rows("FETCH ALL FROM c") == expected
    asked.rows("COMMIT")
    with asked.connection.cursor() as cursor:
        out = io.StringIO()
        cursor.copy_expert("COPY (SELECT team, count(*) FROM people GROUP BY team ORDER BY 1) TO STDOUT", out)
        assert [tuple(line.split("\t")) for line in out.getvalue().splitlines()] == [
            (team, str(number)) for team, number in expected]
    asked.rows("SET dp.mechanism = auto")
    assert sorted(asked.free("SELECT team, count(*) FROM people GROUP BY team")) == expected
    asked.rows("SET dp.reuse = off")
    asked.paid("SELECT team, count(*) FROM people GROUP BY team")


def test_nobody_derives_from_what_others_have_paid_for(asked, noisy):
    asked.paid(FOUR)
    sql = "SELECT team, count(*) FROM people GROUP BY team"
    other = ask_as(noisy, 0.02)
    assert reuse(other, sql) == "none"
    plan = other.explain(sql)
    stranger = ask_as(noisy, 0.02)
    other.paid(sql)
    assert stranger.explain(sql) == plan, "nor does the plan show that others have asked"
    # Who pays for the other's draw derives from it like from one of his own.
    before = noisy.ledger("SELECT count(*) FROM pgveil.draw")
    stranger.rows("SET dp.epsilon = 0.5")
    assert stranger.paid(FOUR) == asked.free(FOUR)
    assert noisy.ledger("SELECT count(*) FROM pgveil.draw") == before
    stranger.rows("SET dp.epsilon = 0.02")
    asked.rows("SET dp.epsilon = 0.02")
    assert stranger.free("SELECT count(*) FROM people") == asked.free("SELECT count(*) FROM people")
    other.connection.close()
    stranger.connection.close()


def test_nothing_is_derived_from_another_window_or_without_reuse(asked, noisy):
    sql = "SELECT club, count(*) FROM people WHERE age < 50 GROUP BY club"
    fine = "SELECT club, size, count(*) FROM people WHERE age < 50 GROUP BY 1, 2"
    asked.rows("SET dp.epsilon = 5")
    asked.paid(fine)
    asked.rows("SET dp.epsilon = 0.02")
    assert reuse(asked, sql) == "all"
    noisy.ctl("budget", "reset", asked.name, "fold", "--yes")
    assert reuse(asked, sql) == "none"
    asked.rows("SET dp.epsilon = 5")
    asked.paid(fine)
    asked.rows("SET dp.epsilon = 0.02")
    asked.free(sql)


# --- how far it may be off ---------------------------------------------------------------------------


def test_intervals_of_derived_answers_hold_as_often_as_stated(noisy, served):
    """N = 100 statements of 6 groups and 100 of their sums, each from draws of its own: 95 % of 600 and
    of 100 within five deviations of a binomial (4.9 is 1e-6), and squares of errors as stated."""
    runs, z = 100, 5
    asked = ask_as(noisy, 0.5)
    truth = {(club, size): number for club, size, number in served.query(
        "fold", "SELECT club, size::text, count(*) FROM people GROUP BY 1, 2")}
    everyone = sum(truth.values())
    inside, whole, squares = 0, 0, []
    for n in range(1, runs + 1):
        asked.rows("SET dp.epsilon = 0.5")
        asked.rows(f"SELECT club, size, team, ward, count(*) FROM people WHERE age > -{n} GROUP BY 1, 2, 3, 4")
        asked.rows("SET dp.epsilon = 0.01")
        for club, size, number, low, high, deviation in asked.rows(
                "SELECT club, size::text, count(*), dp.interval_low(count(*)), dp.interval_high(count(*)), "
                f"dp.stddev(count(*)) FROM people WHERE age > -{n} GROUP BY club, size"):
            inside += low <= truth[club, size] <= high
            squares.append(((number - truth[club, size]) / deviation)**2)
        (low, high), = asked.rows("SELECT dp.interval_low(count(*)), dp.interval_high(count(*)) FROM people "
                                  f"WHERE age > -{n}")
        whole += low <= everyone <= high
    asked.connection.close()
    for hits, number in ((inside, 6 * runs), (whole, runs)):
        share = 0.95 * number
        assert hits >= share - z * math.sqrt(share * 0.05), (hits, number)
    assert len(squares) == 6 * runs
    assert abs(sum(squares) / len(squares) - 1) < z * math.sqrt(2 / len(squares)), sum(squares)

