"""pgveilctl as a DBA and as scripts use it."""
import base64
import csv
import hashlib
import hmac
import io
import json
import os
import pty
import select
import stat
import subprocess
import time

import pytest

from harness.processes import skip_without_terminals, wait_until
from ledger_server import program


def verifier_accepts(verifier, password):
    """Recomputes StoredKey and ServerKey (RFC 5802) from the password."""
    mechanism, rest, keys = verifier.split("$")
    iterations, salt = rest.split(":")
    stored, server_key = (base64.b64decode(key) for key in keys.split(":"))
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(salt), int(iterations))
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    return mechanism == "SCRAM-SHA-256" and int(iterations) == 4096 \
        and hashlib.sha256(client_key).digest() == stored \
        and hmac.digest(salted, b"Server Key", "sha256") == server_key


def verifier(ledger, name="ana"):
    return ledger.one("SELECT verifier FROM pgveil.login(%s)", name)


def test_exit_codes_are_those_documented(ledger):
    assert ledger.ctl("status").returncode == 0
    assert ledger.ctl("analyst", "disable", "nobody", check=False).returncode == 1
    for usage in ([], ["frobnicate"], ["analyst"], ["analyst", "add"], ["status", "more"],
                  ["status", "--window", "day"], ["status", "--json", "--csv"], ["--nonsense"],
                  ["status", "--server"], ["budget", "grant", "ana", "census"],
                  ["help", "frobnicate"]):
        done = ledger.ctl(*usage, check=False, server=False)
        assert done.returncode == 2, usage
        assert done.stderr
    done = ledger.ctl("status", "--server", "host=/nonexistent", check=False, server=False)
    assert done.returncode == 3 and "cannot be reached" in done.stderr


def test_half_a_command_says_what_it_can_go_on_with(ledger):
    for words in (["budget"], ["help", "budget"], ["budget", "--help"]):
        done = ledger.ctl(*words, check=False, server=False)
        assert done.returncode == 2 and "budget grant, budget set" in done.stderr, words


@pytest.mark.parametrize("words", [
    ["status", "--server", "host=/nonexistent password=HUSH"],
    ["status", "--server", "postgresql://u:HUSH@nowhere.invalid/x"],
    ["policy", "suggest", "host=/nonexistent sslpassword=HUSH dbname=x"]])
def test_a_connection_string_in_an_argument_holds_no_password(ledger, words):
    done = ledger.ctl(*words, check=False, server=False)
    assert done.returncode == 2 and "can see a password" in done.stderr
    assert "HUSH" not in done.stdout + done.stderr


@pytest.mark.parametrize("words", [["status", "--server", "hots=x"], ["policy", "suggest", "postgresql://%zz"]])
def test_what_is_no_connection_string_is_wrong_usage(ledger, words):
    done = ledger.ctl(*words, check=False, server=False)
    assert done.returncode == 2 and "not a connection string" in done.stderr


def test_a_ledger_that_goes_away_meanwhile_may_be_there_another_time(ledger):
    blocker = ledger.server.connect()
    blocker.autocommit = False
    with blocker.cursor() as cursor:
        cursor.execute("LOCK TABLE pgveil.head IN ACCESS EXCLUSIVE MODE")
        status = subprocess.Popen([program("pgveilctl"), "status", "--server", ledger.server.conninfo()],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        ((pid,),) = wait_until(lambda: ledger.rows(waiting), 20, "a call that waits")
        ledger.rows("SELECT pg_terminate_backend(%s)", pid)
        said = status.communicate(timeout=20)[1]
    blocker.close()
    assert status.returncode == 3 and "connection to the ledger is lost" in said


def test_on_a_terminal_a_call_that_takes_long_shows_that_it_goes_on(ledger):
    skip_without_terminals()
    blocker = ledger.server.connect()
    blocker.autocommit = False
    blocker.cursor().execute("LOCK TABLE pgveil.journal IN ACCESS EXCLUSIVE MODE")
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(program("pgveilctl"), ["pgveilctl", "ledger", "verify", "--server", ledger.server.conninfo()])
    shown = b""
    while b" 1 s" not in shown:
        assert select.select([terminal], [], [], 20)[0], shown
        shown += os.read(terminal, 1000)
    blocker.close()
    while True:
        try:
            part = os.read(terminal, 1000)
        except OSError:
            break
        shown += part
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert b"ledger verify" in shown and b"sound" in shown.split(b"\033[K")[-1]


def test_a_server_without_a_ledger_says_what_to_do(server):
    done = subprocess.run([program("pgveilctl"), "status", "--server", server.conninfo("postgres")],
                          capture_output=True, text=True, timeout=30)
    assert done.returncode == 1 and "pgveilctl init" in done.stderr


def test_help_names_every_command_and_each_explains_itself(ledger):
    usage = ledger.ctl("help", server=False).stdout
    commands = [line[2:35].split("[")[0].strip() for line in
                usage.split("Commands:\n")[1].split("\n\n")[0].splitlines()]
    assert len(commands) >= 12
    for command in commands:
        words = [word for word in command.split() if word.islower()]
        text = ledger.ctl("help", *words, server=False).stdout
        assert text.startswith("Usage: pgveilctl " + " ".join(words))
        if words != ["help"]:
            assert ledger.ctl(*words, "--help", server=False).stdout == text


def test_lists_of_names_are_arrays_for_programs_and_words_for_people(ledger):
    for name in ("ana", "Doe, Jane"):
        ledger.analyst(name, dataset=None)
        ledger.ctl("group", "join", "team", name)
    assert ledger.table("group", "list") == [
        {"group_name": "team", "analysts": ["Doe, Jane", "ana"], "capped_datasets": []}]
    assert [row["groups"] for row in ledger.table("analyst", "list")] == [["team"], ["team"]]
    assert "Doe, Jane, ana" in ledger.ctl("group", "list").stdout
    assert ledger.ctl("group", "list", "--csv").stdout.splitlines()[1] == 'team,"Doe, Jane, ana",'


def test_an_analyst_is_added_listed_disabled_and_enabled(ledger):
    ledger.analyst("ana")
    ledger.analyst("Zoë O'Neil", dataset=None)
    assert [(row["analyst"], row["enabled"], row["datasets"])
            for row in ledger.table("analyst", "list")] == \
        [("Zoë O'Neil", "yes", []), ("ana", "yes", ["census"])]
    ledger.ctl("analyst", "disable", "ana")
    assert ledger.table("analyst", "list")[1]["enabled"] == "no"
    ledger.ctl("analyst", "enable", "ana")
    assert ledger.table("analyst", "list")[1]["enabled"] == "yes"
    again = ledger.ctl("analyst", "add", "ana", "--password-stdin", stdin="x\n", check=False)
    assert again.returncode == 1 and "already" in again.stderr


def test_names_that_would_collide_or_confuse_are_refused(ledger):
    for name in ("", "pg_monitor", "pgveil_admin", "public", "a\nb", "a" * 64, "postgres"):
        done = ledger.ctl("analyst", "add", name, "--password-stdin", stdin="x\n", check=False)
        assert done.returncode == 2, name


@pytest.mark.parametrize("password", ["secret", " with blanks ", "pässwörd"])
def test_the_verifier_is_scram_of_the_password(ledger, password):
    ledger.ctl("analyst", "add", "ana", "--password-stdin", stdin=password + "\n")
    assert verifier_accepts(verifier(ledger), password)
    assert not verifier_accepts(verifier(ledger), password + "x")


def test_saslprep_maps_as_clients_do(ledger):
    # A no-break space is mapped to a space, compatibility characters are decomposed (RFC 4013).
    ledger.ctl("analyst", "add", "ana", "--password-stdin", stdin="a\u00a0b\u2168\n")
    assert verifier_accepts(verifier(ledger), "a bIX")


def test_a_password_comes_from_a_file_without_its_line_end(ledger, tmp_path):
    path = tmp_path / "password"
    for content in (b"secret", b"secret\n", b"secret\r\n", b"secret\nsecond line\n"):
        path.write_bytes(content)
        path.chmod(stat.S_IRUSR)
        done = ledger.ctl("analyst", "passwd" if verifier_known(ledger) else "add", "ana",
                          "--password-file", str(path))
        assert "may read" not in done.stderr
        assert verifier_accepts(verifier(ledger), "secret")
    path.chmod(0o644)
    assert "may read" in ledger.ctl("analyst", "passwd", "ana", "--password-file", str(path)).stderr


def verifier_known(ledger):
    return bool(ledger.rows("SELECT 1 FROM pgveil.login('ana')"))


@pytest.mark.parametrize("password", ["", "tab\there", "nul\0", "x" * 2000, "del\x7f", "\xff"])
def test_unusable_passwords_are_refused(ledger, password, tmp_path):
    path = tmp_path / "password"
    path.write_bytes(password.encode("latin-1"))
    path.chmod(0o600)
    done = ledger.ctl("analyst", "add", "ana", "--password-file", str(path), check=False)
    assert done.returncode == 1
    assert not verifier_known(ledger)


def test_without_a_terminal_a_password_must_come_from_somewhere(ledger):
    done = ledger.ctl("analyst", "add", "ana", check=False)
    assert done.returncode == 2 and "--password-stdin" in done.stderr


def on_terminal(ledger, arguments, answers):
    """Runs pgveilctl with a terminal of its own; what it showed and its exit code."""
    skip_without_terminals()
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(program("pgveilctl"), [program("pgveilctl"), *arguments, "--server",
                                        ledger.server.conninfo(ledger.database)])
    shown = b""
    for question, answer in answers:
        deadline = time.time() + 20
        while question not in shown.rsplit(b"\n", 1)[-1] and time.time() < deadline:
            if select.select([terminal], [], [], 1)[0]:
                shown += os.read(terminal, 1000)
        os.write(terminal, answer)
        time.sleep(0.05)
    while True:
        try:
            part = os.read(terminal, 1000)
        except OSError:
            break
        if not part:
            break
        shown += part
    os.close(terminal)
    return shown, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize("answers", [[(b"Password: ", b"\x03")],
                                     [(b"Password: ", b"secret\n"), (b"Again: ", b"secr\x03")]])
def test_an_interrupt_ends_the_question_for_a_password_at_once(ledger, answers):
    shown, code = on_terminal(ledger, ["analyst", "add", "ana"], answers)
    assert code == 1 and b"no password was given" in shown and b"secr" not in shown
    assert not verifier_known(ledger)


def test_a_password_is_asked_for_twice_without_echo(ledger):
    shown, code = on_terminal(ledger, ["analyst", "add", "ana"],
                              [(b"Password: ", b"secret\n"), (b"Again: ", b"secret\n")])
    assert code == 0, shown
    assert b"secret" not in shown
    assert verifier_accepts(verifier(ledger), "secret")


def test_two_different_answers_change_nothing(ledger):
    ledger.analyst("ana", dataset=None)
    before = verifier(ledger)
    shown, code = on_terminal(ledger, ["analyst", "passwd", "ana"],
                              [(b"Password: ", b"one\n"), (b"Again: ", b"two\n")])
    assert code == 1 and b"differ" in shown
    assert verifier(ledger) == before


def test_interrupting_the_question_leaves_everything_as_it_was(ledger):
    shown, code = on_terminal(ledger, ["analyst", "add", "ana"], [(b"Password: ", b"abc\x03\n")])
    assert code == 1
    assert not verifier_known(ledger)


def test_two_dbas_who_change_different_parts_of_a_budget_both_have_their_way(ledger):
    """The second one may not keep what the first one is about to change."""
    ledger.analyst("ana", epsilon="3")
    with ledger.server.connect() as blocker:
        blocker.autocommit = False
        blocker.cursor().execute("SELECT 1 FROM pgveil.account FOR UPDATE")
        command = [program("pgveilctl"), "budget", "set", "ana", "census", "--server",
                   ledger.server.conninfo(ledger.database)]
        dbas = []
        for change in (["--epsilon", "1"], ["--window", "day"]):
            dbas.append(subprocess.Popen(command + change, stdout=subprocess.DEVNULL))
            wait_until(lambda: ledger.one("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
                       == len(dbas), 20, "a DBA who waits")
        blocker.rollback()
        assert [dba.wait(20) for dba in dbas] == [0, 0]
    (budget,) = ledger.table("budget", "show", "ana")
    assert (budget["epsilon"], budget["budget_window"]) == (1, "day")


def test_a_grant_shows_its_account_and_the_first_sets_the_cap(ledger):
    ledger.analyst("ana", dataset=None)
    done = ledger.ctl("budget", "grant", "ana", "census", "--epsilon", "3", "--delta", "1e-6",
                      "--window", "week", "--json")
    assert "together" in done.stderr
    (row,) = json.loads(done.stdout)
    assert (row["epsilon"], row["delta"], row["budget_window"]) == (3, 0.000001, "week")
    assert row["cap_pico"] == 415_918_135_275
    assert row["cap_delta"] == 0.000000099999
    assert row["spent"] == 0 and row["remaining"] == 1
    shared, own = ledger.table("budget", "show")
    assert (shared["holder"], shared["name"]) == ("dataset", "") and own["name"] == "ana"
    assert shared["cap_pico"] == own["cap_pico"]
    assert "together" not in ledger.ctl("budget", "grant", "ana", "census", "-e", "1", "-d",
                                        "1e-6").stderr


def budget(ledger, name="ana", holder="analyst"):
    (row,) = [row for row in ledger.table("budget", "show", name) if row["holder"] == holder]
    return row


def test_on_a_terminal_budgets_fit_and_programs_get_everything(ledger):
    ledger.analyst(epsilon="3")
    ledger.charge(100_000_000_000)
    lines = ledger.ctl("budget", "show").stdout.splitlines()
    assert max(map(len, lines)) <= 110 and "spent_pico" not in lines[0] and "window_ends" not in lines[0]
    assert "24.04 %" in lines[2] and "75.96 %" in lines[2] and "unresolved" in lines[0]
    assert "spent_pico" in ledger.table("budget", "show")[0]
    ledger.ctl("budget", "set", "ana", "census", "--window", "day")
    assert "window_ends" in ledger.ctl("budget", "show").stdout.splitlines()[0]
    ledger.analyst("bob", dataset="panel")
    assert {row["dataset"] for row in ledger.table("budget", "show", "-d", "panel")} == {"panel"}
    assert {row["name"] for row in ledger.table("budget", "show", "-a", "bob")} == {"bob"}
    assert {row["analyst"] for row in ledger.table("ledger", "tail", "--analyst", "bob")} == {"bob"}


@pytest.mark.parametrize("words", [
    ["budget", "freeze", "ana", "census"], ["budget", "unfreeze", "ana", "census"],
    ["budget", "revoke", "ana", "census"], ["budget", "reset", "ana", "census"],
    ["budget", "grant", "ana", "census", "-e", "9", "-d", "1e-6"], ["budget", "cap", "census", "--off"],
    ["budget", "cap", "census", "--reset"], ["analyst", "remove", "ana"], ["group", "join", "g", "ana"],
    ["group", "leave", "team", "ana"], ["setting", "set", "minimum_mu2_pico", "1"],
    ["setting", "set", "failures_max", "99", "-d", "census"], ["setting", "reset", "failures_max"]])
def test_every_change_of_budgets_can_be_tried_without_making_it(ledger, words):
    ledger.analyst(epsilon="3")
    ledger.ctl("group", "join", "team", "ana")
    ledger.charge(5000)

    def everything():
        return [ledger.table(*command) for command in
                (["budget", "show"], ["analyst", "list"], ["group", "list"], ["setting", "list"], ["status"])]

    before = everything()
    done = ledger.ctl(*words, "--dry-run")
    assert "nothing was changed" in done.stderr
    assert everything() == before
    ledger.ctl(*words, *(["--yes"] if "--yes" in ledger.ctl("help", *words[:2], server=False).stdout else []))
    assert everything() != before


def test_settings_are_listed_set_and_journalled(ledger):
    ledger.analyst()
    first = {row["setting"]: row["in_force"] for row in ledger.table("setting", "list")}
    assert first == {"minimum_mu2_pico": 1000, "failures_max": 10, "kept_bytes_max": 2**26}
    ledger.ctl("setting", "set", "minimum_mu2_pico", "2000")
    ledger.charge(1)
    assert ledger.spend() == 2000
    refused = ledger.ctl("setting", "set", "minimum_mu2_pico", "10", "-d", "census", check=False)
    assert refused.returncode == 2 and "from 2000 to 10" in refused.stderr and "--yes" in refused.stderr
    ledger.ctl("setting", "set", "minimum_mu2_pico", "10", "-d", "census", "--yes")
    ledger.charge(1)
    assert ledger.spend() == 2010
    assert ledger.ctl("setting", "set", "failures_max", "11", check=False).returncode == 2
    ledger.ctl("setting", "set", "failures_max", "3")
    ledger.ctl("setting", "reset", "minimum_mu2_pico", "-d", "census", "--yes")
    assert ledger.ctl("setting", "reset", "minimum_mu2_pico", "-d", "census", "-y",
                      check=False).returncode == 1
    ledger.charge(1)
    assert ledger.spend() == 4010
    ledger.ctl("setting", "reset", "failures_max", "--yes")
    ledger.ctl("setting", "reset", "minimum_mu2_pico", "--yes")
    assert {row["setting"]: row["in_force"] for row in ledger.table("setting", "list")} == first
    notes = [(row["dataset"], row["detail"]) for row in ledger.table("ledger", "tail") if row["kind"] == "setting"]
    assert ("", "minimum_mu2_pico: 2000, before 1000") in notes and len(notes) == 6
    assert ("census", "minimum_mu2_pico: none of its own, before 10") in notes
    assert ledger.ctl("ledger", "verify").returncode == 0
    for wrong in (["set", "nothing", "1"], ["set", "failures_max", "0"], ["set", "failures_max", "-1"],
                  ["set", "failures_max", "1.5"], ["set", "failures_max", "99999999999999999999"],
                  ["reset", "nothing"]):
        assert ledger.ctl("setting", *wrong, "--yes", check=False).returncode == 2, wrong


def test_a_letter_means_what_the_command_says(ledger):
    """-d is --delta of a grant and --dataset of a setting."""
    ledger.analyst(epsilon="3")
    ledger.ctl("budget", "set", "ana", "census", "-d", "1e-5")
    assert budget(ledger)["delta"] == 0.00001
    ledger.ctl("setting", "set", "failures_max", "5", "-d", "census")
    assert ledger.ctl("status", "-d", "x", check=False).returncode == 2
    assert ledger.ctl("ledger", "tail", "-a", "x", "-a", "y", check=False).returncode == 2


def test_budget_set_changes_only_what_is_named(ledger):
    ledger.analyst(epsilon="3", window="week")
    ledger.charge(5000)
    ledger.ctl("budget", "set", "ana", "census", "--epsilon", "2")
    row = budget(ledger)
    assert (row["epsilon"], row["delta"], row["budget_window"]) == (2, 0.000001, "week")
    assert row["spent_pico"] == 5000
    done = ledger.ctl("budget", "set", "ana", "panel", "--epsilon", "2", check=False)
    assert done.returncode == 2 and "--delta" in done.stderr


def test_a_dry_run_shows_the_change_and_makes_none(ledger):
    ledger.analyst(epsilon="3")
    entries = ledger.table("status")["entries"]
    (row,) = json.loads(ledger.ctl("budget", "set", "ana", "census", "--epsilon", "2", "--dry-run",
                                   "--json").stdout)
    assert row["epsilon"] == 2
    assert budget(ledger)["epsilon"] == 3
    ledger.charge(5000)
    done = ledger.ctl("budget", "reset", "ana", "census", "--dry-run", "--json")
    assert "nothing was changed" in done.stderr and json.loads(done.stdout)[0]["spent_pico"] == 0
    assert budget(ledger)["spent_pico"] == 5000
    assert ledger.table("status")["entries"] == entries + 1


def test_the_cap_of_a_dataset_is_set_released_and_enforced(ledger):
    ledger.analyst("ana")
    ledger.analyst("bob")
    ledger.charge(ledger.account()["cap_pico"])
    assert ledger.charge(5000, analyst="bob")["outcome"] == "exceeded"
    ledger.ctl("budget", "cap", "census", "--off")
    assert ledger.account("bob")["dataset_capped"] is False
    assert ledger.charge(5000, analyst="bob")["outcome"] == "ok"
    ledger.ctl("budget", "cap", "census", "--on")
    assert ledger.charge(5000, analyst="bob")["outcome"] == "exceeded"
    ledger.ctl("budget", "cap", "census", "--epsilon", "2")
    assert budget(ledger, "", "dataset")["epsilon"] == 2
    assert ledger.charge(5000, analyst="bob")["outcome"] == "ok"
    spent = budget(ledger, "", "dataset")["spent_pico"]
    assert spent == ledger.account()["cap_pico"] + 10000
    for wrong in ([], ["--on", "--off"], ["--epsilon", "1", "--off"]):
        assert ledger.ctl("budget", "cap", "census", *wrong, check=False).returncode == 2
    ledger.ctl("budget", "cap", "census", "--reset", "--yes")
    assert budget(ledger, "", "dataset")["spent_pico"] == 0


def test_a_cap_set_before_the_first_grant_stays(ledger):
    ledger.ctl("budget", "cap", "census", "--epsilon", "5", "--delta", "1e-6")
    ledger.analyst("ana", epsilon="1")
    assert budget(ledger, "", "dataset")["epsilon"] == 5


def test_a_group_bounds_its_members_together(ledger):
    for name in ("ana", "bob", "eve"):
        ledger.analyst(name, dataset=None)
    ledger.ctl("budget", "cap", "census", "--epsilon", "10", "--delta", "1e-6")
    for name in ("ana", "bob", "eve"):
        ledger.grant(name)
    ledger.ctl("group", "join", "team", "ana")
    ledger.ctl("group", "join", "team", "bob")
    ledger.ctl("budget", "cap", "census", "--group", "team", "--epsilon", "1", "--delta", "1e-6")
    whole = ledger.account()["cap_pico"]
    assert ledger.charge(whole - 1000)["outcome"] == "ok"
    answer = ledger.charge(5000, analyst="bob")
    assert (answer["outcome"], answer["refused_by"]) == ("exceeded", "group")
    assert ledger.charge(5000, analyst="eve")["outcome"] == "ok"
    # Leaving gives the leaver's own budget alone; what the group spent stays spent.
    ledger.ctl("group", "leave", "team", "bob")
    assert ledger.charge(5000, analyst="bob")["outcome"] == "ok"
    assert budget(ledger, "team", "group")["spent_pico"] == whole - 1000
    assert ledger.table("group", "list") == [
        {"group_name": "team", "analysts": ["ana"], "capped_datasets": ["census"]}]
    assert ledger.ctl("group", "leave", "team", "bob", check=False).returncode == 1
    assert ledger.ctl("group", "join", "team", "nobody", check=False).returncode == 1
    assert ledger.ctl("group", "join", "team", "ana", check=False).returncode == 1
    ledger.ctl("ledger", "verify")


def test_freeze_and_unfreeze(ledger):
    ledger.analyst()
    ledger.ctl("budget", "freeze", "ana", "census")
    assert ledger.charge()["outcome"] == "frozen"
    ledger.ctl("budget", "unfreeze", "ana", "census")
    assert ledger.charge()["outcome"] == "ok"
    assert ledger.ctl("budget", "freeze", "ana", "panel", check=False).returncode == 1


def test_removing_and_adding_again_gives_nothing_back(ledger):
    ledger.analyst(epsilon="1")
    ledger.charge(50_000)
    ledger.ctl("analyst", "remove", "ana", "--yes")
    assert ledger.charge()["outcome"] == "no_account"
    assert ledger.rows("SELECT * FROM pgveil.login('ana')") == []
    assert ledger.table("analyst", "list") == []
    ledger.analyst(epsilon="1", window="day")
    assert ledger.spend() == 50_000
    ledger.ctl("budget", "revoke", "ana", "census", "--yes")
    assert ledger.charge()["outcome"] == "no_account"
    ledger.grant(epsilon="3")
    assert ledger.spend() == 50_000


def test_a_reset_forgets_and_says_so_in_the_journal(ledger):
    ledger.analyst()
    ledger.charge(50_000)
    ledger.ctl("budget", "reset", "ana", "census", "--yes")
    assert ledger.spend() == 0
    assert ledger.account()["dataset_spent_pico"] == 50_000
    ledger.charge(7000)
    ledger.grant(window="day")
    assert ledger.spend() == 7000
    last = [row for row in ledger.table("ledger", "tail") if row["kind"] == "reset"]
    assert len(last) == 1 and "mu2 50000" in last[0]["detail"]
    ledger.ctl("ledger", "verify")


@pytest.mark.parametrize("command", [["analyst", "remove", "ana"], ["budget", "reset", "ana", "census"],
                                     ["budget", "revoke", "ana", "census"],
                                     ["budget", "cap", "census", "--reset"]])
def test_what_cannot_be_undone_wants_a_yes(ledger, command):
    ledger.analyst()
    ledger.charge(5000)
    done = ledger.ctl(*command, check=False)
    assert done.returncode == 2 and "--yes" in done.stderr
    shown, code = on_terminal(ledger, command, [(b"Type yes: ", b"no\n")])
    assert code == 1 and b"nothing was changed" in shown
    assert ledger.spend() == 5000 and ledger.account()["dataset_spent_pico"] == 5000
    shown, code = on_terminal(ledger, command, [(b"Type yes: ", b"yes\n")])
    assert code == 0, shown


def test_pure_mode_counts_epsilon_alone(ledger):
    ledger.analyst(dataset=None)
    ledger.ctl("budget", "grant", "ana", "census", "-e", "1", "-d", "1e-6", "--mode", "pure")
    assert ledger.charge(1000)["outcome"] == "exceeded"
    outcomes = [ledger.charge(10**12, epsilon=300_000_000)["outcome"] for _ in range(4)]
    assert outcomes == ["ok", "ok", "ok", "exceeded"]
    assert budget(ledger)["spent"] == 0.9
    # The charges are known in the other currencies too: nothing comes back with another mode.
    ledger.ctl("budget", "set", "ana", "census", "--mode", "gdp")
    assert budget(ledger)["spent_pico"] == 3 * 10**12
    assert ledger.charge(1000)["outcome"] == "exceeded"


def test_zcdp_mode_prices_pure_charges_lower_and_gaussians_alike(ledger):
    ledger.analyst(dataset=None)
    ledger.ctl("budget", "cap", "census", "-e", "20", "-d", "1e-6")
    ledger.ctl("budget", "grant", "ana", "census", "-e", "3", "-d", "1e-6", "--mode", "zcdp")
    assert ledger.charge(2_000_000)["booked_pico"] == 2_000_000
    # 2 * 0.5 * tanh(0.25) = 0.244918662403709129...
    answer = ledger.charge(389_241_966_476, epsilon=500_000_000)
    assert answer["booked_pico"] == 244_918_662_404
    assert ledger.spend() == 244_920_662_404
    assert answer["dataset_spent_pico"] == 389_243_966_476
    assert ledger.charge(389_241_966_476, epsilon=500_000_000)["outcome"] == "exceeded"
    assert ledger.rows("SELECT mu2_pico FROM pgveil.history('ana', 'census', 9)") == \
        [("2000000",), ("244918662404",)]
    ledger.ctl("ledger", "verify")


def test_datasets_and_one_analyst_are_shown(ledger):
    ledger.analyst("ana")
    ledger.charge()
    (row,) = ledger.table("dataset", "list")
    assert row["dataset"] == "census" and row["charges"] == 1 and "epsilon 1," in row["cap"]
    assert ledger.table("analyst", "show", "ana")["datasets"] == ["census"]
    assert ledger.ctl("analyst", "show", "bob", check=False).returncode == 1


def test_the_journal_is_shown_from_its_end_and_by_entry(ledger):
    ledger.analyst()
    request = "0b6f0d62-9d0e-4d7c-8f5b-30f0a3cbd0aa"
    for i in range(5):
        ledger.charge(2000 + i)
    ledger.charge(9000, request=request)
    assert [row["mu2_pico"] for row in ledger.table("ledger", "tail", "-n", "3")] == \
        [2003, 2004, 9000]
    assert len(ledger.table("ledger", "tail")) == 9
    lines = ledger.ctl("ledger", "tail").stdout.splitlines()
    assert len(lines) == 10 and "note" in lines[0] and "hash" not in lines[0]
    assert "dataset: epsilon 1" in lines[2] and "analyst: epsilon 1" in lines[3] and "9000" in lines[9]
    assert ledger.ctl("ledger", "tail", "bob", check=False).returncode == 1
    entry = ledger.table("ledger", "show", request)
    assert (entry["mu2_pico"], entry["state"], entry["detail"]) == (9000, "charged", "[[]]")
    assert ledger.table("ledger", "show", str(entry["seq"])) == entry
    assert ledger.ctl("ledger", "show", "4711", check=False).returncode == 1


def test_the_export_holds_every_entry_and_lets_the_chain_be_recomputed(ledger):
    ledger.analyst()
    for i in range(20):
        ledger.charge(2000 + i, delta=i, epsilon=None if i % 2 else 1000 * i)
    rows = [json.loads(line) for line in ledger.ctl("ledger", "export").stdout.splitlines()]
    assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
    raw = ledger.rows("SELECT seq, request::text, delta_atto, epsilon_nano FROM pgveil.journal "
                      "ORDER BY seq")
    for row, (_, request, delta, epsilon) in zip(rows, raw):
        fields = [row["seq"], row["at"], row["kind"], request, row["analyst"], row["dataset"],
                  row["debited"], row["mu2_pico"], row["zcdp_pico"], delta, epsilon,
                  row["fingerprint"], row["detail"]]
        text = "".join("-," if field is None else f"{len(str(field).encode())}:{field},"
                       for field in fields)
        digest = hashlib.sha256(bytes.fromhex(row["prev_hash"]) + text.encode()).hexdigest()
        assert digest == row["hash"]
    parsed = list(csv.DictReader(io.StringIO(ledger.ctl("ledger", "export", "--csv").stdout)))
    assert [row["hash"] for row in parsed] == [row["hash"] for row in rows]


def tampered(ledger, *statements):
    """Runs statements as a superuser who switches the journal's guards off; what verify says."""
    ledger.rows("SET session_replication_role = replica")
    for statement in statements:
        ledger.rows(statement)
    ledger.rows("RESET session_replication_role")
    done = ledger.ctl("ledger", "verify", "--json", check=False)
    assert done.returncode == 1, done.stdout
    return [(row["seq"], row["finding"]) for row in json.loads(done.stdout)]


def journal(ledger):
    ledger.analyst()
    for i in range(11):
        ledger.charge(2000 + i)
    assert "sound: 14 entries" in ledger.ctl("ledger", "verify").stderr


def test_verify_finds_a_changed_amount_with_its_row(ledger):
    journal(ledger)
    found = tampered(ledger, "UPDATE pgveil.journal SET mu2_pico = 1 WHERE seq = 7")
    assert found[0][0] == 7 and "was changed" in found[0][1]
    assert all("account" in text for _, text in found[1:]) and len(found) == 3


def test_verify_finds_an_entry_rehashed_by_hand(ledger):
    journal(ledger)
    found = tampered(ledger, "UPDATE pgveil.journal SET detail = '[]' WHERE seq = 7",
                     "UPDATE pgveil.journal j SET hash = sha256(prev_hash || pgveil.encoded(j)) "
                     "WHERE seq = 7")
    assert [seq for seq, _ in found] == [8] and "does not continue" in found[0][1]


def test_verify_finds_a_removed_entry_in_the_middle_and_at_the_end(ledger):
    journal(ledger)
    found = tampered(ledger, "DELETE FROM pgveil.journal WHERE seq = 7")
    assert (8, "entries before it are missing") in found
    found = tampered(ledger, "DELETE FROM pgveil.journal WHERE seq = 14")
    assert any("at the end" in text for _, text in found)


def test_verify_finds_a_charge_below_its_price(ledger):
    def measures(mechanism, m):
        return json.dumps([{"measure": "count", "mechanism": mechanism, "scale10": 0, "exp2": 0,
                            "delta": 1, "groups": 1, "m": m}])

    ledger.analyst(epsilon="3")
    price = 15_625_000_000  # sigma 8
    ledger.charge(price, measures=measures("gaussian", 2**47))
    ledger.charge(4_000_000_000_000 // 100, epsilon=125_000_000, measures=measures("laplace", 2**47))
    pair = [{"measure": "sum", "mechanism": "laplace", "delta": 20, "groups": 1, "m": 2**43},
            {"measure": "complement", "of": 0}]
    one = 156_250_000  # 20 * 2^43 / 2^50
    ledger.charge(4_000_000_000_000 // 100, epsilon=one, measures=json.dumps(pair))
    ledger.ctl("ledger", "verify")
    ledger.charge(price - 1, measures=measures("gaussian", 2**47))
    ledger.charge(4_000_000_000_000 // 100, epsilon=124_999_999, measures=measures("laplace", 2**47))
    ledger.charge(price, epsilon=10**9, measures=measures("gaussian", 2**47))
    ledger.charge(price, measures='"?"')
    ledger.charge(price, epsilon=one, measures=json.dumps([*pair, {"measure": "complement", "of": 0}]))
    ledger.charge(price, measures=json.dumps([{**pair[0], "mechanism": "gaussian"}, pair[1]]))
    done = ledger.ctl("ledger", "verify", "--json", check=False)
    assert done.returncode == 1
    assert [(row["seq"], row["finding"].split()[-1]) for row in json.loads(done.stdout)] == \
        [(7, "demands"), (8, "demands"), (9, "demands"), (10, "recomputed"), (11, "recomputed"),
         (12, "recomputed")]


def test_verify_finds_budget_given_back_by_hand(ledger):
    journal(ledger)
    found = tampered(ledger, "UPDATE pgveil.account SET mu2_spent_pico = 0 WHERE holder = 'analyst'")
    assert len(found) == 1 and "analyst ana on census" in found[0][1]


def test_verify_with_a_noted_head_finds_an_older_ledger(ledger):
    journal(ledger)
    status = ledger.table("status")
    head = f"{status['entries']}:{status['head']}"
    ledger.charge(5000)
    assert ledger.ctl("ledger", "verify", "--head", head).returncode == 0
    later = ledger.table("status")
    # As if restored from a backup made before the last charge.
    ledger.rows("SET session_replication_role = replica")
    ledger.rows("DELETE FROM pgveil.journal WHERE seq = 15")
    ledger.rows("UPDATE pgveil.head SET seq = 14, hash = (SELECT hash FROM pgveil.journal WHERE seq = 14)")
    ledger.rows("UPDATE pgveil.account SET mu2_spent_pico = mu2_spent_pico - 5000, "
                "zcdp_spent_pico = zcdp_spent_pico - 5000")
    ledger.rows("RESET session_replication_role")
    assert ledger.ctl("ledger", "verify").returncode == 0
    done = ledger.ctl("ledger", "verify", "--head", f"{later['entries']}:{later['head']}", check=False)
    assert done.returncode == 1 and "older ledger" in done.stdout
    other = ledger.ctl("ledger", "verify", "--head", f"13:{'0' * 64}", check=False)
    assert other.returncode == 1 and "another ledger" in other.stdout
    for wrong in ("13", "0:" + "0" * 64, "x:" + "0" * 64, "13:abc"):
        assert ledger.ctl("ledger", "verify", "--head", wrong, check=False).returncode == 2


def test_the_manual_page_describes_every_command_and_renders(ledger):
    page = ledger.ctl("help", "--man", server=False).stdout
    assert page.startswith(".TH PGVEILCTL 8")
    for line in ledger.ctl("help", server=False).stdout.split("Commands:\n")[1].split("\n\n")[0] \
            .splitlines():
        assert "\n.SS " + line[2:34].strip().replace("-", "\\-") + "\n" in page


@pytest.mark.parametrize("options, word", [
    (["--epsilon", "0", "--delta", "1e-6"], "epsilon"),
    (["--epsilon", "-1", "--delta", "1e-6"], "epsilon"),
    (["--epsilon", "nan", "--delta", "1e-6"], "epsilon"),
    (["--epsilon", "1e-10", "--delta", "1e-6"], "epsilon"),
    (["--epsilon", "1", "--delta", "1"], "delta"),
    (["--epsilon", "1", "--delta", "0"], "delta"),
    (["--epsilon", "1", "--delta", "1e-12"], "1e-12"),
    (["--epsilon", "100000", "--delta", "1e-6"], "epsilon"),
    (["--epsilon", "1", "--delta", "1e-6", "--window", "year"], "window"),
    (["--epsilon", "1"], "delta"),
    (["--epsilon", "1", "--epsilon", "2", "--delta", "1e-6"], "twice")])
def test_grants_that_mean_nothing_are_refused(ledger, options, word):
    ledger.analyst("ana", dataset=None)
    done = ledger.ctl("budget", "grant", "ana", "census", *options, check=False)
    assert done.returncode == 2 and word in done.stderr
    assert ledger.table("budget", "show") == []


def test_a_grant_to_nobody_is_refused(ledger):
    done = ledger.ctl("budget", "grant", "nobody", "census", "--epsilon", "1", "--delta", "1e-6",
                      check=False)
    assert done.returncode == 1 and "no analyst nobody" in done.stderr


def test_budgets_can_be_shown_of_one_analyst_or_dataset(ledger):
    ledger.analyst("ana")
    ledger.analyst("bob")
    ledger.grant("ana", "panel")
    assert len(ledger.table("budget", "show")) == 5
    assert len(ledger.table("budget", "show", "ana")) == 2
    assert len(ledger.table("budget", "show", "ana", "panel")) == 1
    assert ledger.ctl("budget", "show", "nobody", check=False).returncode == 1


def test_tables_are_aligned_and_machines_get_json_and_csv(ledger):
    ledger.analyst("Zoë, \"the\" analyst", dataset=None)
    ledger.analyst("b", dataset=None)
    lines = ledger.ctl("analyst", "list").stdout.splitlines()
    assert len(lines) == 3
    assert len({line.index(word) for line, word in zip(lines, ("enabled", "yes", "yes"))}) == 1
    assert [row["analyst"] for row in ledger.table("analyst", "list")] == \
        ["Zoë, \"the\" analyst", "b"]
    parsed = list(csv.DictReader(io.StringIO(ledger.ctl("analyst", "list", "--csv").stdout)))
    assert [row["analyst"] for row in parsed] == ["Zoë, \"the\" analyst", "b"]
    status = ledger.table("status")
    assert status["schema_version"] == 3 and status["n_analysts"] == 2
    assert status["durable"] == "no: fsync = off"  # this server runs with fsync = off
