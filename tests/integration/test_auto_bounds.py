"""Bounds that are found: paid for once, used by what is asked afterwards, found again in a new epoch; what
is measured within them; and how far answers are off.

ALPHA is the chance that a right program fails one of the statistical checks."""
import json
import math
import random
import threading
from decimal import ROUND_CEILING, Decimal

import psycopg2
import pytest
from harness import processes
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


def statements(analyst):
    """What each measured statement paid in all, and for what: the kinds of measures, release by release.
    Draws that another analyst had made have entries of their own."""
    entries = analyst.pgveil.ledger("SELECT request, kind, mu2_pico, detail FROM pgveil.journal WHERE kind IN "
                                    f"('charge', 'adoption') AND analyst = '{analyst.name}' ORDER BY seq")
    paid = {}
    for request, kind, price, detail in entries:
        total, kinds = paid.setdefault(request, [0, []])
        releases = json.loads(detail) if kind == "charge" else []
        paid[request] = [total + int(price), kinds + [[one["measure"] for one in release] for release in releases]
                         + ([["taken over"]] if kind == "adoption" else [])]
    return list(paid.values())


def charges(analyst):
    """Of each statement what it paid for; bounds are counted as such whoever had drawn them first."""
    return [sorted(["bounds"] if kinds == ["taken over"] else kinds for kinds in releases)
            for _, releases in statements(analyst)]


def prices(analyst):
    return [price for price, _ in statements(analyst)]


def query(protected, sql):
    return protected.query("incomes", sql)


# --- who pays for what ---------------------------------------------------------------------------------

def test_the_first_answer_pays_for_the_bounds_and_later_ones_do_not(analyst):
    analyst.rows("incomes", "SELECT sum(income) FROM people")
    analyst.rows("incomes", "SELECT avg(income), count(income) FROM people WHERE age > 30")
    analyst.rows("incomes", "SELECT town, sum(income * 2) FROM people GROUP BY town")
    assert charges(analyst) == [[["bounds"], ["sum"]], [["sum", "count"]], [["sum"]]]
    # One epsilon each, to what its integers round away.
    first, *later = prices(analyst)
    assert all(abs(price - first) < first * 1e-5 for price in later)


def test_a_statement_that_is_asked_again_is_the_same_and_free(analyst):
    sql = "SELECT sum(income), avg(balance) FROM people"
    once = analyst.rows("incomes", sql)
    assert analyst.rows("incomes", sql) == once
    assert len(charges(analyst)) == 1


EIGHT = ", ".join(f"0.{n}" for n in range(1, 9))
MANY = ", ".join(f"{n}/101.0" for n in range(1, 101))


@pytest.mark.parametrize("epsilon", ["0.05", "0.5", "5", "20"])
@pytest.mark.parametrize("mechanism", ["gaussian", "laplace"])
@pytest.mark.parametrize("sql", [
    "SELECT sum(income), count(*) FROM people", "SELECT max(income) FROM people",
    "SELECT town, percentile_disc(0.5) WITHIN GROUP (ORDER BY balance) FROM people GROUP BY town ORDER BY 1",
    f"SELECT percentile_disc(ARRAY[{EIGHT}]) WITHIN GROUP (ORDER BY pieces) FROM payments",
    pytest.param(f"SELECT percentile_disc(ARRAY[{MANY}]) WITHIN GROUP (ORDER BY pieces), max(pieces) FROM payments",
                 id="a hundred quantiles of pieces")])
def test_discrete_noise_and_quantiles_are_free_again_whatever_the_budget(analyst, sql, mechanism, epsilon):
    """A fifth went into the bounds: noise does not widen in proportion, least of all where there is little."""
    settings = {"dp.epsilon": epsilon, "dp.mechanism": mechanism}
    once = analyst.rows("incomes", sql, settings=settings)
    assert analyst.rows("incomes", sql, settings=settings) == once
    assert len(statements(analyst)) == 1


def test_a_better_answer_costs_and_keeps_the_bounds(analyst):
    sql = "SELECT sum(income) FROM people"
    analyst.rows("incomes", sql)
    found = bounds(analyst, sql)
    analyst.rows("incomes", sql, settings={"dp.epsilon": "2"})
    assert bounds(analyst, sql) == found
    assert [kinds[-1] for kinds in charges(analyst)] == [["sum"], ["sum"]]
    assert charges(analyst)[1] == [["sum"]]


def test_a_much_larger_budget_finds_bounds_anew(analyst):
    sql = "SELECT sum(income) FROM people"
    analyst.rows("incomes", sql, settings={"dp.epsilon": "0.1"})
    analyst.rows("incomes", sql, settings={"dp.epsilon": "10"})
    assert charges(analyst) == [[["bounds"], ["sum"]]] * 2


def test_a_new_epoch_pays_again(analyst):
    sql = "SELECT sum(income) FROM people"
    analyst.rows("incomes", sql)
    analyst.pgveil.ledger(f"UPDATE pgveil.draw d SET at = d.at - interval '2 days' FROM pgveil.paid p "
                          f"WHERE p.draw = d.id AND p.analyst = '{analyst.name}'")
    analyst.rows("incomes", sql)
    analyst.pgveil.ledger("UPDATE pgveil.draw d SET at = j.at FROM pgveil.journal j WHERE j.seq = d.seq")
    assert charges(analyst) == [[["bounds"], ["sum"]]] * 2


def test_what_another_analyst_has_bought_is_paid_for_in_full(server):
    one, two = (server.analyst(grants={"incomes": AMPLE}) for _ in range(2))
    sql = "SELECT avg(balance) FROM people"
    one.rows("incomes", sql)
    before = explained(two, sql)
    assert not before["Automatic Bounds"][0]["Found"]
    two.rows("incomes", sql)
    assert prices(one) == prices(two)
    # The dataset's account is debited once for the draw that both have: the bounds.
    adoptions = server.ledger(f"SELECT count(*) FROM pgveil.journal WHERE kind = 'adoption' AND analyst = "
                              f"'{two.name}'")
    assert adoptions == [["1"]]
    assert bounds(one, sql) == bounds(two, sql)


def test_without_reuse_bounds_are_paid_for_every_time(incomes):
    for pgveil in running(incomes, reuse=False):
        analyst = pgveil.analyst(grants={"incomes": AMPLE})
        for _ in range(2):
            analyst.rows("incomes", "SELECT sum(income) FROM people")
        assert charges(analyst) == [[["bounds"], ["sum"]]] * 2


def test_the_journal_shows_what_bounds_and_answers_cost(server, analyst):
    analyst.rows("incomes", "SELECT avg(income), stddev(balance) FROM people")
    analyst.rows("incomes", "SELECT avg(income), stddev(balance) FROM people",
                 settings={"dp.mechanism": "laplace", "dp.reuse": "off"})
    analyst.rows("incomes", "SELECT max(amount), sum(amount) FROM payments")
    server.ctl("ledger", "verify")  # recomputes every price from the integers in the journal


def test_a_statement_is_its_own_epsilon_whatever_it_finds(server):
    """Two columns, private keys, Laplace noise, quantiles: never more than one epsilon, and nearly all of it."""
    whole = explained(server.analyst(grants={"incomes": AMPLE}), "SELECT count(*) FROM people")["Price mu2_pico"]
    for sql in ("SELECT sum(income), sum(balance) FROM people", "SELECT age % 3, sum(income) FROM people GROUP BY 1",
                "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY income), avg(income) FROM people"):
        price = explained(server.analyst(grants={"incomes": AMPLE}), sql)["Price mu2_pico"]
        assert whole * 0.9999 < price <= whole, sql


def test_dp_reuse_off_finds_them_anew(analyst):
    for _ in range(2):
        analyst.rows("incomes", "SELECT sum(income) FROM people", settings={"dp.reuse": "off"})
    assert charges(analyst) == [[["bounds"], ["sum"]]] * 2


def test_explain_costs_nothing_and_says_what_is_found_first(analyst):
    sql = "SELECT sum(income) FROM people"
    plan = explained(analyst, sql)
    found, = plan["Automatic Bounds"]
    assert found["Column"] == "public.people.income" and not found["Found"]
    assert plan["Releases"][0]["Columns"][0]["Expected Error"] is None
    factor = plan["Releases"][0]["Columns"][0]["Expected Error Factor"]
    price = plan["Price mu2_pico"]
    assert prices(analyst) == []
    low, high = analyst.rows(
        "incomes", "SELECT dp.interval_low(sum(income)), dp.interval_high(sum(income)) FROM people")[0]
    assert prices(analyst) == [price]
    # The interval is that of the bound in use.
    bound = max(-bounds(analyst, sql)[0], bounds(analyst, sql)[1])
    assert math.isclose((high - low) / 2, factor * float(bound), rel_tol=1e-6)


def test_the_error_that_is_asked_for_needs_bounds(analyst):
    sql = "SELECT sum(income) FROM people"
    with pytest.raises(psycopg2.Error, match="needs bounds that are known"):
        analyst.rows("incomes", sql, settings={"dp.max_error": "100000"})
    assert prices(analyst) == []
    analyst.rows("incomes", sql)
    analyst.rows("incomes", sql, settings={"dp.max_error": "100000"})


def test_columns_and_policy_show_what_is_automatic(analyst):
    rows = analyst.rows("incomes", "SELECT column_name, low, high FROM dp.columns WHERE low IS NOT NULL "
                        "ORDER BY table_name, column_name")
    assert ("income", "auto", "auto") in rows and ("age", "0", "120") in rows
    text = analyst.pgveil.ctl("policy", "show", str(analyst.pgveil.folder / "incomes.json"))
    assert "auto, within 0 .. 100000" in text and "auto, unit 0.01" in text


def test_few_people_get_an_answer_within_the_outer_range(analyst):
    sql = "SELECT sum(x), avg(x) FROM few"
    total, average = analyst.rows("incomes", sql)[0]
    low, high = bounds(analyst, sql)
    assert (low, high) == (-2147483647, 2147483647)
    assert low <= average <= high and total is not None
    # It is told as it is, and kept: the same statement is free.
    assert analyst.rows("incomes", sql)[0] == (total, average)
    assert len(charges(analyst)) == 1


# --- what is measured ----------------------------------------------------------------------------------

def histogram(protected, column, table, sign, unit):
    """Owners by the bin of their largest size, counted here."""
    rows = query(protected, f"SELECT max({sign} x) FROM (SELECT {column}::float8 AS x, u.id FROM {table} AS t JOIN "
                 f"(SELECT id FROM people) AS u ON u.id = t.{'person' if table == 'payments' else 'id'}) AS r "
                 f"WHERE x <> 'NaN' AND {sign} x {'>=' if sign == '+' else '>'} 0 GROUP BY id")
    bins = [0] * 41
    for (size,) in rows:
        number = 0
        while number < 40 and size > unit * 2 ** number:
            number += 1
        bins[number] += 1
    return bins


def rule_c(bins, deviation, mu):
    """ALGORITHMS 7, written a second time: the last bin and the clamp in units, None where nothing stands
    out."""
    threshold = 6.574 * deviation  # the normal quantile of 1 - 1e-9 / 41
    standing = [number for number, count in enumerate(bins) if count > threshold]
    if not standing:
        return None
    last = standing[-1]
    while last + 1 < 41 and bins[last + 1] > 1.5 * deviation:
        last += 1

    def error(clamp):
        bias = 0
        for number, count in enumerate(bins[:last + 1]):
            low, high = (2 ** (number - 1) if number else 0), 2 ** number
            bias += max(count, 0) * ((low + high) / 2 - clamp if clamp <= low else
                                     (high - clamp) ** 2 / (2 * (high - low)) if clamp < high else 0)
        return bias ** 2 + (clamp / mu) ** 2
    return last, min((2 ** (j / 4) for j in range(4 * last + 1)), key=error)


@pytest.mark.parametrize("column, table, unit, scale", [
    ("income", "people", 2 ** -7, 2), ("balance", "people", 2 ** -7, None),
    ("amount", "payments", 2 ** -7, 2), ("pieces", "payments", 1, 0)])
def test_what_is_found_is_rule_c_of_everybodys_largest_sizes(exact, incomes, column, table, unit, scale):
    analyst = exact.analyst(grants={"incomes": AMPLE})
    sql = f"SELECT sum({column}) FROM {table}"
    analyst.rows("incomes", sql)
    sides = 1 if column == "amount" else 2
    detail = exact.ledger("SELECT detail FROM pgveil.journal WHERE kind = 'charge' AND analyst = "
                          f"'{analyst.name}'")[0][0]
    measure, = json.loads(detail)[0]
    assert measure["groups"] == sides and measure["delta"] == 1
    deviation = 2 ** 50 / measure["m"]
    mu = 2 * math.sqrt(sides) / deviation
    expected = [0.0, 0.0]
    ends = [0.0, 0.0]
    for side, sign in enumerate("-+"):
        found = rule_c(histogram(incomes, column, table, sign, unit), deviation, mu)
        if found and (sign == "+" or sides == 2):
            ends[side], expected[side] = unit * 2 ** found[0], unit * found[1]

    def close(got, wanted):
        digits = Decimal(1).scaleb(-scale) if scale is not None else None
        up = float(Decimal(wanted).quantize(digits, rounding=ROUND_CEILING)) if digits else wanted
        return math.isclose(float(got), up, rel_tol=2e-6, abs_tol=float(digits or 0) * 1.01)
    low, high = bounds(analyst, sql)
    assert close(-low, expected[0]) and close(high, expected[1]), (low, high, expected)
    low, high = bounds(analyst, sql, average=True)
    assert close(-low, ends[0]) and close(high, ends[1]), (low, high, ends)


def clamp(column, low, high):
    return f"least(greatest({column}::numeric, {low}), {high})"


OWNED = "FROM payments JOIN people u ON u.id = person"


@pytest.mark.parametrize("sql, average, column, truth", [
    ("SELECT sum(income) FROM people", False, "income", "SELECT sum({x}) FROM people"),
    ("SELECT sum(income), count(*) FROM people WHERE age < 40", False, "income",
     "SELECT sum({x}), count(*) FROM people WHERE age < 40"),
    ("SELECT town, sum(income) FROM people GROUP BY town", False, "income",
     "SELECT town, sum({x}) FROM people WHERE town <> 'elsewhere' GROUP BY town ORDER BY town"),
    ("SELECT age % 3, count(*), sum(income) FROM people GROUP BY 1 ORDER BY 1", False, "income",
     "SELECT age % 3, count(*), sum({x}) FROM people GROUP BY 1 ORDER BY 1"),
    ("SELECT avg(income) FROM people", True, "income", "SELECT avg({x}) FROM people"),
    ("SELECT stddev_pop(income) FROM people", True, "income", "SELECT stddev_pop({x}) FROM people"),
    ("SELECT sum(amount) FROM payments", False, "amount", f"SELECT sum({{x}}) {OWNED}"),
    ("SELECT avg(pieces), count(pieces) FROM payments", True, "pieces",
     f"SELECT avg({{x}}), count(pieces) {OWNED}"),
    ("SELECT avg(balance) FROM people", True, "balance",
     "SELECT avg({x}) FROM people WHERE balance <> 'NaN'"),
])
def test_answers_are_postgresqls_within_the_bounds_that_were_found(exact, incomes, sql, average, column,
                                                                   truth):
    analyst = exact.analyst(grants={"incomes": AMPLE})
    rows = analyst.rows("incomes", sql, settings={"dp.epsilon": "20"})
    low, high = bounds(analyst, sql, average)
    expected = query(incomes, truth.format(x=clamp(column, low, high)))
    assert len(rows) == len(expected)
    for row, wanted in zip(rows, expected):
        for value, exactly in zip(row, wanted):
            if isinstance(exactly, str) or exactly is None:
                assert value == exactly
            else:
                assert math.isclose(float(value), float(exactly), rel_tol=1e-5, abs_tol=0.02), (row, wanted)


@pytest.mark.parametrize("statement", [
    "COPY (SELECT sum(income) FROM people) TO STDOUT", "DECLARE c CURSOR WITH HOLD FOR SELECT sum(income) FROM people",
    "CREATE TEMP TABLE t AS SELECT sum(income) FROM people"])
def test_other_forms_of_statements_find_bounds_too(server, statement):
    analyst = server.analyst(grants={"incomes": AMPLE})
    analyst.psql("incomes", statement + ";")
    assert charges(analyst) == [[["bounds"], ["sum"]]]


def test_the_extended_protocol_and_parameters(server):
    analyst = server.analyst(grants={"incomes": AMPLE})
    with analyst.connect3("incomes") as connection:
        for age in (20, 30, 20):
            value, = connection.execute("SELECT sum(income) FROM people WHERE age > %s", [age]).fetchone()
            assert isinstance(value, Decimal)
    assert charges(analyst) == [[["bounds"], ["sum"]], [["sum"]]]


def test_a_failure_behind_the_bounds_is_the_uniform_one_and_the_charge_stands(server, incomes):
    analyst = server.analyst(grants={"incomes": AMPLE})
    lock = incomes.connect("incomes")
    lock.autocommit = False
    lock.cursor().execute("LOCK TABLE payments IN ACCESS EXCLUSIVE MODE")
    errors = []

    def ask():
        try:
            analyst.rows("incomes", "SELECT sum(income) FROM people JOIN payments ON person = id")
        except psycopg2.Error as error:
            errors.append(error)
    asking = threading.Thread(target=ask)
    asking.start()
    # The bounds are of people alone: what waits for the lock is the answer's measurement.
    waiting = ("SELECT pid FROM pg_stat_activity WHERE datname = 'incomes' AND usename = 'pgveil_reader' AND "
               "wait_event_type = 'Lock'")
    processes.wait_until(lambda: query(incomes, waiting), 60, "the measurement")
    query(incomes, f"SELECT pg_terminate_backend(pid) FROM ({waiting}) AS w")
    asking.join(60)
    lock.rollback()
    lock.close()
    assert [error.pgcode for error in errors] == ["58000"]
    assert charges(analyst) == [[["bounds"], ["sum"]]]


# --- one unit more or less ------------------------------------------------------------------------------

TRIALS = 30


@pytest.mark.parametrize("sql, table", [
    ("SELECT sum(income) FROM people", "people"), ("SELECT sum(balance) FROM people", "people"),
    ("SELECT sum(pieces) FROM payments", "payments"), ("SELECT sum(amount) FROM payments", "payments")])
def test_one_unit_moves_two_bins_by_one(server, incomes, analyst, sql, table):
    plan, = explained(analyst, sql)["Automatic Bounds"]
    source = random.Random(sql)
    connection = incomes.connect("incomes")
    connection.autocommit = False
    cursor = connection.cursor()
    sides = 1 if "amount" in sql else 2

    def bins():
        cursor.execute(plan["Measurement"])
        return {row[:2]: int(row[2]) for row in cursor.fetchall()}
    try:
        for person in source.sample(range(1, PEOPLE + 1), TRIALS):
            cursor.execute("SAVEPOINT here")
            for _ in range(source.choice([0, 3])):  # rows beyond any bound, of both signs
                cursor.execute("INSERT INTO payments VALUES (%s, %s, %s)", (
                    person, source.choice([-5, 0, 7, 9e9]), source.choice([-9999, 0, 2 ** 31 - 1, -2 ** 31])))
            before = bins()
            cursor.execute("DELETE FROM payments WHERE person = %s", (person,))
            cursor.execute("DELETE FROM people WHERE id = %s", (person,))
            after = bins()
            changed = {key: abs(before.get(key, 0) - after.get(key, 0)) for key in {*before, *after}}
            assert max(changed.values()) <= 1 and sum(changed.values()) <= sides
            cursor.execute("ROLLBACK TO here")
    finally:
        connection.rollback()
        connection.close()


# --- how far answers are off ------------------------------------------------------------------------------

RUNS = 40


def test_errors_are_within_what_rule_c_promises(server, incomes):
    """Over 40 fresh draws: the answer's distance from the sum within its own bounds is the noise that was
    paid for (a chi-square with 40 degrees of freedom is between 9.5 and 104 but for ALPHA); bias and noise
    together are as near as Rule C promises to those of the best clamp in hindsight with the whole budget:
    1.4 in the geometric mean, which over 40 draws exceeds 2 with a chance below ALPHA (Chernoff's bound with
    the moments of 60,000 simulated histograms of this table)."""
    sizes = [float(row[0]) for row in query(incomes, "SELECT income FROM people")]
    true = sum(sizes)
    squares, ratios = [], []
    best = None
    for _ in range(RUNS):
        one = server.analyst(grants={"incomes": AMPLE})
        answer, deviation = one.rows("incomes", "SELECT sum(income), dp.stddev(sum(income)) FROM people",
                                     settings={"dp.epsilon": "0.5", "dp.reuse": "off"})[0]
        low, high = bounds(one, "SELECT sum(income) FROM people")
        assert low == 0
        within = sum(min(size, float(high)) for size in sizes)
        squares.append(((float(answer) - within) / deviation) ** 2)
        # The whole budget buys less noise by sqrt(4 / 5), in proportion to the clamp.
        unit = deviation / float(high) * math.sqrt(0.8)
        best = best or min(math.hypot(true - sum(min(size, 2 ** (j / 8)) for size in sizes), 2 ** (j / 8) * unit)
                           for j in range(40, 160))
        ratios.append(math.hypot(true - within, deviation) / best)
    assert 9.5 < sum(squares) < 104, sum(squares)
    assert math.exp(sum(map(math.log, ratios)) / RUNS) < 2, ratios
