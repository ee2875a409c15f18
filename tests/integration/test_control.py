"""The control socket of a running pgveil: the administration console, syncs, explaining sessions."""
import json
import os
import re
import stat
import threading

import psycopg2
import pytest

from harness import processes
from harness import raw_protocol as raw
from harness.pgveil import AMPLE, Pgveil
from harness.protected import Protected

COUNT = "SELECT count(*) FROM people"


def row_of(rows, **wanted):
    (row,) = [row for row in rows if all(row[name] == value for name, value in wanted.items())]
    return row


def twin_databases(pgveil):
    text = processes.checked(
        ["psql", "-X", "-A", "-t", "-h", pgveil.state / "twins/socket", "-p", "5432", "-U", "pgveil_admin",
         "-d", "postgres", "-c", "SELECT datname FROM pg_database WHERE NOT datistemplate"])
    return set(text.split()) - {"postgres"}


def policy_of(pgveil, dataset="census"):
    return json.loads((pgveil.folder / f"{dataset}.json").read_text())


def write_policy(pgveil, policy, dataset="census"):
    (pgveil.folder / f"{dataset}.json").write_text(json.dumps(policy))


@pytest.fixture
def policy(own_pgveil):
    """The policy of census, put back and in use again afterwards."""
    before = policy_of(own_pgveil)
    yield json.loads(json.dumps(before))
    write_policy(own_pgveil, before)
    own_pgveil.console("SYNC census")


# --- the socket --------------------------------------------------------------------------------


def test_the_socket_is_closed_to_others_by_its_mode_and_its_folders(own_pgveil):
    folder, path = os.stat(own_pgveil.control), os.stat(own_pgveil.control / ".s.PGSQL.5432")
    assert stat.S_IMODE(folder.st_mode) == 0o700
    assert stat.S_ISSOCK(path.st_mode) and stat.S_IMODE(path.st_mode) == 0o600


def test_the_console_asks_for_no_password_and_says_what_it_is(own_pgveil):
    connection = own_pgveil.control_connection("pgveil")
    assert "console" in connection.get_parameter_status("server_version")
    connection.close()
    assert own_pgveil.console("SHOW VERSION") == [{"version": "pgveil 0.1.0"}]


def test_no_dataset_can_have_the_consoles_name(protected):
    pgveil = Pgveil(protected, datasets=("census",))
    try:
        configuration = json.loads(pgveil.file.read_text())
        configuration["datasets"]["pgveil"] = configuration["datasets"]["census"]
        pgveil.file.write_text(json.dumps(configuration))
        done = processes.run([pgveil.program, "-c", pgveil.file, "--check"], timeout=30)
        assert done.returncode == 1 and "pgveil" in done.stderr
    finally:
        pgveil.stop()


def test_the_console_ends_with_pgveil_and_holds_nothing_up(protected):
    pgveil = Pgveil(protected, datasets=("census",)).start()
    try:
        console = raw.explaining(pgveil, "admin", "pgveil")
        assert pgveil.end() == 0
        kind, body = console.message()
        assert kind == "E" and raw.fields(body)["C"] == "57P01" and console.closed()
        assert not pgveil.alive()
    finally:
        pgveil.stop()


def test_a_sync_that_waits_does_not_keep_pgveil_from_ending(own_protected):
    """The copy of a public table waits for a lock that nobody gives back."""
    pgveil = Pgveil(own_protected, datasets=("census",)).start()
    blocker = own_protected.connect("census")
    blocker.autocommit = False
    try:
        blocker.cursor().execute("LOCK TABLE regions IN ACCESS EXCLUSIVE MODE")
        console = raw.explaining(pgveil, "admin", "pgveil")
        console.send(raw.query("SYNC census"))
        processes.wait_until(
            lambda: own_protected.query("postgres", "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = "
                                                    "'Lock' AND datname = 'census'"), 20, "the lock")
        assert pgveil.end(20) == 0, pgveil.log_text()[-3000:]
    finally:
        blocker.rollback()
        blocker.close()
        pgveil.stop()


# --- statements of the console -----------------------------------------------------------------


def test_help_lists_what_there_is_and_nothing_else_is_understood(own_pgveil):
    commands = [row["command"] for row in own_pgveil.console("SHOW HELP")]
    assert {"SHOW STATUS", "SYNC NAME", "TEST NAME", "KILL PID"} <= set(commands)
    for command in commands:
        if command.startswith("SHOW"):
            own_pgveil.console(command)
            own_pgveil.console(f"  {command.lower()} ; ")
    for nonsense in ("SHOW", "SHOW STATUS DATASETS", "SHOW STATUS; SHOW VERSION", "SYNC", "SELECT 1",
                     "SYNC a b", "SHOW 'STATUS", "x" * 3000, "KILL", "BEGIN"):
        with pytest.raises(psycopg2.Error) as error:
            own_pgveil.console(nonsense)
        assert error.value.pgcode == "42601", nonsense
    for unknown in ("SYNC nope", "TEST 'no''pe'", 'PAUSE "CENSUS"', "RESUME nope"):
        with pytest.raises(psycopg2.Error, match="there is no dataset") as error:
            own_pgveil.console(unknown)
        assert error.value.pgcode == "3D000"
    for pid in ("0", "-1", "99999", "4294967297", "1x", "''"):
        with pytest.raises(psycopg2.Error, match="there is no session"):
            own_pgveil.console(f"KILL {pid}")


def test_the_extended_protocol_is_refused_and_the_console_goes_on(own_pgveil):
    with raw.explaining(own_pgveil, "admin", "pgveil") as console:
        error = console.error(raw.parse("SHOW STATUS"), raw.bind(), raw.execute(), raw.SYNC)
        assert error["C"] == "0A000"
        assert console.kinds(raw.query("SHOW VERSION")) == "TDCZ"
        assert console.kinds(raw.query(" ; ")) == "IZ"


@pytest.mark.parametrize("message", [raw.framed(b"Q", b"x" * 100000), raw.framed(b"F", b"\0" * 20),
                                     b"\xff\0\0\0\x04", raw.framed(b"p", b"x\0"), raw.framed(b"d", b"x")])
def test_what_is_no_command_ends_the_console_and_nothing_else(own_pgveil, message):
    with raw.explaining(own_pgveil, "admin", "pgveil") as console:
        console.send(message)
        kind, body = console.message()
        assert kind == "E" and raw.fields(body)["S"] == "FATAL"
    assert own_pgveil.console("SHOW VERSION")


def test_there_is_room_for_only_so_many_consoles(own_pgveil):
    held = [raw.explaining(own_pgveil, "admin", "pgveil") for _ in range(16)]
    with pytest.raises(psycopg2.OperationalError, match="too many clients"):
        own_pgveil.console("SHOW VERSION")
    for console in held:
        console.send(raw.TERMINATE)
        assert console.closed()
    assert own_pgveil.console("SHOW VERSION")


def test_status_datasets_sessions_and_analysts_show_what_is_so(own_pgveil, own_analyst):
    connection = own_analyst.connect()
    status = own_pgveil.console("SHOW STATUS")[0]
    assert status["pid"] == own_pgveil.process.pid and status["port"] == own_pgveil.port
    assert status["sessions"] >= 1 and status["datasets"] == 3 and status["ledger"] == "connected"
    dataset = row_of(own_pgveil.console("SHOW DATASETS"), dataset="census")
    assert dataset["state"] == "ready" and dataset["tables"] == 2 and dataset["last_error"] == ""
    session = row_of(own_pgveil.console("SHOW SESSIONS"), analyst=own_analyst.name)
    assert (session["dataset"], session["kind"], session["state"], session["twin"]) == \
        ("census", "analyst", "idle", "newest")
    analyst = row_of(own_pgveil.console("SHOW ANALYSTS"), analyst=own_analyst.name)
    assert analyst["sessions"] == 1 and analyst["enabled"] == "yes" and "census" in analyst["datasets"]
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        session = row_of(own_pgveil.console("SHOW SESSIONS"), analyst=own_analyst.name)
        assert session["state"] == "idle in transaction"
    connection.close()


def test_kill_ends_that_session(own_pgveil, own_analyst):
    first, second = raw.log_in(own_analyst), raw.log_in(own_analyst)
    pids = sorted(row["pid"] for row in own_pgveil.console("SHOW SESSIONS")
                  if row["analyst"] == own_analyst.name)
    assert pids == [raw.backend_key(first)[0], raw.backend_key(second)[0]]
    own_pgveil.console(f"KILL {pids[0]}")
    kind, body = first.message()
    assert kind == "E" and raw.fields(body)["C"] == "57P01" and first.closed()
    assert second.kinds(raw.query("SELECT 1")) == "TDCZ"
    second.socket.close()


def test_a_paused_dataset_is_not_measured_and_not_charged(own_pgveil, own_analyst):
    own_pgveil.console("PAUSE census")
    try:
        assert row_of(own_pgveil.console("SHOW DATASETS"), dataset="census")["state"] == "paused"
        with pytest.raises(psycopg2.Error, match="paused") as error:
            own_analyst.rows("census", COUNT)
        assert error.value.pgcode == "57P03"
        assert own_analyst.rows("census", "SELECT count(*) FROM regions") == [(4,)]
        assert own_analyst.rows("census", "EXPLAIN " + COUNT)
        assert own_analyst.rows("census", "SELECT spent FROM dp.budget WHERE dataset = 'census'") == [(0,)]
        assert own_analyst.rows("clinic", "SELECT count(*) FROM patients")
    finally:
        own_pgveil.console("RESUME census")
    assert own_analyst.rows("census", COUNT)


# --- sync --------------------------------------------------------------------------------------


def test_a_sync_serves_new_sessions_with_the_new_policy_and_old_ones_with_the_old(
        own_pgveil, own_analyst, policy):
    old = own_analyst.connect()
    with old.cursor() as cursor:
        cursor.execute("SELECT avg(wage) FROM people")
        del policy["tables"]["public.people"]["columns"]["wage"]
        write_policy(own_pgveil, policy)
        own_pgveil.console("SYNC census")
        assert row_of(own_pgveil.console("SHOW SESSIONS"), analyst=own_analyst.name)["twin"] == "old"
        cursor.execute("SELECT avg(wage) FROM people")
        assert cursor.fetchone()[0] > 0
        cursor.execute("SELECT count(*) FROM people WHERE wage > 0")
        new = own_analyst.connect()
        with new.cursor() as other:
            with pytest.raises(psycopg2.errors.UndefinedColumn):
                other.execute("SELECT avg(wage) FROM people")
            other.execute(COUNT)
            other.execute("SELECT current_database()")
            assert other.fetchone() == ("census",)
        new.close()
    assert len([name for name in twin_databases(own_pgveil) if "retired" in name]) == 1
    old.close()
    processes.wait_until(lambda: twin_databases(own_pgveil) == {"census", "panel", "clinic"}, 20,
                         "the end of the old twin")


def test_a_sync_takes_a_changed_schema_over(own_pgveil, own_protected, own_analyst, policy):
    own_protected.query("census", "CREATE TABLE towns (name text PRIMARY KEY);"
                                  "INSERT INTO towns VALUES ('Ulm'); GRANT SELECT ON towns TO pgveil_reader")
    try:
        policy["tables"]["public.towns"] = {"public": True}
        write_policy(own_pgveil, policy)
        own_pgveil.console("SYNC census")
        assert own_analyst.rows("census", "SELECT name FROM towns") == [("Ulm",)]
        before = row_of(own_pgveil.console("SHOW DATASETS"), dataset="census")
        assert before["tables"] == 3
        own_protected.query("census", "DROP TABLE towns")
        with pytest.raises(psycopg2.Error, match="no table public.towns"):
            own_pgveil.console("SYNC census")
        after = row_of(own_pgveil.console("SHOW DATASETS"), dataset="census")
        assert "towns" in after["last_error"] and after["synced_at"] == before["synced_at"]
        assert own_analyst.rows("census", "SELECT name FROM towns") == [("Ulm",)]
    finally:
        own_protected.query("census", "DROP TABLE IF EXISTS towns")


def test_a_policy_that_cannot_be_read_changes_nothing(own_pgveil, own_analyst, policy):
    (own_pgveil.folder / "census.json").write_text("{")
    with pytest.raises(psycopg2.Error, match="census.json") as error:
        own_pgveil.console("SYNC census")
    assert error.value.pgcode == "55000"
    assert own_analyst.rows("census", COUNT)
    test = own_pgveil.console("TEST census")
    assert row_of(test, check="policy file")["result"] == "failed"
    assert not any(row["check"] == "policy fits" for row in test)


def test_clients_come_and_go_while_twins_change_places(own_pgveil, policy):
    """No login fails or meets a catalogue and a twin that do not belong together."""
    experience = policy["tables"]["public.people"]["columns"].pop("experience")
    analyst = own_pgveil.analyst(grants={"census": AMPLE})
    stop, failures, logins = threading.Event(), [], []

    def come_and_go():
        while not stop.is_set():
            try:
                assert analyst.rows("census", "EXPLAIN " + COUNT)[0][0].startswith("Release")
                logins.append(1)
            except Exception as error:  # every failure is shown below
                failures.append(repr(error))

    threads = [threading.Thread(target=come_and_go) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for turn in range(8):
            before = len(logins)
            policy["tables"]["public.people"]["columns"].pop("experience", None)
            if turn % 2:
                policy["tables"]["public.people"]["columns"]["experience"] = experience
            write_policy(own_pgveil, policy)
            own_pgveil.console("SYNC census")
            processes.wait_until(lambda: len(logins) > before or failures, 20, "a login")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []
    processes.wait_until(lambda: twin_databases(own_pgveil) == {"census", "panel", "clinic"}, 20,
                         "the end of the old twins")


def test_one_sync_of_a_dataset_at_a_time(own_pgveil, own_protected):
    """The first waits for a lock of the DBA's own; the second is told so."""
    blocker = own_protected.connect("census")
    blocker.autocommit = False
    blocker.cursor().execute("LOCK TABLE regions IN ACCESS EXCLUSIVE MODE")
    console = raw.explaining(own_pgveil, "admin", "pgveil")
    console.send(raw.query("SYNC census"))
    state = processes.wait_until(
        lambda: row_of(own_pgveil.console("SHOW DATASETS"), dataset="census")["state"] == "synchronising",
        20, "the first sync")
    assert state
    with pytest.raises(psycopg2.Error, match="under way") as error:
        own_pgveil.console("SYNC census")
    assert error.value.pgcode == "55006"
    blocker.rollback()
    blocker.close()
    assert console.until("Z")[0] == ("C", b"SYNC\0")


def test_a_client_that_leaves_during_its_sync_harms_nobody(own_pgveil, own_protected):
    blocker = own_protected.connect("census")
    blocker.autocommit = False
    blocker.cursor().execute("LOCK TABLE regions IN ACCESS EXCLUSIVE MODE")
    console = raw.explaining(own_pgveil, "admin", "pgveil")
    console.send(raw.query("SYNC census"))
    processes.wait_until(
        lambda: row_of(own_pgveil.console("SHOW DATASETS"), dataset="census")["state"] == "synchronising",
        20, "the sync")
    console.socket.close()
    blocker.rollback()
    blocker.close()
    processes.wait_until(
        lambda: row_of(own_pgveil.console("SHOW DATASETS"), dataset="census")["state"] == "ready", 20,
        "the end of the sync")


def test_a_sync_opens_a_dataset_whose_server_was_down():
    protected = Protected()
    pgveil = None
    try:
        protected.load()
        protected.kill()
        pgveil = Pgveil(protected, datasets=("census",)).start()
        analyst = pgveil.analyst(grants={"census": AMPLE})
        test = pgveil.console("TEST census")
        assert row_of(test, check="server")["result"] == "failed"
        assert row_of(test, check="server")["hint"]
        protected.start()

        def synced():
            try:
                pgveil.console("SYNC census")
                return True
            except psycopg2.Error as error:
                assert "under way" in str(error)  # pgveil's own attempt
                return False

        processes.wait_until(synced, 30, "the sync")
        assert analyst.rows("census", "SELECT count(*) FROM regions") == [(4,)]
        assert pgveil.end() == 0
    finally:
        if pgveil:
            pgveil.stop()
        protected.stop()


# --- test --------------------------------------------------------------------------------------


def test_a_sound_dataset_passes_every_check(own_pgveil):
    rows = own_pgveil.console("TEST clinic")
    assert len(rows) >= 9 and {row["result"] for row in rows} == {"ok"}, rows
    assert all(row["detail"] and not row["hint"] for row in rows)


@pytest.mark.parametrize("database, check, wrong, again, named", [
    ("census", "reads nothing else", "CREATE TABLE secrets (a int); GRANT SELECT ON secrets TO PUBLIC",
     "DROP TABLE secrets", "public.secrets"),
    ("census", "reads nothing else", "CREATE TABLE \"S e\" (a int); GRANT SELECT (a) ON \"S e\" TO pgveil_reader",
     "DROP TABLE \"S e\"", 'public."S e"'),
    ("census", "writes nothing", "GRANT DELETE ON people TO pgveil_reader",
     "REVOKE DELETE ON people FROM pgveil_reader", "public.people"),
    ("census", "writes nothing", "GRANT UPDATE (wage) ON people TO pgveil_reader",
     "REVOKE UPDATE (wage) ON people FROM pgveil_reader", "public.people"),
    ("census", "reads the policy's tables", "REVOKE SELECT ON regions FROM pgveil_reader",
     "GRANT SELECT ON regions TO pgveil_reader", "public.regions"),
    ("census", "role", "ALTER ROLE pgveil_reader CREATEDB", "ALTER ROLE pgveil_reader NOCREATEDB", "CREATEDB"),
    ("census", "policy fits", "ALTER TABLE people RENAME wage TO pay", "ALTER TABLE people RENAME pay TO wage",
     "wage")])
def test_each_check_fails_where_it_should_and_says_why(own_pgveil, own_protected, database, check, wrong,
                                                       again, named):
    own_protected.query(database, wrong)
    try:
        rows = own_pgveil.console(f"TEST {database}")
        row = row_of(rows, check=check)
        assert row["result"] == "failed" and named in row["detail"] and row["hint"], rows
    finally:
        own_protected.query(database, again)
    assert row_of(own_pgveil.console(f"TEST {database}"), check=check)["result"] == "ok"


# --- reload and configuration --------------------------------------------------------------------


def test_reload_takes_over_what_can_change_names_the_rest_and_shows_no_password(protected):
    pgveil = Pgveil(protected, datasets=("census",))
    configuration = json.loads(pgveil.file.read_text())
    configuration["datasets"]["census"]["server"] += " password=hunter1"
    pgveil.file.write_text(json.dumps(configuration))
    pgveil.start()
    try:
        analyst = pgveil.analyst(grants={"census": AMPLE})
        assert pgveil.console("RELOAD") == []
        configuration = json.loads(pgveil.file.read_text())
        configuration["datasets"]["census"]["epsilon_max"] = "2"
        configuration["log_level"] = "info"
        configuration["listen"]["address"] = "127.0.0.2"
        configuration["datasets"]["census"]["server"] += " password=hunter2 application_name=x"
        configuration["datasets"]["other"] = configuration["datasets"]["census"]
        pgveil.file.write_text(json.dumps(configuration))
        changes = {row["key"]: row for row in pgveil.console("RELOAD")}
        assert {key for key, row in changes.items() if row["state"] == "in use"} == \
            {"datasets.census.epsilon_max", "log_level"}
        assert {key for key, row in changes.items() if row["state"] == "needs a restart"} == \
            {"listen.address", "datasets.census.server", "datasets.other"}
        assert changes["datasets.census.epsilon_max"]["before"] == "20"
        assert "hunter" not in str(changes)
        with pytest.raises(psycopg2.Error) as error:
            analyst.rows("census", COUNT, settings={"dp.epsilon": "3"})
        assert error.value.pgcode == "22023" and "2" in error.value.diag.message_hint
        analyst.rows("census", COUNT, settings={"dp.epsilon": "2"})
        shown = {row["key"]: row for row in pgveil.console("SHOW CONFIG")}
        assert (shown["datasets.census.epsilon_max"]["value"],
                shown["datasets.census.epsilon_max"]["reloads"]) == ("2", "yes")
        server = shown["datasets.census.server"]["value"]
        assert "hunter" not in str(shown) and "dbname=census" in server and "user=pgveil_reader" in server
        assert shown["listen.address"]["value"] == "127.0.0.1" and shown["listen.address"]["reloads"] == "no"
        pgveil.file.write_text("{}")
        with pytest.raises(psycopg2.Error, match="state_directory"):
            pgveil.console("RELOAD")
        assert {row["key"]: row for row in pgveil.console("SHOW CONFIG")} == shown
        assert pgveil.end() == 0
    finally:
        pgveil.stop()


def test_reload_synchronises_what_has_a_new_policy(own_pgveil, own_analyst, policy):
    del policy["tables"]["public.people"]["columns"]["experience"]
    write_policy(own_pgveil, policy)
    (row,) = own_pgveil.console("RELOAD")
    assert row["key"].endswith("census.json") and row["state"] == "a sync has begun"

    def synced():
        dataset = row_of(own_pgveil.console("SHOW DATASETS"), dataset="census")
        return dataset["state"] == "ready" and dataset["policy_version"] == row["after"][:12]

    processes.wait_until(synced, 20, "the sync")
    with pytest.raises(psycopg2.errors.UndefinedColumn):
        own_analyst.rows("census", "SELECT avg(experience) FROM people")


# --- explaining sessions -------------------------------------------------------------------------


def test_a_session_in_an_analysts_place_explains_as_the_analyst_would_see_it(own_pgveil, own_analyst):
    connection = own_pgveil.control_connection("census", own_analyst.name)
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN " + COUNT)
        plan = cursor.fetchall()
        cursor.execute("SELECT count(*) FROM regions")
        assert cursor.fetchone() == (4,)
        cursor.execute("SELECT current_user, current_database()")
        assert cursor.fetchone() == (own_analyst.name, "census")
        kinds = [row["kind"] for row in own_pgveil.console("SHOW SESSIONS")
                 if row["analyst"] == own_analyst.name]
        assert kinds == ["explains only"]
    connection.close()
    assert plan == own_analyst.rows("census", "EXPLAIN " + COUNT)
    assert re.search("Budget: 100 %", str(plan))


def test_it_does_not_count_as_one_of_the_analysts_connections(own_pgveil, own_analyst):
    before = own_pgveil.file.read_text()
    configuration = json.loads(before)
    configuration["limits"] = {"connections_per_analyst_max": 1}
    own_pgveil.file.write_text(json.dumps(configuration))
    own_pgveil.console("RELOAD")
    held = [own_pgveil.control_connection("census", own_analyst.name) for _ in range(3)]
    try:
        connection = own_analyst.connect()
        with pytest.raises(psycopg2.OperationalError, match="too many connections"):
            own_analyst.connect()
        connection.close()
    finally:
        for one in held:
            one.close()
        own_pgveil.file.write_text(before)
        own_pgveil.console("RELOAD")


@pytest.mark.parametrize("analyst, dataset, text", [
    ("nobody", "census", "no budget granted"), ("pgveil_admin", "census", "no budget granted"),
    ("postgres", "postgres", "does not exist"), ("ana", "template1", "does not exist"),
    ("ana", "pgveil_retired_1", "does not exist")])
def test_it_opens_only_what_an_analyst_could(own_pgveil, analyst, dataset, text):
    with pytest.raises(psycopg2.OperationalError, match=text):
        own_pgveil.control_connection(dataset, analyst)


def test_a_login_that_waits_while_a_sync_takes_the_name_goes_to_the_new_twin(
        own_pgveil, own_analyst, policy):
    """The first login holds the administrator's connection up; the second is asked for after the sync."""
    lock = psycopg2.connect(host=str(own_pgveil.state / "twins/socket"), port=5432, dbname="postgres",
                            user="pgveil_admin")
    lock.cursor().execute("SELECT pg_advisory_lock(7091806402)")
    seen = []
    logins = [threading.Thread(target=lambda: seen.append(own_analyst.rows("census", "SELECT 1"))) for _ in range(3)]
    for login in logins:
        login.start()
    with lock.cursor() as cursor:
        def waiting():
            cursor.execute("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
            return cursor.fetchall()
        processes.wait_until(waiting, 20, "a login that waits")
    before = own_pgveil.log_text().count("has gone")
    policy["tables"]["public.people"]["columns"].pop("smsa")
    write_policy(own_pgveil, policy)
    own_pgveil.console("SYNC census")
    lock.close()
    for login in logins:
        login.join(30)
    assert seen == [[(1,)]] * 3
    assert own_pgveil.log_text().count("has gone") == before
