"""The sensitivity oracle: on small random databases, with one unit taken away, the exact measurement
of every accepted statement changes by no more than its plan declares, in every coordinate and in the
norm that the noise is scaled to. Run for the general SQL on rows that break every constraint, and for
the proved SQL on rows that keep them."""
import os
import random

import pytest
from harness.cases import accepted
from harness.plans import Measurement, plans
from harness.random_persons import PersonGenerator
from harness.random_sql import Generator

STATEMENTS = {}
for _id, _dataset, _sql, _parameters, _ in accepted():
    if not _parameters:
        STATEMENTS.setdefault(_dataset, []).append(_sql)

# Forms that the meaning oracle has no use for: bounds that bind, joins that repeat rows.
STATEMENTS["clinic"] += [
    "SELECT sum(arrived - day), avg(arrived - day), sum(arrived::time - time '08:00') FROM visits",
    "SELECT note, avg(arrived::time::interval), sum((arrived - day) * -2.5) FROM visits GROUP BY note",
    "SELECT count(DISTINCT cost), count(DISTINCT minutes) FILTER (WHERE cost > 5), count(*) FROM visits",
    "SELECT note, count(DISTINCT code), count(DISTINCT cost), avg(cost) FROM visits GROUP BY note",
    "SELECT code, count(DISTINCT minutes), count(DISTINCT day), stddev(cost) FROM visits GROUP BY code",
    "SELECT p.sex, count(DISTINCT v.id), count(DISTINCT v.day > '2021-01-01') FROM patients p JOIN visits v"
    " ON v.patient_id = p.id GROUP BY p.sex",
    "SELECT sex, count(DISTINCT weight), count(DISTINCT city), count(DISTINCT age) FROM patients GROUP BY sex",
    "SELECT count(DISTINCT p.id), count(DISTINCT p.age) FROM visits v LEFT JOIN patients p ON"
    " p.id = v.patient_id",
    "SELECT avg(age), count(age), sum(age), avg(weight), avg(least(greatest(age, 1.5), 9.25)) FROM patients",
    "SELECT note, avg(cost), sum(cost), avg(minutes) FROM visits GROUP BY note",
    "SELECT code, avg(cost), stddev(cost), count(cost) FROM visits GROUP BY code",
    "SELECT avg(cost - 2500.25) FILTER (WHERE minutes > 30), avg(cost) FROM visits",
    "SELECT city, count(*), sum(age), avg(weight) FROM patients GROUP BY city",
    "SELECT code, note, count(*), sum(cost), avg(minutes) FROM visits GROUP BY code, note",
    "SELECT note, count(DISTINCT patient_id), sum(cost) FROM visits GROUP BY note",
    "SELECT p.city, sum(v.cost), count(*) FROM patients p JOIN visits v ON v.patient_id = p.id"
    " GROUP BY p.city",
    "SELECT v.note, count(*) FROM patients p LEFT JOIN visits v ON v.patient_id = p.id GROUP BY v.note",
    "SELECT p.id % 3, count(*), sum(p.age) FROM patients p GROUP BY p.id % 3",
    "SELECT v.patient_id % 3, count(*), sum(v.cost) FROM visits v GROUP BY 1",
    "SELECT w.code, count(*) FROM visits v JOIN visits w ON v.patient_id = w.patient_id GROUP BY w.code",
    "SELECT count(*), sum(v.cost) FROM visits v JOIN icd_codes c ON c.chapter <> v.code AND"
    " c.code = v.code",
    "SELECT c.code, count(*) FROM visits v JOIN icd_codes c ON v.note = c.chapter GROUP BY c.code",
    "SELECT count(*), sum(weight), sum(age * 1.25), avg(cost) FROM patients p JOIN visits v"
    " ON p.id = v.patient_id",
    "SELECT sum(cost - 2500) FILTER (WHERE minutes > 30), count(DISTINCT patient_id) FILTER (WHERE"
    " minutes > 30) FROM visits",
    "SELECT sum(least(greatest(id, -3), -1)) FROM visits",
    "SELECT c.chapter, count(*), sum(p.age) FROM patients p JOIN icd_codes c ON c.code <> p.city AND"
    " c.chapter = p.sex LEFT JOIN icd_codes d ON c.code = p.sex AND d.code = p.sex GROUP BY 1",
    "SELECT d.chapter, count(*) FROM visits v LEFT JOIN icd_codes d ON d.code = v.code GROUP BY 1",
    "SELECT DISTINCT note FROM visits",
    "SELECT note, stddev(cost), avg(cost), variance(minutes) FROM visits GROUP BY note",
    "SELECT var_pop(weight), stddev(age), stddev_samp(least(greatest(weight, 0), 1e-9)) FROM patients",
    "SELECT code, var_samp(cost - 2500.25) FILTER (WHERE minutes > 30) FROM visits GROUP BY code",
    "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY weight), max(age), min(weight) FROM patients",
    "SELECT note, percentile_disc(ARRAY[0.1, 0.9]) WITHIN GROUP (ORDER BY cost), count(*) FROM visits"
    " GROUP BY note",
    "SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY day), min(day), max(minutes) FILTER (WHERE"
    " minutes > 30) FROM visits",
    "SELECT code, max(least(greatest(arrived, timestamp '2020-01-01 00:00:00'),"
    " timestamp '2026-01-01 00:00:00')) FROM visits GROUP BY code",
    "SELECT code, note, percentile_cont(0.5) WITHIN GROUP (ORDER BY cost * 1.5 - minutes) FROM visits"
    " GROUP BY code, note",
    "SELECT p.city, max(v.cost) FROM patients p JOIN visits v ON v.patient_id = p.id GROUP BY p.city",
    "SELECT c.chapter, percentile_disc(0.5) WITHIN GROUP (ORDER BY v.minutes) FROM visits v"
    " JOIN icd_codes c ON c.code = v.code GROUP BY c.chapter",
    "SELECT avg(n), sum(c), count(DISTINCT m), variance(n) FROM (SELECT patient_id, count(*) AS n,"
    " sum(cost) AS c, max(minutes) AS m FROM visits GROUP BY patient_id) t",
    "SELECT note, avg(n), sum(c), count(DISTINCT patient_id) FROM (SELECT patient_id, note, code,"
    " count(cost) AS n, avg(cost) AS c FROM visits GROUP BY patient_id, note, code) t GROUP BY note",
    "SELECT sex, city, sum(s), sum(n) FROM (SELECT p.id, p.sex, p.city, sum(weight) AS s, count(v.id) AS n"
    " FROM patients p LEFT JOIN visits v ON v.patient_id = p.id GROUP BY p.id, p.sex, p.city) t GROUP BY 1, 2",
    "SELECT first, count(*) FROM (SELECT patient_id, min(cost) AS first, bool_or(minutes > 3) AS b"
    " FROM visits GROUP BY patient_id HAVING count(DISTINCT code) > 1) t WHERE b GROUP BY first",
    "SELECT code, sum(minutes * n) FROM visits v JOIN (SELECT patient_id, count(*) AS n FROM visits"
    " GROUP BY patient_id) t ON t.patient_id = v.patient_id GROUP BY code",
    "SELECT \"Ward No\", sex, sum(minutes) FROM visits JOIN patients ON patient_id = patients.id"
    " GROUP BY 1, 2",
]

TYPES = {
    "census": {
        "people": "id integer, wage numeric(8,2), education integer, experience integer,"
                  " ethnicity text, smsa boolean, region text, parttime boolean",
        "regions": "region text, name text, states integer"},
    "panel": {
        "persons": "id integer, gender text, ethnicity text, education integer",
        "years": "person_id integer, year integer, wage integer, experience integer, weeks integer,"
                 " occupation text, manufacturing boolean, south boolean, smsa boolean,"
                 " married boolean, union_member boolean"},
    "clinic": {
        "icd_codes": "code text, chapter text",
        "patients": "id integer, age integer, sex text, city text, weight double precision,"
                    " insured boolean",
        "visits": "id bigint, patient_id integer, day date, arrived timestamp, cost numeric(10,2),"
                  " code text, \"Ward No\" smallint, minutes integer, note varchar(40)"},
}
UNITS = {"census": [("people", "id")], "panel": [("persons", "id"), ("years", "person_id")],
         "clinic": [("patients", "id"), ("visits", "patient_id")]}
CODES = ["A00", "C50", "I10", "J45", "K35", "Z99"]


def chance(source, values, null=0.1):
    return None if source.random() < null else source.choice(values)


def insert(cursor, table, rows):
    for row in rows:
        cursor.execute(f"INSERT INTO {table} VALUES ({', '.join(['%s'] * len(row))})", row)


def fill_clinic(cursor, source, proper):
    """proper: keys are unique, children have parents; otherwise anything goes."""
    insert(cursor, "icd_codes", [(code, source.choice(["x", "y", "again"])) for code in CODES])
    if not proper:
        insert(cursor, "icd_codes", [("A00", "x"), (None, "y")])
    units = list(range(1, 9))
    patients = [unit for unit in units for _ in range(1 if proper else source.choice([0, 1, 3]))]
    if not proper:
        patients += [None, None]
    insert(cursor, "patients", [
        (unit, chance(source, [-5, 0, 17, 40, 40, 300]), chance(source, ["f", "m", "x", "y"]),
         chance(source, ["Aachen", "Bremen", "Celle"]),
         chance(source, ["NaN", "Infinity", "-1e300", 0.5, 70.25, 1e-300]),
         chance(source, [True, False]))
        for unit in patients])
    number = 0
    for unit in units + ([None, 99] if not proper else []):
        for _ in range(source.choice([0, 1, 5, 70, 130])):
            number += 1
            insert(cursor, "visits", [(
                number, unit, chance(source, ["2021-03-04", "infinity", "2023-01-01", "-infinity"]),
                chance(source, ["2022-05-06 07:08:09", "infinity", "2024-05-01 00:00:00"]),
                chance(source, ["NaN", -7, 0, "12.34", 4000, 99999999]),
                chance(source, CODES), chance(source, [0, 1, 2, 3, 4, 5]),
                chance(source, [-10, 0, 30, 60, 61, 100000, 2147483647]),
                chance(source, ["ok", "later", "x", "", "again 100%"]))])


def fill_census(cursor, source, proper):
    regions = ["northeast", "midwest", "south", "west"]
    insert(cursor, "regions", [(region, region, 3) for region in regions])
    if not proper:
        insert(cursor, "regions", [("south", "again", 5), ("south", "more", 5)])
    for unit in range(1, 16):
        for _ in range(1 if proper else source.choice([1, 1, 4])):
            insert(cursor, "people", [(
                unit, chance(source, [-1, 0, "12.34", 1999, "NaN", 99999], 0 if proper else 0.1),
                source.choice([0, 12, 99]), source.choice([0, 30, 100]),
                source.choice(["afam", "cauc", "other"]), source.choice([True, False]),
                source.choice([*regions, "nowhere"]), source.choice([True, False]))])


def fill_panel(cursor, source, proper):
    for unit in range(1, 13):
        for _ in range(1 if proper else source.choice([0, 1, 2])):
            insert(cursor, "persons", [(unit, chance(source, ["female", "male", "?"]),
                                        chance(source, ["afam", "other"]), source.choice([0, 12, 99]))])
        for year in range(1976, 1976 + source.choice([0, 3, 7, 7 if proper else 30])):
            insert(cursor, "years", [(
                unit, year if proper else source.choice([1976, 1977, 1990]),
                source.choice([0, 500, 99999]), source.choice([0, 3]), source.choice([-3, 40, 99]),
                chance(source, ["blue", "white"]), *(source.choice([True, False]) for _ in range(5)))])


FILL = {"census": fill_census, "panel": fill_panel, "clinic": fill_clinic}


@pytest.fixture(scope="module", params=[(d, p, n) for d in TYPES for p in (True, False)
                                        for n in range(2 if os.environ.get("PGVEIL_TESTS_ALL") else 1)],
                ids=lambda p: f"{p[0]}-{'proper' if p[1] else 'broken'}-{p[2]}")
def database(request, protected):
    dataset, proper, number = request.param
    source = random.Random(f"{dataset} {proper} {number}")
    name = f"small_{dataset}_{int(proper)}_{number}"
    protected.query("postgres", f"CREATE DATABASE {name}")
    connection = protected.connect(name)
    with connection.cursor() as cursor:
        for table, columns in TYPES[dataset].items():
            cursor.execute(f"CREATE TABLE {table} ({columns})")
        FILL[dataset](cursor, source, proper)
    yield dataset, proper, connection
    connection.close()


def check(release, before, after, what):
    """The change of every coordinate, and of the vector of every measure in the norm of its noise;
    of the two together where one charge is for two."""
    totals = []
    for index, measure in enumerate(release["measures"]):
        square = total = 0
        for key in before.keys() | after.keys():
            change = abs(before.get(key, [0] * 99)[index] - after.get(key, [0] * 99)[index])
            assert change <= measure["delta"], (what, measure, key, change)
            square += change * change
            total += change
        assert square <= measure["groups"] * measure["delta"] ** 2, (what, measure, square)
        totals.append(total)
        if measure["mechanism"] == "laplace":
            assert total <= measure["groups"] * measure["delta"], (what, measure, total)
    for measure, total in zip(release["measures"], totals):
        if measure["kind"] == "complement":
            other = release["measures"][measure["completes"]]
            assert (other["delta"], other["m"]) == (measure["delta"], measure["m"])
            assert total + totals[measure["completes"]] <= measure["groups"] * measure["delta"], what


def check_histogram(histogram, before, after, what):
    """A unit weighs the same in every group that it touches, and touches no more than it may."""
    touched = 0
    for key in before.keys() | after.keys():
        old, new = before.get(key, {}), after.get(key, {})
        changes = [old.get(number, 0) - new.get(number, 0) for number in old.keys() | new.keys()]
        assert all(0 <= number < histogram["n_bins"] for number in old.keys() | new.keys()), what
        moved = sum(abs(change) for change in changes)
        assert moved in (0, histogram["weight"]), (what, key, changes)
        touched += moved > 0
    assert touched <= histogram["groups"], (what, touched)


def parts(release, measurement):
    """(measure, check) of all that is asked for a release: how to run its SQL, in its forms, and
    how to compare what comes."""
    if release["sql"]:
        yield (release, measurement.vectors,
               lambda before, after, what: check(release, before, after, what))
    for histogram in release["histograms"]:
        yield (histogram, measurement.weights,
               lambda before, after, what, own=histogram: check_histogram(own, before, after, what))


def check_statement(cursor, dataset, proper, sql, plan):
    for release in plan["releases"]:
        for part, measure, compare in parts(release, Measurement(cursor, release)):
            check_part(cursor, dataset, sql, measure, compare,
                       [part["sql"]] + ([part["sql_proved"]] if proper and part["sql_proved"] else []))


def check_part(cursor, dataset, sql, measure, compare, forms):
    for form in forms:
        before = measure(form)
        units = set()
        for table, column in UNITS[dataset]:
            cursor.execute(f"SELECT DISTINCT {column} FROM {table} WHERE {column} IS NOT NULL")
            units |= {row[0] for row in cursor.fetchall()}
        for unit in units:
            cursor.execute("BEGIN")
            for table, column in UNITS[dataset]:
                cursor.execute(f"DELETE FROM {table} WHERE {column} = %s", (unit,))
            compare(before, measure(form), (sql, unit))
            cursor.execute("ROLLBACK")


# max_groups and max_rows_per_group of the tables with more than one row of a unit.
LIMITS = [("2:3", "gaussian"), ("2:3", "laplace"), ("4:20", "laplace"), ("0:7", "gaussian")]


@pytest.mark.parametrize("limits, mechanism", LIMITS)
def test_declared_groups_and_rows_per_group_bound_one_unit(database, limits, mechanism):
    dataset, proper, connection = database
    options = ["--limits", limits, *(["--laplace"] if mechanism == "laplace" else [])]
    statements = [sql for sql in STATEMENTS[dataset] if "GROUP BY" in sql or "DISTINCT" in sql]
    for sql, plan in zip(statements, plans(dataset, statements, *options)):
        if mechanism == "laplace" and plan["result"] == "refused":
            continue
        assert plan["result"] == "ready", (sql, plan)
        with connection.cursor() as cursor:
            check_statement(cursor, dataset, proper, sql, plan)


@pytest.mark.parametrize("mechanism", ["gaussian", "laplace"])
def test_one_unit_moves_no_measurement_by_more_than_its_plan_says(database, mechanism):
    dataset, proper, connection = database
    options = ["--laplace"] if mechanism == "laplace" else []
    for sql, plan in zip(STATEMENTS[dataset], plans(dataset, STATEMENTS[dataset], *options)):
        if mechanism == "laplace" and plan["result"] == "refused":
            continue
        assert plan["result"] == "ready", (sql, plan)
        with connection.cursor() as cursor:
            check_statement(cursor, dataset, proper, sql, plan)


def test_rows_of_nobody_are_not_measured(database):
    """Neither rows without a unit nor rows whose unit has no row in the table it refers to."""
    dataset, proper, connection = database
    if dataset != "clinic" or proper:
        pytest.skip("the rows keep all constraints")
    sql = ["SELECT count(*), count(DISTINCT patient_id) FROM visits", "SELECT count(*) FROM patients"]
    with connection.cursor() as cursor:
        for plan in plans(dataset, sql):
            measurement = Measurement(cursor, plan["releases"][0])
            before = measurement.vectors(plan["releases"][0]["sql"])
            cursor.execute("BEGIN; DELETE FROM visits WHERE patient_id IS NULL OR patient_id NOT IN"
                           " (SELECT id FROM patients WHERE id IS NOT NULL);"
                           "DELETE FROM patients WHERE id IS NULL")
            assert measurement.vectors(plan["releases"][0]["sql"]) == before
            cursor.execute("ROLLBACK")


def test_the_order_of_rows_does_not_change_a_measurement(database):
    dataset, _, connection = database
    tables = list(TYPES[dataset])
    made = list(zip(STATEMENTS[dataset], plans(dataset, STATEMENTS[dataset])))
    with connection.cursor() as cursor:
        def run():
            return [measure(part["sql"]) for _, plan in made for release in plan["releases"]
                    for part, measure, _ in parts(release, Measurement(cursor, release))]
        before = run()
        cursor.execute("BEGIN")
        for table in tables:
            cursor.execute(f"CREATE TEMP TABLE kept ON COMMIT DROP AS SELECT * FROM {table};"
                           f"TRUNCATE {table}; INSERT INTO {table} SELECT * FROM kept ORDER BY random();"
                           "DROP TABLE kept")
        assert run() == before
        cursor.execute("ROLLBACK")


GENERATED = 80


@pytest.mark.parametrize("kind", [Generator, PersonGenerator])
@pytest.mark.parametrize("options", [[], ["--laplace", "--limits", "3:4"]], ids=["", "laplace-limits"])
def test_generated_statements_keep_their_word(database, options, kind):
    dataset, proper, connection = database
    if dataset != "clinic":
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_database()")
        source = random.Random(cursor.fetchone()[0])
        generator = kind(source)
        statements = [generator.statement() for _ in range(GENERATED)]
        answered = [(sql, plan) for sql, plan in zip(statements, plans(dataset, statements, *options))
                    if plan["result"] == "ready"]
        assert len(answered) > GENERATED / 4, "the generator writes what is refused"
        for sql, plan in answered:
            check_statement(cursor, dataset, proper, sql, plan)
