"""A schema that is not the demo's: quoted names, a uuid as the unit, enums, domains, time zones. The
answers without noise are PostgreSQL's."""
import psycopg2
import pytest
from harness import shop
from harness.pgveil import AMPLE, Pgveil

CUSTOMERS, ORDERS = '"My Shop"."Customers"', '"My Shop".orders'

QUESTIONS = [
    f"SELECT count(*) FROM {CUSTOMERS}",
    f"SELECT mood, count(*), avg(score) FROM {CUSTOMERS} GROUP BY mood ORDER BY mood",
    f"SELECT vip, count(*) FROM {CUSTOMERS} GROUP BY vip ORDER BY vip",
    f"SELECT code, count(*) FROM {CUSTOMERS} GROUP BY code ORDER BY code",
    f"SELECT date_trunc('month', joined) AS m, count(*) FROM {CUSTOMERS} "
    "WHERE joined < '2020-05-01' GROUP BY m HAVING count(*) > 50 ORDER BY m",
    # The time zone is that of another column, or of another release: the groups stay the same.
    f"SELECT renewed::text, count(*), count(*) FILTER (WHERE extract(hour FROM joined) < 6) FROM {CUSTOMERS} "
    "GROUP BY renewed HAVING count(*) > 50 ORDER BY renewed",
    f"SELECT date_trunc('year', joined) AS y, count(*), (SELECT count(*) FROM {CUSTOMERS} WHERE "
    f"extract(hour FROM joined) < 6) FROM {CUSTOMERS} WHERE joined < '2020-06-01' GROUP BY y "
    "HAVING count(*) > 50 ORDER BY y",
    f"SELECT extract(decade FROM born) AS d, count(*) FROM {CUSTOMERS} GROUP BY d ORDER BY d",
    f"SELECT count(*) FROM {CUSTOMERS} WHERE mood = 'happy' AND vip AND \"Full Name\" LIKE 'Name 1%'",
    f"SELECT count(*) FROM {CUSTOMERS} WHERE mood IN ('sad', 'ok')",
    f"SELECT count(*) FROM {CUSTOMERS} WHERE joined > '2020-02-01 00:00+02'",
    f"SELECT count(*) FROM {CUSTOMERS} WHERE id = 'c4ca4238-a0b9-2382-0dcc-509a6f75849b' OR vip",
    f"SELECT country, count(*), sum(total), avg(total), count(DISTINCT customer) FROM {ORDERS} "
    "GROUP BY country ORDER BY country",
    f"SELECT state, count(*) FROM {ORDERS} GROUP BY state ORDER BY state",
    f"SELECT sum(paid), avg(paid) FROM {ORDERS}",
    f"SELECT c.mood, o.country, sum(o.total) FROM {CUSTOMERS} c JOIN {ORDERS} o ON o.customer = c.id "
    "GROUP BY c.mood, o.country HAVING count(*) > 50 ORDER BY 1, 2",
    f"SELECT count(*) FROM {ORDERS} WHERE extract(dow FROM at) IN (0, 6)",
    f"SELECT CASE WHEN total < 100 THEN 'low' ELSE 'high' END AS band, count(*) FROM {ORDERS} "
    "GROUP BY band ORDER BY band",
    f"SELECT country, count(*) * 100.0 / sum(count(*)) OVER () AS pct FROM {ORDERS} "
    "GROUP BY country ORDER BY country",
    f"SELECT avg(extract(year FROM born)) FROM {CUSTOMERS}",
    "SELECT category, count(*) FROM products GROUP BY category ORDER BY category",
]


@pytest.fixture(scope="module")
def asker(protected):
    protected.query("postgres", "CREATE DATABASE store")
    protected.query("store", shop.SCHEMA)
    pgveil = Pgveil(protected, program="tests/pgveil-zero-noise", datasets=("store",),
                    policies={"store": shop.POLICY})
    try:
        pgveil.start()
        yield pgveil.analyst(grants={"store": AMPLE})
        assert pgveil.end() == 0, pgveil.log_text()[-5000:]
    finally:
        pgveil.stop()


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata"])
@pytest.mark.parametrize("sql", QUESTIONS, ids=range(len(QUESTIONS)))
def test_answers_are_postgresqls(asker, protected, sql, zone):
    answers = []
    for connection in (asker.connect("store"), protected.connect("store")):
        with connection.cursor() as cursor:
            cursor.execute(f"SET TimeZone = '{zone}'")
            cursor.execute(sql)
            answers.append((cursor.fetchall(), [(c.name, c.type_code if c.type_code < 16384 else "own")
                                                for c in cursor.description]))
        connection.close()
    assert answers[0] == answers[1]


def test_columns_that_the_policy_leaves_out_do_not_exist(asker):
    for sql in (f"SELECT count(secret) FROM {CUSTOMERS}", "SELECT price FROM products"):
        with pytest.raises(psycopg2.Error) as caught:
            asker.rows("store", sql)
        assert caught.value.pgcode == "42703"


def test_types_and_quoted_names_are_described(asker):
    out, err = asker.psql("store", '\\d "My Shop"."Customers"\n\\dT mood\n\\dt "My Shop".*\n')
    assert err == ""
    for piece in ("Full Name | text", "mood      | mood", "id        | uuid", "orders"):
        assert piece in out, out
