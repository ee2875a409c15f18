"""Rows whose unit is found over two tables: items -> orders -> customers."""
import itertools
import re

import psycopg2
import pytest

from harness.pgveil import AMPLE, Pgveil

SCHEMA = """
CREATE TABLE customers (id integer PRIMARY KEY, region text NOT NULL);
CREATE TABLE orders (number bigint PRIMARY KEY, customer integer, placed date NOT NULL);
CREATE TABLE items (order_number bigint, line integer, pieces integer NOT NULL, colour text,
    PRIMARY KEY (order_number, line));
CREATE TABLE returns (order_number bigint, pieces integer NOT NULL, number integer NOT NULL
    DEFAULT 3); -- a column that orders has too
INSERT INTO customers SELECT i, CASE i % 3 WHEN 0 THEN 'north' ELSE 'south' END
    FROM generate_series(1, 40) i;
INSERT INTO orders SELECT n, nullif(n % 42, 0), '2024-01-01'::date + n::int
    FROM generate_series(1, 100) n;
INSERT INTO items SELECT 1 + g % 104, g / 104, g % 5, (ARRAY['red','blue'])[1 + g % 2]
    FROM generate_series(0, 311) g;
INSERT INTO returns SELECT n, 1 FROM generate_series(1, 100, 7) n;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO pgveil_reader;
"""

POLICY = {"tables": {
    "public.customers": {"unit": "id", "columns": {
        "id": {}, "region": {"domain": ["north", "south"]}}, "max_rows": 1},
    "public.orders": {"unit": {"column": "customer", "references": "public.customers"},
                      "max_rows": 20, "columns": {"number": {}, "customer": {}, "placed": {
                          "bounds": ["2024-01-01", "2024-12-31"]}}},
    "public.items": {"unit": {"column": "order_number", "references": "public.orders"},
                     "max_rows": 60, "columns": {
                         "order_number": {}, "line": {}, "pieces": {"bounds": [0, 10]},
                         "colour": {"domain": ["red", "blue"]}}},
    "public.returns": {"unit": {"column": "order_number", "references": "public.orders"},
                       "max_rows": 20, "columns": {
                           "order_number": {}, "pieces": {"bounds": [0, 10]},
                           "number": {"bounds": [0, 10]}}}}}

# Statement, and the same with the joins that pgveil adds.
WAY = "JOIN orders w ON w.number = i.order_number JOIN customers u ON u.id = w.customer"
CASES = [
    ("SELECT count(*), sum(pieces), avg(pieces) FROM items",
     f"SELECT count(*), sum(pieces), avg(pieces) FROM items i {WAY}"),
    ("SELECT colour AS placed, sum(pieces) FROM items GROUP BY placed ORDER BY placed",
     f"SELECT i.colour, sum(i.pieces) FROM items i {WAY} GROUP BY i.colour ORDER BY 1"),
    ("SELECT sum(number), count(*) FROM returns",
     "SELECT sum(r.number), count(*) FROM returns r JOIN orders w ON w.number = r.order_number "
     "JOIN customers u ON u.id = w.customer"),
    ("SELECT colour, count(*) FROM items GROUP BY colour ORDER BY colour",
     f"SELECT colour, count(*) FROM items i {WAY} GROUP BY colour ORDER BY colour"),
    ("SELECT count(*), count(DISTINCT o.customer) FROM items i JOIN orders o ON o.number = "
     "i.order_number WHERE o.placed > '2024-02-01'",
     f"SELECT count(*), count(DISTINCT w.customer) FROM items i {WAY} WHERE w.placed > '2024-02-01'"),
    ("SELECT c.region, sum(i.pieces) FROM customers c JOIN orders o ON o.customer = c.id JOIN items i "
     "ON i.order_number = o.number GROUP BY c.region ORDER BY 1",
     f"SELECT u.region, sum(i.pieces) FROM items i {WAY} GROUP BY u.region ORDER BY 1"),
    ("SELECT count(*) FROM items i JOIN returns r ON r.order_number = i.order_number",
     f"SELECT count(*) FROM items i {WAY} JOIN returns r ON r.order_number = i.order_number"),
    ("SELECT count(*), count(i.line) FROM orders o LEFT JOIN items i ON i.order_number = o.number",
     "SELECT count(*), count(i.line) FROM orders o JOIN customers u ON u.id = o.customer "
     "LEFT JOIN items i ON i.order_number = o.number"),
]


@pytest.fixture(scope="module")
def shop(protected):
    protected.query("postgres", "CREATE DATABASE chain")
    protected.query("chain", SCHEMA)
    pgveil = Pgveil(protected, program="tests/pgveil-zero-noise", datasets=("chain",),
                    policies={"chain": POLICY})
    try:
        pgveil.start()
        pgveil.owner = pgveil.analyst(grants={"chain": AMPLE})
        yield pgveil
        assert pgveil.end() == 0
    finally:
        pgveil.stop()
        protected.query("postgres", "DROP DATABASE chain WITH (FORCE)")


@pytest.mark.parametrize("asked, meant", CASES)
def test_the_way_to_the_unit_is_joined_and_nobodys_rows_are_dropped(shop, protected, asked, meant):
    rows = shop.owner.rows("chain", asked, settings={"dp.epsilon": "20"})
    assert rows == protected.query("chain", meant)


def measurement(shop, sql):
    lines = [row[0] for row in shop.owner.rows("chain", "EXPLAIN (FORMAT JSON) " + sql,
                                                settings={"dp.reuse": "off"})]
    release = lines[0][0]["Plan"]["Releases"][0]
    return release


@pytest.mark.parametrize("sql", [
    "SELECT colour, count(*) FROM items GROUP BY colour",
    "SELECT count(*) FROM items",
    "SELECT count(*) FROM items i JOIN returns r ON r.order_number = i.order_number",
])
def test_one_customer_moves_a_count_by_no_more_than_declared(shop, protected, sql):
    release = measurement(shop, sql)
    text = re.sub(r"\$\d+", "42", release["Measurement"])
    declared = float(release["Columns"][0]["Count Sensitivity"])

    def counts():
        return {row[:-1]: int(row[-1]) for row in protected.query("chain", text)}

    whole = counts()
    for customer in (1, 7, 13, 40):
        protected.query("chain", "CREATE TABLE kept_o AS SELECT * FROM orders WHERE customer = %s",
                        (customer,))
        protected.query("chain", "CREATE TABLE kept_i AS SELECT i.* FROM items i JOIN kept_o o "
                                "ON o.number = i.order_number")
        protected.query("chain", "CREATE TABLE kept_r AS SELECT r.* FROM returns r JOIN kept_o o "
                                "ON o.number = r.order_number")
        for table, kept in (("items", "kept_i"), ("returns", "kept_r")):
            protected.query("chain", f"DELETE FROM {table} WHERE order_number IN "
                                    "(SELECT number FROM kept_o)")
        protected.query("chain", "DELETE FROM orders WHERE number IN (SELECT number FROM kept_o)")
        without = counts()
        for table, kept in (("items", "kept_i"), ("returns", "kept_r"), ("orders", "kept_o")):
            protected.query("chain", f"INSERT INTO {table} SELECT * FROM {kept}; DROP TABLE {kept}")
        moved = [abs(whole.get(key, 0) - without.get(key, 0))
                 for key in itertools.chain(whole, without)]
        assert max(moved) <= declared


@pytest.mark.parametrize("sql", [
    "SELECT count(*) FROM items i JOIN items j ON j.line = i.line",
    "SELECT count(*) FROM orders o JOIN items i ON i.order_number = o.customer",
])
def test_an_order_is_not_taken_for_a_person(shop, sql):
    with pytest.raises(psycopg2.Error) as error:
        shop.owner.rows("chain", sql)
    assert error.value.pgcode in ("0A000", "42501")


@pytest.mark.parametrize("sql", [
    "SELECT count(*) FROM orders o LEFT JOIN items i ON i.order_number = o.number "
    "WHERE o.customer = 5",
    "SELECT count(*) FROM orders o JOIN items i ON i.order_number = o.number WHERE o.customer = 5",
])
def test_a_second_owner_of_a_key_decides_about_no_row_of_the_first(shop, protected, sql):
    """The key was unique when pgveil read the catalogue; it need not stay so. Number 5 is customer
    5's; customer 6 comes with a second one, and goes with it and its items."""
    text = re.sub(r"\$\d+", "5", measurement(shop, sql)["Measurement"])
    protected.query("chain", "CREATE TABLE kept AS SELECT * FROM items WHERE order_number = 5;"
                             "ALTER TABLE orders DROP CONSTRAINT orders_pkey;"
                             "INSERT INTO orders VALUES (5, 6, '2024-05-05')")
    try:
        whole = protected.query("chain", text)
        protected.query("chain", "DELETE FROM orders WHERE number = 5 AND customer = 6;"
                                 "DELETE FROM items WHERE order_number = 5")
        assert protected.query("chain", text) == whole
    finally:
        protected.query("chain", "DELETE FROM orders WHERE number = 5 AND customer = 6;"
                                 "DELETE FROM items WHERE order_number = 5;"
                                 "INSERT INTO items SELECT * FROM kept; DROP TABLE kept;"
                                 "ALTER TABLE orders ADD PRIMARY KEY (number)")


def test_a_row_that_leads_to_two_people_belongs_to_nobody(shop, protected):
    """The key was unique when pgveil read the catalogue; it need not stay so."""
    sql = "SELECT count(*) FROM items"
    text = re.sub(r"\$\d+", "42", measurement(shop, sql)["Measurement"])
    items = "SELECT count(*) FROM items WHERE order_number = 5"
    before, of_five = int(protected.query("chain", text)[0][0]), protected.query("chain", items)[0][0]
    protected.query("chain", "ALTER TABLE orders DROP CONSTRAINT orders_pkey")
    try:
        protected.query("chain", "INSERT INTO orders VALUES (5, 6, '2024-05-05')")
        assert int(protected.query("chain", text)[0][0]) == before - of_five
        protected.query("chain", "DELETE FROM orders WHERE number = 5 AND customer = 6")
        assert int(protected.query("chain", text)[0][0]) == before
    finally:
        protected.query("chain", "DELETE FROM orders WHERE number = 5 AND customer = 6;"
                                "ALTER TABLE orders ADD PRIMARY KEY (number)")
