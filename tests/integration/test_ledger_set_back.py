"""A ledger restored from an older backup gives budget back: pgveil notices and does not start."""
import copy
import shutil

import psycopg2
import pytest

from harness import processes
from harness.pgveil import AMPLE, Pgveil


def noted(pgveil):
    note = pgveil.state / "ledger-head"
    return int(note.read_text().split(":")[0]) if note.exists() else 0


@pytest.fixture
def fresh(protected):
    """A pgveil of the test's own, and an analyst who has spent something."""
    pgveil = Pgveil(protected, datasets=("census",))
    try:
        pgveil.start()
        analyst = pgveil.analyst(grants={"census": AMPLE})
        analyst.rows("census", "SELECT count(*) FROM people")
        yield pgveil, analyst
    finally:
        pgveil.stop()


def spend_more(pgveil, analyst):
    """Something that a backup made before does not know, noted by pgveil."""
    analyst.rows("census", "SELECT count(*) FROM people WHERE wage > 30")
    newest = int(pgveil.ledger("SELECT max(seq) FROM pgveil.journal")[0][0])
    processes.wait_until(lambda: noted(pgveil) >= newest, 30, "the note of the charge")


def expect_refused_until_accepted(pgveil, analyst):
    with pytest.raises(RuntimeError, match="no longer holds entry"):
        pgveil.start()
    pgveil.start_ledger()
    found = pgveil.ctl_result("ledger", "verify")
    assert found.returncode == 1 and "--head" not in found.stderr
    assert str(noted(pgveil)) in found.stdout, found.stdout
    unasked = pgveil.ctl_result("ledger", "accept")
    assert unasked.returncode == 2 and "--yes" in unasked.stderr
    dry = pgveil.ctl_result("ledger", "accept", "--dry-run")
    assert dry.returncode == 0 and "nothing was changed" in dry.stderr
    lost = noted(pgveil)
    pgveil.ctl("ledger", "accept", "--yes")
    assert "nothing to accept" in pgveil.ctl_result("ledger", "accept", "--yes").stderr
    pgveil.ctl("ledger", "verify")
    assert pgveil.end() == 0
    pgveil.start()
    assert analyst.rows("census", "SELECT count(*) FROM dp.history") == [(1,)]
    assert [row[0] for row in pgveil.ledger("SELECT detail FROM pgveil.journal "
                                            "WHERE kind = 'accept'")][0].startswith(
        f"this journal does not hold entry {lost}:")
    pgveil.ctl("ledger", "verify")
    assert pgveil.end() == 0


def test_a_copied_folder_put_back_is_refused_until_the_dba_accepts_it(fresh):
    pgveil, analyst = fresh
    ledger = pgveil.state / "ledger"
    assert pgveil.end() == 0
    processes.checked(["cp", "-a", ledger / "data", ledger / "backup"])
    pgveil.start()
    spend_more(pgveil, analyst)
    assert pgveil.end() == 0
    shutil.rmtree(ledger / "data")
    processes.checked(["cp", "-a", ledger / "backup", ledger / "data"])
    expect_refused_until_accepted(pgveil, analyst)


def test_a_restored_dump_is_refused_until_the_dba_accepts_it(fresh):
    pgveil, analyst = fresh
    server = f"host={pgveil.state}/ledger/socket user=pgveil_admin dbname=ledger"
    dump = pgveil.folder / "ledger.dump"
    processes.checked(["pg_dump", "-Fc", "-f", dump, server])
    spend_more(pgveil, analyst)
    assert pgveil.end() == 0
    pgveil.start_ledger()
    processes.checked(["psql", "-X", "-q", "-c", "DROP SCHEMA pgveil CASCADE", server])
    processes.checked(["pg_restore", "--exit-on-error", "-d", server, dump])
    assert pgveil.end() == 0
    expect_refused_until_accepted(pgveil, analyst)


def test_a_ledger_set_back_under_a_running_pgveil_stops_it(fresh):
    pgveil, analyst = fresh
    server = f"host={pgveil.state}/ledger/socket user=pgveil_admin dbname=ledger"
    dump = pgveil.folder / "ledger.dump"
    processes.checked(["pg_dump", "-Fc", "-f", dump, server])
    spend_more(pgveil, analyst)
    processes.checked(["psql", "-X", "-q", "-c", "DROP SCHEMA pgveil CASCADE", server])
    processes.checked(["pg_restore", "--exit-on-error", "-d", server, dump])
    assert pgveil.process.wait(60) == 1
    assert "it was set back while pgveil runs" in pgveil.log_text()


def test_the_ledger_alone_serves_nobody_and_is_one(fresh):
    pgveil, analyst = fresh
    with pytest.raises(RuntimeError, match="another pgveil is running"):
        Pgveil.launch(_other(pgveil), "the ledger runs", "--ledger")
    assert pgveil.end() == 0
    pgveil.start_ledger()
    assert analyst.name in pgveil.ctl("analyst", "list")
    with pytest.raises(psycopg2.OperationalError):
        analyst.connect("census")
    assert pgveil.managed_pids("twins") == []
    assert pgveil.end() == 0


def _other(pgveil):
    """A second process on the same configuration."""
    other = copy.copy(pgveil)
    other.log = pgveil.folder / "log of the other"
    return other


def test_a_restart_without_a_new_entry_goes_on(fresh):
    pgveil, _ = fresh
    newest = int(pgveil.ledger("SELECT max(seq) FROM pgveil.journal")[0][0])
    processes.wait_until(lambda: noted(pgveil) == newest, 30, "the note")
    assert pgveil.end() == 0
    pgveil.start()
    asked = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pgveil.continues%' AND pid <> pg_backend_pid()"
    processes.wait_until(lambda: pgveil.ledger(asked) != [["0"]], 30, "the question whether it continues")
    assert pgveil.end() == 0


def test_an_unbroken_ledger_is_continued_however_often_it_is_restarted(protected):
    pgveil = Pgveil(protected, datasets=("census",))
    try:
        pgveil.start()
        analyst = pgveil.analyst(grants={"census": AMPLE})
        for _ in range(2):
            analyst.rows("census", "SELECT count(*) FROM people")
            pgveil.kill()
            pgveil.start()
        assert pgveil.end() == 0
    finally:
        pgveil.stop()
