"""Charges that go to the ledger together: each is decided as if it came alone, and all or none are there."""
import random
import threading
import time
import uuid

import psycopg2
import pytest

from ledger_server import LedgerServer, charge, kept_answer, release, unpacked
from recount import check_all

PRICE = 1_000_000_000
DRAW, OTHER, THIRD = "d" * 64, "e" * 64, "f" * 64
NAMES = ["ana", "bob", "cy", "di"]


@pytest.fixture
def ledger(server):
    ledger = server.fresh_ledger()
    for name in NAMES:
        ledger.analyst(name, epsilon="3")
    yield ledger
    ledger.close()


def group(ledger, name, members, epsilon="3"):
    for member in members:
        ledger.ctl("group", "join", name, member)
    ledger.ctl("budget", "cap", "census", "--group", name, "--epsilon", epsilon, "--delta", "1e-6")


def drawn(ledger, fingerprint, analyst="ana"):
    """A draw of the analyst that others may take over."""
    request, releases = str(uuid.uuid4()), [release(PRICE, fingerprint=fingerprint)]
    assert ledger.charge(analyst=analyst, request=request, releases=releases)["outcome"] == "ok"
    assert ledger.keep(request, releases, {0: [kept_answer(fingerprint)]}, analyst) == "kept"


def spent(ledger, holder, name):
    return ledger.one("SELECT mu2_spent_pico FROM pgveil.account "
                      "WHERE holder = %s AND name = %s AND dataset = 'census'", holder, name)


# --- one after the other --------------------------------------------------------------------------


def effect(ledger, batches):
    """The answers to these batches and what is in the ledger after them; then it is undone."""
    ledger.rows("BEGIN")
    try:
        answers = []
        for wanted in batches:
            answers += unpacked(ledger.one("SELECT pgveil.packed(pgveil.debit('census', %s))",
                                           "[" + ",".join(wanted) + "]"))
        # The sequence of its ids does not go back with the transaction, nothing of it shows here.
        return answers, *(ledger.rows(f"SELECT t::text FROM pgveil.{table} t ORDER BY 1")
                          for table in ("account", "journal", "head", "paid"))
    finally:
        ledger.rows("ROLLBACK")


def random_charge(dice, known):
    if known and dice.random() < 0.1:
        return dice.choice(known)  # as it came before
    releases = [release(PRICE, fingerprint=dice.choice([DRAW, OTHER, THIRD])) if dice.random() < 0.4
                else release(dice.choice([1, 100, 5000, 8 * PRICE]), dice.choice([0, 7]),
                             dice.choice([None, 40_000]))
                for _ in range(dice.randint(1, 3))]
    return charge(releases, dice.choice([*NAMES, "eve", "nobody"]))


@pytest.mark.parametrize("seed", range(4))
def test_a_batch_does_what_its_charges_would_do_one_by_one(ledger, seed):
    dice = random.Random(seed)
    group(ledger, "north", ["ana", "bob"])
    group(ledger, "south", ["bob", "cy"], epsilon="0.5")
    ledger.grant("ana", "census", "3", window="day")
    ledger.grant("di", "census", "0.2")
    ledger.ctl("budget", "cap", "census", "--epsilon", "10", "--delta", "1e-6")
    ledger.ctl("analyst", "add", "eve", "--password-stdin", stdin="secret\n")
    for name in ("ana", "bob"):
        ledger.rows("SELECT pgveil.serve(%s, 'one database')", "census")
        ledger.rows("SELECT pgveil.serve(%s, 'one database')", "panel")
        ledger.grant(name, "panel", "1")
    # The ledger's clock stands still: nothing differs by the time at which it is done.
    ledger.rows("UPDATE pgveil.head SET at = '2100-03-01 12:00+00'")
    drawn(ledger, DRAW)
    drawn(ledger, OTHER, "bob")
    outcomes, known = set(), []
    for number in range(12):
        if number == 6:
            ledger.rows("UPDATE pgveil.head SET at = '2100-03-02 12:00+00'")
            drawn(ledger, THIRD)
            ledger.ctl("analyst", "disable", "di")
        # The same one twice cannot be: it is asked again only once it was answered.
        wanted = list(dict.fromkeys(random_charge(dice, known) for _ in range(dice.randint(2, 20))))
        together = effect(ledger, [wanted])
        assert together == effect(ledger, [[one] for one in wanted])
        answers = ledger.charges(wanted)
        assert answers == together[0]
        outcomes |= {(answer["outcome"], answer["refused_by"], "1" in (answer["adopted"] or ""))
                     for answer in answers}
        known += wanted
    assert {outcome for outcome, _, _ in outcomes} == {"ok", "exceeded", "frozen", "no_account"}
    assert {by for outcome, by, _ in outcomes if outcome == "exceeded"} >= {"analyst", "group"}
    assert ("ok", None, True) in outcomes
    ledger.ctl("ledger", "verify")


def test_several_of_a_batch_take_over_one_draw_and_what_they_share_is_debited_once(ledger):
    group(ledger, "staff", ["bob", "cy", "di"])
    drawn(ledger, DRAW)
    answers = ledger.charges([charge([release(PRICE, fingerprint=DRAW)], name)
                              for name in ("bob", "cy", "di", "bob")])
    assert [answer["adopted"] for answer in answers] == ["1", "1", "1", None]
    assert spent(ledger, "group", "staff") == 2 * PRICE
    assert spent(ledger, "dataset", "") == 2 * PRICE
    assert spent(ledger, "analyst", "bob") == 2 * PRICE
    assert spent(ledger, "analyst", "cy") == PRICE
    check_all(ledger)


def test_what_does_not_fit_leaves_the_rest_of_the_batch_as_it_is(ledger):
    cap = ledger.account()["cap_pico"]
    answers = ledger.charges([charge([release(price)]) for price in
                              (5000, cap, cap - 5000 - 2000, 3000, 2000, 1000)])
    assert [answer["outcome"] for answer in answers] == ["ok", "exceeded", "ok", "exceeded", "ok",
                                                         "exceeded"]
    assert [answer["spent_pico"] for answer in answers] == [5000, 5000, cap - 2000, cap - 2000, cap, cap]
    assert ledger.spend() == cap
    check_all(ledger)


def test_an_error_undoes_the_whole_batch(ledger):
    good = charge([release(5000)])
    (before,) = ledger.charges([good])
    for wrong in (charge([release(6000)], request=good.split('"')[3]), charge([release(-1)]),
                  charge([release(2**63)]), charge([]), charge([release(5000)], request="x"),
                  charge([release(5000)]).replace('"ana"', "null"),
                  charge([release(5000)]).replace('"day"', "null")):
        with pytest.raises(psycopg2.Error):
            ledger.charges([charge([release(7000)]), wrong, charge([release(8000)], "bob")])
    fresh = charge([release(5000)])
    with pytest.raises(psycopg2.Error):  # no batch has a request twice
        ledger.charges([fresh, fresh])
    assert ledger.charges([good]) == [before | {"adopted": "0"}]
    assert (ledger.spend(), ledger.spend("bob")) == (5000, 0)
    assert ledger.one("SELECT count(*) FROM pgveil.journal WHERE kind = 'charge'") == 1
    check_all(ledger)


def test_a_new_window_begins_for_the_accounts_that_are_debited(ledger):
    for name in ("ana", "bob"):
        ledger.grant(name, "census", "3", window="day")
    ledger.rows("UPDATE pgveil.head SET at = '2100-03-01 12:00+00'")
    ledger.charges([charge([release(5000)], name) for name in ("ana", "bob", "ana")])
    ledger.rows("UPDATE pgveil.head SET at = '2100-03-02 12:00+00'")
    answers = ledger.charges([charge([release(price)], name) for name, price in
                              (("ana", 2000), ("bob", 10**15), ("ana", 3000))])
    assert [answer["spent_pico"] for answer in answers] == [2000, 0, 5000]
    assert [answer["outcome"] for answer in answers] == ["ok", "exceeded", "ok"]
    assert {answer["window_ends"] for answer in answers} == {"2100-03-03T00:00:00.000000Z"}
    assert (ledger.spend(), ledger.spend("bob")) == (5000, 0)
    check_all(ledger)


# --- races and crashes -----------------------------------------------------------------------------


def charged_at_last(ledger, cursor, wanted):
    """Sent again where meanwhile an analyst has joined a group or left one."""
    while True:
        try:
            return ledger.charges(wanted, cursor=cursor)
        except psycopg2.errors.SerializationFailure:
            continue


def test_batches_of_several_instances_in_any_order_of_analysts_add_up(ledger):
    """With what else takes locks on accounts under way. No batch fails for a deadlock: locks have one order."""
    group(ledger, "north", ["ana", "bob"])
    group(ledger, "south", ["bob", "cy"])
    failures, booked, ends = [], [], threading.Event()

    def spend(seed):
        dice = random.Random(seed)
        connection = ledger.server.connect(ledger.database)
        try:
            with connection.cursor() as cursor:
                for _ in range(25):
                    wanted = [(dice.choice(NAMES), dice.randint(1000, 9999), str(uuid.uuid4()))
                              for _ in range(dice.randint(1, 30))]
                    answers = charged_at_last(ledger, cursor, [
                        charge([release(price)], name, request) for name, price, request in wanted])
                    assert [answer["outcome"] for answer in answers] == ["ok"] * len(wanted)
                    booked.extend(wanted)
                    for _, _, request in wanted[:3]:
                        cursor.execute("SELECT pgveil.resolve(%s, %s)", (request, dice.random() < 0.7))
        except Exception as failure:  # reported below, in the test's own thread
            failures.append(failure)
        connection.close()

    def administer():
        connection = ledger.server.connect(ledger.database)
        with connection.cursor() as cursor:
            while not ends.is_set():
                cursor.execute("SELECT pgveil.member('north', 'di', %s)", (random.random() < 0.5,))
                cursor.execute("SELECT pgveil.change_budget('group', 'south', 'census', 'reset')")
        connection.close()

    ledger.rows("UPDATE pgveil.setting SET value = 1000000 WHERE name = 'failures_max'")
    administrator = threading.Thread(target=administer)
    administrator.start()
    threads = [threading.Thread(target=spend, args=(seed,)) for seed in range(6)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    ends.set()
    administrator.join()
    assert not failures, failures
    for name in NAMES:
        assert ledger.spend(name) == sum(price for who, price, _ in booked if who == name)
    assert spent(ledger, "dataset", "") == sum(price for _, price, _ in booked)
    check_all(ledger)


def test_kill_9_of_the_ledger_server_leaves_each_batch_whole_and_loses_none_that_was_confirmed():
    server = LedgerServer()
    try:
        ledger = server.fresh_ledger()
        ledger.analyst()
        sent, confirmed = [], []

        def spend(seed):
            dice = random.Random(seed)
            try:
                connection = server.connect(ledger.database)
                with connection.cursor() as cursor:
                    while True:
                        requests = [str(uuid.uuid4()) for _ in range(dice.randint(1, 64))]
                        sent.append(requests)
                        ledger.charges([charge([release(1000)], request=request)
                                        for request in requests], cursor=cursor)
                        confirmed.append(requests)
            except psycopg2.Error:
                pass

        for round_ in range(3):
            before = len(confirmed)
            threads = [threading.Thread(target=spend, args=(10 * round_ + seed,)) for seed in range(4)]
            [thread.start() for thread in threads]
            time.sleep(0.4)  # somewhere in the batches under way
            server.kill()
            [thread.join() for thread in threads]
            assert len(confirmed) > before
            server.start()
            ledger.reconnect()
            kept = {row[0] for row in ledger.rows(
                "SELECT request::text FROM pgveil.journal WHERE kind = 'charge'")}
            assert all(set(requests) <= kept for requests in confirmed)
            assert all(set(requests) <= kept or not set(requests) & kept for requests in sent)
            assert ledger.spend() == 1000 * len(kept)
            # A retry of what was not confirmed debits at most once, in whatever company.
            lost = [request for requests in sent if requests not in confirmed for request in requests]
            random.Random(round_).shuffle(lost)
            for first in range(0, len(lost), 50):
                ledger.charges([charge([release(1000)], request=request)
                                for request in lost[first:first + 50]])
            confirmed = [requests for requests in sent]
            assert ledger.spend() == 1000 * sum(map(len, sent))
        ledger.ctl("ledger", "verify")
        ledger.close()
    finally:
        server.remove()
