"""Coarser groups are derived from finer ones that were paid for: their noisy values added up, with the
noise of so many draws, for nothing where that is precise enough and else for what is missing."""
import math

import pytest
from harness.pgveil import AMPLE, DATASETS
from test_reuse import Asked

PEOPLE = ("SELECT region, smsa, parttime, count(*), sum(education), avg(wage) FROM people "
          "GROUP BY region, smsa, parttime")


def gaussian(analyst, dataset, epsilon):
    connection = analyst.connect(dataset, options=f"-c dp.mechanism=gaussian -c dp.epsilon={epsilon}")
    return Asked(connection)


@pytest.fixture
def exact(zero_noise):
    return zero_noise.analyst(grants={dataset: AMPLE for dataset in DATASETS})


def check(asked, protected, dataset, fine, coarse):
    """The coarse answers are PostgreSQL's own, for nothing, once the fine one was paid for."""
    asked.rows("SET dp.epsilon = 5")
    asked.paid(fine)
    asked.rows("SET dp.epsilon = 0.1")
    for sql in coarse:
        release, = asked.explain(sql)["Plan"]["Releases"]
        assert {column["Reuse"] for column in release["Columns"]} == {"all"}, sql
        rows = asked.free(sql)
        expected = protected.query(dataset, sql.replace("avg(wage)", "avg(least(wage, 2000))"))
        assert len(rows) == len(expected)
        for row, real in zip(rows, expected):
            for a, b in zip(row, real):
                assert a == b or abs(float(a) - float(b)) < 1e-6 * max(1, abs(float(b))), (sql, row)


def test_without_noise_what_is_derived_is_the_exact_answer(exact, protected):
    asked = gaussian(exact, "census", 5)
    check(asked, protected, "census", PEOPLE, [
        "SELECT region, count(*), avg(wage) FROM people GROUP BY region ORDER BY region",
        "SELECT smsa, region, sum(education) FROM people GROUP BY smsa, region ORDER BY 1, 2",
        "SELECT parttime, smsa, region, count(*) FROM people GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
        "SELECT count(*), sum(education), avg(wage) FROM people",
    ])
    asked.connection.close()


def test_explain_says_where_it_comes_from(analyst):
    asked = gaussian(analyst, "census", 5)
    asked.paid(PEOPLE)
    asked.rows("SET dp.epsilon = 0.1")
    text = "\n".join(row[0] for row in asked.rows("EXPLAIN SELECT smsa, count(*) FROM people GROUP BY 1"))
    assert ", from the kept answer grouped by region, smsa, parttime, nothing is drawn" in text, text
    asked.connection.close()
