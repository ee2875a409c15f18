"""A ledger of an earlier schema version is brought up to date in place and loses nothing."""
import pathlib
import uuid

import pytest

from ledger_server import Ledger, kept_answer, release
from recount import check_all

VERSION_1 = pathlib.Path(__file__).parent / "data" / "ledger_version_1.sql"
GRANT = "SELECT * FROM pgveil.set_budget(%s, %s, 'census', 1000000000, 1000000000000, 'gdp', " \
        "55460934745, 900000000000, 99999000000, %s)"
CHARGE = "CALL pgveil.charge(%s, 'ana', 'census', %s, %s, %s, 'fingerprint', %s" + ", NULL" * 22 + ")"


class OldLedger(Ledger):
    """Made by the schema of version 1, with some life in it."""

    def __init__(self, server):
        server.execute("DROP SCHEMA IF EXISTS pgveil CASCADE")
        server.execute(VERSION_1.read_text())
        self.server, self.database, self.connection = server, "ledger", None
        for name in ("ana", "bob"):
            self.rows("SELECT pgveil.analyst_add(%s, %s)", name,
                      "SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVk:c2VydmVy")
            self.rows(GRANT, "analyst", name, "none")
        self.rows("SELECT pgveil.member('staff', 'ana', true)")
        self.rows(GRANT, "group", "staff", "day")
        self.requests = [str(uuid.uuid4()) for _ in range(3)]
        self.rows(CHARGE, self.requests[0], 5000, 3, None, "[[]]")
        self.rows(CHARGE, self.requests[1], 7000, 0, 40000, "[[]]")
        self.rows("SELECT pgveil.change_budget('group', 'staff', 'census', 'reset')")
        self.rows(CHARGE, self.requests[2], 100, 0, 40000, "[[]]")
        self.rows("SELECT pgveil.resolve(%s, true)", self.requests[0])

    def upgrade(self):
        self.close()
        self.ctl("init")


@pytest.fixture
def old(server):
    ledger = OldLedger(server)
    yield ledger
    ledger.close()


def tables(ledger):
    return {table: ledger.rows(f"SELECT t::text FROM pgveil.{table} t ORDER BY 1")
            for table in ("account", "journal", "head", "resolution", "analyst", "dataset",
                          "membership", "setting")}


def test_an_older_ledger_says_which_program_it_needs(old):
    done = old.ctl("status", check=False)
    assert done.returncode == 1 and "pgveilctl init" in done.stderr


def test_the_upgrade_keeps_every_row_and_the_chain(old):
    before = tables(old)
    before["setting"].insert(1, ('(kept_bytes_max,"",67108864)',))  # there was no such setting
    old.upgrade()
    assert tables(old) == before
    assert old.rows("SELECT version FROM pgveil.version ORDER BY 1") == [(1,), (2,), (3,)]
    old.upgrade()
    assert tables(old) == before
    assert old.table("status")["unresolved"] == 2
    check_all(old)


def test_what_was_charged_before_the_upgrade_is_known_after_it(old):
    old.upgrade()
    spent = old.spend()
    assert spent == 5000 + 7000 + 1000
    assert old.charge(5000, delta=3, request=old.requests[0])["booked_pico"] == 5000
    assert old.charge(100, epsilon=40000, request=old.requests[2])["booked_pico"] == 1000
    assert old.spend() == spent
    assert old.one("SELECT pgveil.resolve(%s, false)", old.requests[0]) == "known"
    assert old.one("SELECT pgveil.resolve(%s, true)", old.requests[1]) == "answered"
    assert [row[0] for row in old.rows("SELECT state FROM pgveil.history('ana', 'census', 9)")] == \
        ["answered", "answered", "charged"]
    check_all(old)


def test_an_upgraded_ledger_keeps_and_shares_answers(old):
    old.upgrade()
    request, releases = str(uuid.uuid4()), [release(2000, fingerprint="d" * 64)]
    old.charge(request=request, releases=releases)
    assert old.keep(request, releases, {0: [kept_answer("1" * 64)]}) == "kept"
    assert old.charge(analyst="bob", releases=releases)["adopted"] == "1"
    check_all(old)


def test_answers_that_were_kept_without_their_keys_are_kept_on(old):
    """A ledger of version 2: its answers stand for themselves, and for no coarser groups."""
    old.upgrade()
    request, releases = str(uuid.uuid4()), [release(2000)]
    old.charge(request=request, releases=releases)
    old.keep(request, releases, {0: [kept_answer("1" * 64, noisy=[1, 2])]})
    old.rows("ALTER TABLE pgveil.kept_answer DROP COLUMN family, DROP COLUMN fold_keys")
    old.rows("ALTER TABLE pgveil.draw DROP COLUMN bytes")
    old.rows("DROP INDEX pgveil.paid_analyst")
    old.rows("DELETE FROM pgveil.setting WHERE name = 'kept_bytes_max'")
    old.rows("DELETE FROM pgveil.version WHERE version = 3")
    old.upgrade()
    assert old.rows("SELECT version FROM pgveil.version ORDER BY 1") == [(1,), (2,), (3,)]
    row, = old.kept("1" * 64)
    assert (row["noisy"], row["family"], row["fold_keys"]) == ([1, 2], None, None)
    request = str(uuid.uuid4())
    old.charge(request=request, releases=releases)
    folded = kept_answer("2" * 64, noisy=[3, 4], family="f" * 64, fold_keys=["a" * 64])
    old.keep(request, releases, {0: [folded]})
    assert [row["identity"] for row in old.kept("f" * 64 + ":")] == ["2" * 64]
    check_all(old)


def test_an_interrupted_upgrade_leaves_the_old_ledger_as_it_was(old):
    before = tables(old)
    old.rows("CREATE TABLE pgveil.draw (in_the_way int)")
    assert old.ctl("init", check=False).returncode == 1
    assert old.rows("SELECT version FROM pgveil.version") == [(1,)]
    assert tables(old) == before
    assert old.rows(CHARGE, str(uuid.uuid4()), 5000, 3, None, "[[]]")[0][0] == "ok"
