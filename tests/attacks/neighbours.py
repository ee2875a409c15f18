"""Two databases that differ by one person, Bob (77), whose rows are as extreme as the types allow."""
import re

import psycopg2

DATASETS = ("with_bob", "without_bob")
BOB = 77

SCHEMA = r"""
CREATE TYPE mood AS ENUM ('sad', 'glad');
CREATE TABLE zones (zip text PRIMARY KEY, name text, number integer UNIQUE, fine numeric UNIQUE,
    wide bigint UNIQUE, stamp timestamp UNIQUE);
INSERT INTO zones SELECT 'z' || i, 'zone ' || i, i, 0.1 + i * 1e-19, 9007199254740992 + i,
    '2021-03-28 02:00'::timestamp + i * interval '1 hour' FROM generate_series(0, 9) i;
CREATE TABLE people (id integer PRIMARY KEY, name text, zip text,
    dept text NOT NULL CHECK (dept IN ('CS', 'EE', 'ME')), gender text NOT NULL CHECK (gender IN ('f', 'm')),
    salary integer, bonus integer, f8 float8, f4 real, n numeric, n2 numeric(12,2), big bigint,
    small smallint, d date, ts timestamp, tz timestamptz, t time, iv interval, b boolean NOT NULL, u uuid,
    c5 char(5), feeling mood, list integer[]);
INSERT INTO people SELECT i, 'name ' || i, 'z' || (i % 10), (ARRAY['CS', 'EE', 'ME'])[i % 3 + 1],
    (ARRAY['m', 'f'])[i % 2 + 1], (i * 37) % 100000, i, i * 1.5, i, i * 0.1, i * 0.25, i, i % 100,
    '2020-01-01'::date + i, '2020-01-01'::timestamp + i * interval '1 hour',
    '2020-01-01 00:00+00'::timestamptz + i * interval '1 hour', '00:00'::time + i * interval '1 min',
    i * interval '1 day', i % 2 = 0, md5(i::text)::uuid, 'c' || i, 'sad', ARRAY[i]
    FROM generate_series(1, 400) i;
UPDATE people SET name = E'Bob \'"\\{},()\n\t', zip = 'z3', salary = 199999, f8 = 0.1,
    f4 = 'Infinity', n = 'NaN', n2 = 9999999999.99, big = 9223372036854775807, small = -32768,
    d = '5874897-12-31', ts = '294276-12-31 23:59:59.999999', tz = '294276-12-31 23:59:59.999999+00',
    t = '24:00', iv = '178000000 years', c5 = '', feeling = 'glad', list = '{}' WHERE id = 77;
CREATE TABLE visits (id bigint PRIMARY KEY, person_id integer, ts timestamp, cost numeric(10,2),
    kind text NOT NULL CHECK (kind IN ('k0', 'k1', 'k2', 'k3')), x float8);
INSERT INTO visits SELECT i, i % 400 + 1, '2021-01-01'::timestamp + i * interval '1 min', i % 700,
    'k' || (i % 4), i FROM generate_series(1, 1200) i;
INSERT INTO visits SELECT 10000 + i, 77, '2021-01-01', 1000000, 'k' || (i % 4),
    ('{9007199254740992,1,-9007199254740992,NaN,Infinity}'::float8[])[i % 5 + 1]
    FROM generate_series(1, 3000) i;
-- Rows that belong to nobody: 100,000 are the R1 of the list, 20,000 do as well.
INSERT INTO visits SELECT 100000 + i, NULL, '2021-01-01', 1000, 'k1', 1 FROM generate_series(1, 20000) i;
INSERT INTO visits SELECT 200000 + i, 999999, '2021-01-01', 1000, 'k1', 1 FROM generate_series(1, 100) i;
-- Ten rows of one person in every table, no unique key.
CREATE TABLE parent (id integer, tag text);
CREATE TABLE child () INHERITS (parent);
CREATE UNIQUE INDEX ON parent (id);
INSERT INTO parent SELECT i, 'p' FROM generate_series(1, 100) i;
INSERT INTO child SELECT 77, 'c' FROM generate_series(1, 50);
GRANT SELECT ON people, visits, zones, parent, child TO pgveil_reader;
"""

GONE = """
DELETE FROM visits WHERE person_id = 77; DELETE FROM people WHERE id = 77;
DELETE FROM parent WHERE id = 77;
"""

POLICY = {"tables": {
    "public.people": {"unit": "id", "max_rows": 1, "columns": {
        "id": {}, "name": {}, "zip": {}, "dept": {"domain": ["CS", "EE", "ME"]},
        "gender": {"domain": ["f", "m"]}, "salary": {"bounds": [0, 200000]}, "bonus": {},
        "f8": {"bounds": [-1000, 1000]}, "f4": {"bounds": [0, 1000]}, "n": {"bounds": [0, 100]},
        "n2": {"bounds": [0, 100]}, "big": {"bounds": [0, 1000]}, "small": {"bounds": [0, 100]},
        "d": {"bounds": ["2020-01-01", "2026-01-01"]}, "ts": {}, "tz": {}, "t": {}, "iv": {},
        "b": {"domain": [True, False]}, "u": {}, "c5": {}, "feeling": {}, "list": {}}},
    "public.visits": {"unit": {"column": "person_id", "references": "public.people"}, "max_rows": 10,
        "columns": {"id": {}, "person_id": {}, "ts": {}, "cost": {"bounds": [0, 1000]},
                    "kind": {"domain": ["k0", "k1", "k2", "k3"]}, "x": {"bounds": [-10, 10]}}},
    "public.parent": {"unit": {"column": "id", "references": "public.people"}, "max_rows": 3, "columns": {"id": {}, "tag": {}}},
    "public.zones": {"public": True}}}
POLICIES = {dataset: POLICY for dataset in DATASETS}


def load(server):
    server.query("postgres", "CREATE ROLE pgveil_reader LOGIN")
    server.query("postgres", f"CREATE DATABASE {DATASETS[0]}")
    server.query(DATASETS[0], SCHEMA)
    server.query("postgres", f"CREATE DATABASE {DATASETS[1]} TEMPLATE {DATASETS[0]}")
    server.query(DATASETS[1], GONE)


class Seen:
    """What an analyst sees of one statement. Two of them are equal where nothing but noise differs."""

    def __init__(self, rows, error, notices, status):
        self.rows, self.error, self.notices, self.status = rows, error, notices, status

    @property
    def sqlstate(self):
        return self.error and self.error["C"]

    def without_values(self):
        shape = None if self.rows is None else (len(self.rows), [len(row) for row in self.rows])
        return shape, self.error, self.notices, self.status


def _error(error):
    d = error.diag
    return {"C": d.sqlstate, "M": d.message_primary, "D": d.message_detail, "H": d.message_hint,
            "P": d.statement_position, "W": d.context, "S": d.severity}


def observe(connection, sql, parameters=None):
    del connection.notices[:]
    with connection.cursor() as cursor:
        rows = error = None
        try:
            cursor.execute(sql, parameters)
            rows = cursor.fetchall() if cursor.description else None
        except psycopg2.Error as raised:
            if raised.diag.sqlstate is None:
                raise
            error = _error(raised)
            connection.rollback()
        # What remains of the budget depends on what was asked before, on either side alike.
        notices = [re.sub(r"[0-9.]+ % (remains)", r"\1", notice) for notice in connection.notices]
        return Seen(rows, error, notices, cursor.statusmessage)
