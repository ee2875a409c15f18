"""What is said about errors: intervals that hold as often as stated, errors that can be asked for, the
mechanism that the account decides on; EXPLAIN, the answer and the ledger show the same numbers.

ALPHA is the chance that a right program fails one of these checks."""
import json
import math
from datetime import timedelta
from statistics import NormalDist

import psycopg2
import pytest
from harness.pgveil import AMPLE, DATASETS
from harness.usual import usual

ALPHA = 1e-6
Z = NormalDist().inv_cdf(1 - ALPHA / 2)
RUNS = 200


@pytest.fixture(scope="module")
def analyst(own_pgveil):
    return own_pgveil.analyst(grants={dataset: AMPLE for dataset in DATASETS})


@pytest.fixture
def session(analyst):
    """dataset -> a connection that is given a fresh draw, and charged for it, each time"""
    connections = {}

    def connect(dataset):
        if dataset not in connections:
            connections[dataset] = analyst.connect(dataset)
            run(connections[dataset], "SET dp.notices = off; SET dp.reuse = off")
        return connections[dataset]
    yield connect
    for connection in connections.values():
        connection.close()


def run(connection, sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else []


def explained(connection, sql):
    """The first release of EXPLAIN (FORMAT JSON), and the price."""
    answer = run(connection, f"EXPLAIN (FORMAT JSON) {sql}")[0][0]
    document = json.loads(answer) if isinstance(answer, str) else answer
    plan = document[0]["Plan"]
    return plan["Releases"][0], plan["Price mu2_pico"]


def last_charge(connection):
    return int(run(connection, "SELECT mu2_pico FROM dp.history ORDER BY at DESC LIMIT 1")[0][0])


def owned(protected, dataset, sql):
    return float(protected.query({"clinic": "clinic_owned"}.get(dataset, dataset), sql)[0][0])


def often_enough(hits, share=0.95):
    return hits >= share * RUNS - Z * math.sqrt(RUNS * share * (1 - share))


# The literal makes each run a release of its own and selects every row.
AGGREGATES = [
    ("census", "count(*)", "people WHERE education > -{n}"),
    ("clinic", "count(DISTINCT patient_id)", "visits WHERE minutes > -{n}"),
    ("clinic", "count(DISTINCT code)", "visits WHERE minutes > -{n}"),
    ("census", "sum(education)", "people WHERE education > -{n}"),
    ("clinic", "sum(cost)", "visits WHERE minutes > -{n}"),
    ("census", "avg(education)", "people WHERE education > -{n}"),
    ("clinic", "avg(age)", "patients WHERE age > -{n}"),
    ("clinic", "variance(age)", "patients WHERE age > -{n}"),
    ("clinic", "stddev_pop(weight)", "patients WHERE age > -{n}"),
    ("census", "stddev(education)", "people WHERE education > -{n}"),
]


# Each kind of aggregate, and each mechanism, in the usual run.
USUAL = {("gaussian", "count(*)"), ("laplace", "count(*)"), ("gaussian", "count(DISTINCT code)"),
         ("laplace", "sum(cost)"), ("gaussian", "sum(education)"), ("gaussian", "avg(age)"),
         ("laplace", "avg(education)"), ("gaussian", "variance(age)"), ("laplace", "stddev_pop(weight)")}
CASES = [(mechanism, *case) for case in AGGREGATES for mechanism in ("gaussian", "laplace")]


@pytest.mark.parametrize("mechanism, dataset, aggregate, rows",
                         usual(CASES, lambda case: (case[0], case[2]) in USUAL),
                         ids=[f"{case[2]}-{case[0]}" for case in CASES])
def test_intervals_hold_the_truth_as_often_as_stated(session, protected, dataset, aggregate, rows,
                                                     mechanism):
    connection = session(dataset)
    run(connection, f"SET dp.mechanism = {mechanism}")
    run(connection, "SET dp.epsilon = 0.5")
    truth = owned(protected, dataset, f"SELECT {aggregate} FROM {rows.format(n=1)}")
    inside, widths, deviations, stated_deviations = 0, [], [], []
    for n in range(1, RUNS + 1):
        value, low, high, deviation = run(
            connection, f"SELECT {aggregate}, dp.interval_low({aggregate}), "
            f"dp.interval_high({aggregate}), dp.stddev({aggregate}) FROM {rows.format(n=n)}")[0]
        assert low <= float(value) + 1e-6 and float(value) <= high + 1e-6
        inside += low - 1e-6 <= truth <= high + 1e-6
        widths.append(high - low)
        deviations.append((float(value) - truth) / deviation)
        stated_deviations.append(deviation)
    assert often_enough(inside), inside
    # Not wider than needed: 95 % of either law is within 2.2 deviations.
    z = sum(w for w in widths) / RUNS / 2
    stated = explained(connection, f"SELECT {aggregate} FROM {rows.format(n=1)}")[0]["Columns"][0]
    assert stated["Confidence"] == pytest.approx(0.95)
    wide = sum(w / 2 / abs(d) for w, d in zip(widths, stated_deviations)) / RUNS
    if not aggregate.startswith(("avg", "var", "stddev")):
        assert z == pytest.approx(stated["Expected Error"], rel=1e-6)
    square = sum(d * d for d in deviations) / RUNS
    assert 1.8 < wide < 4.5, wide
    assert abs(square - 1) < Z * math.sqrt({"gaussian": 2, "laplace": 5}[mechanism] / RUNS) * 1.1, square


def test_a_sum_beside_its_count_states_the_error_of_both(session, protected):
    connection = session("census")
    truth = owned(protected, "census", "SELECT sum(education) FROM people")
    for mechanism in ("gaussian", "laplace"):
        run(connection, f"SET dp.mechanism = {mechanism}")
        inside = 0
        for n in range(1, RUNS + 1):
            _, low, high = run(
                connection, "SELECT count(*), dp.interval_low(sum(education)), "
                f"dp.interval_high(sum(education)) FROM people WHERE education > -{n}")[0]
            inside += low <= truth <= high
        assert often_enough(inside), (mechanism, inside)
        assert inside < RUNS or mechanism == "laplace"


def test_intervals_about_intervals_are_intervals(session, protected):
    connection = session("clinic")
    spans = "sum(arrived::time::interval), avg(arrived::time::interval)"
    true_sum, true_mean = protected.query("clinic_owned", f"SELECT {spans} FROM visits")[0]
    inside = {"sum": 0, "avg": 0}
    for n in range(1, RUNS + 1):
        row = run(connection, "SELECT dp.interval_low(sum(s)), dp.interval_high(sum(s)), dp.stddev(sum(s)), "
                  "dp.interval_low(avg(s)), avg(s), dp.interval_high(avg(s)) FROM (SELECT "
                  f"arrived::time::interval AS s FROM visits WHERE minutes > -{n}) q")[0]
        assert all(isinstance(value, timedelta) for value in row)
        inside["sum"] += row[0] <= true_sum <= row[1]
        inside["avg"] += row[3] <= true_mean <= row[5]
        assert row[3] <= row[4] <= row[5] and row[2] > timedelta(0)
    assert all(often_enough(hits) for hits in inside.values()), inside


def test_intervals_stand_wherever_the_aggregate_can(session):
    connection = session("clinic")
    rows = run(connection, "SELECT sex, count(*) AS n, dp.interval_low(count(*)) AS low, "
               "round(dp.stddev(avg(age))::numeric, 1) FROM patients GROUP BY sex "
               "HAVING dp.interval_low(count(*)) > -100000 ORDER BY dp.interval_high(count(*)) DESC")
    assert len(rows) == 3 and all(low < n for _, n, low, _ in rows)
    assert [n for _, n, _, _ in rows] == sorted((n for _, n, _, _ in rows), reverse=True)
    before = run(connection, "SELECT spent_mu2 FROM dp.budget WHERE dataset = 'clinic'")
    with_interval = run(connection, "SELECT dp.interval_low(avg(age)) FROM patients WHERE age > 1000")
    assert with_interval == [(0.0,)], "an empty selection says nothing about its mean"
    assert before != run(connection, "SELECT spent_mu2 FROM dp.budget WHERE dataset = 'clinic'")
    with connection.cursor() as cursor:
        cursor.execute("SELECT dp.interval_low(count(*)), dp.stddev(sum(age)) FROM patients LIMIT 0")
        assert [column.type_code for column in cursor.description] == [701, 701], "double precision"


@pytest.mark.parametrize("sql", ["SELECT dp.interval_low(1)", "SELECT dp.stddev(count(*)) FROM icd_codes",
                                 "SELECT dp.interval_high(max(n)) FROM (SELECT count(*) AS n FROM patients) q",
                                 "SELECT dp.interval_low(age) FROM patients GROUP BY age"])
def test_an_interval_of_anything_else_is_refused(session, sql):
    with pytest.raises(psycopg2.Error) as caught:
        run(session("clinic"), sql)
    assert caught.value.pgcode == "0A000", caught.value.pgerror


@pytest.mark.parametrize("mechanism", ["gaussian", "laplace", "auto"])
@pytest.mark.parametrize("dataset, aggregate, rows, error", [
    ("census", "count(*)", "people WHERE education > -{n}", "6"),
    ("census", "sum(education)", "people WHERE education > -{n}", "99.5"),
    ("clinic", "sum(cost)", "visits WHERE minutes > -{n}", "2500000.25"),
])
def test_the_error_that_is_asked_for_is_kept(session, protected, dataset, aggregate, rows, error,
                                             mechanism):
    connection = session(dataset)
    run(connection, f"SET dp.mechanism = {mechanism}; SET dp.max_error = '{error}'")
    truth = owned(protected, dataset, f"SELECT {aggregate} FROM {rows.format(n=1)}")
    release, price = explained(connection, f"SELECT {aggregate} FROM {rows.format(n=1)}")
    stated = release["Columns"][0]["Expected Error"]
    assert 0.9 * float(error) - 1 < stated <= float(error)
    errors = [abs(float(run(connection, f"SELECT {aggregate} FROM {rows.format(n=n)}")[0][0]) - truth)
              for n in range(1, RUNS + 1)]
    assert often_enough(sum(e <= float(error) for e in errors))
    # And no more than that is paid for: nine in ten are not within half of it.
    assert sum(e > float(error) / 2 for e in errors) > RUNS * 0.05
    assert last_charge(connection) == price


def test_confidence_widens_what_is_stated_and_raises_what_is_paid(session):
    connection = session("census")
    question = "SELECT count(*) FROM people"
    run(connection, "SET dp.mechanism = gaussian")
    errors = []
    for confidence in ("0.5", "0.95", "0.999"):
        run(connection, f"SET dp.confidence = '{confidence}'")
        errors.append(explained(connection, question)[0]["Columns"][0]["Expected Error"])
    assert errors == sorted(errors) and errors[0] < errors[1] < errors[2]
    run(connection, "SET dp.max_error = 10")
    dear = explained(connection, question)[1]
    run(connection, "RESET dp.confidence")
    assert explained(connection, question)[1] < dear
    assert explained(connection, question)[1] / 1e12 == pytest.approx(0.0348432, abs=1e-6)


@pytest.mark.parametrize("setting, value", [
    ("dp.max_error", "0"), ("dp.max_error", "-3"), ("dp.max_error", "NaN"), ("dp.max_error", "much"),
    ("dp.confidence", "1"), ("dp.confidence", "95"), ("dp.confidence", "0.1"), ("dp.confidence", "nan"),
    ("dp.mechanism", "exponential")])
def test_what_cannot_be_is_refused_free_of_charge(session, setting, value):
    connection = session("census")
    spent = run(connection, "SELECT spent_mu2 FROM dp.budget WHERE dataset = 'census'")
    run(connection, f"SET dp.mechanism = gaussian; SET {setting} = '{value}'")
    with pytest.raises(psycopg2.Error) as caught:
        run(connection, "SELECT count(*) FROM people WHERE education > -12345")
    assert caught.value.pgcode == "22023" and caught.value.diag.message_hint, caught.value.pgerror
    run(connection, f"RESET {setting}")
    assert spent == run(connection, "SELECT spent_mu2 FROM dp.budget WHERE dataset = 'census'")


def test_an_error_that_is_too_dear_is_refused_with_what_it_needs(session):
    connection = session("census")
    run(connection, "SET dp.mechanism = gaussian; SET dp.max_error = 1")
    with pytest.raises(psycopg2.Error) as caught:
        run(connection, "SELECT sum(wage) FROM people")
    assert caught.value.pgcode == "22023" and "at most 20" in caught.value.diag.message_detail


def test_averages_have_no_error_to_ask_for(session):
    connection = session("census")
    run(connection, "SET dp.max_error = 10")
    with pytest.raises(psycopg2.Error) as caught:
        run(connection, "SELECT avg(education) FROM people")
    assert caught.value.pgcode == "0A000" and "sum and count" in caught.value.diag.message_hint


def test_the_account_decides_on_the_mechanism(own_pgveil):
    """On the one dataset in which nobody else has spent yet."""
    question = "SELECT count(*) FROM years WHERE weeks > -{}"

    def mechanism(connection, epsilon):
        run(connection, f"SET dp.epsilon = {epsilon}")
        return explained(connection, question.format(1))[0]["Columns"][0]["Mechanism"]
    first = own_pgveil.analyst(grants={"panel": ("1", "1e-6")}).connect("panel")
    run(first, "SET dp.reuse = off")
    assert mechanism(first, 0.4) == "discrete Gaussian", "unless asked to choose"
    run(first, "SET dp.mechanism = auto")
    assert mechanism(first, 0.02) == "discrete Gaussian", "many small questions"
    assert mechanism(first, 0.4) == "discrete Laplace", "a few large ones"
    for number in (1, 2):
        run(first, question.format(number))
    assert [float(row[0]) for row in run(first, "SELECT epsilon FROM dp.history")] == \
        [pytest.approx(0.4, abs=1e-6)] * 2
    assert mechanism(first, 0.4) == "discrete Gaussian", "0.2 is left in plain epsilon"
    second = own_pgveil.analyst(grants={"panel": ("1", "1e-6")}).connect("panel")
    run(second, "SET dp.mechanism = auto")
    assert mechanism(second, 0.4) == "discrete Gaussian", "the dataset's cap is not known to be pure"
    first.close()
    second.close()


@pytest.mark.parametrize("mechanism", ["gaussian", "laplace"])
def test_keys_alone_are_a_coin_each(session, mechanism):
    """Four cities of hundreds; about eight villages of one person, which appear with delta."""
    connection = session("clinic")
    run(connection, f"SET dp.mechanism = {mechanism}")
    price = explained(connection, "SELECT DISTINCT city FROM patients")
    assert 1 < price[0]["Key Even Chance"] < 50 and "Key Threshold" not in price[0]
    for number in range(10):
        rows = run(connection, "SELECT DISTINCT city FROM patients "
                   f"WHERE age > -{number + 1} OR age IS NULL ORDER BY city")
        assert rows == [("Aachen",), ("Bremen",), ("Celle",), ("Dresden",)]
    charge = run(connection, "SELECT mu2_pico, delta FROM dp.history ORDER BY at DESC LIMIT 1")[0]
    assert int(charge[0]) == price[1] and charge[1] > 0
    assert run(connection, "SELECT count(*) FROM (SELECT DISTINCT city FROM patients) c") == [(4,)]


def test_private_keys_have_laplace_noise_too(session):
    connection = session("clinic")
    run(connection, "SET dp.mechanism = laplace; SET dp.epsilon = 1")
    for number in range(10):
        rows = run(connection, "SELECT city, count(*) FROM patients "
                   f"WHERE age > -{number + 1} OR age IS NULL GROUP BY city")
        assert [city for city, _ in rows] == ["Aachen", "Bremen", "Celle", "Dresden"]
    charge = run(connection, "SELECT epsilon, delta FROM dp.history ORDER BY at DESC LIMIT 1")[0]
    assert float(charge[0]) == pytest.approx(1, abs=1e-6) and charge[1] > 0
