"""Answers as a population: within their stated error as often as stated, unbiased, with the stated
spread, noise that does not depend on the data, keys that appear no more often than delta allows.

ALPHA is the chance that a right program fails one of these checks."""
import json
import math
import re
from statistics import NormalDist

import pytest
from harness.pgveil import AMPLE, DATASETS
from harness.usual import usual

ALPHA = 1e-6
Z = NormalDist().inv_cdf(1 - ALPHA / 2)
RUNS = 200


@pytest.fixture(scope="module")
def session(pgveil):
    """dataset -> cursor of an analyst of this module"""
    analyst = pgveil.analyst(grants={dataset: AMPLE for dataset in DATASETS})
    connections = {dataset: analyst.connect(dataset) for dataset in DATASETS}
    for connection in connections.values():
        with connection.cursor() as cursor:
            cursor.execute("SET dp.epsilon = 0.5")
            cursor.execute("SET dp.notices = off")
            cursor.execute("SET dp.reuse = off")
    yield connections
    for connection in connections.values():
        connection.close()


def ask(connection, sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def stated_errors(connection, sql):
    """The 95 % errors that EXPLAIN states, column by column, with their counts for averages."""
    explained = ask(connection, f"EXPLAIN (FORMAT JSON) {sql}")[0][0]
    document = json.loads(explained) if isinstance(explained, str) else explained
    return [float(column["Expected Error"])
            for release in document[0]["Plan"]["Releases"] for column in release["Columns"]]


# The literal that changes from run to run makes each a release of its own and selects every row.
QUESTIONS = [
    ("census", "SELECT count(*) FROM people WHERE education > -{n}", 1),
    ("census", "SELECT sum(education) FROM people WHERE education > -{n}", 1),
    ("clinic", "SELECT sum(cost) FROM visits WHERE minutes > -{n}", 0.01),
    ("clinic", "SELECT count(DISTINCT patient_id) FROM visits WHERE minutes > -{n}", 1),
    ("clinic", "SELECT sum(weight) FROM patients WHERE age > -{n} OR age IS NULL", 0),
    ("panel", "SELECT count(*) FROM years WHERE weeks > -{n}", 1),
    ("panel", "SELECT sum(y.wage) FROM years y JOIN persons p ON p.id = y.person_id "
              "WHERE p.education > -{n}", 1),
]


# Each mechanism for a count and a sum, and each question once, in the usual run.
CASES = [(mechanism, *question) for question in QUESTIONS for mechanism in ("gaussian", "laplace")]


@pytest.mark.parametrize("mechanism, dataset, question, grid",
                         usual(CASES, lambda case: case[1] == "census" or case[0] == "gaussian"),
                         ids=[f"{re.sub(r'[^a-z]+', '_', case[2])[:40]}-{case[0]}" for case in CASES])
def test_the_noise_is_that_of_the_mechanism(session, protected, dataset, question, grid, mechanism):
    connection = session[dataset]
    ask_settings(connection, f"SET dp.mechanism = {mechanism}")
    # Some wages are above their bound, and count as the bound.
    direct = question.format(n=1).replace("sum(y.wage)", "sum(least(y.wage, 2000))")
    truth = float(ask_directly(protected, dataset, direct))
    stated = stated_errors(connection, question.format(n=1))[0]
    errors = [float(ask(connection, question.format(n=n))[0][0]) - truth for n in range(1, RUNS + 1)]
    ask_settings(connection, "RESET dp.mechanism")
    # 95 % of the law lie within the stated error, rounded up to the answer's grid.
    sigma_of_stated = {"gaussian": 1 / NormalDist().inv_cdf(0.975),
                       "laplace": math.sqrt(2) / math.log(20)}[mechanism]
    slack = max(grid, 0.005 * stated)
    inside = sum(abs(e) <= stated for e in errors)
    assert inside >= 0.95 * RUNS - Z * math.sqrt(RUNS * 0.95 * 0.05), (inside, stated)
    assert abs(sum(errors)) / RUNS < Z * stated * sigma_of_stated / math.sqrt(RUNS) + grid, "biased"
    variance = sum(e * e for e in errors) / RUNS
    # The estimate's own spread: a Gaussian's kurtosis is 3, a Laplace's 6.
    spread = Z * math.sqrt({"gaussian": 2, "laplace": 5}[mechanism] / RUNS)
    upper = (stated * sigma_of_stated) ** 2 * (1 + spread) + grid ** 2 / 12
    lower = max(0, (stated - slack) * sigma_of_stated) ** 2 * (1 - spread)
    assert lower < variance < upper, (lower, variance, upper)


def ask_settings(connection, sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)


def ask_directly(protected, dataset, sql):
    """Rows without a unit are nobody's: pgveil does not measure them."""
    return protected.query({"clinic": "clinic_owned"}.get(dataset, dataset), sql)[0][0]


def test_the_spread_does_not_depend_on_the_data(session, protected):
    """The same question of few and of many rows: one law."""
    few = "SELECT count(*) FROM people WHERE education > 1000 + {n}"
    many = "SELECT count(*) FROM people WHERE education < 1000 + {n}"
    squares = []
    for question in (few, many):
        truth = ask_directly(protected, "census", question.format(n=1))
        errors = [ask(session["census"], question.format(n=n))[0][0] - truth for n in range(RUNS)]
        squares.append(sum(e * e for e in errors) / RUNS)
    ratio = math.log(squares[0] / squares[1])
    assert abs(ratio) < Z * math.sqrt(2 * 2 / RUNS), squares


def test_an_empty_selection_is_a_noisy_zero(session):
    rows = ask(session["clinic"], "SELECT count(*), sum(age), avg(age) FROM patients WHERE age > 1000")
    assert len(rows) == 1 and None not in rows[0], rows
    assert 0 <= float(rows[0][2]) <= 120
    rows = ask(session["clinic"], "SELECT code, count(*) FROM visits WHERE minutes > 5000 GROUP BY code")
    assert len(rows) == 5
    assert ask(session["clinic"], "SELECT city, count(*) FROM patients WHERE age > 1000 GROUP BY city") == []


def test_noise_takes_both_signs_and_many_values(session):
    values = {ask(session["clinic"], f"SELECT count(*) FROM patients WHERE age > 1000 + {n}")[0][0]
              for n in range(60)}
    assert min(values) < 0 < max(values) and len(values) > 5


def test_a_key_of_one_person_does_not_appear(session):
    """About eight villages of one inhabitant each; the chance that one appears is delta."""
    for number in range(40):
        rows = ask(session["clinic"], "SELECT city, count(*) FROM patients "
                                      f"WHERE age > -{number + 1} OR age IS NULL GROUP BY city")
        assert [city for city, _ in rows] == ["Aachen", "Bremen", "Celle", "Dresden"]


def test_every_key_of_a_domain_appears_and_no_other(session):
    rows = ask(session["clinic"], "SELECT sex, count(*) FROM patients WHERE city = 'nowhere' GROUP BY sex")
    assert {sex for sex, _ in rows} == {"f", "m", None}
    rows = ask(session["clinic"], "SELECT sex, insured, count(*) FROM patients GROUP BY sex, insured")
    assert len(rows) == 6


def test_the_same_draw_serves_every_column_and_row_of_one_statement(session):
    rows = ask(session["clinic"], "SELECT count(*), count(*), count(*) * 2 FROM patients")
    assert rows[0][0] == rows[0][1] and rows[0][2] == 2 * rows[0][0]


def test_rows_without_a_unit_are_not_measured(session, protected):
    with_nobody = protected.query("clinic", "SELECT count(*) FROM visits")[0][0]
    owned = ask_directly(protected, "clinic", "SELECT count(*) FROM visits")
    assert with_nobody - owned == 60
    ask_settings(session["clinic"], "SET dp.epsilon = 20")
    stated = stated_errors(session["clinic"], "SELECT count(*) FROM visits")[0]
    answer = ask(session["clinic"], "SELECT count(DISTINCT patient_id) FROM visits")[0][0]
    ask_settings(session["clinic"], "SET dp.epsilon = 0.5")
    truth = ask_directly(protected, "clinic", "SELECT count(DISTINCT patient_id) FROM visits")
    assert stated > 0 and abs(answer - truth) < 30


@pytest.mark.parametrize("confidence", ["0.5", "0.95"])
def test_intervals_hold_the_truth_as_often_as_they_say(session, protected, confidence):
    ask_settings(session["clinic"], f"SET dp.confidence = {confidence}")
    truth = protected.query("clinic_owned", "SELECT count(*), avg(minutes) FROM visits")[0]
    hits = [0, 0]
    for number in range(1, RUNS + 1):
        row = ask(session["clinic"],
                  "SELECT dp.interval_low(count(*)), dp.interval_high(count(*)), "
                  "dp.interval_low(avg(minutes)), dp.interval_high(avg(minutes)) "
                  f"FROM visits WHERE minutes > -{number}")[0]
        for column in (0, 1):
            hits[column] += row[2 * column] <= float(truth[column]) <= row[2 * column + 1]
    ask_settings(session["clinic"], "RESET dp.confidence")
    share = float(confidence)
    for hit in hits:
        assert hit >= share * RUNS - Z * math.sqrt(RUNS * share * (1 - share)), (hit, confidence)


def test_a_heavy_person_is_cut_to_the_bound(protected, pgveil):
    """max_rows is 60: somebody with 100,000 more rows moves the answer by no more than that."""
    analyst = pgveil.analyst(grants={"clinic": AMPLE})
    connection = analyst.connect("clinic")
    ask_settings(connection, "SET dp.epsilon = 10")
    question = "SELECT count(*) FROM visits WHERE minutes > -{n}"
    stated = stated_errors(connection, question.format(n=1))[0]
    before = [ask(connection, question.format(n=n))[0][0] for n in range(1, 9)]
    protected.query("clinic", "INSERT INTO visits (id, patient_id, day, minutes, code, \"Ward No\") "
                              "SELECT 1000000 + g, 1, '2024-01-01', 5, 'A00', 1 "
                              "FROM generate_series(1, 100000) g")
    try:
        after = [ask(connection, question.format(n=n))[0][0] for n in range(11, 19)]
    finally:
        protected.query("clinic", "DELETE FROM visits WHERE id > 1000000")
        connection.close()
    change = sum(after) / len(after) - sum(before) / len(before)
    assert -60 - stated * 3 < change < 60 + stated * 3, (change, stated)


def test_values_beyond_their_bounds_count_as_the_bound(protected, pgveil):
    analyst = pgveil.analyst(grants={"clinic": AMPLE})
    connection = analyst.connect("clinic")
    ask_settings(connection, "SET dp.epsilon = 10")
    question = "SELECT sum(age) FROM patients WHERE age > -{n}"
    stated = stated_errors(connection, question.format(n=1))[0]
    before = ask(connection, question.format(n=1))[0][0]
    old = protected.query("clinic", "SELECT age FROM patients WHERE id = 5")[0][0]
    protected.query("clinic", "UPDATE patients SET age = 1000000000 WHERE id = 5")
    try:
        after = ask(connection, question.format(n=2))[0][0]
    finally:
        protected.query("clinic", "UPDATE patients SET age = %s WHERE id = 5", (old,))
        connection.close()
    assert abs(after - before) < 120 + 4 * stated, (before, after, stated)


def test_the_answer_of_a_driver_with_parameters(pgveil, protected):
    analyst = pgveil.analyst(grants={"clinic": AMPLE})
    with analyst.connect3("clinic") as connection:
        connection.execute("SET dp.epsilon = 10")
        for low, city in ((30, "Celle"), (60, "Bremen")):
            row = connection.execute("SELECT count(*), sum(age) FROM patients "
                                     "WHERE age >= %s AND city = %s", (low, city)).fetchone()
            truth = protected.query("clinic", "SELECT count(*), sum(age) FROM patients "
                                              "WHERE age >= %s AND city = %s", (low, city))[0]
            assert abs(row[0] - truth[0]) < 20 and abs(row[1] - truth[1]) < 2000
            assert type(row[0]) is type(truth[0]) and type(row[1]) is type(truth[1])
