"""What the ledger keeps: who may have an answer again for nothing, and who takes over whose draw."""
import json
import random
import threading
import uuid

import psycopg2
import pytest

from ledger_server import Behind, LedgerServer, charge, kept_answer, release
from recount import check_all

ONE = "1" * 64    # identities of measures
TWO = "2" * 64
DRAW = "d" * 64   # fingerprints of draws
OTHER = "e" * 64
PRICE = 15_625_000_000


@pytest.fixture
def ledger(server):
    ledger = server.fresh_ledger()
    ledger.analyst(epsilon="3")
    ledger.analyst("bob", epsilon="3")
    yield ledger
    ledger.close()


def ask(ledger, analyst="ana", releases=None, answers=None, epoch="day", **kept):
    """A charge and, of what it did not take over, the keeping. The answer of the charge."""
    releases = releases or [release(PRICE, fingerprint=DRAW)]
    request = str(uuid.uuid4())
    answer = ledger.charge(analyst=analyst, request=request, releases=releases, epoch=epoch)
    answer["request"] = request
    if answer["outcome"] != "ok":
        return answer
    draws = (answer["adopted"] or "0 " * len(releases)).split()
    answers = answers or {0: [kept_answer(ONE, **kept)]}
    fresh = {number: of for number, of in answers.items() if draws[number] == "0"}
    if fresh:
        assert ledger.keep(request, releases, fresh, analyst, epoch=epoch) == "kept"
    return answer


def spent(ledger, holder, name):
    return ledger.one("SELECT mu2_spent_pico FROM pgveil.account "
                      "WHERE holder = %s AND name = %s AND dataset = 'census'", holder, name)


# --- one's own -----------------------------------------------------------------------------------


def test_an_answer_comes_back_as_it_was_kept(ledger):
    keys = ["a", None, 'q"\\,{}', "", "NULL", "nul"]
    ask(ledger, noisy=[12, -(2**100), 0], keys=keys, n_keys=2, mu2=PRICE, delta=5)
    (row,) = ledger.kept(ONE)
    assert (row["release"], row["measure"], row["identity"], row["mechanism"]) == \
        (0, 0, ONE, "gaussian")
    assert (row["scale10"], row["exp2"], row["sensitivity"], row["groups"], row["m"]) == \
        (0, 0, 1, 1, 2**46)
    assert (row["mu2_pico"], row["delta_atto"], row["epsilon_nano"]) == (PRICE, 5, None)
    assert (row["n_keys"], row["keys"], [int(value) for value in row["noisy"]]) == \
        (2, keys, [12, -(2**100), 0])
    assert ledger.kept(TWO) == []
    assert ledger.kept(ONE, dataset="panel") == []


FAMILY, A, B, C = "f" * 64, "a" * 64, "b" * 64, "c" * 64


def finer(identity, keys, noisy, m=2**46, mu2=PRICE):
    """An answer of the family in groups by these keys."""
    return {0: [kept_answer(identity, noisy=noisy, m=m, mu2=mu2, family=FAMILY, fold_keys=keys)]}


def test_finer_groups_are_found_by_family_and_keys(ledger):
    ask(ledger, answers=finer(ONE, [A, B], [1, 2, 3, 4]))
    ask(ledger, answers=finer(TWO, [B, C], [5, 6, 7, 8]))
    ask(ledger, answers={0: [kept_answer("3" * 64, noisy=[9])]})

    def found(question, **who):
        return [row["identity"] for row in ledger.kept(question, **who)]

    assert found(f"{FAMILY}:") == [ONE, TWO]
    assert found(f"{FAMILY}:{A}") == [ONE]
    assert found(f"{FAMILY}:{B}") == [ONE, TWO]
    assert found(f"{FAMILY}:{C}:{B}") == [TWO]
    assert found(f"{FAMILY}:{A}:{C}") == found(f"{FAMILY}:{ONE}") == found(f"{ONE}:") == []
    assert found(FAMILY) == [], "a family is no identity"
    row, = ledger.kept(f"{FAMILY}:{A}")
    assert (row["family"], row["fold_keys"]) == (FAMILY, [A, B])
    assert found(f"{FAMILY}:", analyst="bob") == found(f"{FAMILY}:", dataset="panel") == []
    ledger.ctl("budget", "freeze", "ana", "census")
    assert found(f"{FAMILY}:") == []
    ledger.ctl("budget", "unfreeze", "ana", "census")
    ledger.age("25 hours")
    assert found(f"{FAMILY}:") == [], "another epoch"


def test_an_answer_that_fits_twice_comes_once(ledger):
    ask(ledger, answers=finer(ONE, [A], [1, 2]))
    rows = ledger.rows("SELECT id FROM pgveil.kept('ana', 'census', 'day', %s, 16)",
                       [ONE, f"{FAMILY}:{A}", f"{FAMILY}:"])
    assert len(rows) == 1


def test_of_finer_groups_those_come_that_are_most_exact_once_added_up(ledger):
    """Twenty groupings, the finer ones drawn more exactly, but not as much as their number asks for."""
    for number in range(1, 21):
        ask(ledger, answers=finer(f"{number:064}", [A, f"{number:064}"], [0] * 2 * number**2,
                                  mu2=PRICE * number))
    rows = ledger.kept(f"{FAMILY}:{A}")
    assert sorted(int(row["identity"]) for row in rows) == list(range(1, 17))


def test_family_and_keys_belong_together(ledger):
    for wrong in ({"family": FAMILY}, {"fold_keys": [A]}):
        with pytest.raises(psycopg2.Error, match="kept_answer_check"):
            ask(ledger, answers={0: [kept_answer(ONE, **wrong)]})


def test_nobody_has_what_another_paid_for(ledger):
    ask(ledger)
    assert ledger.kept(ONE, analyst="bob") == []
    assert ledger.kept(ONE, analyst="nobody") == []


def test_what_a_charge_has_not_paid_for_is_not_kept(ledger):
    request, releases = str(uuid.uuid4()), [release(PRICE, fingerprint=DRAW)]
    answers = {0: [kept_answer(ONE)]}
    assert ledger.keep(request, releases, answers) == "unknown"
    ledger.charge(request=request, releases=releases)
    assert ledger.keep(request, releases, answers, analyst="bob") == "unknown"
    assert ledger.keep(request, releases, answers, dataset="panel") == "unknown"
    for wrong in ([release(PRICE + 1, fingerprint=DRAW)], [release(PRICE, delta=1)],
                  [release(PRICE, epsilon=1)], releases * 2,
                  [release(PRICE, measures='[{"m":1}]')]):
        with pytest.raises(psycopg2.Error, match="another content"):
            ledger.keep(request, wrong, answers)
    for place in (-1, 1):
        with pytest.raises(psycopg2.Error, match="has not measured"):
            ledger.keep(request, releases, {place: [kept_answer(ONE)]})
    assert ledger.kept(ONE) == []
    assert ledger.keep(request, releases, answers) == "kept"
    assert ledger.keep(request, releases, {0: [kept_answer(ONE, noisy=[8])]}) == "known"
    assert [int(row["noisy"][0]) for row in ledger.kept(ONE)] == [7]


def test_a_refused_charge_keeps_nothing(ledger):
    request, releases = str(uuid.uuid4()), [release(2**62, fingerprint=DRAW)]
    assert ledger.charge(request=request, releases=releases)["outcome"] == "exceeded"
    assert ledger.keep(request, releases, {0: [kept_answer(ONE)]}) == "unknown"


@pytest.mark.parametrize("epoch, within, beyond", [
    ("hour", None, "61 minutes"), ("day", None, "25 hours"), ("week", None, "8 days"),
    ("month", None, "32 days"), ("none", "1000 days", None)])
def test_an_answer_lasts_as_long_as_the_epoch_in_which_it_was_charged(ledger, epoch, within, beyond):
    ask(ledger, epoch=epoch)
    assert len(ledger.kept(ONE, epoch=epoch)) == 1
    if within:
        ledger.age(within)
        assert len(ledger.kept(ONE, epoch=epoch)) == 1
    if beyond:
        ledger.age(beyond)
        assert ledger.kept(ONE, epoch=epoch) == []
        # Another analyst does not get it either.
        assert ask(ledger, "bob", epoch=epoch)["adopted"] is None


def test_an_answer_does_not_outlive_the_window_that_paid_for_it(ledger):
    ledger.grant("ana", epsilon="3", window="day")
    ask(ledger, epoch="none")
    assert len(ledger.kept(ONE, epoch="none")) == 1
    ledger.age("25 hours")
    assert ledger.kept(ONE, epoch="none") == []


def test_a_change_of_the_grant_within_a_window_takes_no_answer_away(ledger):
    ask(ledger)
    ledger.grant("ana", epsilon="2")
    assert len(ledger.kept(ONE)) == 1
    ledger.ctl("budget", "grant", "ana", "census", "--epsilon", "2", "--delta", "1e-6", "--mode", "zcdp")
    assert len(ledger.kept(ONE)) == 1
    ledger.ctl("budget", "revoke", "ana", "census", "--yes")
    assert ledger.kept(ONE) == []
    ledger.grant("ana", epsilon="3")
    assert len(ledger.kept(ONE)) == 1


def test_a_reset_begins_anew_and_forgets_what_was_paid_for(ledger):
    ask(ledger)
    ledger.ctl("budget", "reset", "ana", "census", "--yes")
    assert ledger.kept(ONE) == []
    assert ledger.spend() == 0
    ask(ledger)
    assert len(ledger.kept(ONE)) == 1


def test_a_window_given_later_ends_what_was_paid_for_without_one(ledger):
    ask(ledger)
    ledger.grant("ana", epsilon="3", window="week")
    assert ledger.kept(ONE) == []


def test_disabled_frozen_and_removed_accounts_get_nothing(ledger):
    ask(ledger)
    ledger.ctl("group", "join", "staff", "ana")
    ledger.ctl("budget", "cap", "census", "--group", "staff", "--epsilon", "3", "--delta", "1e-6")
    assert len(ledger.kept(ONE)) == 1
    ledger.ctl("analyst", "disable", "ana")
    assert ledger.kept(ONE) == []
    ledger.ctl("analyst", "enable", "ana")
    ledger.ctl("budget", "freeze", "ana", "census")
    assert ledger.kept(ONE) == []
    ledger.ctl("budget", "unfreeze", "ana", "census")
    for holder in ("group", "dataset"):
        ledger.rows("UPDATE pgveil.account SET frozen = 'for now' WHERE holder = %s", holder)
        assert ledger.kept(ONE) == []
        ledger.rows("UPDATE pgveil.account SET frozen = NULL WHERE holder = %s", holder)
    assert len(ledger.kept(ONE)) == 1
    ledger.ctl("analyst", "remove", "ana", "--yes")
    assert ledger.kept(ONE) == []
    # What was spent stays with the name, and with it what was bought.
    ledger.analyst(epsilon="3")
    assert ledger.spend() == PRICE
    assert len(ledger.kept(ONE)) == 1


def test_the_most_exact_answers_come_first_and_no_more_than_asked_for(ledger):
    for number in range(5):
        ask(ledger, releases=[release(1000 * (number + 1))], mu2=1000 * (number + 1), noisy=[number])
    assert [int(row["noisy"][0]) for row in ledger.kept(ONE, most=3)] == [4, 3, 2]


def test_a_key_list_comes_with_what_is_measured_on_it(ledger):
    ask(ledger, answers={0: [kept_answer(ONE, noisy=[5, 6], keys=["x", "y"], n_keys=1),
                             kept_answer(TWO, noisy=[1, 2], measure=1, n_keys=1, keys_here=True)]})
    one, two = ledger.kept(TWO)
    assert (one["identity"], two["identity"]) == (TWO, ONE)
    assert one["keys_of"] == two["id"] and two["keys"] == ["x", "y"]
    assert len(ledger.kept(TWO, ONE)) == 2
    three = "3" * 64
    ask(ledger, releases=[release(PRICE)], answers={
        0: [kept_answer(three, noisy=[9, 9], n_keys=1, keys_of=two["id"])]})
    assert [row["identity"] for row in ledger.kept(three)] == [three, ONE]
    # The keys alone are an answer, and an empty list of them too.
    four = "4" * 64
    ask(ledger, releases=[release(PRICE)], answers={0: [kept_answer(four, None, keys=[], n_keys=2)]})
    (row,) = ledger.kept(four)
    assert (row["keys"], row["noisy"]) == ([], None)


def test_a_key_list_of_another_analyst_carries_nothing(ledger):
    ask(ledger, "bob", answers={0: [kept_answer(ONE, keys=["x"], n_keys=1)]})
    (row,) = ledger.kept(ONE, analyst="bob")
    request, releases = str(uuid.uuid4()), [release(PRICE)]
    ledger.charge(request=request, releases=releases)
    with pytest.raises(psycopg2.Error, match="has not paid for the key list"):
        ledger.keep(request, releases, {0: [kept_answer(TWO, n_keys=1, keys_of=row["id"])]})


# --- another's -----------------------------------------------------------------------------------


def test_the_dataset_is_debited_once_for_one_draw(ledger):
    first = ask(ledger)
    second = ask(ledger, "bob")
    draw = ledger.one("SELECT id FROM pgveil.draw")
    assert first["adopted"] is None and second["adopted"] == str(draw)
    assert second["booked_pico"] == second["spent_pico"] == PRICE
    assert spent(ledger, "dataset", "") == PRICE
    assert spent(ledger, "analyst", "ana") == spent(ledger, "analyst", "bob") == PRICE
    (row,) = ledger.adopted(second["request"], "bob")
    assert (row["release"], row["measure"], [int(value) for value in row["noisy"]]) == (0, 0, [7])
    assert ledger.adopted(second["request"], "ana") == []
    assert len(ledger.kept(ONE, analyst="bob")) == 1
    with pytest.raises(psycopg2.Error, match="has not measured"):
        ledger.keep(second["request"], [release(PRICE, fingerprint=DRAW)], {0: [kept_answer(TWO)]}, "bob")
    check_all(ledger)


def test_price_and_history_do_not_tell_what_others_asked(ledger):
    ledger.analyst("cy", epsilon="3")
    ask(ledger)
    adopting = ask(ledger, "bob")
    measuring = ask(ledger, "cy", releases=[release(PRICE, fingerprint=OTHER)])
    told = [{name: value for name, value in answer.items()
             if name not in ("adopted", "request", "dataset_spent_pico")}
            for answer in (adopting, measuring)]
    assert told[0] == told[1]
    histories = [[row[1:] for row in ledger.rows("SELECT * FROM pgveil.history(%s, 'census', 10)", name)]
                 for name in ("bob", "cy")]
    assert histories[0] == histories[1] and len(histories[0]) == 1
    assert histories[0][0][2] == str(PRICE)


@pytest.mark.parametrize("change", [
    {"fingerprint": OTHER}, {"fingerprint": None}, {"mu2": PRICE + 1}, {"delta": 1}, {"epsilon": 5}])
def test_only_the_very_same_draw_is_taken_over(ledger, change):
    ask(ledger)
    asked = {"mu2": PRICE, "fingerprint": DRAW, **change}
    assert ask(ledger, "bob", releases=[release(**asked)])["adopted"] is None
    assert spent(ledger, "dataset", "") == PRICE + asked["mu2"]


def test_a_draw_without_a_fingerprint_is_nobody_elses(ledger):
    ask(ledger, releases=[release(PRICE)])
    assert ask(ledger, "bob", releases=[release(PRICE)])["adopted"] is None
    assert ask(ledger, "bob", releases=[release(PRICE, fingerprint="")])["adopted"] is None


def test_nobody_pays_twice_for_the_same_noise(ledger):
    """Who asks for a fresh draw of what he has does not get the old one, his own or an adopted one."""
    ask(ledger)
    assert ask(ledger)["adopted"] is None
    assert ask(ledger, "bob")["adopted"] == "1"
    assert ask(ledger, "bob")["adopted"] == "2"
    assert ask(ledger, "bob")["adopted"] is None
    assert spent(ledger, "dataset", "") == 3 * PRICE
    assert spent(ledger, "analyst", "bob") == 3 * PRICE
    check_all(ledger)


def test_a_draw_that_was_charged_but_never_kept_is_not_taken_over(ledger):
    ledger.charge(releases=[release(PRICE, fingerprint=DRAW)])
    assert ask(ledger, "bob")["adopted"] is None
    assert spent(ledger, "dataset", "") == 2 * PRICE


def test_a_reset_of_the_datasets_cap_ends_the_sharing(ledger):
    ask(ledger)
    ledger.ctl("budget", "cap", "census", "--reset", "--yes")
    assert spent(ledger, "dataset", "") == 0
    assert ask(ledger, "bob")["adopted"] is None
    assert spent(ledger, "dataset", "") == PRICE


def test_a_new_window_of_the_dataset_ends_the_sharing(ledger):
    ledger.ctl("budget", "cap", "census", "--epsilon", "3", "--delta", "1e-6", "--window", "day")
    ask(ledger, epoch="none")
    ledger.age("25 hours")
    # Ana, whose own budget has no window, still has it; the dataset's new window never counted it.
    assert len(ledger.kept(ONE, epoch="none")) == 1
    assert ask(ledger, "bob", epoch="none")["adopted"] is None
    assert spent(ledger, "dataset", "") == PRICE


def test_a_group_is_debited_for_a_draw_once_each(ledger):
    for name in ("cy", "di"):
        ledger.analyst(name, epsilon="3")
    for group, names in (("north", ("bob", "cy")), ("south", ("di",)), ("all", ("ana", "di"))):
        for name in names:
            ledger.ctl("group", "join", group, name)
        ledger.ctl("budget", "cap", "census", "--group", group, "--epsilon", "3", "--delta", "1e-6")
    ask(ledger)                                     # ana: all
    assert [spent(ledger, "group", name) for name in ("north", "south", "all")] == [0, 0, PRICE]
    assert ask(ledger, "bob")["adopted"] == "1"      # north, for the first time
    assert ask(ledger, "cy")["adopted"] == "1"       # north has been debited
    assert ask(ledger, "di")["adopted"] == "1"       # south, and all has been debited
    assert [spent(ledger, "group", name) for name in ("north", "south", "all")] == [PRICE] * 3
    assert spent(ledger, "dataset", "") == PRICE
    check_all(ledger)


def test_a_group_that_was_reset_is_debited_again(ledger):
    for name in ("ana", "bob"):
        ledger.ctl("group", "join", "staff", name)
    ledger.ctl("budget", "cap", "census", "--group", "staff", "--epsilon", "3", "--delta", "1e-6")
    ask(ledger)
    ledger.ctl("budget", "cap", "census", "--group", "staff", "--reset", "--yes")
    assert spent(ledger, "group", "staff") == 0
    assert ask(ledger, "bob")["adopted"] == "1"
    assert (spent(ledger, "group", "staff"), spent(ledger, "dataset", "")) == (PRICE, PRICE)
    check_all(ledger)


def test_who_joins_a_group_later_does_not_make_it_pay_less(ledger):
    """The group was not debited for what its new member asked before."""
    ledger.ctl("group", "join", "staff", "bob")
    ledger.ctl("budget", "cap", "census", "--group", "staff", "--epsilon", "3", "--delta", "1e-6")
    ask(ledger)
    ledger.ctl("group", "join", "staff", "ana")
    ask(ledger, "bob")
    assert spent(ledger, "group", "staff") == PRICE
    check_all(ledger)


@pytest.mark.parametrize("mode", ["gdp", "zcdp", "pure"])
def test_a_full_cap_of_the_dataset_lets_the_same_draw_pass_and_no_other(ledger, mode):
    half = 500_000_000
    prices = {"mu2": 600_000_000_000, "epsilon": half} if mode == "pure" else {"mu2": PRICE}
    epsilon = "0.5" if mode == "pure" else "1"
    ledger.ctl("budget", "cap", "census", "--epsilon", epsilon, "--delta", "1e-6", "--mode", mode)
    cap = ledger.one("SELECT cap_pico FROM pgveil.account WHERE holder = 'dataset'")
    if mode != "pure":
        prices["mu2"] = cap
        for name in ("ana", "bob"):
            ledger.ctl("budget", "grant", name, "census", "--epsilon", "3", "--delta", "1e-6",
                       "--mode", mode)
    releases = [release(**prices, fingerprint=DRAW)]
    assert ask(ledger, releases=releases)["outcome"] == "ok"
    other = ask(ledger, "bob", releases=[release(**prices, fingerprint=OTHER)])
    assert (other["outcome"], other["refused_by"]) == ("exceeded", "dataset")
    assert ask(ledger, "bob", releases=releases)["adopted"] == "1"
    check_all(ledger)


def test_the_own_cap_holds_for_draws_that_are_taken_over(ledger):
    ledger.grant("bob", epsilon="0.1")
    ask(ledger)
    refused = ask(ledger, "bob")
    assert (refused["outcome"], refused["refused_by"]) == ("exceeded", "analyst")
    assert refused["booked_pico"] == PRICE
    assert ledger.kept(ONE, analyst="bob") == []


def test_pure_accounts_stay_pure_by_what_they_are_debited_for(ledger):
    def pure():
        return dict(ledger.rows("SELECT name, all_pure FROM pgveil.account"))

    ask(ledger, releases=[release(PRICE, epsilon=100_000_000, fingerprint=DRAW)])
    ask(ledger, "bob", releases=[release(PRICE, epsilon=100_000_000, fingerprint=DRAW)])
    assert pure() == {"": True, "ana": True, "bob": True}
    ask(ledger, releases=[release(PRICE, fingerprint=OTHER)])
    assert pure() == {"": False, "ana": False, "bob": True}
    mixed = ask(ledger, "bob", releases=[release(1000, epsilon=5), release(PRICE, fingerprint=OTHER)],
                answers={0: [kept_answer(TWO)], 1: [kept_answer(ONE)]})
    assert mixed["adopted"] == "0 2"
    assert pure() == {"": False, "ana": False, "bob": False}
    recount = check_all(ledger)
    assert recount.spent("analyst", "bob")["epsilon"] == 100_000_000


def test_a_statement_may_take_over_one_release_and_measure_another(ledger):
    ask(ledger)
    releases = [release(3000, delta=2, measures='[{"a":1}]'.replace('{"a":1}', "")),
                release(PRICE, fingerprint=DRAW), release(5000, delta=3)]
    answers = {number: [kept_answer(str(number + 3) * 64)] for number in range(3)}
    answer = ask(ledger, "bob", releases=releases, answers=answers)
    assert answer["adopted"] == "0 1 0"
    assert answer["booked_pico"] == PRICE + 8000
    assert spent(ledger, "dataset", "") == PRICE + 8000
    assert [row["release"] for row in ledger.adopted(answer["request"], "bob")] == [1]
    kinds = ledger.rows("SELECT kind, mu2_pico, delta_atto, cardinality(debited) FROM pgveil.journal "
                        "WHERE request = %s ORDER BY seq", answer["request"])
    assert kinds == [("charge", 8000, 5, 2), ("adoption", PRICE, 0, 1)]
    assert ledger.rows("SELECT mu2_pico, delta FROM pgveil.history('bob', 'census', 9)") == \
        [(str(PRICE + 8000), "0.000000000000000005")]
    check_all(ledger)


def test_a_draw_serves_one_release_of_a_statement(ledger):
    ask(ledger)
    releases = [release(PRICE, fingerprint=DRAW)] * 2
    answer = ask(ledger, "bob", releases=releases,
                 answers={0: [kept_answer(ONE)], 1: [kept_answer(ONE)]})
    assert answer["adopted"] == "1 0"
    assert spent(ledger, "dataset", "") == 2 * PRICE
    check_all(ledger)


def test_the_minimum_is_paid_whatever_is_taken_over(ledger):
    cheap = [release(10, fingerprint=DRAW)]
    ask(ledger, releases=cheap)
    answer = ask(ledger, "bob", releases=cheap)
    assert answer["adopted"] == "1" and answer["booked_pico"] == answer["spent_pico"] == 1000
    assert spent(ledger, "dataset", "") == 1000 + 990
    check_all(ledger)


def test_a_retry_of_a_charge_tells_the_same_draws_and_debits_once(ledger):
    ask(ledger)
    request, releases = str(uuid.uuid4()), [release(2000), release(PRICE, fingerprint=DRAW)]
    answers = [ledger.charge(analyst="bob", request=request, releases=releases) for _ in range(3)]
    assert [answer["adopted"] for answer in answers] == ["0 1"] * 3
    assert {answer["booked_pico"] for answer in answers} == {PRICE + 2000}
    assert ledger.spend("bob") == PRICE + 2000
    for wrong in ([releases[1], releases[0]], [releases[0]], releases * 2,
                  [release(2001), releases[1]], [release(2000), release(PRICE + 1, fingerprint=DRAW)]):
        with pytest.raises(psycopg2.Error, match="another content"):
            ledger.charge(analyst="bob", request=request, releases=wrong)
    check_all(ledger)


def test_a_draw_on_a_key_list_goes_only_to_who_has_that_list(ledger):
    ask(ledger, answers={0: [kept_answer(ONE, keys=["x"], n_keys=1)]})
    (keys,) = ledger.kept(ONE)
    on_keys = [release(PRICE, fingerprint=OTHER)]
    ask(ledger, releases=on_keys, answers={0: [kept_answer(TWO, n_keys=1, keys_of=keys["id"])]})
    measured = {0: [kept_answer("3" * 64)]}
    assert ask(ledger, "bob", releases=on_keys, answers=measured)["adopted"] is None
    ledger.analyst("cy", epsilon="3")
    assert ask(ledger, "cy")["adopted"] == "1"
    assert ask(ledger, "cy", releases=on_keys)["adopted"] == "2"
    assert [row["identity"] for row in ledger.kept(TWO, analyst="cy")] == [TWO, ONE]
    check_all(ledger)


def test_datasets_over_one_database_count_a_shared_draw_once_each(ledger):
    ledger.analyst("cy", epsilon="3")
    for dataset in ("census", "panel"):
        ledger.rows("SELECT pgveil.serve(%s, 'one database')", dataset)
    ledger.grant("ana", "panel", epsilon="3")

    def shared():
        return dict(ledger.rows("SELECT dataset, mu2_spent_pico FROM pgveil.account "
                                "WHERE holder = 'dataset'"))

    ask(ledger)
    assert ask(ledger, "bob")["adopted"] == "1"
    assert shared() == {"census": PRICE, "panel": PRICE}
    ledger.ctl("ledger", "verify")
    # What the one has forgotten is debited again on both: what debits the one counts on the other.
    ledger.ctl("budget", "cap", "panel", "--reset", "--yes")
    assert ask(ledger, "cy")["adopted"] == "1"
    assert shared() == {"census": 2 * PRICE, "panel": PRICE}
    ledger.ctl("ledger", "verify")


# --- races ---------------------------------------------------------------------------------------


def at_once(ledger, n, work):
    """work(index, cursor) in n threads with a connection each, all let go together."""
    barrier, results, failures = threading.Barrier(n), [None] * n, []

    def run(index):
        connection = ledger.server.connect(ledger.database)
        try:
            with connection.cursor() as cursor:
                barrier.wait()
                results[index] = work(index, cursor)
        except Exception as failure:  # reported below, in the test's own thread
            failures.append(failure)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(index,)) for index in range(n)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert not failures, failures
    return results


def test_many_who_take_over_one_draw_at_once_debit_the_dataset_once(ledger):
    names = [f"analyst{number}" for number in range(8)]
    for name in names:
        ledger.analyst(name, epsilon="3")
        ledger.ctl("group", "join", "staff", name)
    ledger.ctl("budget", "cap", "census", "--group", "staff", "--epsilon", "3", "--delta", "1e-6")
    ask(ledger)
    answers = at_once(ledger, 8, lambda index, cursor: ledger.charge(
        analyst=names[index], releases=[release(PRICE, fingerprint=DRAW)], cursor=cursor))
    assert [answer["adopted"] for answer in answers] == ["1"] * 8
    assert spent(ledger, "dataset", "") == spent(ledger, "group", "staff") == PRICE
    check_all(ledger)


def test_instances_that_race_never_debit_the_dataset_less_than_the_draws_made(ledger):
    """Who charges before the other has kept makes a draw of his own, and everybody pays for both."""
    names = ["ana", "bob"] + [f"analyst{number}" for number in range(4)]
    for name in names[2:]:
        ledger.analyst(name, epsilon="3")
    releases = [release(1000 + PRICE // 100, fingerprint=DRAW)]

    def work(index, cursor):
        adopted = 0
        for _ in range(10):
            request = str(uuid.uuid4())
            answer = ledger.charge(analyst=names[index], request=request, releases=releases,
                                   cursor=cursor)
            assert answer["outcome"] == "ok"
            if answer["adopted"] is None:
                cursor.execute("SELECT pgveil.keep(%s, %s, 'census', 'day', %s, %s)", (
                    request, names[index], "[" + ",".join(releases) + "]",
                    json.dumps([{"release": 0, "answers": [kept_answer(ONE)]}])))
            adopted += answer["adopted"] is not None
        return adopted

    adopted = sum(at_once(ledger, len(names), work))
    draws = ledger.one("SELECT count(*) FROM pgveil.draw")
    assert draws + adopted == 60 and draws >= 10
    assert spent(ledger, "dataset", "") == draws * (1000 + PRICE // 100)
    check_all(ledger)


def test_a_race_for_the_last_of_the_datasets_cap_never_goes_over_it(ledger):
    ledger.ctl("budget", "cap", "census", "--epsilon", "1", "--delta", "1e-6")
    cap = ledger.one("SELECT cap_pico FROM pgveil.account WHERE holder = 'dataset'")
    third = cap // 3
    releases = [[release(third, fingerprint=str(number) * 64)] for number in range(4)]
    ask(ledger, releases=releases[0])

    def work(index, cursor):
        name = ("ana", "bob")[index % 2]
        return [ledger.charge(analyst=name, releases=releases[number], cursor=cursor)["outcome"]
                for number in range(4)]

    outcomes = at_once(ledger, 6, work)
    assert any("exceeded" in of for of in outcomes)
    assert spent(ledger, "dataset", "") == 3 * third <= cap
    check_all(ledger)


def test_a_draw_is_not_given_before_the_payment_for_it_is_on_disk():
    """A debit shows before it is durable. What it pays for must not be read through another session, and
    the payment be lost in a crash."""
    server = LedgerServer()
    try:
        ledger = server.fresh_ledger()
        for analyst in ("ana", "bob"):
            ledger.analyst(analyst, epsilon="3")
        ask(ledger)
        ledger.rows("CHECKPOINT")  # with what is kept, which nobody waits for
        server.execute("ALTER SYSTEM SET wal_writer_delay = '10s'")
        server.execute("SELECT pg_reload_conf()")
        ledger.rows("SELECT pg_sleep(0.5)")  # the wal writer has slept its last short sleep
        unfinished = charge([release(PRICE, fingerprint=DRAW)], "bob")
        ledger.rows("SET synchronous_commit = off")
        ledger.rows("SELECT pgveil.debit('census', %s)", f"[{unfinished}]")
        ledger.reconnect()
        assert len(ledger.kept(ONE, analyst="bob")) == 1
        server.restart()
        ledger.reconnect()
        assert spent(ledger, "analyst", "bob") == PRICE and len(ledger.kept(ONE, analyst="bob")) == 1
        check_all(ledger)
        ledger.close()
    finally:
        server.remove()


def cut_short(server):
    """Cancels the session that waits for a standby."""
    stopped = 0
    while not stopped:
        (stopped,), = server.execute("SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity"
                                     " WHERE wait_event = 'SyncRep'")


def test_a_wait_for_a_standby_that_is_cut_short_before_a_draw_is_given_is_warned_of():
    """All that pgveil has to tell it by: what the ledger warns of is not believed."""
    server = LedgerServer()
    try:
        ledger = server.fresh_ledger()
        for analyst in ("ana", "bob"):
            ledger.analyst(analyst, epsilon="3")
        ask(ledger)
        unfinished = charge([release(PRICE, fingerprint=DRAW)], "bob")
        ledger.rows("SELECT pgveil.debit('census', %s)", f"[{unfinished}]")
        server.execute("ALTER SYSTEM SET synchronous_standby_names = 'away'")
        server.execute("SELECT pg_reload_conf()")
        while ledger.one("SHOW synchronous_standby_names") != "away":
            pass
        ledger.rows("SET client_min_messages = error")
        del ledger.connection.notices[:]
        canceller = threading.Thread(target=cut_short, args=(server,))
        canceller.start()
        assert len(ledger.kept(ONE, analyst="bob")) == 1
        canceller.join()
        assert [notice.startswith("WARNING") for notice in ledger.connection.notices] == [True]
        ledger.close()
    finally:
        server.remove()


def test_a_draw_that_was_answered_is_given_again_without_a_wait_for_the_disk(ledger):
    ask(ledger)
    request = ask(ledger, "bob")["request"]
    ledger.one("SELECT pgveil.resolve(%s, true)", request)
    before = ledger.one("SELECT pg_current_xact_id()::text")
    assert len(ledger.kept(ONE, analyst="bob")) == 1
    assert int(ledger.one("SELECT pg_current_xact_id()::text")) == int(before) + 1


def test_draws_are_forgotten_behind_a_charge_that_takes_one_over(ledger):
    """Both need the journal's head and the draw: in the same order."""
    ask(ledger)
    behind = Behind(ledger)
    behind.line_up(lambda cursor: ledger.charge(
        analyst="bob", releases=[release(PRICE, fingerprint=DRAW)], cursor=cursor)["adopted"])
    behind.line_up(lambda cursor: cursor.execute("SELECT pgveil.answers_forget('census', NULL, NULL)"))
    assert behind.let_go() == ["1", None]
    assert ledger.one("SELECT count(*) FROM pgveil.draw") == 0
    check_all(ledger)


# --- what a DBA does -----------------------------------------------------------------------------


def test_answers_are_listed_and_forgotten(ledger):
    ask(ledger)
    ask(ledger, "bob")
    ask(ledger, releases=[release(2000, fingerprint=OTHER)], noisy=[1, 2, 3], n_keys=1, keys=["a", "b", "c"])
    rows = ledger.table("answers", "list")
    assert [(row["draw"], row["analysts"], row["n_answers"], row["n_groups"], row["mu2_pico"])
            for row in rows] == [(2, ["ana"], 1, 3, 2000), (1, ["ana", "bob"], 1, 1, PRICE)]
    assert rows[1]["entry"] == ledger.one("SELECT seq FROM pgveil.draw WHERE id = 1")
    assert len(ledger.table("answers", "list", "census", "-a", "bob")) == 1
    ledger.grant(dataset="panel")
    assert ledger.table("answers", "list", "panel") == []

    # Ana forgets what she shares with bob, who does not; nothing is given back.
    ledger.ctl("answers", "forget", "census", "-a", "ana", "--draw", "1", "--yes")
    assert ledger.kept(ONE, analyst="bob") and ledger.spend() == PRICE + 2000
    assert [row["draw"] for row in ledger.table("answers", "list", "-a", "ana")] == [2]
    ledger.ctl("answers", "forget", "census", "--dry-run")
    assert len(ledger.table("answers", "list")) == 2
    ledger.ctl("answers", "forget", "census", "--yes")
    assert ledger.table("answers", "list") == [] and ledger.kept(ONE, analyst="bob") == []
    details = ledger.rows("SELECT analyst, detail FROM pgveil.journal WHERE kind = 'forget' ORDER BY seq")
    assert details == [("ana", "1 kept draws"), ("", "2 kept draws")]
    check_all(ledger)


def test_forgetting_asks_first_and_says_what_there_is_not(ledger):
    ask(ledger)
    done = ledger.ctl("answers", "forget", "census", check=False, stdin="")
    assert done.returncode == 2 and "--yes" in done.stderr
    done = ledger.ctl("answers", "forget", "panel", "--yes", check=False)
    assert done.returncode == 1 and "no dataset panel" in done.stderr
    ledger.grant(dataset="panel")
    done = ledger.ctl("answers", "forget", "panel", "--yes", check=False)
    assert done.returncode == 1 and "nothing is kept" in done.stderr
    done = ledger.ctl("answers", "forget", "census", "--draw", "x", "--yes", check=False)
    assert done.returncode == 2 and "--draw" in done.stderr
    assert len(ledger.table("answers", "list")) == 1


def test_expired_draws_are_deleted_some_at_a_time(ledger):
    ask(ledger)
    ledger.age("3 days")
    for number in range(65):
        ask(ledger, releases=[release(1000)], answers={0: [kept_answer(f"{number:064}")]})
    assert ledger.one("SELECT count(*) FROM pgveil.draw WHERE id = 1") == 0
    assert ledger.one("SELECT count(*) FROM pgveil.draw") == 65


def ids(ledger):
    return [number for number, in ledger.rows("SELECT id FROM pgveil.draw ORDER BY id")]


def test_no_more_than_32_draws_of_one_identity_are_kept_and_these_the_most_exact(ledger):
    for number in range(40):
        ask(ledger, releases=[release(1000 + number)], mu2=1000 + number, noisy=[number])
    assert ids(ledger) == list(range(9, 41))
    ask(ledger, releases=[release(500)], mu2=500)
    assert ids(ledger) == list(range(9, 41))
    assert [int(row["noisy"][0]) for row in ledger.kept(ONE, most=2)] == [39, 38]
    check_all(ledger)


def test_a_surpassed_draw_stays_while_something_else_needs_it(ledger):
    """Another answer of the draw, another analyst, what is measured on its keys."""
    ask(ledger, releases=[release(10)], answers={0: [kept_answer(ONE, mu2=10),
                                                     kept_answer(TWO, measure=1, mu2=10)]})
    ask(ledger, releases=[release(10, fingerprint=DRAW)], mu2=10)
    ask(ledger, "bob", releases=[release(10, fingerprint=DRAW)], mu2=10)
    ask(ledger, releases=[release(10)], mu2=10, n_keys=1, keys=["a"])
    ask(ledger, releases=[release(10)], mu2=10, n_keys=1, keys=["a"])
    first, second = [row["id"] for row in ledger.kept(ONE) if row["keys"]]
    assert first < second
    ask(ledger, releases=[release(10)],
        answers={0: [kept_answer("3" * 64, n_keys=1, keys_of=first)]})
    ask(ledger, "bob", releases=[release(10)], mu2=10)
    assert ids(ledger) == [1, 2, 3, 4, 5, 6]
    for number in range(32):
        ask(ledger, releases=[release(1000)])
    assert ids(ledger)[:5] == [1, 2, 3, 5, 6] and len(ledger.kept("3" * 64)) == 2
    check_all(ledger)


@pytest.mark.parametrize("damage, finding", [
    ("UPDATE pgveil.journal SET debited = '{}' WHERE kind = 'adoption'", "was not debited for it"),
    ("UPDATE pgveil.journal SET detail = replace(detail, '\"of\":', '\"of\":9') "
     "WHERE kind = 'adoption'", "no other analyst was charged for"),
    ("UPDATE pgveil.journal SET request = gen_random_uuid() WHERE kind = 'adoption'",
     "follows no charge"),
    ("UPDATE pgveil.journal SET mu2_pico = 1 WHERE kind = 'adoption'", "does not show what")])
def test_verify_finds_adoptions_that_were_changed(ledger, damage, finding):
    ask(ledger)
    ask(ledger, "bob")
    ledger.ctl("ledger", "verify")
    ledger.rows("SET session_replication_role = replica")
    ledger.rows(damage)
    done = ledger.ctl("ledger", "verify", "--json", check=False)
    findings = [row["finding"] for row in json.loads(done.stdout)]
    assert done.returncode == 1 and any(finding in text for text in findings), findings
    assert any("its hash does not fit" in text for text in findings)


def test_verify_finds_a_draw_that_an_account_was_never_debited_for(ledger):
    """An adoption that spares the dataset although the dataset's window never counted the draw."""
    ask(ledger)
    ask(ledger, "bob")
    ledger.rows("SET session_replication_role = replica")
    ledger.rows("UPDATE pgveil.account SET counted_from = 8, mu2_spent_pico = 0 WHERE holder = 'dataset' "
                "AND 8 > (SELECT seq FROM pgveil.draw)")
    before = ledger.one("SELECT seq FROM pgveil.draw")
    ledger.rows("UPDATE pgveil.account SET counted_from = %s WHERE holder = 'dataset'", before)
    done = ledger.ctl("ledger", "verify", "--json", check=False)
    findings = [row["finding"] for row in json.loads(done.stdout)]
    assert [text for text in findings if "was not debited for it" in text], findings


# --- everything at once --------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_a_random_life_is_accounted_for_to_the_last_unit(ledger, seed):
    """Analysts, groups, resets and shared draws at random, against the recount from the journal."""
    dice = random.Random(seed)
    names = ["ana", "bob", "cy", "di"]
    for name in names[2:]:
        ledger.analyst(name, epsilon="3")
    for group in ("north", "south"):
        ledger.ctl("budget", "cap", "census", "--group", group, "--epsilon", "3", "--delta", "1e-6")
    member = "SELECT pgveil.member(%s, %s, %s)"
    change = "SELECT pgveil.change_budget(%s, %s, 'census', 'reset')"
    outcomes = {}
    for _ in range(150):
        kind = dice.random()
        if kind < 0.08:
            ledger.rows(member, dice.choice(["north", "south"]), dice.choice(names),
                        dice.random() < 0.7)
        elif kind < 0.13:
            ledger.rows(change, *dice.choice([("dataset", ""), ("group", "north"), ("group", "south"),
                                              *(("analyst", name) for name in names)]))
        else:
            releases = [release(dice.choice([100, 5000, PRICE]), dice.choice([0, 7]),
                                dice.choice([None, 40_000]), dice.choice([DRAW, OTHER, None]))
                        for _ in range(dice.randint(1, 3))]
            answers = {number: [kept_answer(ONE)] for number in range(len(releases))}
            answer = ask(ledger, dice.choice(names), releases=releases, answers=answers)
            word = answer["outcome"] + (" adopted" if answer["adopted"] else "")
            outcomes[word] = outcomes.get(word, 0) + 1
    assert outcomes["ok"] > 20 and outcomes["ok adopted"] > 5, outcomes
    check_all(ledger)
