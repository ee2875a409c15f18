"""Quantiles, MIN and MAX: without noise they are those of the distribution in which every person
weighs the same; with noise they are off by as many ranks as EXPLAIN says, as often as it says.

ALPHA is the chance that a right program fails one of these checks."""
import datetime
import json
import math
import random
from decimal import Decimal

import psycopg2
import pytest
from harness.pgveil import AMPLE, DATASETS, Pgveil

ALPHA = 1e-6
WEIGHT = 1 << 20


@pytest.fixture(scope="module")
def exact(zero_noise):
    return zero_noise.analyst(grants={dataset: AMPLE for dataset in DATASETS})


@pytest.fixture(scope="module")
def noisy(pgveil):
    analyst = pgveil.analyst(grants={dataset: AMPLE for dataset in DATASETS})
    connection = analyst.connect("clinic")
    with connection.cursor() as cursor:
        cursor.execute("SET dp.notices = off")
    yield connection
    connection.close()


def ask(connection, sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def weigh(rows):
    """{value: weight} of (person, value): each person's values weigh alike, the least a little more."""
    people = {}
    for person, value in rows:
        people.setdefault(person, []).append(value)
    weights = {}
    for values in people.values():
        for value in values:
            weights[value] = weights.get(value, 0) + WEIGHT // len(values)
        weights[min(values)] += WEIGHT - WEIGHT // len(values) * len(values)
    return weights


def quantile(weights, fraction):
    """The first value up to which the fraction of the weight lies."""
    below, total = 0, sum(weights.values())
    for value in sorted(weights):
        below += weights[value]
        if below >= fraction * total:
            return value
    return None


def owned(protected, columns, where="true"):
    """Rows of visits whose patient exists, as the protected server has them."""
    connection = protected.connect("clinic")
    try:
        return ask(connection, f"SELECT patient_id, {columns} FROM visits WHERE patient_id IN"
                               f" (SELECT id FROM patients) AND {where}")
    finally:
        connection.close()


FRACTIONS = [Decimal("0.01"), Decimal("0.1"), Decimal("0.25"), Decimal("0.5"), Decimal("0.8"),
             Decimal("0.97")]


@pytest.mark.parametrize("fraction", FRACTIONS)
@pytest.mark.parametrize("column, where", [("minutes", "minutes IS NOT NULL"), ("day", "day IS NOT NULL"),
                                           ("minutes % 7", "minutes > 100")])
def test_every_person_counts_once_however_many_rows_they_have(exact, protected, column, where,
                                                              fraction):
    truth = quantile(weigh(owned(protected, column, where)), fraction)
    filtered = f"FILTER (WHERE {where})"
    [(answer, other)] = exact.rows(
        "clinic", f"SELECT percentile_disc({fraction}) WITHIN GROUP (ORDER BY {column}) {filtered},"
                  f" percentile_disc({1 - fraction}) WITHIN GROUP (ORDER BY {column} DESC) {filtered}"
                  " FROM visits")
    assert answer == other == truth


def test_every_group_has_its_own_distribution(exact, protected):
    rows = owned(protected, "code, minutes", "minutes IS NOT NULL")
    answers = dict(exact.rows(
        "clinic", "SELECT code, percentile_disc(0.3) WITHIN GROUP (ORDER BY minutes) FROM visits"
                  " GROUP BY code"))
    assert answers == {code: quantile(weigh([(p, m) for p, c, m in rows if c == code]), 0.3)
                       for code in {row[1] for row in rows}}


def test_wide_bins_answer_with_their_lower_edge(exact, protected):
    """cost lies in 0.00 to 5000.00: 2,501 bins of two whole ones."""
    rows = [(person, cost - cost % 2) for person, cost in owned(protected, "cost", "cost IS NOT NULL")]
    [(disc, cont)] = exact.rows(
        "clinic", "SELECT percentile_disc(0.6) WITHIN GROUP (ORDER BY cost),"
                  " percentile_cont(0.6) WITHIN GROUP (ORDER BY cost) FROM visits")
    assert disc == quantile(weigh(rows), 0.6) and disc.as_tuple().exponent == -2
    assert isinstance(cont, float) and cont == float(disc)


def test_extremes_are_some_people_from_the_end(exact, protected):
    with exact.connect("clinic") as connection:
        explained = ask(connection, "EXPLAIN (FORMAT JSON) SELECT min(age), max(age) FROM patients")[0][0]
        document = json.loads(explained) if isinstance(explained, str) else explained
        columns = document[0]["Plan"]["Releases"][0]["Columns"]
        [(least, greatest)] = ask(connection, "SELECT min(age), max(age) FROM patients")
    far = int(columns[0]["People from the End"])
    with protected.connect("clinic") as connection:
        ages = sorted(row[0] for row in ask(connection, "SELECT age FROM patients WHERE age IS NOT NULL"))
    assert far > 1
    assert least == ages[far - 1] and greatest == ages[len(ages) - far - 1]


def test_a_quantile_copies_out_and_stands_in_a_cursor(exact):
    with exact.connect("clinic") as connection, connection.cursor() as cursor:
        sql = "SELECT sex, percentile_disc(0.5) WITHIN GROUP (ORDER BY age) FROM patients GROUP BY sex"
        cursor.execute(f"{sql} ORDER BY sex")
        rows = cursor.fetchall()
        cursor.execute("BEGIN")
        cursor.execute(f"DECLARE c CURSOR FOR {sql} ORDER BY sex")
        cursor.execute("FETCH ALL FROM c")
        assert cursor.fetchall() == rows
        cursor.execute("ROLLBACK")


@pytest.mark.parametrize("mechanism", ["gaussian", "laplace"])
@pytest.mark.parametrize("column", ["age", "weight"])
def test_a_thousand_quantiles_come_at_once(exact, protected, mechanism, column):
    """Read from the whole distribution, or drawn by recursion: exact and in order."""
    fractions = [k / 1001 for k in range(1, 1001)]
    [(answers, least, greatest)] = exact.rows(
        "clinic", "SELECT percentile_disc('{" + ",".join(map(str, fractions)) + "}'::float8[]) WITHIN"
                  f" GROUP (ORDER BY {column}), min({column}), max({column}) FROM patients",
        settings={"dp.mechanism": mechanism})
    assert len(answers) == 1000 and answers == sorted(answers)
    with protected.connect("clinic") as connection:
        values = sorted(row[0] for row in ask(
            connection, f"SELECT {column} FROM patients WHERE {column} IS NOT NULL"))
    if column == "weight":
        values = [math.floor(value * 16) / 16 for value in values]  # 4,001 bins up to 250
    weights = {value: values.count(value) for value in values}
    assert answers == [quantile(weights, fraction) for fraction in fractions]
    assert values[0] <= least < greatest <= values[-1]


# --- errors -----------------------------------------------------------------------------------------

RUNS = 300


def too_many(runs, probability, alpha=ALPHA):
    """The least number of misses that a right program reaches with a chance of at most alpha."""
    chance, misses = 1.0, 0
    while chance > alpha:
        chance -= math.exp(math.lgamma(runs + 1) - math.lgamma(misses + 1)
                           - math.lgamma(runs - misses + 1) + misses * math.log(probability)
                           + (runs - misses) * math.log1p(-probability))
        misses += 1
    return misses


def stated(connection, sql):
    explained = ask(connection, f"EXPLAIN (FORMAT JSON) {sql}")[0][0]
    document = json.loads(explained) if isinstance(explained, str) else explained
    return document[0]["Plan"]["Releases"][0]["Columns"][0]


@pytest.mark.parametrize("fraction, mechanism", [(0.5, "gaussian"), (0.9, "gaussian"), (0.5, "laplace")])
def test_quantiles_are_off_by_as_many_ranks_as_stated(noisy, protected, fraction, mechanism):
    """The numbers of the patients, 1 to 800, have a bin each. Of RUNS draws, at most as many miss the
    stated 95 % error as such a share allows; and the errors spread as widely as those of an
    exponential law with that quantile: their mean is within six deviations of a mean of RUNS of them,
    one rank added for what lies in a bin."""
    with noisy.cursor() as cursor:
        cursor.execute("SET dp.epsilon = 0.25")
        cursor.execute(f"SET dp.mechanism = {mechanism}")
    question = (f"SELECT percentile_cont({fraction}) WITHIN GROUP (ORDER BY least(greatest(id, 1), 800))"
                " FILTER (WHERE id > -{n}) FROM patients")
    limit = stated(noisy, question.format(n=0))["Expected Error Ranks"]
    with protected.connect("clinic") as connection:
        assert ask(connection, "SELECT count(*), min(id), max(id) FROM patients") == [(800, 1, 800)]
    answers = [ask(noisy, question.format(n=n))[0][0] for n in range(RUNS)]
    target = fraction * 800
    errors = [max(0, answer - 1 - target, target - answer) for answer in answers]
    misses = sum(error > limit for error in errors)
    assert misses < too_many(RUNS, 0.05), (misses, limit)
    mean = limit / math.log(20)
    assert abs(sum(errors) / RUNS - mean) < 6 * mean / math.sqrt(RUNS) + 1, (sum(errors) / RUNS, mean)


def test_a_whole_distribution_is_near_everywhere(noisy, protected):
    """Each of 100 fractions is read from one noisy distribution of 121 bins: over 60 draws of it, the
    share of draws in which a given fraction misses its stated 95 % error stays as low as stated; of
    the 100 the worst is looked at."""
    with noisy.cursor() as cursor:
        cursor.execute("SET dp.epsilon = 1")
        cursor.execute("SET dp.mechanism = gaussian")
    fractions = [k / 101 for k in range(1, 101)]
    question = ("SELECT percentile_disc('{{" + ",".join(map(str, fractions)) + "}}'::float8[]) WITHIN"
                " GROUP (ORDER BY age) FILTER (WHERE id > -{n}) FROM patients")
    column = stated(noisy, question.format(n=0))
    assert "whole distribution" in column["Mechanism"]
    limit = column["Expected Error Ranks"]
    with protected.connect("clinic") as connection:
        ages = [row[0] for row in ask(connection, "SELECT age FROM patients WHERE age IS NOT NULL")]
    misses = [0] * len(fractions)
    draws = 60
    for n in range(draws):
        answers = ask(noisy, question.format(n=n))[0][0]
        assert answers == sorted(answers)
        for index, (fraction, answer) in enumerate(zip(fractions, answers)):
            below = sum(age < answer for age in ages)
            upto = sum(age <= answer for age in ages)
            target = fraction * len(ages)
            misses[index] += max(below - target, target - upto) > limit
    assert max(misses) < too_many(draws, 0.05, ALPHA / len(fractions)), misses


# --- nothing in the rows makes a measurement fail ---------------------------------------------------

EXTREMES = """
CREATE TABLE people (id integer PRIMARY KEY, f8 float8, f4 real, n numeric, n2 numeric(12,2),
    big bigint, small smallint, d date, ts timestamp, tz timestamptz, k text);
GRANT SELECT ON people TO pgveil_reader;
"""
COLUMNS = {
    "f8": ["NaN", "Infinity", "-Infinity", "5e-324", "-5e-324", "1e308", "0.1", "-1000", "1000", None],
    "f4": ["NaN", "Infinity", "-Infinity", "1e-45", "3.4e38", "0.1", None],
    "n": ["NaN", "Infinity", "-Infinity", "1e1000", "-1e-1000", "100", "0", None],
    "n2": ["NaN", "9999999999.99", "-9999999999.99", "0.005", None],
    "big": [-2 ** 63, 2 ** 63 - 1, 0, 1000, None],
    "small": [-2 ** 15, 2 ** 15 - 1, 100, None],
    "d": ["infinity", "-infinity", "4714-11-24 BC", "5874897-12-31", "2020-01-01", "2026-01-01", None],
    "ts": ["infinity", "-infinity", "4714-11-24 00:00:00 BC", "294276-12-31 23:59:59.999999", None],
    "tz": ["infinity", "-infinity", "4714-11-24 00:00:00+00 BC",
           "294276-12-31 23:59:59.999999+00", None],
}
BOUNDS = {"f8": [-1000, 1000], "f4": [0, 1000], "n": [0, 100], "n2": [0, 100],
          "big": [-2 ** 62, 2 ** 62], "small": [0, 100], "d": ["2020-01-01", "2026-01-01"],
          "ts": ["2020-01-01 00:00:00", "2026-01-01 00:00:00"],
          "tz": ["2020-01-01 00:00:00", "2026-01-01 00:00:00"]}
POLICY = {"tables": {"public.people": {"unit": "id", "max_rows": 1, "columns": {
    "id": {}, "k": {}, **{name: {"bounds": bounds} for name, bounds in BOUNDS.items()}}}}}


@pytest.fixture(scope="module")
def edges(protected):
    protected.query("postgres", "CREATE DATABASE edges")
    protected.query("edges", EXTREMES)
    source = random.Random("edges")
    with protected.connect("edges") as connection, connection.cursor() as cursor:
        for number in range(1, 400):
            values = [source.choice(choices) for choices in COLUMNS.values()]
            cursor.execute("INSERT INTO people VALUES (" + ", ".join(["%s"] * (len(values) + 2)) + ")",
                           [number, *values, source.choice(["a", "b"]) if number > 3 else f"rare {number}"])
    connection.close()
    server = Pgveil(protected, program="tests/pgveil-zero-noise", datasets=("edges",),
                    policies={"edges": POLICY})
    try:
        server.start()
        yield server.analyst(grants={"edges": AMPLE})
        assert server.alive(), server.log_text()[-5000:]
        assert server.end() == 0, server.log_text()[-5000:]
    finally:
        server.stop()


@pytest.mark.parametrize("column", list(COLUMNS))
def test_no_value_makes_a_quantile_fail(edges, column):
    fine = f"percentile_disc(0.5) WITHIN GROUP (ORDER BY {column})"
    rows = edges.rows("edges", f"SELECT {fine}, min({column}), max({column}), "
                               f"percentile_disc(ARRAY[0.2, 0.9]) WITHIN GROUP (ORDER BY {column})"
                               " FROM people")
    assert len(rows) == 1 and None not in rows[0]
    zone = "+00" if column == "tz" else ""
    low, high = edges.rows("edges", f"SELECT '{BOUNDS[column][0]}{zone}'::{kind(column)},"
                                    f" '{BOUNDS[column][1]}{zone}'::{kind(column)}")[0]
    for value in (*rows[0][:3], *rows[0][3]):
        assert low <= value <= high
    grouped = edges.rows("edges", f"SELECT k, {fine}, count(*) FROM people GROUP BY k ORDER BY k")
    assert [row[0] for row in grouped] == ["a", "b"], "single people's groups are withheld"


def kind(column):
    return {"f8": "float8", "f4": "real", "n": "numeric", "n2": "numeric", "big": "bigint",
            "small": "smallint", "d": "date", "ts": "timestamp", "tz": "timestamptz"}[column]


def test_time_stamps_come_in_utc_whatever_the_session_says(edges):
    """A clamp to one moment: its bin is the moment itself."""
    for zone in ("UTC", "America/New_York", "Asia/Kathmandu"):
        [(plain, zoned)] = edges.rows(
            "edges", "SELECT max(least(greatest(ts, timestamp '2021-03-04 05:06:07.89'), timestamp"
                     " '2021-03-04 05:06:07.89')), max(least(greatest(tz, timestamptz"
                     " '1999-12-31 23:59:59.000001+00'), timestamptz '1999-12-31 23:59:59.000001+00'))"
                     " FROM people", settings={"TimeZone": zone})
        assert plain == datetime.datetime(2021, 3, 4, 5, 6, 7, 890000)
        assert zoned == datetime.datetime(1999, 12, 31, 23, 59, 59, 1, datetime.timezone.utc)


def test_empty_tables_have_answers_too(edges):
    rows = edges.rows("edges", "SELECT max(small), percentile_cont(0.5) WITHIN GROUP (ORDER BY f8)"
                               " FROM people WHERE id < 0")
    assert len(rows) == 1 and 0 <= rows[0][0] <= 100 and -1000 <= rows[0][1] <= 1000


def test_fractions_are_parameters_and_what_is_none_is_refused_for_nothing(edges):
    with edges.connect3("edges") as connection:
        several = connection.execute("SELECT percentile_disc(%s::float8[]) WITHIN GROUP (ORDER BY small)"
                                     " FROM people", [[0.1, 0.5, 0.9]]).fetchone()[0]
        assert several == sorted(several) and len(several) == 3
        connection.execute("SET extra_float_digits = -15")
        few_digits = connection.execute("SELECT percentile_disc(%s::float8[]) WITHIN GROUP (ORDER BY small)"
                                        " FROM people", [[0.1234, 0.1, 0.9]]).fetchone()[0]
        connection.execute("SET extra_float_digits = 3")
        spent = connection.execute("SELECT spent FROM dp.budget").fetchone()[0]
        assert connection.execute("SELECT percentile_disc(%s::float8[]) WITHIN GROUP (ORDER BY small)"
                                  " FROM people", [[0.1234, 0.1, 0.9]]).fetchone()[0] == few_digits
        assert connection.execute("SELECT spent FROM dp.budget").fetchone()[0] == spent
        connection.execute("SELECT percentile_disc(%s::float8) WITHIN GROUP (ORDER BY small) FROM"
                           " people", [0.5])
        paid = connection.execute("SELECT spent FROM dp.budget").fetchone()[0]
        assert paid > spent
        for value in (1.5, -0.1, float("nan")):
            with pytest.raises(Exception, match="between 0 and 1|constant"):
                connection.execute("SELECT percentile_disc(%s::float8) WITHIN GROUP (ORDER BY small)"
                                   " FROM people", [value])
        assert connection.execute("SELECT spent FROM dp.budget").fetchone()[0] == paid


def test_a_bound_that_is_missing_is_named(edges):
    with pytest.raises(psycopg2.errors.FeatureNotSupported, match="no finite bounds"):
        edges.rows("edges", "SELECT max(id) FROM people")
