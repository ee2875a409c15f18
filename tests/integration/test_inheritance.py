"""Tables that have rows in common, by inheritance or partitions: nobody's row is public in one of them."""
import json

import psycopg2
import pytest

from harness.pgveil import AMPLE, Pgveil

SCRIPT = """
CREATE TABLE units (id int PRIMARY KEY);
CREATE TABLE notes (x int, pid int REFERENCES units, other int REFERENCES units);
CREATE TABLE own_notes (y int) INHERITS (notes);
CREATE TABLE more_notes () INHERITS (notes);
CREATE TABLE elsewhere (x int);
CREATE TABLE common () INHERITS (more_notes, elsewhere);
CREATE TABLE days (pid int REFERENCES units, day date) PARTITION BY RANGE (day);
CREATE TABLE days_2020 PARTITION OF days FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
GRANT SELECT ON ALL TABLES IN SCHEMA public TO pgveil_reader;
INSERT INTO units SELECT generate_series(1, 40);
INSERT INTO own_notes SELECT 1, g, 41 - g, g FROM generate_series(1, 40) g;
"""
PUBLIC = {"public": True}


def of_unit(column="pid"):
    return {"unit": {"column": column, "references": "public.units"}, "max_rows": 5, "columns": {column: {}}}


def policy(tables):
    return {"tables": {"public.units": {"unit": "id", "max_rows": 1, "columns": {"id": {}}}, **tables}}


@pytest.fixture(scope="module")
def lineage(protected):
    protected.query("postgres", "CREATE DATABASE lineage")
    protected.query("lineage", SCRIPT)
    pgveil = Pgveil(protected, program="tests/pgveil-zero-noise", datasets=("lineage",),
                    policies={"lineage": policy({})})
    try:
        yield pgveil.start()
        assert pgveil.end() == 0, pgveil.log_text()[-3000:]
    finally:
        pgveil.stop()
        protected.query("postgres", "DROP DATABASE lineage")


def synchronise(pgveil, tables):
    (pgveil.folder / "lineage.json").write_text(json.dumps(policy(tables)))
    return pgveil.console("SYNC lineage")


@pytest.mark.parametrize("tables", [
    {"public.notes": PUBLIC, "public.own_notes": of_unit()},
    {"public.notes": of_unit(), "public.own_notes": PUBLIC},
    {"public.days": of_unit(), "public.days_2020": PUBLIC},
    {"public.days": PUBLIC, "public.days_2020": of_unit()},
    {"public.notes": PUBLIC, "public.common": of_unit()},
    {"public.more_notes": of_unit(), "public.elsewhere": PUBLIC},
    {"public.notes": of_unit(), "public.own_notes": of_unit("other")}])
def test_a_row_that_is_public_in_one_table_and_somebodys_in_another_is_refused(lineage, tables):
    with pytest.raises(psycopg2.Error, match="have rows in common"):
        synchronise(lineage, tables)


def test_tables_with_rows_of_the_same_units_in_common_are_accepted(lineage):
    synchronise(lineage, {"public.notes": of_unit(), "public.own_notes": of_unit()})
    ana = lineage.analyst(grants={"lineage": AMPLE})
    for table in ("notes", "own_notes"):
        assert int(ana.rows("lineage", f"SELECT count(*) FROM {table}")[0][0]) == 40
    synchronise(lineage, {"public.notes": PUBLIC, "public.own_notes": PUBLIC})
    assert len(ana.rows("lineage", "SELECT x FROM notes")) == 40
