"""A third dataset, invented: what the surveys lack. NULL units, dates, timestamps, floats, ties,
heavy units above their bound, children without a parent's row, empty groups, quoted names."""
import io

PATIENTS = 800
CODES = [("A00", "infection"), ("C50", "neoplasm"), ("I10", "circulation"), ("J45", "breathing"),
         ("K35", "digestion")]

SCHEMA = """
CREATE TABLE icd_codes (code text PRIMARY KEY, chapter text NOT NULL);
CREATE TABLE patients (
    id integer PRIMARY KEY, age integer, sex text, city text, weight double precision,
    insured boolean
);
CREATE TABLE visits (
    id bigint PRIMARY KEY, patient_id integer REFERENCES patients, day date, arrived timestamp,
    cost numeric(10,2), code text REFERENCES icd_codes, "Ward No" smallint, minutes integer,
    note varchar(40)
);
CREATE INDEX ON visits (patient_id);
"""

POLICY = {
    "tables": {
        "public.patients": {
            "unit": "id", "max_rows": 1,
            "columns": {
                "id": {}, "age": {"bounds": [0, 120]}, "sex": {"domain": ["f", "m", None]},
                "city": {}, "weight": {"bounds": [0, 250]}, "insured": {"domain": [True, False]}}},
        "public.visits": {
            "unit": {"column": "patient_id", "references": "public.patients"},
            "max_rows": 60,
            "columns": {
                "id": {}, "patient_id": {}, "day": {"bounds": ["2020-01-01", "2026-12-31"]},
                "arrived": {"bounds": ["2020-01-01 00:00:00", "2027-01-01 00:00:00"]}, "cost": {"bounds": [0, 5000]},
                "code": {"domain": [code for code, _ in CODES]},
                "\"Ward No\"": {"domain": [1, 2, 3, 4]}, "minutes": {"bounds": [0, 600]},
                "note": {}}},
        "public.icd_codes": {"public": True},
    }
}


def copy(cursor, table, rows):
    text = "".join("\t".join("\\N" if v is None else str(v) for v in row) + "\n" for row in rows)
    cursor.copy_expert(f"COPY {table} FROM STDIN", io.StringIO(text))


def patients(source):
    cities = ["Aachen", "Bremen", "Celle", "Dresden"]
    for number in range(1, PATIENTS + 1):
        yield (number,
               source.choice([None, *range(0, 100)]) if source.random() < 0.1 else source.randint(0, 99),
               source.choice(["f", "m", "f", "m", None]),
               source.choice(cities) if source.random() < 0.99 else f"village {number}",
               round(source.uniform(3, 140), 3),
               source.random() < 0.8)


def visits(source):
    number = 0
    for patient in list(range(1, PATIENTS + 1)) + [None] * 20:
        # Nobody is above max_rows: the meaning tests compare with plain PostgreSQL.
        for _ in range(source.choice([0, 1, 1, 2, 3, 5, 8, 40]) if patient else 3):
            number += 1
            day = f"20{source.randint(20, 25)}-{source.randint(1, 12):02}-{source.randint(1, 28):02}"
            yield (number, patient, day,
                   f"{day} {source.randint(0, 23):02}:{source.randint(0, 59):02}:{source.randint(0, 59):02}",
                   None if source.random() < 0.05 else f"{source.randint(0, 300000) / 100:.2f}",
                   source.choice(CODES)[0], source.randint(1, 4), source.randint(0, 240),
                   None if source.random() < 0.5 else source.choice(["ok", "later", "again 100%"]))


def create(cursor, source):
    cursor.execute(SCHEMA)
    copy(cursor, "icd_codes", CODES)
    copy(cursor, "patients", patients(source))
    copy(cursor, "visits", visits(source))
    cursor.execute("GRANT USAGE ON SCHEMA public TO pgveil_reader;"
                   "GRANT SELECT ON patients, visits, icd_codes TO pgveil_reader; ANALYZE")
