"""What `policy suggest` writes, pgveil serves as it is: over schemas as people make them."""
import json

import pytest

from harness import processes
from harness.cluster import Cluster
from harness.pgveil import AMPLE, BUILD, Pgveil

# A shop for films, as sample databases are: keys, enums, domains, arrays, partitions, views, composite keys.
FILMS = """
CREATE TYPE rating AS ENUM ('G', 'PG', 'it''s');
CREATE DOMAIN year AS integer CHECK (VALUE BETWEEN 1901 AND 2155);
CREATE TABLE country (country_id serial PRIMARY KEY, country text NOT NULL);
CREATE TABLE city (city_id serial PRIMARY KEY, city text NOT NULL, country_id int NOT NULL REFERENCES country);
CREATE TABLE address (address_id serial PRIMARY KEY, address text, city_id int NOT NULL REFERENCES city, phone text);
CREATE TABLE store (store_id serial PRIMARY KEY, address_id int NOT NULL REFERENCES address);
CREATE TABLE language (language_id serial PRIMARY KEY, name char(20));
CREATE TABLE film (film_id serial PRIMARY KEY, title text, release_year year, length smallint, rating rating,
                   language_id int REFERENCES language, special text[], fulltext tsvector, rate numeric(4,2));
CREATE TABLE inventory (inventory_id serial PRIMARY KEY, film_id int REFERENCES film, store_id int REFERENCES store);
CREATE TABLE customer (customer_id serial PRIMARY KEY, store_id int REFERENCES store, first_name text, email text,
                       address_id int REFERENCES address, activebool boolean NOT NULL, create_date date,
                       last_update timestamptz, spouse int REFERENCES customer, born year, mood rating,
                       latitude float8, duration interval, opened time, network inet, extra jsonb, token uuid,
                       code char(3), wealth money);
CREATE TABLE rental (rental_id bigserial PRIMARY KEY, rental_date timestamp, inventory_id int REFERENCES inventory,
                     customer_id int NOT NULL REFERENCES customer, return_date timestamp);
CREATE TABLE payment (payment_id bigserial, customer_id int NOT NULL REFERENCES customer,
                      rental_id bigint REFERENCES rental, amount numeric(5,2) CHECK (amount >= 0),
                      payment_date timestamptz NOT NULL) PARTITION BY RANGE (payment_date);
CREATE TABLE payment_2025 PARTITION OF payment FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE payment_2026 PARTITION OF payment FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE VIEW customer_list AS SELECT c.customer_id, a.phone FROM customer c JOIN address a USING (address_id);
CREATE MATERIALIZED VIEW sales AS SELECT customer_id, sum(amount) FROM payment GROUP BY 1;
INSERT INTO customer (customer_id, first_name, activebool) VALUES (1, 'Wilhelmine', true);
"""

# Names that must be quoted, in several schemas, and keys of text and of two columns.
ODD = """
CREATE SCHEMA "My Schema"; CREATE SCHEMA "select"; CREATE SCHEMA "a.b";
CREATE TABLE "My Schema"."Pati""ents" ("I D" bigint PRIMARY KEY, "Größe (cm)" real, "group" text, "a.b" integer,
                                       "comment" text, "" boolean);
CREATE TABLE "select"."from" ("where" bigint REFERENCES "My Schema"."Pati""ents", "Day" date, "no." numeric,
                              PRIMARY KEY ("where", "Day"));
CREATE TABLE "a.b"."c.d" ("where" bigint, "Day" date, note text,
                          FOREIGN KEY ("where", "Day") REFERENCES "select"."from");
CREATE TABLE "a.b"."öffentlich" (code text PRIMARY KEY, label text);
""".replace('"" boolean', '"?" boolean')

# Nothing declared: no keys but the persons' own.
BARE = """
CREATE TABLE persons (pid uuid PRIMARY KEY, sex text, height double precision);
CREATE TABLE measurements (pid uuid, value double precision);
CREATE TABLE notes (body text);
CREATE UNLOGGED TABLE events (pid uuid UNIQUE REFERENCES persons, at timestamptz);
CREATE TABLE parents (id int PRIMARY KEY);
CREATE TABLE old_persons (gone date) INHERITS (persons);
"""

# Everything refers to everything: cycles, keys to unique columns, several ways to a person, a generated column.
CYCLES = """
CREATE TABLE employees (id int PRIMARY KEY, badge text UNIQUE, boss int REFERENCES employees, dept int, salary int,
                        yearly int GENERATED ALWAYS AS (salary * 12) STORED);
CREATE TABLE departments (id int PRIMARY KEY, head int REFERENCES employees, label varchar(20));
ALTER TABLE employees ADD FOREIGN KEY (dept) REFERENCES departments;
CREATE TABLE entries (badge text REFERENCES employees (badge), employee int REFERENCES employees, door smallint);
CREATE TABLE doors (door smallint PRIMARY KEY, kept_by text REFERENCES employees (badge));
"""

SCHEMAS = {"films": FILMS, "odd": ODD, "bare": BARE, "cycles": CYCLES}


@pytest.fixture(scope="module")
def server():
    server = Cluster(options=["log_statement=all"])
    try:
        # May read the catalogue, and no row of anything.
        server.query("postgres", "CREATE ROLE looker LOGIN")
        server.query("postgres", "CREATE ROLE pgveil_reader LOGIN")
        for name, script in SCHEMAS.items():
            server.query("postgres", f"CREATE DATABASE {name}")
            server.query(name, script)
        yield server
    finally:
        server.stop()


def suggest(server, name, *options, user="looker"):
    done = processes.run([BUILD / "pgveilctl", "policy", "suggest", server.conninfo(name, user), *options])
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def grant(server, name, policy):
    """What the policy lists, and nothing else, to the role that measures."""
    for table, entry in policy["tables"].items():
        columns = ", ".join(entry["columns"])
        schema = server.query(name, "SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = %s::regclass",
                              (table,))[0][0]
        server.query(name, f"GRANT USAGE ON SCHEMA {schema} TO pgveil_reader")
        server.query(name, f"GRANT SELECT ({columns}) ON {table} TO pgveil_reader")


class Site:
    """conninfo() of a server, as the harness asks it for a protected one."""

    def __init__(self, server):
        self.conninfo = lambda name: server.conninfo(name, "pgveil_reader")


@pytest.mark.parametrize("name", SCHEMAS)
def test_pgveil_serves_a_suggested_policy_as_it_is(server, name):
    policy, told = suggest(server, name)
    assert "no rows" in told and "Wilhelmine" not in json.dumps(policy)
    grant(server, name, policy)
    pgveil = Pgveil(Site(server), datasets=(name,), policies={name: policy})
    try:
        pgveil.start()
        assert json.loads(pgveil.ctl("policy", "check", "--json"))[0]["verdict"] == "good"
        assert {row["result"] for row in json.loads(pgveil.ctl("dataset", "test", name, "--json"))} == {"ok"}
        analyst = pgveil.analyst(grants={name: AMPLE})
        for table in policy["tables"]:
            assert len(analyst.rows(name, f"SELECT count(*) FROM {table}")) == 1, table
        assert pgveil.end() == 0
    finally:
        pgveil.stop()


def test_what_is_left_out_is_named_with_what_speaks_against_making_it_public(server):
    films = suggest(server, "films")[0]["comment"]
    assert "public.address.phone may name people" in films and "public.film (no key leads to the unit" in films
    assert "public.sales (a materialized view" in films and "public.customer_list (a view;" in films
    assert "payment_2025" not in films
    odd = suggest(server, "odd")[0]["comment"]
    assert '"a.b"."c.d" (its rows belong to people, by "where", "Day", which leads to "select"."from"' in odd
    bare = suggest(server, "bare")[0]["comment"]
    assert "public.measurements.pid looks like the unit" in bare
    assert "public.old_persons (its rows are also rows of public.persons" in bare
    assert "public.parents.id" not in bare
    cycles = suggest(server, "cycles")[0]["comment"]
    assert "public.doors (its rows belong to people, by kept_by" in cycles


def test_only_looking_reads_rows_and_says_so(server):
    done = processes.run([BUILD / "pgveilctl", "policy", "suggest", server.conninfo("films", "looker"), "--look"])
    assert done.returncode == 1 and "public.customer cannot be looked at: " in done.stderr and done.stdout == ""
    policy, told = suggest(server, "films", "--look", user="postgres")
    assert "were looked at" in told and "as asked for, the rows" in policy["comment"]
    assert "Looked at: 1 different values." not in json.dumps(policy["tables"]["public.payment"])
    assert "Wilhelmine" not in json.dumps(policy)
    for name in SCHEMAS:
        suggest(server, name, "--look", user="postgres")


def test_a_key_of_a_list_of_codes_says_which_list(server):
    customer = suggest(server, "films")[0]["tables"]["public.customer"]["columns"]
    assert "a key of public.store" in customer["store_id"]["comment"] and "comment" not in customer["customer_id"]


def test_the_unit_is_named_with_its_schema_or_without(server):
    for name in ("public.rental", "rental"):
        assert "Privacy unit: a row of public.rental" in suggest(server, "films", "--unit", name)[0]["comment"]
    server.query("bare", "CREATE SCHEMA IF NOT EXISTS second; CREATE TABLE IF NOT EXISTS second.persons (id int PRIMARY KEY)")
    for name in ("persons", "ersons", "public"):
        done = processes.run([BUILD / "pgveilctl", "policy", "suggest", server.conninfo("bare", "looker"), "--unit", name])
        assert done.returncode == 1 and f"{name} is not a table" in done.stderr, name
