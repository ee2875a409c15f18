"""What noise is made of is public (10, T6): every scale, threshold, table and number of draws, on two
neighbours, with the same generator. The server writes them down (tests/support/audited_noise.c)."""
import pytest
import neighbours
from harness.pgveil import AMPLE, Pgveil

# Keys are declared or absent: the two servers draw the same noise for the same calls.
PUBLIC = [
    "SELECT count(*) FROM people",
    "SELECT count(DISTINCT person_id) FROM visits",
    "SELECT count(*), sum(cost), avg(cost) FROM visits",
    "SELECT sum(n2) FROM people WHERE salary > 150000",
    "SELECT sum(x), count(x) FROM visits",
    "SELECT sum(big), sum(small), sum(f4), sum(n) FROM people",
    "SELECT avg(salary), count(*) FILTER (WHERE name LIKE 'Bob%') FROM people",
    "SELECT variance(salary), stddev(f8) FROM people",
    "SELECT kind, count(*), sum(cost) FROM visits GROUP BY kind",
    "SELECT dept, gender, avg(salary) FROM people GROUP BY dept, gender",
    "SELECT kind, count(DISTINCT person_id) FROM visits GROUP BY kind HAVING count(*) > 100",
    "SELECT p.dept, sum(v.cost) FROM people p JOIN visits v ON v.person_id = p.id GROUP BY p.dept",
    "SELECT count(*) FROM (SELECT person_id, count(*) AS c FROM visits GROUP BY person_id) x WHERE c > 100",
    "SELECT count(*) FROM people WHERE id = 77",
    "SELECT count(*) FROM people WHERE name = 'nobody'",
    "SELECT sum(salary) FROM people WHERE id = 77",
    "SELECT b, count(*) FROM people GROUP BY b",
    "SELECT (SELECT count(*) FROM people WHERE d > '2500-01-01'), (SELECT sum(salary) FROM people)",
    "WITH a AS (SELECT dept, count(*) AS n FROM people GROUP BY dept) SELECT max(n), min(n) FROM a",
    "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY salary) FROM people",
    "SELECT max(salary) FROM people",
    "SELECT count(DISTINCT kind) FROM visits",
    "SELECT kind, max(cost), percentile_disc(ARRAY[0.25, 0.75]) WITHIN GROUP (ORDER BY x) FROM visits"
    " GROUP BY kind",
    "SELECT percentile_disc(ARRAY[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]) WITHIN GROUP (ORDER BY small),"
    " min(d), max(f4) FILTER (WHERE id = 77) FROM people",
]
# Which groups there are is private; what their noise is made of is not.
PRIVATE = [
    "SELECT zip, count(*) FROM people GROUP BY zip",
    "SELECT name, count(*) FROM people GROUP BY name",
    "SELECT DISTINCT zip FROM people",
    "SELECT DISTINCT name FROM people",
    "SELECT zip, sum(salary), avg(n2) FROM people GROUP BY zip",
    "SELECT ts, count(DISTINCT person_id) FROM visits GROUP BY ts",
    "SELECT zip, dept FROM people GROUP BY zip, dept",
    "SELECT zip, max(salary), percentile_cont(0.5) WITHIN GROUP (ORDER BY n2) FROM people GROUP BY zip",
]
SETTINGS = [{}, {"dp.mechanism": "laplace"}, {"dp.mechanism": "gaussian", "dp.epsilon": "0.1"},
            {"dp.max_error": "500", "dp.mechanism": "gaussian"}]


class Neighbour:
    """One of the two databases behind a server of its own."""

    def __init__(self, protected, dataset):
        self.pgveil = Pgveil(protected, program="tests/pgveil-audited-noise", datasets=(dataset,),
                             policies=neighbours.POLICIES)
        self.pgveil.start()
        self.analyst = self.pgveil.analyst(name="auditor", grants={dataset: AMPLE})
        self.connection = self.analyst.connect(dataset)

    def ask(self, sql):
        """What is seen, and what noise was made of."""
        before = self.pgveil.log.stat().st_size
        seen = neighbours.observe(self.connection, sql)
        with open(self.pgveil.log, encoding="utf-8", errors="replace") as log:
            log.seek(before)
            return seen, [line for line in log if line.startswith("noise: ")]

    def journal(self):
        return self.pgveil.ledger("SELECT mu2_pico, delta_atto, epsilon_nano, detail FROM pgveil.journal "
                                  "WHERE kind = 'charge' ORDER BY seq")

    def stop(self):
        self.connection.close()
        self.pgveil.stop()


@pytest.fixture(scope="module")
def both(protected):
    servers = []
    try:
        for dataset in neighbours.DATASETS:
            servers.append(Neighbour(protected, dataset))
        yield servers
    finally:
        for server in servers:
            server.stop()


def asked(both, statements):
    """Each statement under each of the settings: the statement, and what both saw and drew."""
    for settings in SETTINGS:
        for server in both:
            server.ask("RESET ALL")
            server.ask("SET dp.reuse = off")
            for name, value in settings.items():
                server.ask(f"SET {name} = '{value}'")
        for sql in statements:
            yield f"{sql} {settings}", [server.ask(sql) for server in both]


def test_noise_is_made_of_public_numbers_alone(both):
    """T6: and so are prices, notices, errors, the number of rows and the journal."""
    measured = 0
    for what, ((seen, calls), (other, other_calls)) in asked(both, PUBLIC):
        assert calls == other_calls, what
        assert seen.without_values() == other.without_values(), what
        measured += len(calls) > 0
    assert measured > 50, "statements that were measured, not refused"
    for what, ((seen, calls), (other, other_calls)) in asked(both, PRIVATE):
        assert set(calls) == set(other_calls), what
        assert (seen.error, seen.notices) == (other.error, other.notices), what
        assert seen.error or calls, what
    assert both[0].journal() == both[1].journal()
    assert len(both[0].journal()) > 60


def fractions(parts):
    return "'{" + ",".join(f"{k / parts:.6f}" for k in range(1, parts)) + "}'::float8[]"


def test_what_is_kept_of_quantiles_decides_by_public_numbers_alone(both):
    """Distributions, ranks and extremes, bought and given again in every company: what is drawn still, what it
    costs and what is said of it is the same on both, whatever the values were."""
    for server in both:
        server.ask("RESET ALL")
        server.ask("SET dp.mechanism = gaussian")
    drawn = given = 0
    for column, table in (("small", "people"), ("salary", "people"), ("cost", "visits"),
                          ("salary", "people GROUP BY dept"), ("n2", "people GROUP BY zip")):
        for epsilon, ranks in (("1", "ARRAY[0.5]"), ("1", "ARRAY[0.25, 0.5, 0.75]"), ("2", fractions(60)),
                               ("0.1", "ARRAY[0.31, 0.5]"), ("1", fractions(51)), ("0.5", fractions(23)),
                               ("4", "ARRAY[0.9]"), ("2", "ARRAY[0.1, 0.9]"), ("0.1", "ARRAY[0.75, 0.25]"),
                               ("0.1", "ARRAY[0.9]")):
            extreme = f", max({column})" if epsilon in ("0.5", "4") else ""
            sql = f"SELECT percentile_disc({ranks}) WITHIN GROUP (ORDER BY {column}){extreme} FROM {table}"
            for server in both:
                server.ask(f"SET dp.epsilon = {epsilon}")
            (seen, calls), (other, other_calls) = [server.ask(sql) for server in both]
            public = "zip" not in table
            assert calls == other_calls if public else set(calls) == set(other_calls), sql
            if public:
                assert seen.without_values() == other.without_values(), sql
            else:
                assert (seen.error, seen.notices) == (other.error, other.notices), sql
            assert seen.error is None, sql
            drawn += len(calls) > 0
            given += len(calls) == 0
    assert both[0].journal() == both[1].journal()
    assert drawn > 15 and given > 5, (drawn, given)
