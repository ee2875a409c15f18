"""Error channels (4.4): statements that would fail, or be slow, on one person's rows only. They are
refused alike on both neighbours, or answered on both; "the measurement could not be completed" never."""
import pytest

TEMPTING = [
    ("E1", "SELECT count(*) FROM people WHERE 1 / (salary - 199999) > 0"),
    ("E1", "SELECT count(*) FROM people WHERE salary % (id - 77) = 0"),
    ("E1", "SELECT count(*) FROM people WHERE 1 / (n2 - 9999999999.99) > 0"),
    ("E1", "SELECT count(*) FROM people WHERE 1 / (f8 - 0.1) > 0"),
    ("E2", "SELECT count(*) FROM people WHERE name LIKE 'Bob%' AND 1 / (CASE WHEN salary > 1e5 THEN 0 ELSE 1 END) = 1"),
    ("E2", "SELECT sum(CASE WHEN id = 77 THEN 1 / (id - 77) ELSE 0 END) FROM people"),
    ("E3", "SELECT count(*) FROM people WHERE CAST(name AS integer) > 0"),
    ("E3", "SELECT count(*) FROM people WHERE name::date > '2020-01-01'"),
    ("E3", "SELECT count(*) FROM people WHERE to_date(name, 'YYYY') > '2020-01-01'"),
    ("E3", "SELECT count(*) FROM people WHERE concat('{', name)::json IS NULL"),
    ("E3", "SELECT count(*) FROM people WHERE name ~ zip"),
    ("E3", "SELECT count(*) FROM people WHERE name SIMILAR TO '(a|b)*' || zip"),
    ("E3", "SELECT count(*) FROM people WHERE name LIKE zip"),
    ("E3", "SELECT count(*) FROM people WHERE name LIKE name ESCAPE ''"),
    ("E3", "SELECT count(*) FROM people WHERE list[1] = 1"),
    ("E3", "SELECT count(*) FROM people WHERE name::mood = 'sad'"),
    ("E3", "SELECT count(*) FROM people WHERE c5::integer = 1"),
    ("E3", "SELECT count(*) FROM people WHERE name::uuid = u"),
    ("E3", "SELECT count(*) FROM people WHERE name::xml IS NULL"),
    ("E3", "SELECT count(*) FROM people WHERE split_part(name, ' ', id - 77) = ''"),
    ("E3", "SELECT count(*) FROM people WHERE substring(name, 1, id - 78) = ''"),
    ("E3", "SELECT count(*) FROM people WHERE chr(id - 77) = ''"),
    ("E4", "SELECT count(*) FROM people WHERE 2 ^ (10000.01 * salary) > 1"),
    ("E4", "SELECT count(*) FROM people WHERE exp(salary) > 1"),
    ("E4", "SELECT count(*) FROM people WHERE salary::int2 > 0"),
    ("E4", "SELECT count(*) FROM people WHERE f4::integer > 0"),
    ("E4", "SELECT count(*) FROM people WHERE f8::real > 0"),
    ("E4", "SELECT count(*) FROM people WHERE n::bigint > 0"),
    ("E4", "SELECT count(*) FROM people WHERE n2::numeric(4,2) > 0"),
    ("E4", "SELECT count(*) FROM people WHERE interval '1 year' * salary > interval '1 day'"),
    ("E4", "SELECT count(*) FROM people WHERE iv * 1e10 > interval '1 day'"),
    ("E4", "SELECT count(*) FROM people WHERE iv + iv > interval '1 day'"),
    ("E4", "SELECT count(*) FROM people WHERE ts + iv > '2020-01-01'"),
    ("E4", "SELECT count(*) FROM people WHERE ts - '4713-01-01 BC'::timestamp > interval '1 day'"),
    ("E4", "SELECT count(*) FROM people WHERE d + salary > '2020-01-01'"),
    ("E4", "SELECT count(*) FROM people WHERE d::timestamp > '2020-01-01'"),
    ("E4", "SELECT count(*) FROM people WHERE d < ts AND tz > d"),
    ("E4", "SELECT count(*) FROM people WHERE date_trunc('millennium', ts) > '2020-01-01'"),
    ("E4", "SELECT count(*) FROM people WHERE (ts AT TIME ZONE 'UTC') > '2020-01-01'"),
    ("E4", "SELECT count(*) FROM people WHERE tz::date > '2020-01-01'"),
    ("E4", "SELECT count(*) FROM people WHERE extract(epoch FROM iv) > 1"),
    ("E4", "SELECT count(*) FROM people WHERE age(ts) > interval '1 day'"),
    ("E4", "SELECT count(*) FROM people WHERE t + interval '1 hour' > '01:00'"),
    ("E4", "SELECT sum(big + 1) FROM people"),
    ("E4", "SELECT sum(big * big) FROM people"),
    ("E4", "SELECT count(*) FROM people WHERE - small > 0"),
    ("E4", "SELECT count(*) FROM people WHERE abs(small) > 0"),
    ("E4", "SELECT count(*) FROM people WHERE small / (-1)::smallint > 0"),
    ("E4", "SELECT count(*) FROM people WHERE f8 * f8 > 1 AND f4 * f4 > 1 AND f8 / f4 > 0"),
    ("E4", "SELECT sum(f8 * 1e308) FROM people"),
    ("E4", "SELECT count(*) FROM people WHERE repeat('x', salary) = ''"),
    ("E4", "SELECT count(*) FROM people WHERE lpad(name, salary) = ''"),
    ("E4", "SELECT count(*) FROM people WHERE sqrt(100 - salary) > 1"),
    ("E4", "SELECT count(*) FROM people WHERE ln(salary - 5) > 1"),
    ("E4", "SELECT count(*) FROM people WHERE factorial(small) > 1"),
    ("E4", "SELECT count(*) FROM people WHERE round(n, small) > 1"),
    ("E4", "SELECT n / n2, count(*) FROM people GROUP BY 1"),
    ("E4", "SELECT n, count(*) FROM people GROUP BY n"),
    ("E4", "SELECT ts, tz, d, t, count(*) FROM people GROUP BY ts, tz, d, t"),
    ("E4", "SELECT name, c5, u, feeling, count(*) FROM people GROUP BY name, c5, u, feeling"),
    ("E5", "SELECT (SELECT salary FROM people WHERE zip = 'z3')"),
    ("E5", "SELECT count(*) FROM people WHERE salary = (SELECT salary FROM people WHERE zip = 'z3')"),
    ("E5", "SELECT count(*) FROM people, generate_series(1, salary)"),
    ("E5", "SELECT count(*) FROM people WHERE (salary - salary) / (salary - salary) = 1"),
    ("T1", "SELECT count(*) FROM people WHERE name LIKE 'Bob%' AND pg_sleep(5) IS NOT NULL"),
    ("T1", "SELECT count(*) FROM people WHERE CASE WHEN salary > 1e5 THEN (SELECT count(*) FROM generate_series(1, 1e8)) END > 0"),
    ("T2", "SELECT count(*) FROM people WHERE id = 77 AND name ~ '^(a+)+$'"),
    ("T2", "SELECT count(*) FROM people WHERE regexp_replace(name, '(.*)*', 'x') = 'x'"),
    ("S9", "SELECT count(*) FROM people WHERE salary > (SELECT avg(salary) FROM people)"),
    ("S9", "SELECT count(*) FROM people p WHERE EXISTS (SELECT FROM visits v WHERE v.cost > p.salary)"),
    ("S9", "SELECT count(*) FROM people WHERE id IN (SELECT person_id FROM visits)"),
    ("S9", "SELECT count(*) FROM people WHERE rank() OVER (ORDER BY salary) = 1"),
    ("R7", "SELECT count(*) FROM people WHERE id NOT IN (SELECT person_id FROM visits)"),
    ("R7", "SELECT count(*) FROM people WHERE salary > ALL (SELECT cost FROM visits)"),
    ("R8", "SELECT z.zip, count(*) FROM zones z LEFT JOIN people p ON p.zip = z.zip GROUP BY z.zip"),
    ("S7", "SELECT count(*) FROM people p JOIN people q ON p.zip = q.zip"),
    ("S7", "SELECT count(*) FROM people p, people q"),
    ("S7", "SELECT count(*) FROM people p FULL JOIN visits v ON p.id = v.person_id"),
    ("S7", "SELECT count(*) FROM people p JOIN visits v ON p.id = v.person_id + 0"),
    ("S7", "SELECT count(*) FROM people p JOIN visits v ON p.id = v.person_id OR p.zip = 'z3'"),
    ("S7", "SELECT count(*) FROM people p LEFT JOIN visits v ON true WHERE p.id = v.person_id OR v.id IS NULL"),
    ("S8", "SELECT count(*) FROM (SELECT * FROM people UNION ALL SELECT * FROM people) x"),
    ("S10", "SELECT count(*) FROM (SELECT * FROM people LIMIT 1 OFFSET 3) x"),
    ("S10", "SELECT salary FROM people ORDER BY salary LIMIT 10"),
    ("S10", "SELECT DISTINCT ON (zip) salary FROM people"),
    ("S10", "SELECT count(*) FROM people TABLESAMPLE BERNOULLI (10)"),
    ("S10", "SELECT count(*) FROM people WHERE ctid = '(0,1)'"),
    ("S10", "SELECT count(*) FROM people WHERE xmin::text = '1'"),
    ("S10", "SELECT count(*) FROM people WHERE random() < 0.5"),
    ("S10", "SELECT count(*) FROM people WHERE ts < now()"),
    ("S10", "SELECT count(*) FROM people WHERE people IS NOT NULL"),
    ("S10", "SELECT count(*) FROM people WHERE tableoid = 0"),
    ("G4", "SELECT array_agg(name) FROM people"), ("G4", "SELECT string_agg(name, ',') FROM people"),
    ("G4", "SELECT json_agg(people) FROM people"), ("G4", "SELECT min(name), max(name) FROM people"),
    ("G4", "SELECT mode() WITHIN GROUP (ORDER BY name) FROM people"),
    ("G4", "SELECT zip, count(*) FROM people GROUP BY ROLLUP (zip)"),
    ("G4", "SELECT zip, count(*) FROM people GROUP BY CUBE (zip, dept)"),
    ("G4", "SELECT count(*) FROM people ORDER BY salary"),
    ("R4", "SELECT iv, count(*) FROM people GROUP BY iv"),
    ("P3", "SELECT sum(bonus) FROM people"), ("P3", "SELECT avg(bonus) FROM people"),
    ("S4", "SELECT variance(salary) FROM people"),
    ("N4", "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY f8), min(f4), max(n) FROM people"),
    ("N3", "SELECT percentile_disc(0.99) WITHIN GROUP (ORDER BY big), max(small) FROM people"),
    ("E4", "SELECT min(d), max(d), percentile_disc(ARRAY[0.1, 0.9]) WITHIN GROUP (ORDER BY d) FROM people"),
    ("E4", "SELECT max(least(greatest(ts, '2020-01-01'), '2026-01-01')) FROM people"),
    ("E4", "SELECT max(least(greatest(tz, '2020-01-01'), '2026-01-01')) FROM people"),
    ("E4", "SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY n2 / (salary - 199999)) FROM people"),
    ("E4", "SELECT max(iv) FROM people"), ("E4", "SELECT min(u) FROM people"),
    ("E2", "SELECT percentile_disc(CASE WHEN salary > 1e5 THEN 2 ELSE 0 END) WITHIN GROUP (ORDER BY salary)"
           " FROM people"),
    ("E2", "SELECT percentile_disc(salary / 1e5) WITHIN GROUP (ORDER BY salary) FROM people GROUP BY salary"),
    ("G4", "SELECT name, max(salary) FROM people GROUP BY name"),
    ("G4", "SELECT kind, percentile_cont(0.5) WITHIN GROUP (ORDER BY x) FROM visits GROUP BY kind"),
    ("G4", "SELECT min(list), max(b) FROM people"),
]


@pytest.mark.parametrize("attack, sql", TEMPTING, ids=[f"{a}: {s}" for a, s in TEMPTING])
def test_no_row_decides_about_an_error(pair, attack, sql):
    """4.4, S7 to S10, G4, R4, R7, R8, P3: the same error, or none, on both neighbours."""
    with_bob, without = pair.run(sql)
    assert with_bob.error == without.error, (attack, sql)
    assert with_bob.sqlstate not in ("58000", "XX000", "57014"), (attack, with_bob.error)
    if with_bob.error:
        assert with_bob.error["W"] is None and with_bob.sqlstate[:2] in ("0A", "42", "22", "54"), with_bob.error
        assert with_bob.notices == without.notices == [], "refusals are free"
        assert "Bob" not in str(with_bob.error).replace("'Bob", "")
    else:
        assert with_bob.notices == without.notices and "cost" in with_bob.notices[0]


def test_a_growing_text_fails_for_nobody(analyst):
    """E4: a gigabyte of text that only one person's row would make."""
    refused = []
    for dataset in ("with_bob", "without_bob"):
        with analyst.connect3(dataset) as connection:
            chain = " || ".join(["%(big)s"] * 280)
            try:
                connection.execute("SELECT count(*) FILTER (WHERE length(CASE WHEN id = 77 THEN name || "
                                   f"{chain} END) > 5) FROM people", {"big": "x" * 4000000})
                refused.append(None)
            except Exception as error:
                refused.append(error.sqlstate)
    assert refused[0] == refused[1] and refused[0] not in ("58000", "53200")


def test_the_number_of_groups_decides_about_no_error(pair):
    """T6, G6: as many groups as the limit on rows allows, and one more where Bob is."""
    sql = "SELECT name || zip, count(*) FROM people WHERE id BETWEEN 1 AND 201 GROUP BY 1"
    with_bob, without = pair.run(sql)
    assert with_bob.without_values() == without.without_values()
    assert with_bob.error is None


def test_settings_of_messages_show_nothing_of_the_measurement(analyst):
    """E7: client_min_messages = debug5 shows the twin's own messages and nothing else."""
    seen = []
    for dataset in ("with_bob", "without_bob"):
        connection = analyst.connect(dataset)
        with connection.cursor() as cursor:
            cursor.execute("SET client_min_messages = debug5")
            cursor.execute("SELECT count(*) FROM people WHERE name LIKE 'Bob%'")
        seen.append([n for n in connection.notices if "cost" not in n and "StartTransaction" not in n
                     and "CommitTransaction" not in n])
        connection.close()
    assert len(seen[0]) == len(seen[1])
    assert not any("pg_catalog.count" in notice for notice in seen[0] + seen[1])


@pytest.mark.parametrize("sql", [
    "SELECT count(*), (SELECT count(*) FROM people) FROM zones WHERE false",
    "SELECT (SELECT count(*) FROM people) FROM zones WHERE 1 = 0 UNION ALL SELECT 1",
    "WITH c AS (SELECT count(*) AS n FROM people) SELECT sum(n) FROM c WHERE false"])
def test_a_probe_hides_no_measurement(pair, sql):
    """G5: what looks like a probe and shows a number of people is measured and charged, or refused."""
    for seen in pair.run(sql):
        if not seen.error and any(value == 0 for row in seen.rows for value in row):
            assert any("cost" in notice for notice in seen.notices), (sql, seen.rows)
