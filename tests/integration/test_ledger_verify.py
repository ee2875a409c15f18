"""`pgveilctl ledger verify` finds what was changed by hand, and nothing after whatever a DBA may do."""
import json
import uuid

import pytest

from ledger_server import charge, kept_answer, release

DRAW = "d" * 64


@pytest.fixture
def ledger(server):
    ledger = server.fresh_ledger()
    ledger.analyst(epsilon="3")
    ledger.analyst("bob", epsilon="3")
    yield ledger
    ledger.close()


def findings(ledger, *statements):
    """After statements of a superuser who switches the guards off."""
    ledger.rows("SET session_replication_role = replica")
    for statement in statements:
        ledger.rows(statement)
    ledger.rows("RESET session_replication_role")
    done = ledger.ctl("ledger", "verify", "--json", check=False)
    return [row["finding"] for row in json.loads(done.stdout)]


def share(ledger):
    """Ana measures, bob takes her draw over."""
    releases = [release(5000, fingerprint=DRAW)]
    request = str(uuid.uuid4())
    ledger.charge(request=request, releases=releases)
    ledger.keep(request, releases, {0: [kept_answer("1" * 64)]})
    assert ledger.charge(analyst="bob", releases=releases)["adopted"] == "1"


HAND = "UPDATE pgveil.account SET {} WHERE name = 'ana'"


@pytest.mark.parametrize("change,finding", [
    ("cap_pico = cap_pico + 1", "terms"),
    ("epsilon_nano = epsilon_nano * 2", "terms"),
    ("delta_keys_atto = delta_keys_atto + 1, delta_conv_atto = delta_conv_atto - 1", "terms"),
    ("budget_window = 'day'", "terms"),
    ("name = 'ana2'", "terms"),
    ("granted = false", "state"),
    ("enforced = false", "state"),
    ("frozen = 'by hand'", "state"),
    ("counted_from = 99, mu2_spent_pico = 0, zcdp_spent_pico = 0, all_pure = true", "forgets"),
    ("mu2_floor_pico = -7000, mu2_spent_pico = mu2_spent_pico - 7000", "forgets"),
    ("window_starts = clock_timestamp(), mu2_spent_pico = 0, zcdp_spent_pico = 0, all_pure = true",
     "forgets"),
])
def test_an_account_changed_by_hand_is_found_though_its_sums_fit(ledger, change, finding):
    ledger.charge(7000)
    found = findings(ledger, HAND.format(change))
    assert len(found) == 1 and "account 2 of analyst" in found[0] and finding in found[0], found


def test_a_floor_lowered_by_hand_is_found(ledger):
    ledger.charge(7000)
    ledger.grant(epsilon="3", window="day")
    ledger.charge(2000)
    assert findings(ledger) == []
    found = findings(ledger, HAND.format("mu2_floor_pico = 1000, mu2_spent_pico = 3000"))
    assert len(found) == 1 and "forgets" in found[0]


def test_an_account_made_by_hand_is_found(ledger):
    found = findings(
        ledger, "INSERT INTO pgveil.account (holder, name, dataset, epsilon_nano, delta_atto, cap_mode, "
        "cap_pico, delta_conv_atto, delta_keys_atto, budget_window, window_starts, window_ends) "
        "SELECT holder, name, 'other', epsilon_nano, delta_atto, cap_mode, cap_pico, delta_conv_atto, "
        "delta_keys_atto, budget_window, window_starts, window_ends FROM pgveil.account WHERE id = 2")
    assert found and all("analyst ana on other" in finding for finding in found)


@pytest.mark.parametrize("change,finding", [
    ("UPDATE pgveil.paid SET analyst = 'eve' WHERE analyst = 'bob'", "draw 1 is given to eve"),
    ("UPDATE pgveil.paid SET seq = 5 WHERE analyst = 'bob'", "draw 1 is given to bob"),
    ("UPDATE pgveil.paid SET at = at + interval '1 day' WHERE analyst = 'ana'", "draw 1 is given to ana"),
    ("UPDATE pgveil.draw SET at = at + interval '1 day'", "draw 1 is of no charge"),
    ("UPDATE pgveil.draw SET request = gen_random_uuid()", "draw 1 is of no charge"),
])
def test_answers_given_by_hand_to_who_has_not_paid_are_found(ledger, change, finding):
    share(ledger)
    assert findings(ledger) == []
    assert any(finding in found for found in findings(ledger, change))


@pytest.mark.parametrize("debited", ["debited || NULL::bigint", "ARRAY[debited]"])
def test_a_list_of_accounts_that_hashes_like_the_one_that_was_written_is_found(ledger, debited):
    ledger.charge(7000)
    assert findings(ledger, f"UPDATE pgveil.journal SET debited = {debited} WHERE kind = 'charge'")


def test_whatever_a_dba_does_to_budgets_is_sound(ledger):
    def does(*arguments):
        ledger.ctl(*arguments)
        ledger.charges([charge([release(2000)]), charge([release(3000)], "bob")])
        assert findings(ledger) == [], arguments

    ledger.ctl("group", "join", "guests", "ana")
    for window in ("day", "month", "none", "week", "none"):
        does("budget", "grant", "ana", "census", "--epsilon", "2", "--delta", "1e-6", "--window", window)
        does("budget", "cap", "census", "--epsilon", "4", "--delta", "1e-7", "--window", window)
        does("budget", "cap", "census", "--group", "guests", "--epsilon", "2", "--delta", "1e-6")
        does("budget", "reset", "ana", "census", "--yes")
    does("budget", "cap", "census", "--off")
    does("budget", "cap", "census", "--reset", "--yes")
    does("budget", "freeze", "ana", "census")
    does("budget", "revoke", "ana", "census", "--yes")
    does("budget", "unfreeze", "ana", "census")
    does("budget", "grant", "ana", "census", "--epsilon", "1", "--delta", "1e-9", "--mode", "pure")
    does("budget", "grant", "ana", "census", "--epsilon", "1", "--delta", "0.000000123456789",
         "--mode", "zcdp")
    does("analyst", "remove", "ana", "--yes")
    ledger.ctl("analyst", "add", "ana", "--password-stdin", stdin="secret\n")
    does("budget", "grant", "ana", "census", "--epsilon", "1", "--delta", "1e-6")
    does("budget", "grant", "ana", "other", "--epsilon", "1", "--delta", "1e-6")
