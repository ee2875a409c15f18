"""pgveilctl and the running pgveil: explain, console, dataset, session, reload."""
import csv
import io
import json
import os
import pty
import re
import select
import signal
import subprocess
import time

import psycopg2
import pytest

from harness import processes
from harness.money import journal, spent
from harness.pgveil import Pgveil

COUNT = "SELECT count(*) FROM people"


def ctl(pgveil, *arguments, stdin=None, timeout=60):
    return processes.run([pgveil.tool, "-c", pgveil.file, *arguments], input=stdin, timeout=timeout)


def good(pgveil, *arguments, **options):
    done = ctl(pgveil, *arguments, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


# --- pgveil does not run -------------------------------------------------------------------------


@pytest.mark.parametrize("words", [
    ["console"], ["dataset", "sync", "census"], ["dataset", "test", "census"], ["dataset", "pause", "census"],
    ["session", "list"], ["session", "kill", "1"], ["reload"], ["explain", "-a", "ana", "-d", "census", "SELECT 1"]])
def test_where_pgveil_does_not_run_every_command_says_so(protected, words):
    pgveil = Pgveil(protected, datasets=("census",))
    try:
        done = ctl(pgveil, *words)
        assert done.returncode == 3 and done.stdout == ""
        assert "pgveil does not run" in done.stderr and str(pgveil.control) in done.stderr
    finally:
        pgveil.stop()


def test_a_socket_that_a_killed_pgveil_left_is_no_pgveil(protected):
    pgveil = Pgveil(protected, datasets=("census",)).start()
    try:
        pgveil.kill()
        assert (pgveil.control / ".s.PGSQL.5432").exists()
        assert ctl(pgveil, "session", "list").returncode == 3
        pgveil.start()
        assert ctl(pgveil, "session", "list").returncode == 0
    finally:
        pgveil.stop()


# --- explain -------------------------------------------------------------------------------------


def test_explain_shows_the_plan_and_spends_nothing(own_pgveil, own_analyst):
    where = ["-a", own_analyst.name, "-d", "census"]
    text = good(own_pgveil, "explain", *where, "SELECT ethnicity, avg(wage) FROM people GROUP BY ethnicity")
    assert text.splitlines()[0].startswith("Release 1") and "Price" in text and "Budget: 100 % remains" in text
    seen = own_analyst.rows("census", "EXPLAIN " + COUNT)
    assert good(own_pgveil, "explain", *where, COUNT) == "".join(row[0] + "\n" for row in seen)
    assert good(own_pgveil, "explain", *where, "EXPLAIN " + COUNT) == good(own_pgveil, "explain", *where, COUNT)
    assert good(own_pgveil, "explain", *where, "-", stdin=COUNT + "\n") == good(own_pgveil, "explain", *where, COUNT)
    (plan,) = json.loads(good(own_pgveil, "explain", *where, "--json", COUNT))
    assert plan["Budget"] and plan["Plan"]
    rows = list(csv.DictReader(io.StringIO(good(own_pgveil, "explain", *where, "--csv", COUNT))))
    assert [row["QUERY PLAN"] for row in rows] == [row[0] for row in seen]
    assert "Scan" in good(own_pgveil, "explain", *where, "SELECT * FROM regions")
    assert journal(own_pgveil, own_analyst) == [] and spent(own_pgveil, own_analyst, "census") == 0


@pytest.mark.parametrize("sql, words", [
    ("SELECT wge FROM people", "does not exist, at character 8"),
    ("EXPLAIN SELECT wge FROM people", "at character 16"),
    ("SELECT * FROM people", "rows of individual people"),
    (COUNT + "; " + COUNT, "multiple commands"), ("SELECT 1; " + COUNT, "multiple commands"),
    ("EXPLAIN ANALYZE " + COUNT, "not supported"), ("ANALYZE " + COUNT, "not supported"),
    ("(ANALYZE) " + COUNT, "not supported"), ("SELEC", "syntax error"), ("", "syntax error")])
def test_explain_refuses_as_the_server_does(own_pgveil, own_analyst, sql, words):
    done = ctl(own_pgveil, "explain", "-a", own_analyst.name, "-d", "census", sql)
    assert done.returncode == 1 and done.stdout == "" and words in done.stderr, done.stderr
    assert journal(own_pgveil, own_analyst) == []


def test_explain_needs_an_analyst_with_a_grant_and_a_dataset(own_pgveil, own_analyst):
    for words in (["-a", own_analyst.name], ["-d", "census"], []):
        assert ctl(own_pgveil, "explain", *words, COUNT).returncode == 2
    assert ctl(own_pgveil, "explain", "-a", "x", "-d", "pgveil", "SHOW HELP").returncode == 2
    for analyst, dataset, text in ((own_analyst.name, "nope", "does not exist"),
                                   ("nobody", "census", "no budget granted")):
        done = ctl(own_pgveil, "explain", "-a", analyst, "-d", dataset, COUNT)
        assert done.returncode == 1 and text in done.stderr


# --- datasets, sessions, reload --------------------------------------------------------------------


def test_dataset_sync_and_test_report_to_people_and_programs(own_pgveil, own_protected):
    done = ctl(own_pgveil, "dataset", "sync", "census")
    assert done.returncode == 0 and done.stdout == "" and "new twin" in done.stderr
    assert "%" not in done.stderr  # no progress in a pipe
    done = ctl(own_pgveil, "dataset", "sync", "nope")
    assert done.returncode == 1 and "no dataset" in done.stderr
    rows = json.loads(good(own_pgveil, "dataset", "test", "clinic", "--json"))
    assert {row["result"] for row in rows} == {"ok"}
    own_protected.query("clinic", "GRANT INSERT ON visits TO pgveil_reader")
    try:
        done = ctl(own_pgveil, "dataset", "test", "clinic", "--csv")
        assert done.returncode == 1
        (failed,) = [row for row in csv.DictReader(io.StringIO(done.stdout)) if row["result"] == "failed"]
        assert failed["check"] == "writes nothing" and "visits" in failed["detail"] and failed["hint"]
    finally:
        own_protected.query("clinic", "REVOKE INSERT ON visits FROM pgveil_reader")


def test_a_paused_dataset_and_a_killed_session(own_pgveil, own_analyst):
    connection = own_analyst.connect()
    (session,) = [row for row in json.loads(good(own_pgveil, "session", "list", "--json"))
                  if row["analyst"] == own_analyst.name]
    assert (session["dataset"], session["state"]) == ("census", "idle") and isinstance(session["pid"], int)
    good(own_pgveil, "dataset", "pause", "census")
    datasets = good(own_pgveil, "console", "--json", stdin="SHOW DATASETS")
    assert {row["dataset"]: row["state"] for row in json.loads(datasets)}["census"] == "paused"
    good(own_pgveil, "dataset", "resume", "census")
    good(own_pgveil, "session", "kill", str(session["pid"]))
    assert ctl(own_pgveil, "session", "kill", str(session["pid"])).returncode == 1
    assert own_analyst.name not in good(own_pgveil, "session", "list")
    connection.close()


def test_a_control_socket_without_a_place_to_spare_may_be_tried_again(own_pgveil):
    held = []
    try:
        with pytest.raises(psycopg2.OperationalError, match="too many clients"):
            while len(held) < 100:
                held.append(own_pgveil.control_connection("pgveil"))
        done = ctl(own_pgveil, "session", "list")
        assert done.returncode == 3 and "too many clients already; try again later" in done.stderr
    finally:
        for connection in held:
            connection.close()
    processes.wait_until(lambda: ctl(own_pgveil, "session", "list").returncode == 0, 20, "a free place")


def test_reload_shows_what_changed(own_pgveil):
    configuration = json.loads(own_pgveil.file.read_text())
    before = own_pgveil.file.read_text()
    configuration["timeouts"] = {"idle_ms": 1000000}
    own_pgveil.file.write_text(json.dumps(configuration))
    try:
        (row,) = json.loads(good(own_pgveil, "reload", "--json"))
        assert (row["key"], row["after"], row["state"]) == ("timeouts.idle_ms", "1000000", "in use")
    finally:
        own_pgveil.file.write_text(before)
        good(own_pgveil, "reload")


# --- the console -----------------------------------------------------------------------------------


def test_a_script_on_the_console_ends_at_its_first_failure(own_pgveil):
    script = "-- what is it?\nshow version\n\n# another comment\nSHOW HELP;\n"
    done = ctl(own_pgveil, "console", stdin=script)
    assert done.returncode == 0 and "pgveil 0.1.0" in done.stdout and "SYNC NAME" in done.stdout
    assert "pgveil>" not in done.stdout
    done = ctl(own_pgveil, "console", stdin="SHOW VERSION\nnonsense\nSHOW HELP\n")
    assert done.returncode == 1 and "pgveil 0.1.0" in done.stdout and "SYNC NAME" not in done.stdout
    assert "no command" in done.stderr
    done = ctl(own_pgveil, "console", stdin="SHOW VERSION\nquit\nnonsense\n")
    assert done.returncode == 0
    assert ctl(own_pgveil, "console", stdin="").returncode == 0
    rows = json.loads(good(own_pgveil, "console", "--json", stdin="SHOW STATUS"))
    assert rows[0]["port"] == own_pgveil.port
    assert next(csv.reader(io.StringIO(good(own_pgveil, "console", "--csv", stdin="SHOW STATUS"))))[0] == "version"


class Terminal:
    """pgveilctl on a terminal of its own."""

    def __init__(self, pgveil, *arguments):
        processes.skip_without_terminals()
        self.history = pgveil.folder / "history"
        who = processes.identity()
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            if who:
                os.setgroups([])
                os.setgid(who["group"])
                os.setuid(who["user"])
            os.chdir("/")
            os.execve(pgveil.tool, [str(pgveil.tool), "-c", str(pgveil.file), *arguments],
                      {**processes.environment(), "TERM": "xterm", "PGVEILCTL_HISTORY": str(self.history)})
        self.shown = b""
        self.seen = 0  # how much of it the test has looked at

    def until(self, words, seconds=20):
        """Reads until the words are shown behind what was read before."""
        end = time.monotonic() + seconds
        while words not in self.shown[self.seen:]:
            assert time.monotonic() < end, self.shown
            if select.select([self.terminal], [], [], 1)[0]:
                try:
                    self.shown += os.read(self.terminal, 4000)
                except OSError:
                    raise AssertionError(self.shown) from None
        self.seen = self.shown.index(words, self.seen) + len(words)

    def type(self, text):
        os.write(self.terminal, text)

    def end(self, again=b"", seconds=60):
        """The exit code. again: typed whenever nothing has come for a second."""
        end = time.monotonic() + seconds
        while True:
            if not select.select([self.terminal], [], [], 1)[0]:
                assert time.monotonic() < end, self.shown
                self.type(again)
                continue
            try:
                piece = os.read(self.terminal, 4000)
            except OSError:
                break
            if not piece:
                break
            self.shown += piece
        os.close(self.terminal)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_the_console_prompts_goes_on_after_a_mistake_and_keeps_a_history(own_pgveil):
    console = Terminal(own_pgveil, "console")
    console.until(b"pgveil> ")
    console.type(b"show version\r")
    console.until(b"pgveil 0.1.0")
    console.until(b"pgveil> ")
    console.type(b"nonsense\r")
    console.until(b"no command")
    console.until(b"pgveil> ")
    console.type(b"help\r")
    console.until(b"SYNC NAME")
    console.until(b"pgveil> ")
    console.type(b"quit\r")
    assert console.end() == 0
    if console.history.exists():  # built with line editing
        assert "show" in console.history.read_text() and oct(console.history.stat().st_mode)[-3:] == "600"
        console = Terminal(own_pgveil, "console")
        console.until(b"pgveil> ")
        console.type(b"SHOW VER\t")
        console.until(b"SION")
        console.type(b"\r")
        console.until(b"pgveil 0.1.0")
        console.until(b"pgveil> ")
        # What is typed before the line editor has the terminal, the terminal takes for itself.
        assert console.end(again=b"\x04") == 0


def test_the_console_ends_where_pgveil_ends(protected):
    pgveil = Pgveil(protected, datasets=("census",)).start()
    try:
        console = Terminal(pgveil, "console")
        console.until(b"pgveil> ")
        assert pgveil.end() == 0
        console.type(b"SHOW VERSION\r")
        assert console.end() == 3
    finally:
        pgveil.stop()


def test_on_a_terminal_a_sync_that_takes_long_shows_that_it_goes_on(own_pgveil, own_protected):
    blocker = own_protected.connect("census")
    blocker.autocommit = False
    blocker.cursor().execute("LOCK TABLE regions IN ACCESS EXCLUSIVE MODE")
    sync = Terminal(own_pgveil, "dataset", "sync", "census")
    sync.until(b"dataset sync")
    sync.until(b" 1 s")
    blocker.rollback()
    blocker.close()
    assert sync.end() == 0
    assert b"new twin" in sync.shown
    assert re.search(rb"creating tables \[#* *\] +\d+ %", sync.shown)


def test_an_interrupted_sync_goes_on_in_pgveil(own_pgveil, own_protected):
    blocker = own_protected.connect("census")
    blocker.autocommit = False
    blocker.cursor().execute("LOCK TABLE regions IN ACCESS EXCLUSIVE MODE")
    sync = Terminal(own_pgveil, "dataset", "sync", "census")
    sync.until(b"dataset sync")
    os.kill(sync.pid, signal.SIGINT)
    assert sync.end() == -signal.SIGINT
    blocker.rollback()
    blocker.close()

    def synced():
        (row,) = [row for row in own_pgveil.console("SHOW DATASETS") if row["dataset"] == "census"]
        return row["state"] == "ready" and row["last_error"] == ""

    processes.wait_until(synced, 20, "the sync")


# --- completions and the manual --------------------------------------------------------------------


def test_completions_and_manual_know_the_new_commands(own_pgveil):
    bash = good(own_pgveil, "completion", "bash")
    for word in ("explain", "console", "sync", "session", "kill", "--analyst", "setting"):
        assert word in bash
    manual = good(own_pgveil, "--man")
    for command in ("dataset sync", "session kill", "explain", "console", "setting set"):
        assert f".SS {command}" in manual
    done = subprocess.run(["bash", "-n"], input=bash, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
