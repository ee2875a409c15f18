"""What the answers of the running server give away of one person, from outside: a lower bound of mu that is
too high with a probability of at most 1e-6 (Clopper and Pearson) must not exceed what was charged; where
noise is half as wide as what was charged (tests/pgveil-half-noise) it must. The event is chosen on a quarter
of the answers and counted on the others. N = 400 answers on each neighbour, three times that with --all."""
import math
import os
from statistics import NormalDist, median

import pytest
import neighbours
from conftest import running
from harness.money import journal
from harness.pgveil import AMPLE

ALPHA = 1e-6
ALL = bool(os.environ.get("PGVEIL_TESTS_ALL"))
ANALYSTS = 3 if ALL else 1  # each has a budget of its own, which buys so many answers
DRAWS, AT_ONCE = 400, 20

# One number per row of the answer; {} makes every release another one, so that none is reused. Bob is in all.
QUESTIONS = {
    "count": "(SELECT count(*) FROM people WHERE id <> -{})",
    "sum": "(SELECT sum(salary) FROM people WHERE id <> -{})",
    "rows": "(SELECT count(*) FROM visits WHERE person_id <> -{})",
    "cost": "(SELECT sum(cost) FROM visits WHERE person_id <> -{})",
    "highest": "(SELECT max(salary) FROM people WHERE id <> -{})",
    "dearest": "(SELECT percentile_cont(0.9) WITHIN GROUP (ORDER BY cost) FROM visits WHERE person_id <> -{})",
}
MECHANISMS = {"gaussian": "3", "laplace": "1.6"}  # and epsilon: mu is about 2
AUDITED = ([(question, mechanism) for question in QUESTIONS for mechanism in MECHANISMS] if ALL
           else [("count", "gaussian"), ("cost", "laplace")])


def log_binomial(k, n, p):
    return (math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
            + k * math.log(p) + (n - k) * math.log1p(-p))


def at_least(k, n, p):
    """P(X >= k), X binomial."""
    return math.fsum(math.exp(log_binomial(i, n, p)) for i in range(k, n + 1))


def lower_bound(k, n, alpha):
    """The probability is below this with a chance of at most alpha."""
    if k == 0:
        return 0.0
    low, high = 0.0, k / n
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if at_least(k, n, middle) > alpha else (middle, high)
    return low


def upper_bound(k, n, alpha):
    return 1 - lower_bound(n - k, n, alpha)


def mu_between(with_bob, without):
    """A lower bound of mu from two samples, wrong with a probability of at most ALPHA. Trade-offs bound the
    events answer >= t and answer < t alike."""
    normal, chosen = NormalDist(), len(with_bob) // 4
    t = (median(with_bob[:chosen]) + median(without[:chosen])) / 2
    counted = [sum(x >= t for x in sample[chosen:]) for sample in (with_bob, without)]
    n = len(with_bob) - chosen
    p, q = lower_bound(counted[0], n, ALPHA / 2), upper_bound(counted[1], n, ALPHA / 2)
    return normal.inv_cdf(p) - normal.inv_cdf(q) if 0 < p and q < 1 else -math.inf


def answers(analyst, dataset, question, mechanism, first):
    connection = analyst.connect(dataset)
    values = []
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"SET dp.mechanism = '{mechanism}'; SET dp.epsilon = '{MECHANISMS[mechanism]}'")
            for start in range(first, first + DRAWS, AT_ONCE):
                cursor.execute("SELECT " + ", ".join(question.format(i) for i in range(start, start + AT_ONCE)))
                values += [float(value) for value in cursor.fetchone()]
    finally:
        connection.close()
    return values


def audit(pgveil, question, mechanism):
    """The bound, and mu as charged for one answer."""
    samples, prices = ([], []), []
    for dataset in neighbours.DATASETS:
        pgveil.ctl("budget", "cap", dataset, "--off", "--yes")
    for round_ in range(ANALYSTS):
        analyst = pgveil.analyst(grants={dataset: AMPLE for dataset in neighbours.DATASETS})
        for sample, dataset in zip(samples, neighbours.DATASETS):
            sample += answers(analyst, dataset, question, mechanism, 1 + round_ * DRAWS)
        prices += journal(pgveil, analyst)
    assert len(set(prices)) == 1, "one price, whatever the person"
    return mu_between(*samples), math.sqrt(prices[0] / AT_ONCE) * 1e-6


@pytest.fixture(scope="module")
def shipped(protected):
    yield from running(protected)


@pytest.fixture(scope="module")
def faulty(protected):
    yield from running(protected, program="tests/pgveil-half-noise")


@pytest.mark.parametrize("question, mechanism", AUDITED)
def test_answers_give_away_no_more_than_was_charged(shipped, question, mechanism):
    bound, charged = audit(shipped, QUESTIONS[question], mechanism)
    assert 0 < bound <= charged, (bound, charged)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_the_audit_finds_noise_that_is_half_as_wide(faulty, mechanism):
    bound, charged = audit(faulty, QUESTIONS["count"], mechanism)
    assert bound > charged, (bound, charged)
