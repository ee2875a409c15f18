"""Two datasets over one database are about the same people: what is spent on one counts on the other."""
import pytest
import recount
from harness.pgveil import AMPLE, Pgveil
from ledger_server import Behind, charge, release


def serve(ledger, dataset, database="cluster 1 database 2"):
    return ledger.one("SELECT pgveil.serve(%s, %s)", dataset, database)


def is_sound(ledger):
    return ledger.ctl("ledger", "verify", check=False).returncode == 0


def spent(ledger):
    return [ledger.spend(dataset="census"), ledger.spend(dataset="again")]


def test_a_dataset_that_comes_later_starts_with_what_was_spent(ledger):
    ledger.analyst()
    assert serve(ledger, "census") == ""
    ledger.charge(5000)
    assert serve(ledger, "again") == "census"
    ledger.grant(dataset="again")
    assert spent(ledger) == [5000, 5000]
    answer = ledger.charge(7000, dataset="again")
    assert answer["outcome"] == "ok" and answer["dataset_spent_pico"] == 12000
    assert spent(ledger) == [12000, 12000] and is_sound(ledger)


def test_grants_made_before_the_database_is_known_are_counted_anew(ledger):
    ledger.analyst()
    ledger.grant(dataset="again")
    ledger.charge(5000)
    ledger.charge(7000, dataset="again")
    assert spent(ledger) == [5000, 7000]
    serve(ledger, "census")
    serve(ledger, "again")
    assert spent(ledger) == [12000, 12000]
    assert serve(ledger, "again") == "census" and spent(ledger) == [12000, 12000]
    assert is_sound(ledger)


def test_neither_grant_is_overspent(ledger):
    ledger.analyst()
    serve(ledger, "census"), serve(ledger, "again")
    ledger.grant(dataset="again", epsilon="0.1")
    cap = ledger.account(dataset="again")["cap_pico"]
    assert ledger.charge(cap)["outcome"] == "ok"
    for dataset, by in (("census", ("database",)), ("again", ("analyst", "dataset"))):
        answer = ledger.charge(1000, dataset=dataset)
        assert answer["outcome"] == "exceeded" and answer["refused_by"] in by
    assert spent(ledger) == [cap, cap] and is_sound(ledger)


def test_what_all_analysts_learn_is_bounded_over_both(ledger):
    ledger.analyst()
    ledger.analyst("bob", dataset="again")
    serve(ledger, "census"), serve(ledger, "again")
    cap = ledger.account()["dataset_cap_pico"]
    assert ledger.charge(cap - 500)["outcome"] == "ok"
    answer = ledger.charge(1000, analyst="bob", dataset="again")
    assert answer["outcome"] == "exceeded" and answer["refused_by"] in ("dataset", "database")
    assert ledger.charge(1000, analyst="bob", dataset="census")["outcome"] == "no_account"
    assert is_sound(ledger)


def test_a_revoked_grant_is_counted_and_refuses_nothing(ledger):
    ledger.analyst()
    serve(ledger, "census"), serve(ledger, "again")
    ledger.grant(dataset="again", epsilon="0.01")
    ledger.ctl("budget", "revoke", "ana", "again", "--yes")
    ledger.ctl("budget", "cap", "again", "--off")
    assert ledger.charge(40_000_000_000)["outcome"] == "ok"
    ledger.grant(dataset="again", epsilon="0.01")
    assert spent(ledger) == [40_000_000_000] * 2 and is_sound(ledger)
    assert ledger.charge(1000)["refused_by"] == "database"


def test_a_frozen_account_elsewhere_freezes_nothing_here(ledger):
    ledger.analyst()
    serve(ledger, "census"), serve(ledger, "again")
    ledger.grant(dataset="again")
    ledger.ctl("budget", "freeze", "ana", "again")
    assert ledger.charge(1000)["outcome"] == "ok"
    assert ledger.charge(1000, dataset="again")["outcome"] == "frozen"
    assert spent(ledger) == [1000, 1000]


def test_other_databases_are_other_people(ledger):
    ledger.analyst()
    ledger.grant(dataset="again")
    serve(ledger, "census"), serve(ledger, "again", "cluster 1 database 3")
    ledger.charge(5000)
    assert spent(ledger) == [5000, 0] and is_sound(ledger)


def test_a_reset_forgets_on_one_dataset_alone(ledger):
    ledger.analyst()
    serve(ledger, "census"), serve(ledger, "again")
    ledger.grant(dataset="again")
    ledger.charge(5000)
    ledger.ctl("budget", "reset", "ana", "census", "--yes")
    assert spent(ledger) == [0, 5000]
    ledger.charge(1000, dataset="again")
    assert spent(ledger) == [1000, 6000] and is_sound(ledger)


def test_pgveil_finds_out_by_itself(protected):
    pgveil = Pgveil(protected, datasets=("clinic",))
    try:
        text = pgveil.file.read_text()
        entry = '"again": ' + text[text.index('"clinic": {') + len('"clinic": '):]
        entry = entry[:entry.index("}") + 1] + ", "
        pgveil.file.write_text(text.replace('"clinic": {', entry + '"clinic": {'))
        pgveil.start()
        analyst = pgveil.analyst(grants={"clinic": AMPLE, "again": AMPLE})
        analyst.rows("clinic", "SELECT count(*) FROM patients")
        shares = analyst.rows("again", "SELECT dataset, spent_mu2 FROM dp.budget")
        assert len(shares) == 2 and shares[0][1] == shares[1][1] > 0
        assert "is over the database of" in pgveil.log_text()
        assert pgveil.end() == 0
    finally:
        pgveil.stop()


def test_a_sibling_of_a_sibling_over_another_database_counts_nothing(ledger):
    """The one in the middle was served over both; the two others are about different people."""
    ledger.analyst()
    for dataset, database in (("census", "one"), ("again", "one"), ("again", "other"), ("far", "other")):
        serve(ledger, dataset, database)
        ledger.grant(dataset=dataset)
    ledger.charge(5000)
    assert spent(ledger) == [5000, 5000]
    assert ledger.spend(dataset="far") == 0
    ledger.charge(7000, dataset="far")
    assert spent(ledger) == [5000, 12000]
    assert is_sound(ledger)


# --- accounts that come while a charge is under way ------------------------------------------------

GRANT = ("SELECT pgveil.set_budget('analyst', 'ana', 'again', 1000000000, 1000000000000, 'gdp', "
         "55460934745, 900000000000, 99999000000, 'none')")


def charged_at_last(ledger, outcome):
    """As pgveil does: a charge that was an error is sent again."""
    return outcome if isinstance(outcome, dict) else ledger.charge(7000)


@pytest.fixture
def served(ledger):
    ledger.analyst()
    serve(ledger, "census"), serve(ledger, "again")
    ledger.charge(5000)
    return ledger


def test_accounts_granted_behind_a_charge_count_it(served):
    behind = Behind(served, "SELECT pgveil.debit('census', %s)", "[" + charge([release(7000)]) + "]")
    behind.line_up(lambda cursor: cursor.execute(GRANT))
    assert behind.let_go() == [None]
    assert spent(served) == [12000, 12000]
    assert served.account(dataset="again")["dataset_spent_pico"] == 12000
    assert is_sound(served)


def test_a_charge_behind_a_grant_debits_the_new_accounts(served):
    behind = Behind(served)
    behind.line_up(lambda cursor: cursor.execute(GRANT))
    behind.line_up(lambda cursor: served.charge(7000, cursor=cursor))
    granted, outcome = behind.let_go()
    assert granted is None and charged_at_last(served, outcome)["outcome"] == "ok"
    assert spent(served) == [12000, 12000]
    assert served.account(dataset="again")["dataset_spent_pico"] == 12000
    assert is_sound(served)


def test_a_charge_behind_a_dataset_that_turns_out_a_sibling_counts_on_both(ledger):
    ledger.analyst()
    ledger.grant(dataset="again")
    serve(ledger, "census")
    behind = Behind(ledger)
    behind.line_up(lambda cursor: cursor.execute("SELECT pgveil.serve('again', 'cluster 1 database 2')"))
    behind.line_up(lambda cursor: ledger.charge(7000, cursor=cursor))
    noted, outcome = behind.let_go()
    assert noted is None and charged_at_last(ledger, outcome)["outcome"] == "ok"
    assert spent(ledger) == [7000, 7000] and is_sound(ledger)


def test_charges_ahead_of_a_dataset_that_turns_out_a_sibling_count_on_both(ledger):
    ledger.analyst()
    ledger.grant(dataset="again")
    serve(ledger, "census")
    behind = Behind(ledger, "SELECT pgveil.debit('again', %s)", "[" + charge([release(5000)]) + "]")
    behind.line_up(lambda cursor: cursor.execute("SELECT pgveil.serve('again', 'cluster 1 database 2')"))
    assert behind.let_go() == [None]
    assert spent(ledger) == [5000, 5000] and is_sound(ledger)


def test_a_charge_behind_an_analyst_who_joins_a_group_debits_the_group(served):
    served.ctl("budget", "cap", "census", "--group", "guests", "--epsilon", "1", "--delta", "1e-6")
    behind = Behind(served)
    behind.line_up(lambda cursor: cursor.execute("SELECT pgveil.member('guests', 'ana', true)"))
    behind.line_up(lambda cursor: served.charge(7000, cursor=cursor))
    joined, outcome = behind.let_go()
    assert joined is None and charged_at_last(served, outcome)["outcome"] == "ok"
    assert recount.check_all(served).spent("group", "guests")["mu2"] == 7000


def test_a_charge_behind_a_revoked_grant_is_refused(served):
    behind = Behind(served)
    behind.line_up(lambda cursor: cursor.execute(
        "SELECT pgveil.change_budget('analyst', 'ana', 'census', 'revoke')"))
    behind.line_up(lambda cursor: served.charge(7000, cursor=cursor))
    revoked, outcome = behind.let_go()
    assert revoked is None and charged_at_last(served, outcome)["outcome"] == "no_account"
