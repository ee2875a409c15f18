"""Names that pgveilctl is given: those that do not exist, and those that should not."""
import pytest


@pytest.fixture
def ledger(server):
    ledger = server.fresh_ledger()
    ledger.analyst("ana", "census")
    ledger.ctl("group", "join", "team", "ana")
    yield ledger
    ledger.close()


def refused(ledger, *words, code=1):
    done = ledger.ctl(*words, check=False)
    assert done.returncode == code, (words, done)
    assert done.stdout == "", done
    return done.stderr


@pytest.mark.parametrize("words", [
    ["budget", "show", "{}"], ["budget", "show", "-a", "{}"], ["ledger", "tail", "{}"],
    ["ledger", "tail", "-a", "{}"], ["answers", "list", "-a", "{}"],
    ["answers", "forget", "census", "-a", "{}", "--yes"], ["budget", "forecast", "{}", "census"],
    ["budget", "grant", "{}", "census", "-e", "1", "-d", "1e-6"], ["budget", "set", "{}", "census", "-e", "1"],
    ["budget", "freeze", "{}", "census"], ["budget", "reset", "{}", "census", "--yes"],
    ["budget", "revoke", "{}", "census", "--yes"], ["budget", "unfreeze", "{}", "census"],
    ["analyst", "show", "{}"], ["analyst", "disable", "{}"], ["analyst", "enable", "{}"],
    ["analyst", "remove", "{}", "--yes"], ["analyst", "passwd", "{}"], ["group", "join", "team", "{}"],
    ["group", "leave", "team", "{}"]])
def test_an_unknown_analyst_is_said_to_be_unknown_with_the_nearest_name(ledger, words):
    for wrong, hint in (("anna", 'did you mean "ana"?'), ("Ana", 'did you mean "ana"?'), ("zebra", None)):
        said = refused(ledger, *[word.format(wrong) for word in words])
        assert "there is no analyst" in said and wrong in said, said
        assert (hint in said) if hint else ("did you mean" not in said), said


@pytest.mark.parametrize("words", [
    ["budget", "show", "ana", "{}"], ["budget", "show", "-d", "{}"], ["ledger", "tail", "ana", "{}"],
    ["ledger", "tail", "-d", "{}"], ["answers", "list", "{}"], ["answers", "forget", "{}", "--yes"],
    ["setting", "list", "{}"], ["budget", "forecast", "ana", "{}"], ["budget", "freeze", "ana", "{}"],
    ["budget", "reset", "ana", "{}", "--yes"], ["budget", "cap", "{}", "--off"],
    ["budget", "cap", "{}", "--reset", "--yes"]])
def test_an_unknown_dataset_is_said_to_be_unknown_with_the_nearest_name(ledger, words):
    said = refused(ledger, *[word.format("cenzus") for word in words])
    assert 'there is no dataset cenzus; did you mean "census"?' in said


@pytest.mark.parametrize("words", [["budget", "show", "{}"], ["ledger", "tail", "{}"], ["group", "leave", "{}", "ana"],
                                   ["budget", "cap", "census", "-g", "{}", "--off"]])
def test_an_unknown_group_is_said_to_be_unknown_with_the_nearest_name(ledger, words):
    said = refused(ledger, *[word.format("teem") for word in words])
    assert "group teem" in said and 'did you mean "team"?' in said


def test_what_exists_and_has_nothing_to_show_is_an_empty_table(ledger):
    ledger.analyst("bob", dataset=None)
    ledger.analyst("ghost", dataset="panel")
    ledger.ctl("analyst", "remove", "ghost", "--yes")
    for words in (["budget", "show", "bob"], ["budget", "show", "bob", "panel"], ["answers", "list", "census"],
                  ["answers", "list", "-a", "bob"], ["budget", "show", "team"]):
        assert ledger.table(*words) == [], words
    assert ledger.table("budget", "show", "ghost")[0]["state"] == "revoked"
    assert ledger.table("ledger", "tail", "ghost")
    assert "was removed" in refused(ledger, "analyst", "show", "ghost")
    assert {row["dataset"] for row in ledger.table("setting", "list", "census")} == {""}


def test_a_filter_is_given_once(ledger):
    for words in (["budget", "show", "ana", "-a", "bob"], ["ledger", "tail", "ana", "census", "-d", "panel"]):
        assert "twice" in refused(ledger, *words, code=2)


INVISIBLE = ["an\u200ba", "ana\u200d", "\u202eana", "ana\u00a0", "an\u00ada", "a\ufe0fna", "\ufeffana", "ana\u2028",
             "a\u3164na", "ana\ue000", "ana\U000e0041", "a\u2800b", "ana\x85", "ana\x1b[0m", "ana\ufffe"]


@pytest.mark.parametrize("name", INVISIBLE + [" ana", "ana ", "an  a"])
def test_no_analyst_and_no_group_has_a_name_that_cannot_be_seen(ledger, name):
    done = ledger.ctl("analyst", "add", name, "--password-stdin", "--yes", stdin="x\n", check=False)
    assert done.returncode == 2 and "cannot be an analyst's name" in done.stderr
    done = ledger.ctl("group", "join", name, "ana", "--yes", check=False)
    assert done.returncode == 2 and "cannot be a group's name" in done.stderr


@pytest.mark.parametrize("name", ["Zoë O'Neil", "李雷", "ана", "مريم", "josé", "a.b-c_d@e", "ñandú", "\U0001f98a", "é" * 31])
def test_any_name_that_can_be_read_is_an_analysts(ledger, name):
    ledger.analyst(name, "census")
    assert name in [row["analyst"] for row in ledger.table("analyst", "list")]
    assert ledger.table("budget", "show", name)[0]["name"] == name
    ledger.ctl("analyst", "remove", name, "--yes")


@pytest.mark.parametrize("name, like", [
    ("аnа", "ana"), ("Ana", "ana"), ("ANA", "ana"), ("aná", "ana"), ("ａｎａ", "ana"), ("αna", "ana"),
    ("ʰenri", "henri"), ("роре", "pope"), ("Zoe", "Zoë")])
def test_a_name_that_looks_like_another_one_must_be_confirmed(ledger, name, like):
    if like != "ana":
        ledger.analyst(like, dataset=None)
    done = ledger.ctl("analyst", "add", name, "--password-stdin", stdin="x\n", check=False)
    assert done.returncode == 2 and f'"{like}"' in done.stderr and "--yes" in done.stderr
    assert name not in [row["analyst"] for row in ledger.table("analyst", "list")]
    ledger.ctl("analyst", "add", name, "--password-stdin", "--yes", stdin="x\n")
    # From then on it is a name like any other.
    ledger.ctl("analyst", "passwd", name, "--password-stdin", stdin="y\n")
    ledger.grant(name, "panel")


def test_the_name_of_a_removed_analyst_can_be_taken_again_but_not_imitated(ledger):
    ledger.ctl("analyst", "remove", "ana", "--yes")
    done = ledger.ctl("analyst", "add", "Ana", "--password-stdin", stdin="x\n", check=False)
    assert done.returncode == 2 and '"ana"' in done.stderr
    ledger.ctl("analyst", "add", "ana", "--password-stdin", stdin="x\n")


def test_a_group_that_looks_like_another_one_must_be_confirmed(ledger):
    for words in (["group", "join", "Team", "ana"], ["budget", "cap", "census", "-g", "Team", "-e", "1", "-d", "1e-6"]):
        assert '"team"' in refused(ledger, *words, code=2)
    ledger.ctl("group", "join", "Team", "ana", "--yes")
    ledger.ctl("budget", "cap", "census", "-g", "Team", "-e", "1", "-d", "1e-6")


def test_a_taken_name_is_told_before_a_password_is_asked_for(ledger):
    done = ledger.ctl("analyst", "add", "ana", check=False)
    assert done.returncode == 1 and "already" in done.stderr and "password" not in done.stderr
    assert "password" not in refused(ledger, "analyst", "passwd", "bob")
