"""The meaning oracle: without noise, and where no bound binds, pgveil answers what PostgreSQL
answers to the analyst's own text, value by value and type by type.

Rows without a unit belong to nobody and are not measured, so PostgreSQL is asked about a copy of
the database without them."""
import math
import random
import re
from datetime import timedelta
from decimal import Decimal

import psycopg
import pytest
from harness.cases import accepted
from harness.pgveil import AMPLE, DATASETS
from harness.random_persons import PersonGenerator

CASES = list(accepted())
OWNED = {"clinic": "clinic_owned"}


@pytest.fixture(scope="module")
def asker(zero_noise):
    return zero_noise.analyst(grants={d: AMPLE for d in DATASETS})


@pytest.fixture(scope="module")
def sessions(asker, protected):
    """dataset -> (through pgveil, directly)"""
    pairs = {}
    for dataset in {case[1] for case in CASES}:
        direct = psycopg.connect(protected.conninfo(OWNED.get(dataset, dataset), "postgres"),
                                 autocommit=True)
        pairs[dataset] = (asker.connect3(dataset), direct)
    yield pairs
    for pair in pairs.values():
        for connection in pair:
            connection.close()


def ask(connection, sql, parameters, binary):
    """Rows and the columns' names and types, by the extended protocol."""
    used = [parameters[int(number) - 1] for number in re.findall(r"\$(\d+)", sql)]
    if used:
        sql = re.sub(r"\$\d+", "%s", sql.replace("%", "%%"))
    cursor = connection.execute(sql, used or None, prepare=True, binary=binary)
    return cursor.fetchall(), [(c.name, c.type_code, c.precision, c.scale)
                               for c in cursor.description]


def same(a, b, approximate):
    if type(a) is not type(b):
        return False
    if isinstance(a, timedelta) and approximate:
        a, b = a.total_seconds(), b.total_seconds()
    if isinstance(a, (float, Decimal)) and approximate:
        return math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-6)
    if isinstance(a, Decimal):
        return a == b and a.as_tuple().exponent == b.as_tuple().exponent
    return a == b


@pytest.mark.parametrize("binary", [False, True], ids=["text", "binary"])
@pytest.mark.parametrize("dataset, sql, parameters, approximate", [c[1:] for c in CASES],
                         ids=[c[0] for c in CASES])
def test_the_answer_means_what_postgresql_means(sessions, dataset, sql, parameters, approximate,
                                                binary):
    through, direct = sessions[dataset]
    answer, columns = ask(through, sql, parameters, binary)
    expected, expected_columns = ask(direct, sql, parameters, binary)
    assert columns == expected_columns
    assert len(answer) == len(expected), (answer, expected)
    for row, expected_row in zip(answer, expected):
        for value, expected_value in zip(row, expected_row):
            assert same(value, expected_value, approximate), (answer, expected)


def check_simple(asker, protected, dataset, sql, settings=None):
    approximate = next(c[4] for c in CASES if c[1:3] == (dataset, sql))
    answer = asker.rows(dataset, sql, settings=settings)
    connection = protected.connect(OWNED.get(dataset, dataset))
    with connection.cursor() as cursor:
        cursor.execute(sql)
        expected = cursor.fetchall()
    connection.close()
    assert len(answer) == len(expected)
    for row, expected_row in zip(answer, expected):
        for value, expected_value in zip(row, expected_row):
            assert same(value, expected_value, approximate), (answer, expected)


SIMPLE = [c for c in CASES if not c[3]]


@pytest.mark.parametrize("dataset, sql", [c[1:3] for c in SIMPLE], ids=[c[0] for c in SIMPLE])
def test_simple_queries_answer_alike(asker, protected, dataset, sql):
    check_simple(asker, protected, dataset, sql)


SUMMED = [c for c in SIMPLE if re.search(r"\b(avg|sum|var\w*|stddev\w*)\(", c[2])]


@pytest.mark.parametrize("dataset, sql", [c[1:3] for c in SUMMED], ids=[c[0] for c in SUMMED])
def test_the_pair_that_laplace_noise_measures_means_the_same(asker, protected, dataset, sql):
    check_simple(asker, protected, dataset, sql, {"dp.mechanism": "laplace"})


def refused_or(connection, sql):
    """The rows; None where the statement is refused or fails."""
    try:
        return connection.execute(sql).fetchall()
    except psycopg.Error as error:
        assert error.sqlstate != "XX000", (sql, error)
        return None


@pytest.mark.parametrize("seed", range(4))
def test_generated_counts_of_persons_mean_what_postgresql_means(zero_noise, protected, seed):
    """EXISTS, IN, groups of one person and WITH, nested at random. Where PostgreSQL fails (a division by zero),
    the answer is pgveil's own."""
    generator = PersonGenerator(random.Random(seed))
    statements = [generator.counts() for _ in range(40)]
    compared = 0
    with zero_noise.analyst(grants={"clinic": AMPLE}).connect3("clinic") as through, \
            psycopg.connect(protected.conninfo(OWNED["clinic"], "postgres"), autocommit=True) as direct:
        for sql in statements:
            answer, expected = refused_or(through, sql), refused_or(direct, sql)
            if answer is not None and expected is not None:
                assert answer == expected, sql
                compared += 1
    assert compared > len(statements) / 2, "the generator writes what is refused"
