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

from ledger_server import LedgerServer, program


@pytest.fixture(scope="module")
def server():
    server = LedgerServer()
    yield server
    server.remove()


@pytest.fixture
def ledger(server):
    ledger = server.fresh_ledger()
    yield ledger
    ledger.close()


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


def test_an_analyst_is_added_listed_disabled_and_enabled(ledger):
    ledger.analyst("ana")
    ledger.analyst("Zoë O'Neil", dataset=None)
    assert [(row["analyst"], row["enabled"], row["datasets"])
            for row in ledger.table("analyst", "list")] == \
        [("Zoë O'Neil", "yes", ""), ("ana", "yes", "census")]
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
    assert ledger.table("budget", "show", "nobody") == []


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
    assert ledger.table("status")["schema_version"] == 1


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
    assert "1 private" in good.stdout
    bad = ledger.ctl("policy", "check", str(tmp_path / "bad.json"), server=False, check=False)
    assert bad.returncode == 1 and "bad.json" in bad.stderr and "age" in bad.stderr


def test_policy_check_of_all_datasets_names_the_bad_one(ledger, tmp_path):
    path = config(tmp_path, {"one": GOOD, "two": BAD, "three": GOOD})
    done = ledger.ctl("policy", "check", "-c", path, server=False, check=False)
    assert done.returncode == 1
    assert "one" in done.stdout and "three" in done.stdout and "two.json" in done.stderr


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
