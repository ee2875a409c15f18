"""Starting and stopping: what is wrong is said once, clearly, and nothing is left running."""
import os
import signal
import subprocess

import pytest
from harness import processes
from harness.pgveil import AMPLE, Pgveil


@pytest.fixture
def made(protected):
    """Makes instances that are not started, and clears them away."""
    instances = []

    def make(**options):
        instances.append(Pgveil(protected, datasets=("census",), **options))
        return instances[-1]

    yield make
    for instance in instances:
        instance.stop()


def refused_start(pgveil):
    """What a pgveil says that cannot start; nothing of it keeps running."""
    result = processes.run([pgveil.program, "-c", pgveil.file], timeout=60)
    assert result.returncode not in (0, -signal.SIGSEGV, -signal.SIGABRT), result.stderr
    assert processes.pids_below(pgveil.folder) == []
    return result.stderr


def test_a_wrong_configuration_is_named_with_file_key_and_what_is_accepted(made):
    pgveil = made(settings={"no_such_key": 1})
    said = refused_start(pgveil)
    assert "no_such_key" in said and "accepted" in said and str(pgveil.file) in said


@pytest.mark.parametrize("key", ["ledger_server", "twin_server", "datasets.census.server"])
def test_a_connection_string_that_cannot_be_read_is_named_and_not_repeated(made, key):
    wrong = "host=/nowhere password=two WORDS dbname=x"
    pgveil = made(**({"dataset_settings": {"server": wrong}} if "." in key else {"settings": {key: wrong}}))
    for options in ([], ["--check"]):
        done = processes.run([pgveil.program, "-c", pgveil.file, *options], timeout=60)
        assert done.returncode == 1 and key + ": is no connection string" in done.stderr
        assert "WORDS" not in done.stdout + done.stderr


@pytest.mark.parametrize("policy, word", [
    ({"id": {}, "no_such_column": {}}, "no_such_column"),
    ({"id": {}, "region": {"bounds": [0, 1]}}, "region"),
    ({"id": {}, "education": {"domain": ["high"]}}, "education"),
    ({"wage": {}}, "unit")])
def test_a_policy_that_does_not_fit_the_database_is_named(made, policy, word):
    tables = {"public.people": {"unit": "id", "max_rows": 1, "columns": policy}}
    assert word in refused_start(made(policies={"census": {"tables": tables}}))


def test_a_port_in_use_is_named(made, pgveil):
    said = refused_start(made(settings={"listen": {"address": "127.0.0.1", "port": pgveil.port}}))
    assert str(pgveil.port) in said and "in use" in said


def test_two_on_one_state_directory_are_one_too_many(made, pgveil):
    second = made(settings={"state_directory": str(pgveil.state)})
    said = refused_start(second)
    assert "state" in said
    assert pgveil.alive()


def test_missing_server_programs_are_named(made):
    said = refused_start(made(settings={"postgres_bin": "/nonexistent"}))
    assert "/nonexistent" in said


def test_root_does_not_run_the_servers(made):
    if os.getuid() != 0:
        pytest.skip("only root can try")
    pgveil = made()
    result = subprocess.run([pgveil.program, "-c", pgveil.file], capture_output=True, text=True,
                            timeout=60, check=False)
    assert result.returncode != 0 and "root" in result.stderr or "user id" in result.stderr


def test_the_state_directory_is_for_pgveil_alone(pgveil):
    for folder in (pgveil.state, pgveil.state / "ledger/socket", pgveil.state / "twins/socket"):
        assert folder.stat().st_mode & 0o077 == 0, folder


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_pgveil_and_its_servers_also_with_clients_connected(made, sign):
    pgveil = made().start()
    analyst = pgveil.analyst(grants={"census": AMPLE})
    connection = analyst.connect("census")
    os.kill(pgveil.process.pid, sign)
    assert pgveil.process.wait(60) == 0, pgveil.log_text()[-3000:]
    assert processes.pids_below(pgveil.folder) == []
    connection.close()


def test_a_restart_knows_analysts_budgets_and_charges(made):
    pgveil = made().start()
    analyst = pgveil.analyst(grants={"census": AMPLE})
    analyst.rows("census", "SELECT count(*) FROM people")
    before = analyst.rows("census", "SELECT * FROM dp.budget")
    assert pgveil.end() == 0
    pgveil.start()
    assert analyst.rows("census", "SELECT * FROM dp.budget") == before
    assert len(analyst.rows("census", "SELECT * FROM dp.history")) == 1


def test_no_log_holds_a_literal_or_an_exact_value(made):
    pgveil = made().start()
    analyst = pgveil.analyst(grants={"census": AMPLE})
    for sql in ("SELECT count(*) FROM people WHERE education > 11223344",
                "SELECT count(*) FROM people WHERE region = 'literal55667788'",
                "SELECT 'literal99887766'::integer", "SELECT literal11112222"):
        analyst.psql("census", sql + ";\n")
    analyst.rows("census", "SELECT count(*) FROM people")
    assert pgveil.end() == 0
    logs = pgveil.log_text()
    for file in pgveil.state.rglob("*log*"):
        if file.is_file():
            logs += file.read_text(errors="replace")
    for piece in ("11223344", "literal", "28155", analyst.password):
        assert piece not in logs, piece
