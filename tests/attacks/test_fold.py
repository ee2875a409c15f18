"""Coarser groups from finer ones: however often and in whatever order they are asked, they show the draws that
were paid for and nothing else; plans and prices are the same whoever is in the data."""
import itertools
import math
import random
import re

import pytest
import neighbours

GRANT = ("400", "0.00001")
KEYS = ("dept", "gender", "b")
DOMAINS = {"dept": ["CS", "EE", "ME"], "gender": ["f", "m"], "b": [True, False]}
GROUPINGS = [keys for n in range(len(KEYS) + 1) for keys in itertools.permutations(KEYS, n)]


def count_by(keys, where="id > 0"):
    columns = "".join(key + ", " for key in keys)
    groups = f" GROUP BY {', '.join(keys)}" if keys else ""
    return f"SELECT {columns}count(*) FROM people WHERE {where}{groups}"


def run(connection, sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else None


@pytest.fixture
def asking(pgveil):
    """A connection of a fresh analyst to each neighbour, and the analyst's name."""
    analyst = pgveil.analyst(grants={dataset: GRANT for dataset in neighbours.DATASETS})
    connections = {dataset: analyst.connect(dataset, options="-c dp.mechanism=gaussian")
                   for dataset in neighbours.DATASETS}
    yield connections, analyst.name
    for connection in connections.values():
        connection.close()


def spent(pgveil, name, dataset="with_bob"):
    return int(pgveil.ledger("SELECT mu2_spent_pico FROM pgveil.account WHERE holder = 'analyst' "
                             f"AND name = '{name}' AND dataset = '{dataset}'")[0][0])


class Draw:
    """A kept draw of a count, as the ledger has it; keys: of which columns."""

    def __init__(self, row, columns):
        identity, self.m, self.noisy, fold_keys = row
        self.m = int(self.m)
        self.noisy = [int(value) for value in self.noisy.strip("{}").split(",")]
        self.keys = [columns[key] for key in fold_keys.strip("{}").split(",")] if fold_keys else []

    def values(self):
        return dict(zip(itertools.product(*(DOMAINS[key] for key in self.keys)), self.noisy))

    def added_up(self, keys):
        """By these keys, and the divisor that the sums are worth; None where a key is missing."""
        if not set(keys) <= set(self.keys):
            return None
        sums, parts = {}, len(self.noisy)
        for group, value in self.values().items():
            named = dict(zip(self.keys, group))
            place = tuple(named[key] for key in keys)
            sums[place] = sums.get(place, 0) + value
        parts //= len(sums)
        square = 12 * self.m**2 * 2**100 // (12 * parts * 2**100 + (parts - 1) * self.m**2)
        return math.isqrt(square), sums


def kept_draws(pgveil, name, columns):
    return [Draw(row, columns) for row in pgveil.ledger(
        "SELECT k.identity, k.m, k.noisy, k.fold_keys FROM pgveil.kept_answer k "
        f"JOIN pgveil.paid p ON p.draw = k.draw WHERE p.analyst = '{name}' ORDER BY k.id")]


def mean(draws, keys):
    """Of everything that tells of these groups, weighted as its precision says, halves away from zero."""
    told = [draw for draw in (draw.added_up(keys) for draw in draws) if draw]
    weights = sum(m * m for m, _ in told)
    means = {}
    for group in told[0][1]:
        total = sum(m * m * sums[group] for m, sums in told)
        size = (2 * abs(total) + weights) // (2 * weights)
        means[group] = size if total >= 0 else -size
    return means


def test_no_grouping_gives_a_second_look(pgveil, asking):
    """One release is paid for; all its coarsenings, in every order, add up to it. What averages of them
    would show is what was shown before."""
    connections, name = asking
    connection = connections["with_bob"]
    run(connection, "SET dp.epsilon = 3")
    fine = {row[:-1]: row[-1] for row in run(connection, count_by(KEYS))}
    paid = spent(pgveil, name)
    run(connection, "SET dp.epsilon = 0.05")
    for keys in GROUPINGS:
        for _ in range(2):
            rows = run(connection, count_by(keys))
            for row in rows:
                parts = [value for group, value in fine.items()
                         if all(group[KEYS.index(key)] == part for key, part in zip(keys, row))]
                assert row[-1] == sum(parts), (keys, row)
    assert spent(pgveil, name) == paid
    assert len(pgveil.ledger(f"SELECT 1 FROM pgveil.paid WHERE analyst = '{name}'")) == 1


def test_an_adaptive_analyst_sees_the_mean_of_what_was_paid_for(pgveil, asking):
    """The next grouping and its epsilon follow from the digits of the answers so far. Every answer is the
    weighted mean of the draws that the ledger has, computed here; each draw was charged, and all that is
    charged is what the draws' integers say."""
    connections, name = asking
    connection = connections["with_bob"]
    where, source, columns, digit = "id > -5", random.Random(11), {}, 3
    run(connection, "SET dp.epsilon = 0.02")
    for key in KEYS:
        run(connection, count_by((key,), where))
        (digest,), = pgveil.ledger(
            "SELECT k.fold_keys[1] FROM pgveil.kept_answer k JOIN pgveil.paid p ON p.draw = k.draw "
            f"WHERE p.analyst = '{name}' AND cardinality(k.fold_keys) = 1 ORDER BY k.id DESC LIMIT 1")
        columns[digest] = key
    assert len(columns) == len(KEYS)
    free = charged = 0
    for _ in range(45):
        keys = GROUPINGS[(digit * 7 + source.randrange(len(GROUPINGS))) % len(GROUPINGS)]
        run(connection, f"SET dp.epsilon = {source.choice([0.02, 0.1, 0.3]) * (1 + digit / 10):.4f}")
        before, had = spent(pgveil, name), len(kept_draws(pgveil, name, columns))
        rows = run(connection, count_by(keys, where))
        price, draws = spent(pgveil, name) - before, kept_draws(pgveil, name, columns)
        assert len(draws) - had == (price > 0)
        assert {row[:-1]: row[-1] for row in rows} == mean(draws, keys), keys
        free, charged = free + (price == 0), charged + (price > 0)
        digit = sum(row[-1] for row in rows) % 10
    assert free > 5 and charged > 5, (free, charged)
    worth = sum(10**12 * draw.m**2 / 2**100 for draw in kept_draws(pgveil, name, columns))
    assert worth <= spent(pgveil, name)


STEPS = [(2, count_by(("dept", "gender"))), (0.1, count_by(("gender",))), (1, count_by(("dept",))),
         (1, "SELECT kind, count(*), sum(cost) FROM visits GROUP BY kind"),
         (0.5, "SELECT count(*), avg(cost) FROM visits"), (2, "SELECT sum(cost) FROM visits"),
         (2, count_by(()))]


def test_plan_and_price_are_the_same_with_and_without_one_person(pgveil, asking):
    """What is derived and what is drawn, at which price, follows from what was asked."""
    connections, name = asking
    told = {}
    for dataset, connection in connections.items():
        plans, prices = [], []
        for epsilon, sql in STEPS:
            run(connection, f"SET dp.epsilon = {epsilon}")
            lines = [line for line, in run(connection, f"EXPLAIN {sql}")]
            plans.append(re.sub(r"\(20\d\d-[^)]*Z\)", "(then)", "\n".join(lines)))
            before = spent(pgveil, name, dataset)
            run(connection, sql)
            prices.append(spent(pgveil, name, dataset) - before)
        told[dataset] = plans, prices
    assert told["with_bob"] == told["without_bob"]
    assert sum("from the kept answer" in plan for plan in told["with_bob"][0]) >= 4


@pytest.mark.parametrize("fine, coarse, most", [
    ("SELECT kind, count(*), sum(cost) FROM visits GROUP BY kind", "SELECT count(*) FROM visits", 10),
    ("SELECT kind, count(*), sum(cost) FROM visits GROUP BY kind", "SELECT sum(cost) FROM visits", 10000),
    ("SELECT p.b, v.kind, p.dept, count(*) FROM people p JOIN visits v ON v.person_id = p.id GROUP BY 1, 2, 3",
     "SELECT v.kind, count(*) FROM people p JOIN visits v ON v.person_id = p.id GROUP BY 1", 10),
    ("SELECT dept, gender, b, sum(salary) FROM people GROUP BY 1, 2, 3",
     "SELECT b, dept, sum(salary) FROM people GROUP BY 1, 2", 200000)])
def test_one_person_moves_what_is_derived_no_more_than_what_is_measured(exact, fine, coarse, most):
    """Bob has far more rows than the policy allows."""
    analyst = exact.analyst(grants={dataset: GRANT for dataset in neighbours.DATASETS})
    answers = []
    for dataset in neighbours.DATASETS:
        connection = analyst.connect(dataset, options="-c dp.mechanism=gaussian -c dp.epsilon=20")
        run(connection, fine)
        before = spent(exact, analyst.name, dataset)
        run(connection, "SET dp.epsilon = 0.02")
        answers.append({row[:-1]: float(row[-1]) for row in run(connection, coarse)})
        assert spent(exact, analyst.name, dataset) == before
        connection.close()
    assert answers[0].keys() == answers[1].keys()
    moved = [abs(answers[0][group] - answers[1][group]) for group in answers[0]]
    assert 0 < sum(moved) <= most, moved
