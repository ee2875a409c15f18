"""The proofs of shortcuts on a real catalogue: they hold for what was read, and for nothing else."""
import re

import pytest
from harness.plans import plans

# The numbers of tests/support/catalogs.c, and what they stand for.
TABLES = {16601: "icd_codes", 16602: "patients", 16603: "visits"}
SCHEMA = """
CREATE TABLE icd_codes (code text PRIMARY KEY, chapter text);
CREATE TABLE patients (id integer PRIMARY KEY, age integer, sex text, city text,
                       weight double precision, insured boolean);
CREATE TABLE visits (id bigint PRIMARY KEY,
                     patient_id integer CONSTRAINT visits_patient REFERENCES patients, day date,
                     arrived timestamp, cost numeric(10,2), code text, "Ward No" smallint,
                     minutes integer, note varchar(40));
"""
UNIQUE = "SELECT city, count(*) FROM patients GROUP BY city"
JOINED = "SELECT c.chapter, count(*) FROM patients p JOIN icd_codes c ON c.code = p.city GROUP BY 1"
REFERENCE = "SELECT count(*) FROM visits"


@pytest.fixture(scope="module")
def catalogue(protected):
    protected.query("postgres", "CREATE DATABASE proofs")
    connection = protected.connect("proofs")
    with connection.cursor() as cursor:
        cursor.execute(SCHEMA)
        numbers = {}
        for number, table in TABLES.items():
            cursor.execute("SELECT %s::regclass::oid, to_regclass(%s)::oid", (table, f"{table}_pkey"))
            numbers[number], numbers[number + 100] = cursor.fetchone()
        cursor.execute("SELECT oid FROM pg_constraint WHERE conname = 'visits_patient'")
        numbers[16803] = cursor.fetchone()[0]
    yield connection, numbers
    connection.close()


def holds(catalogue, sql, change):
    """The proof of the statement's shortcut after a change that is rolled back."""
    connection, numbers = catalogue
    proof = plans("clinic", [sql])[0]["releases"][0]["proof_sql"]
    assert proof, sql
    proof = re.sub(r"\b(16[67]\d\d|168\d\d)\b", lambda found: str(numbers[int(found[1])]), proof)
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute(change or "SELECT 1")
        cursor.execute(proof)
        rows = cursor.fetchall()
        cursor.execute("ROLLBACK")
    assert len(rows) == 1 and len(rows[0]) == 1
    return rows[0][0]


@pytest.mark.parametrize("sql", [UNIQUE, JOINED, REFERENCE])
def test_a_proof_holds_for_the_catalogue_that_was_read(catalogue, sql):
    assert holds(catalogue, sql, "") is True


@pytest.mark.parametrize("sql, change", [
    (UNIQUE, "ALTER TABLE patients DROP CONSTRAINT patients_pkey CASCADE"),
    (UNIQUE, "CREATE TABLE child () INHERITS (patients)"),
    (UNIQUE, "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'patients_pkey'::regclass"),
    (UNIQUE, "UPDATE pg_index SET indimmediate = false WHERE indexrelid = 'patients_pkey'::regclass"),
    (UNIQUE, "ALTER TABLE patients RENAME TO others; CREATE TABLE patients AS SELECT * FROM others"),
    (UNIQUE, "ALTER TABLE patients RENAME COLUMN id TO key; ALTER TABLE patients RENAME age TO id"),
    (UNIQUE, "ALTER TABLE patients SET SCHEMA pg_catalog"),
    (JOINED, "CREATE TABLE child () INHERITS (icd_codes)"),
    (JOINED, "ALTER TABLE icd_codes DROP CONSTRAINT icd_codes_pkey"),
    (JOINED, "CREATE TABLE child () INHERITS (patients)"),
    (REFERENCE, "ALTER TABLE visits DROP CONSTRAINT visits_patient"),
    (REFERENCE, "ALTER TABLE visits DROP CONSTRAINT visits_patient; ALTER TABLE visits ADD CONSTRAINT"
                " visits_patient FOREIGN KEY (patient_id) REFERENCES patients NOT VALID"),
    (REFERENCE, "UPDATE pg_constraint SET convalidated = false WHERE conname = 'visits_patient'"),
    (REFERENCE, "ALTER TABLE visits DISABLE TRIGGER ALL"),
    (REFERENCE, "ALTER TABLE patients DISABLE TRIGGER ALL"),
    (REFERENCE, "CREATE TABLE child () INHERITS (visits)"),
    (REFERENCE, "ALTER TABLE visits RENAME patient_id TO other; ALTER TABLE visits ADD patient_id int"),
])
def test_a_proof_falls_with_anything_that_it_relies_on(catalogue, sql, change):
    try:
        assert holds(catalogue, sql, "SET LOCAL allow_system_table_mods = on;" + change) is not True
    finally:
        catalogue[0].rollback()
