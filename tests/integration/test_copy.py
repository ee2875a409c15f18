"""COPY (query) TO STDOUT of a private query: what PostgreSQL copies of its own answer to it."""
import psycopg2
import pytest
from harness.money import journal
from harness.pgveil import AMPLE, DATASETS

QUERIES = [
    ("clinic", "SELECT sex, count(*), avg(age) FROM patients GROUP BY sex ORDER BY sex"),
    ("clinic", "SELECT city, count(*) FROM patients GROUP BY city HAVING count(*) > 20 ORDER BY 1"),
    ("clinic", "SELECT sum(weight) / count(weight) > 0 FROM patients"),
    ("clinic", "SELECT count(*), 'a,\"b''\t\\x' AS text, NULL AS nothing FROM visits"),
    ("clinic", "WITH b AS (SELECT sex, count(*) n FROM patients GROUP BY sex) "
               "SELECT sum(n), (SELECT count(*) FROM visits) FROM b"),
    ("clinic", "SELECT count(*) FROM patients LIMIT 0"),
]
OPTIONS = ["", "(FORMAT csv, HEADER)", "WITH (FORMAT csv, DELIMITER ';', FORCE_QUOTE *, NULL '-')",
           "(FORMAT binary)"]


def copied(connection, sql):
    class Sink:
        data = b""

        def write(self, piece):
            self.data += piece

    sink = Sink()
    with connection.cursor() as cursor:
        cursor.copy_expert(sql, sink)
        return bytes(sink.data), cursor.rowcount


@pytest.fixture(scope="module")
def analyst(zero_noise):
    return zero_noise.analyst(grants={dataset: AMPLE for dataset in DATASETS})


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("dataset, query", QUERIES)
def test_a_private_query_is_copied_as_postgresql_copies_it(analyst, protected, dataset, query,
                                                          options):
    sql = f"COPY ({query}) TO STDOUT {options}"
    direct = protected.connect(f"{dataset}_owned")
    through = analyst.connect(dataset)
    try:
        if "city" in query:
            with through.cursor() as cursor:
                cursor.execute("SET dp.delta = 1e-8")
        assert copied(through, sql) == copied(direct, sql)
    finally:
        through.close()
        direct.close()


def test_psql_writes_a_private_answer_to_a_file(analyst, tmp_path):
    target = tmp_path / "answer.csv"
    analyst.psql("clinic", "\\copy (SELECT sex, count(*) FROM patients GROUP BY sex ORDER BY sex) "
                           f"TO '{target}' CSV HEADER")
    lines = target.read_text().splitlines()
    assert lines[0] == "sex,count" and [line.split(",")[0] for line in lines[1:]] == ["f", "m", ""]


def test_what_the_ledger_feeds_can_be_copied(analyst):
    with analyst.connect("clinic") as connection:
        text, rows = copied(connection, "COPY (SELECT dataset, spent >= 0 FROM dp.budget "
                                        "ORDER BY dataset) TO STDOUT")
    assert rows == len(DATASETS) and b"clinic\tt\n" in text
    connection.close()


def test_a_copy_is_charged_and_noted_like_the_query(pgveil):
    analyst = pgveil.analyst(grants={"clinic": AMPLE})
    with analyst.connect("clinic") as connection:
        connection.autocommit = True
        copied(connection, "COPY (SELECT count(*) FROM patients) TO STDOUT")
        assert "pico mu^2" in connection.notices[-1] or "cost" in connection.notices[-1]
    charge, = journal(pgveil, analyst)
    assert charge > 1000


def test_array_nulls_off_changes_nothing(analyst):
    with analyst.connect("clinic") as connection:
        with connection.cursor() as cursor:
            try:
                cursor.execute("SET array_nulls = off")
            except psycopg2.Error:
                connection.rollback()
        text, _ = copied(connection, "COPY (SELECT sex IS NULL, sex FROM patients GROUP BY sex "
                                     "ORDER BY sex) TO STDOUT")
    assert text == b"f\tf\nf\tm\nt\t\\N\n"


@pytest.mark.parametrize("sql, sqlstate", [
    ("COPY (SELECT nothing FROM people) TO STDOUT", "0A000"),
    ("COPY (SELECT education FROM people) TO STDOUT", "42501"),
    ("COPY people TO STDOUT", "42501"),
    ("COPY (SELECT count(*), 'pgveil array 1' FROM people) TO STDOUT", "0A000"),
    ("COPY (SELECT count(*) FROM people) TO '/tmp/x'", "42501"),
    ("COPY (DELETE FROM people RETURNING 1) TO STDOUT", "42501"),
    ("COPY (SELECT count(*) FROM people) TO STDOUT (FORMAT nonsense)", "0A000"),
])
def test_what_cannot_be_copied_is_refused_and_costs_nothing(analyst, sql, sqlstate):
    connection = analyst.connect("census")
    before = analyst.rows("census", "SELECT spent_mu2 FROM dp.budget WHERE dataset = 'census'")
    with pytest.raises(psycopg2.Error) as error:
        copied(connection, sql)
    connection.close()
    assert error.value.pgcode == sqlstate, error.value
    after = analyst.rows("census", "SELECT spent_mu2 FROM dp.budget WHERE dataset = 'census'")
    assert before == after
