"""pgveilctl policy ..., and the configuration file that it reads."""
import hashlib
import json

import pytest


def config(tmp_path, policies, **more):
    datasets = {}
    for name, policy in policies.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(policy))
        datasets[name] = {"server": "host=nowhere", "policy": f"{name}.json"}
    path = tmp_path / "pgveil.json"
    path.write_text(json.dumps({"state_directory": str(tmp_path / "state"), "datasets": datasets,
                                **more}))
    return str(path)


GOOD = {"tables": {"public.people": {"unit": "id", "max_rows": 1,
                                     "columns": {"id": {}, "age": {"bounds": [0, 120]}}}}}
BAD = {"tables": {"public.people": {"unit": "id", "max_rows": 1,
                                    "columns": {"id": {}, "age": {"bounds": [120, 0]}}}}}


def test_policy_check_of_a_file(ledger, tmp_path):
    (tmp_path / "good.json").write_text(json.dumps(GOOD))
    (tmp_path / "bad.json").write_text(json.dumps(BAD))
    good = ledger.ctl("policy", "check", str(tmp_path / "good.json"), server=False)
    assert "good" in good.stdout
    bad = ledger.ctl("policy", "check", str(tmp_path / "bad.json"), server=False, check=False)
    assert bad.returncode == 1 and "bad.json" in bad.stderr and "age" in bad.stderr
    (row,) = json.loads(ledger.ctl("policy", "check", str(tmp_path / "good.json"), "--json",
                                   server=False).stdout)
    assert (row["verdict"], row["n_private_tables"], row["n_public_tables"]) == ("good", 1, 0)
    assert row["version"] == hashlib.sha256(json.dumps(GOOD).encode()).hexdigest()


def test_options_alone_stand_for_commands(ledger):
    assert ledger.ctl("--version", server=False).stdout == ledger.ctl("version", server=False).stdout
    manual = ledger.ctl("--man", server=False).stdout
    assert manual == ledger.ctl("help", "--man", server=False).stdout
    for section in ("NAME", "SYNOPSIS", "COMMANDS", "OPTIONS", "EXIT STATUS", "FILES", "EXAMPLES"):
        assert f".SH {section}" in manual
    done = ledger.ctl("--json", server=False, check=False)
    assert done.returncode == 2 and "no command" in done.stderr
    done = ledger.ctl("budget", server=False, check=False)
    assert done.returncode == 2 and "budget forecast" in done.stderr


def test_the_version_is_told_to_people_and_programs(ledger):
    assert "0.1.0" in ledger.ctl("version", server=False).stdout
    assert json.loads(ledger.ctl("version", "--json", server=False).stdout)["ledger_schema"] == 3


def test_policy_check_of_all_datasets_names_the_bad_one(ledger, tmp_path):
    path = config(tmp_path, {"one": GOOD, "two": BAD, "three": GOOD})
    done = ledger.ctl("policy", "check", "-c", path, server=False, check=False)
    assert done.returncode == 1
    verdicts = [line.split() for line in done.stdout.splitlines()[1:]]
    assert [(words[0], words[2]) for words in verdicts] == \
        [("one", "good"), ("two", "bad"), ("three", "good")]
    assert "two.json" in done.stderr


def test_policy_show_and_diff_tell_what_files_say(ledger, tmp_path):
    old = {"tables": {
        "public.people": {"unit": "id", "max_rows": 1, "columns": {
            "id": {}, "age": {"bounds": [0, 120]}, "sex": {"domain": ["f", "m", None]}}},
        "public.visits": {"unit": {"column": "person", "references": "public.people"}, "max_rows": 9,
                          "columns": {"person": {}, "day": {"bounds": ["2020-01-01", "2026-12-31"]}}}}}
    new = json.loads(json.dumps(old))
    new["tables"]["public.visits"]["max_rows"] = 12
    new["tables"]["public.people"]["columns"]["age"]["bounds"] = [0, 100]
    del new["tables"]["public.people"]["columns"]["sex"]
    new["tables"]["public.towns"] = {"public": True}
    (tmp_path / "old.json").write_text(json.dumps(old))
    (tmp_path / "new.json").write_text(json.dumps(new, indent=3))
    shown = ledger.ctl("policy", "show", str(tmp_path / "old.json"), "--json", server=False)
    facts = {(row["object"], row["property"]): row["value"] for row in json.loads(shown.stdout)}
    assert facts["public.people", "unit"] == "id"
    assert facts["public.visits", "unit"] == "person -> public.people"
    assert facts["public.visits", "max_rows"] == "9"
    assert facts["public.people.age", "column"] == "0 .. 120"
    assert facts["public.people.sex", "column"] == "one of 'f', 'm', NULL"
    assert facts["public.visits.day", "column"] == "2020-01-01 .. 2026-12-31"
    done = ledger.ctl("policy", "diff", str(tmp_path / "old.json"), str(tmp_path / "new.json"),
                      "--json", server=False, check=False)
    assert done.returncode == 1
    assert {(row["change"], row["object"], row["property"], row["before"], row["after"])
            for row in json.loads(done.stdout)} == {
        ("changed", "public.visits", "max_rows", "9", "12"),
        ("changed", "public.people.age", "column", "0 .. 120", "0 .. 100"),
        ("removed", "public.people.sex", "column", "one of 'f', 'm', NULL", ""),
        ("added", "public.towns", "rows", "", "public")}
    (tmp_path / "same.json").write_text(json.dumps(old, indent=1))
    assert ledger.ctl("policy", "diff", str(tmp_path / "old.json"), str(tmp_path / "same.json"),
                      server=False).returncode == 0
    (tmp_path / "bad.json").write_text("{}")
    assert ledger.ctl("policy", "diff", str(tmp_path / "old.json"), str(tmp_path / "bad.json"),
                      server=False, check=False).returncode == 1


CLINIC = """
    CREATE TYPE clinic.blood AS ENUM ('0', 'A', 'it''s');
    CREATE TABLE clinic.patients (id int PRIMARY KEY, full_name text, age int CHECK (age < 130),
                                  smoker boolean, town text, photo bytea, blood clinic.blood);
    CREATE TABLE clinic."Visits" (visit bigint PRIMARY KEY, patient int REFERENCES clinic.patients,
                                  day date, cost numeric);
    CREATE TABLE clinic.lines (visit bigint REFERENCES clinic."Visits", item text);
    CREATE TABLE clinic.cards (patient int UNIQUE REFERENCES clinic.patients, kind text);
    CREATE TABLE clinic.codes (code text PRIMARY KEY, meaning text);
    INSERT INTO clinic.patients VALUES (1, 'Zelda Quux', 44, true, 'Atlantis', NULL);
"""


def suggested(ledger, server, *options):
    done = ledger.ctl("policy", "suggest", server.conninfo("postgres"), *options, server=False)
    return json.loads(done.stdout), done.stderr


def without_comments(value):
    if isinstance(value, dict):
        return {key: without_comments(one) for key, one in value.items() if key != "comment"}
    return value


@pytest.fixture
def catalogue(server):
    """Runs a script in an empty schema clinic."""
    def make(script):
        server.execute("DROP SCHEMA IF EXISTS clinic CASCADE; CREATE SCHEMA clinic;" + script,
                       database="postgres")
    yield make
    server.execute("DROP SCHEMA IF EXISTS clinic CASCADE", database="postgres")


def test_policy_suggest_follows_the_keys_and_reads_no_rows(ledger, server, catalogue, tmp_path):
    catalogue(CLINIC)
    policy, told = suggested(ledger, server)
    tables = policy["tables"]
    assert set(tables) == {"clinic.patients", 'clinic."Visits"', "clinic.lines", "clinic.cards"}
    assert without_comments(tables["clinic.patients"]) == {
        "unit": "id", "max_rows": 1, "columns": {"id": {}, "age": {}, "smoker": {"domain": [False, True]},
                                                 "town": {}, "blood": {"domain": ["0", "A", "it's"]}}}
    assert tables['clinic."Visits"']["unit"] == {"column": "patient", "references": "clinic.patients"}
    assert tables["clinic.lines"]["unit"] == {"column": "visit", "references": 'clinic."Visits"'}
    assert tables["clinic.cards"]["max_rows"] == 1
    for words, comment in [
            ("no rows and no statistics were read", policy["comment"]),
            ("a row of clinic.patients", policy["comment"]), ("Left out: clinic.codes", policy["comment"]),
            ("Left out: full_name (text; may name people)", tables["clinic.patients"]["comment"]),
            ("Left out: photo (bytea;", tables["clinic.patients"]["comment"]),
            ("max_rows 10 is a guess", tables["clinic.lines"]["comment"]),
            ('clinic.lines.visit -> clinic."Visits", clinic."Visits".patient -> clinic.patients.',
             tables["clinic.lines"]["comment"]),
            ("age < 130", tables["clinic.patients"]["columns"]["age"]["comment"]),
            ('"bounds"', tables["clinic.patients"]["columns"]["age"]["comment"]),
            ('"domain"', tables["clinic.patients"]["columns"]["town"]["comment"]),
            ("labels of the type", tables["clinic.patients"]["columns"]["blood"]["comment"])]:
        assert words in comment, comment
    assert "no rows" in told and "clinic.patients" in told and "comments" in told
    assert "Zelda" not in str(policy) + told and "Atlantis" not in str(policy) + told
    (tmp_path / "first.json").write_text(json.dumps(policy))
    ledger.ctl("policy", "check", str(tmp_path / "first.json"), server=False)
    ledger.ctl("policy", "show", str(tmp_path / "first.json"), server=False)
    (tmp_path / "bare.json").write_text(json.dumps(without_comments(policy)))
    assert ledger.ctl("policy", "diff", str(tmp_path / "first.json"), str(tmp_path / "bare.json"),
                      server=False).returncode == 0


def test_policy_suggest_says_of_views_children_and_numbers_what_pgveil_accepts(ledger, server, catalogue):
    catalogue(CLINIC + """CREATE VIEW clinic."all" AS SELECT id FROM clinic.patients;
                          CREATE TABLE clinic.old (note text) INHERITS (clinic."Visits");
                          ALTER TABLE clinic.patients ADD w float8, ADD m money, ADD n bigint""")
    policy, _ = suggested(ledger, server)
    columns = policy["tables"]["clinic.patients"]["columns"]
    assert 'Left out: clinic."all" (a view' in policy["comment"]
    assert 'clinic.old (its rows are also rows of clinic."Visits"' in policy["comment"]
    assert '{"auto": true, "unit"' in columns["w"]["comment"] and 'or "auto".' in columns["n"]["comment"]
    assert "not summed" in columns["m"]["comment"] and "bounds" not in columns["m"]["comment"]


def test_policy_suggest_looks_at_rows_where_asked_and_says_so(ledger, server, catalogue):
    catalogue(CLINIC + """INSERT INTO clinic.patients VALUES (2, 'Q', 12, false, 'Ulm', NULL, 'A');
                          INSERT INTO clinic."Visits" SELECT v, 2, '2024-02-29', v FROM generate_series(1, 7) v""")
    policy, told = suggested(ledger, server, "--look")
    patients, visits = policy["tables"]["clinic.patients"], policy["tables"]['clinic."Visits"']
    assert "as asked for, the rows" in policy["comment"] and "looked at" in told
    assert "Looked at: 2 different values, 12 to 44." in patients["columns"]["age"]["comment"]
    assert "Looked at: 2 different values." in patients["columns"]["town"]["comment"]
    assert "Looked at: at most 7 rows for one patient." in visits["comment"]
    assert "2024-02-29" in visits["columns"]["day"]["comment"]
    # What was seen decides nothing, and no text is repeated.
    assert without_comments(policy) == without_comments(suggested(ledger, server)[0])
    assert "Zelda" not in str(policy) and "Atlantis" not in str(policy)


def test_policy_suggest_names_every_way_to_a_unit(ledger, server, catalogue):
    catalogue("""CREATE TABLE clinic.patients (id int PRIMARY KEY, born date);
                 CREATE TABLE clinic.visits (patient int REFERENCES clinic.patients,
                                             companion int REFERENCES clinic.patients)""")
    policy, _ = suggested(ledger, server)
    visits = policy["tables"]["clinic.visits"]
    assert visits["unit"]["column"] == "patient"
    assert "Also companion leads to a unit (clinic.patients)" in visits["comment"]


def test_policy_suggest_takes_people_and_not_what_they_refer_to(ledger, server, catalogue):
    catalogue("""CREATE TABLE clinic.regions (region text PRIMARY KEY, name text);
                 CREATE TABLE clinic.customers (id bigint PRIMARY KEY, region text REFERENCES clinic.regions);
                 CREATE TABLE clinic.products (id bigint PRIMARY KEY, label text);
                 CREATE TABLE clinic.orders (id bigint PRIMARY KEY, product bigint REFERENCES clinic.products,
                                             customer bigint REFERENCES clinic.customers)""")
    policy, _ = suggested(ledger, server)
    assert set(policy["tables"]) == {"clinic.customers", "clinic.orders"}
    assert policy["tables"]["clinic.orders"]["unit"]["column"] == "customer"


def test_policy_suggest_asks_where_the_unit_is_unclear(ledger, server, catalogue):
    catalogue("CREATE TABLE clinic.a (id int PRIMARY KEY); CREATE TABLE clinic.b (id int PRIMARY KEY);"
              "CREATE TABLE clinic.f (id float8 PRIMARY KEY)")
    source = server.conninfo("postgres")
    done = ledger.ctl("policy", "suggest", source, server=False, check=False)
    assert done.returncode == 1 and done.stdout == ""
    assert "--unit clinic.a:" in done.stderr and "--unit clinic.b:" in done.stderr
    assert "clinic.f" not in done.stderr
    policy, _ = suggested(ledger, server, "--unit", "clinic.b")
    assert list(policy["tables"]) == ["clinic.b"]
    for wrong in ("clinic.c", "clinic.f", ""):
        assert ledger.ctl("policy", "suggest", source, "--unit", wrong, server=False,
                          check=False).returncode == 1
    assert ledger.ctl("policy", "suggest", "host=/nonexistent dbname=x", server=False,
                      check=False).returncode == 3


def test_comments_are_texts_and_other_keys_are_still_unknown(ledger, tmp_path):
    for place, good in [({"comment": "x"}, True), ({"comment": 1}, False), ({"comments": "x"}, False)]:
        policy = json.loads(json.dumps(GOOD))
        policy["tables"]["public.people"]["columns"]["age"].update(place)
        path = tmp_path / "policy.json"
        path.write_text(json.dumps(policy))
        done = ledger.ctl("policy", "check", str(path), server=False, check=False)
        assert (done.returncode == 0) == good, done.stderr


def test_the_configuration_file_leads_to_the_ledger(ledger, tmp_path):
    path = config(tmp_path, {"census": GOOD},
                  ledger_server=ledger.server.conninfo(ledger.database))
    assert ledger.ctl("status", "-c", path, server=False).returncode == 0
    ledger.ctl("analyst", "add", "ana", "-c", path, "--password-stdin", stdin="x\n", server=False)
    grant = ["--epsilon", "1", "--delta", "1e-6", "-c", path]
    assert ledger.ctl("budget", "grant", "ana", "census", *grant, server=False).returncode == 0
    done = ledger.ctl("budget", "grant", "ana", "cencus", *grant, server=False, check=False)
    assert done.returncode == 1 and "no dataset cencus" in done.stderr


def test_without_a_ledger_server_the_managed_one_below_the_state_directory_is_asked(ledger, tmp_path):
    path = config(tmp_path, {"census": GOOD})
    done = ledger.ctl("status", "-c", path, server=False, check=False)
    assert done.returncode == 3
    assert str(tmp_path / "state" / "ledger" / "socket") in done.stderr


def test_where_nothing_is_found_the_message_says_what_would_help(ledger, tmp_path):
    done = ledger.ctl("status", check=False, server=False)
    assert done.returncode == 1 and "/etc/pgveil/pgveil.json" in done.stderr and "--config" in done.stderr
    done = ledger.ctl("status", "-c", str(config(tmp_path, {"census": GOOD})), check=False, server=False)
    assert done.returncode == 3 and "runs as long as pgveil does" in done.stderr
