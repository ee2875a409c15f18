"""pgveil runs on no ledger that may lose in a crash what it has confirmed."""
import pytest

from harness.cluster import Cluster
from harness.pgveil import Pgveil
from harness.usual import usual


@pytest.fixture(scope="module")
def external():
    """A durable server: later settings win over the harness's fsync = off."""
    server = Cluster(options=["fsync=on", "wal_sync_method=fdatasync"])
    try:
        server.query("postgres", "CREATE DATABASE ledger")
        yield server
    finally:
        server.stop()


def on(server, protected, **settings):
    return Pgveil(protected, datasets=("census",), settings={
        "ledger_server": server.conninfo("ledger"), "ledger_durability": "required", **settings})


def expect_refusal(pgveil, setting):
    with pytest.raises(RuntimeError, match=f"the ledger server runs with {setting}"):
        pgveil.start()
    assert "ledger_durability" in pgveil.log_text()


@pytest.mark.parametrize("setting", usual(["full_page_writes", "synchronous_commit"], "synchronous_commit".__eq__))
def test_a_ledger_server_that_may_lose_charges_is_refused_at_start_and_while_pgveil_runs(
        external, protected, setting):
    pgveil = on(external, protected)
    try:
        pgveil.start()
        external.query("postgres", f"ALTER SYSTEM SET {setting} = off")
        external.query("postgres", "SELECT pg_reload_conf()")
        assert pgveil.process.wait(60) == 1
        assert f"{setting} = off" in pgveil.log_text()
        expect_refusal(pgveil, f"{setting} = off")
        assert pgveil.ctl("status", "--json").count(f"no: {setting} = off") == 1
    finally:
        external.query("postgres", f"ALTER SYSTEM RESET {setting}")
        external.query("postgres", "SELECT pg_reload_conf()")
        pgveil.stop()
    pgveil = on(external, protected)
    try:
        pgveil.start()
        assert '"yes"' in pgveil.ctl("status", "--json")
        assert pgveil.end() == 0
    finally:
        pgveil.stop()


@pytest.mark.parametrize("options, setting", [((), "fsync = off"),
                                              (("fsync=on", "data_sync_retry=on"), "data_sync_retry = on")])
def test_what_a_server_is_started_with_is_refused_unless_the_configuration_says_that_this_is_a_test(
        protected, options, setting):
    server = Cluster(options)
    try:
        server.query("postgres", "CREATE DATABASE ledger")
        pgveil = on(server, protected)
        try:
            expect_refusal(pgveil, setting)
        finally:
            pgveil.stop()
        pgveil = on(server, protected, ledger_durability="unsafe")
        try:
            pgveil.start()
            assert "it may lose charges" in pgveil.log_text()
            assert pgveil.end() == 0
        finally:
            pgveil.stop()
    finally:
        server.stop()


def test_a_managed_ledger_that_was_made_unsafe_is_left_and_started_anew(protected):
    pgveil = Pgveil(protected, datasets=("census",))
    try:
        pgveil.start()
        pgveil.ledger("ALTER SYSTEM SET fsync = off")
        pgveil.ledger("SELECT pg_reload_conf()")
        assert pgveil.process.wait(60) == 1
        assert "the ledger server runs with fsync = off" in pgveil.log_text()
        pgveil.start()  # with the settings that pgveil gives it
        assert pgveil.ledger("SHOW fsync") == [["on"]]
        assert pgveil.end() == 0
    finally:
        pgveil.stop()
