"""Reuse (N6, N7, 4.5): analysts who choose every question and every parameter after the answers so far,
alone and together, in many sessions at once. Each noise that anybody saw was paid for by who saw it and,
once, by the dataset; and every account is what the journal says, added up elsewhere."""
import random
import threading

import psycopg2
import pytest
import recount
from ledger_server import Ledger

DATASET = "with_bob"
COUNT = "SELECT count(*) FROM people"


@pytest.fixture
def ledger(cluster, service):
    ledger = Ledger(cluster, "ledger")
    # A cap that no test but those about it shall meet.
    ledger.ctl("budget", "cap", DATASET, "--epsilon", "900", "--delta", "0.1")
    yield ledger
    recount.check_all(ledger)
    ledger.close()


def session(analyst, **settings):
    connection = analyst.connect(DATASET)
    for name, value in settings.items():
        run(connection, f"SET dp.{name} = '{value}'")
    return connection


def run(connection, sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else None


def attempt(connection, sql):
    """The rows, or the SQLSTATE of the refusal."""
    try:
        return run(connection, sql)
    except psycopg2.Error as error:
        return error.pgcode


def spent(ledger, holder, name=""):
    return ledger.one("SELECT mu2_spent_pico FROM pgveil.account WHERE holder = %s AND name = %s "
                      "AND dataset = %s", holder, name, DATASET)


def precision(ledger, analyst=None):
    """mu^2 in pico of the draws that the analyst has (None: that there are), from their integers alone."""
    rows = ledger.rows(
        "SELECT k.sensitivity, k.groups, k.m FROM pgveil.kept_answer k WHERE %s IS NULL OR EXISTS "
        "(SELECT 1 FROM pgveil.paid p WHERE p.draw = k.draw AND p.analyst = %s)",
        analyst and analyst.name, analyst and analyst.name)
    return sum(10**12 * int(groups) * (int(sensitivity) * int(m))**2 / 2**100
               for sensitivity, groups, m in rows)


def in_threads(work, n):
    failures, barrier = [], threading.Barrier(n)

    def guarded(index):
        try:
            barrier.wait()
            work(index)
        except Exception as failure:  # told below, in the test's own thread
            failures.append(failure)

    threads = [threading.Thread(target=guarded, args=(index,)) for index in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert not failures, failures


def test_asking_until_the_answer_pleases_gets_one_draw_or_pays_for_each(service, ledger):
    """A value in the tail is waited for: by the same question, and by fresh draws of it."""
    analyst = service.analyst(grants={DATASET: ("200", "0.01")})
    connection = session(analyst, epsilon="0.5", mechanism="gaussian")
    (first,), = run(connection, COUNT)
    price = spent(ledger, "analyst", analyst.name)
    assert {run(connection, COUNT)[0][0] for _ in range(20)} == {first}
    assert spent(ledger, "analyst", analyst.name) == price > 0
    run(connection, "SET dp.reuse = 'off'")
    draws = 1
    while run(connection, COUNT)[0][0] <= first + 2 and draws < 40:
        draws += 1
    assert spent(ledger, "analyst", analyst.name) == (1 + draws) * price
    # From now on the best of them together, and no more than what was paid for them together.
    run(connection, "SET dp.reuse = 'on'")
    run(connection, COUNT)
    assert spent(ledger, "analyst", analyst.name) == (1 + draws) * price
    assert precision(ledger, analyst) <= (1 + draws) * price
    connection.close()


def test_refining_because_of_what_was_seen_costs_what_the_sum_of_draws_costs(service, ledger):
    """The next precision is chosen by the last value's own digits, over and over."""
    analyst = service.analyst(grants={DATASET: ("200", "0.01")})
    connection = session(analyst, mechanism="gaussian")
    epsilon, values = 0.05, []
    for _ in range(12):
        run(connection, f"SET dp.epsilon = '{epsilon:.6f}'")
        (value,), = run(connection, COUNT)
        values.append(value)
        digit = abs(value) % 10
        epsilon = epsilon * 1.5 if digit > 4 else epsilon * 1.02 if digit > 1 \
            else max(epsilon / 3, 0.001)
    paid = spent(ledger, "analyst", analyst.name)
    assert precision(ledger, analyst) <= paid
    assert ledger.one("SELECT count(*) FROM pgveil.paid WHERE analyst = %s", analyst.name) \
        == ledger.one("SELECT count(*) FROM pgveil.journal WHERE kind = 'charge' AND analyst = %s",
                      analyst.name)
    # What is asked for once more, at any precision so far, is there.
    for again in ("0.05", f"{max(epsilon, 0.05) / 4:.6f}"):
        run(connection, f"SET dp.epsilon = '{again}'")
        run(connection, COUNT)
    assert spent(ledger, "analyst", analyst.name) == paid
    connection.close()


def test_another_analyst_gets_the_first_draw_and_not_the_one_that_pleased(service, ledger):
    """The first one draws until she likes a value; what the second one is given was settled before."""
    one, two = (service.analyst(grants={DATASET: ("200", "0.01")}) for _ in range(2))
    sql = COUNT + " WHERE id < 300"
    first, second = (session(analyst, epsilon="0.5", mechanism="gaussian") for analyst in (one, two))
    (shared,), = run(first, sql)
    run(first, "SET dp.reuse = 'off'")
    for _ in range(5):
        run(first, sql)
    before = spent(ledger, "dataset")
    explained = run(second, "EXPLAIN " + sql)
    (given,), = run(second, sql)
    assert given == shared
    assert spent(ledger, "dataset") == before
    price = spent(ledger, "analyst", two.name)
    assert price * 6 == spent(ledger, "analyst", one.name)
    # Plan and price did not tell: a question that nobody has asked looks the same.
    other = run(second, "EXPLAIN " + sql.replace("300", "301"))
    assert [line for line, in explained if "rice" in line] == [line for line, in other if "rice" in line]
    run(second, sql.replace("300", "301"))
    assert spent(ledger, "analyst", two.name) == 2 * price
    assert spent(ledger, "dataset") == before + price
    first.close()
    second.close()


def test_a_wide_release_is_shared_whole(service, ledger):
    """As many measures as a release may have; what is taken over fits the plan, or the charge would be lost."""
    one, two = (service.analyst(grants={DATASET: ("200", "0.01")}) for _ in range(2))
    sql = "SELECT " + ", ".join(f"count(*) FILTER (WHERE id > {i})" for i in range(64)) + " FROM people"
    answers = []
    for analyst in (one, two):
        connection = session(analyst, epsilon="5", mechanism="gaussian")
        answers.append(run(connection, sql))
        connection.close()
    assert answers[0] == answers[1] and len(answers[0][0]) == 64
    assert ledger.one("SELECT count(*) FROM pgveil.paid WHERE analyst = %s", two.name) == 1


def test_analysts_who_ask_at_once_see_as_many_draws_as_the_dataset_has_paid_for(service, ledger):
    """Sixteen sessions of four analysts, one question: each draw that somebody saw is debited once."""
    analysts = [service.analyst(grants={DATASET: ("200", "0.01")}) for _ in range(4)]
    before = spent(ledger, "dataset")
    sql = COUNT + " WHERE id < 200"
    seen = [None] * 16

    def ask(index):
        connection = session(analysts[index % 4], epsilon="0.1", mechanism="gaussian")
        rows = attempt(connection, sql)
        while rows == "53300":  # too many at once
            rows = attempt(connection, sql)
        seen[index] = rows[0][0]
        connection.close()

    in_threads(ask, 16)
    names = [analyst.name for analyst in analysts]
    price, = {row[0] for row in ledger.rows("SELECT mu2_pico FROM pgveil.draw d WHERE EXISTS (SELECT 1 "
              "FROM pgveil.paid p WHERE p.draw = d.id AND p.analyst = ANY (%s))", names)}
    draws = (spent(ledger, "dataset") - before) / price
    noise = {int(noisy) for (noisy,) in ledger.rows(
        "SELECT noisy[1] FROM pgveil.kept_answer k JOIN pgveil.paid p ON p.draw = k.draw "
        "WHERE p.analyst = ANY (%s)", names)}
    assert len(noise) <= draws <= 16
    for analyst in analysts:
        paid = spent(ledger, "analyst", analyst.name) / price
        kept = ledger.one("SELECT count(*) FROM pgveil.paid WHERE analyst = %s", analyst.name)
        assert kept == paid >= 1
    # Where a session saw a mean of several draws of its analyst, it is of draws that he has paid for.
    assert all(min(noise) <= value <= max(noise) for value in seen)


def test_colluding_analysts_learn_no_more_than_the_cap(service, ledger):
    """Three who share all answers split one quantity's questions among them, below a small cap."""
    ledger.ctl("budget", "cap", DATASET, "--reset", "--yes")
    ledger.ctl("budget", "cap", DATASET, "--epsilon", "3", "--delta", "0.000001")
    cap = ledger.one("SELECT cap_pico FROM pgveil.account WHERE holder = 'dataset'")
    analysts = [service.analyst(grants={DATASET: ("20", "0.01")}) for _ in range(3)]
    sessions = [session(analyst, epsilon="0.5", mechanism="gaussian") for analyst in analysts]
    dice, refused, last = random.Random(5), 0, 0
    for step in range(60):
        connection = dice.choice(sessions)
        run(connection, f"SET dp.reuse = '{'off' if last % 3 == 0 else 'on'}'")
        run(connection, f"SET dp.epsilon = '{0.3 + last % 5 / 10:.1f}'")
        rows = attempt(connection, f"{COUNT} WHERE id > {last % 2}")
        if isinstance(rows, str):
            assert rows == "53400"
            refused += 1
        else:
            last = abs(rows[0][0]) + step
    recounted = recount.check_all(ledger)
    assert refused > 0
    assert recounted.spent("dataset", "", DATASET)["mu2"] <= cap
    names = [analyst.name for analyst in analysts]
    union = ledger.rows(
        "SELECT DISTINCT k.id, k.sensitivity, k.groups, k.m FROM pgveil.kept_answer k "
        "JOIN pgveil.paid p ON p.draw = k.draw WHERE p.analyst = ANY (%s)", names)
    assert sum(10**12 * int(groups) * (int(s) * int(m))**2 / 2**100 for _, s, groups, m in union) <= cap
    for connection in sessions:
        connection.close()
    ledger.ctl("budget", "cap", DATASET, "--epsilon", "900", "--delta", "0.1")


def test_keys_that_were_bought_once_are_not_chosen_again_for_nothing(service, ledger):
    """A cheap release buys the list; finer ones on it cost no delta; a new choice of keys costs it again."""
    analyst = service.analyst(grants={DATASET: ("200", "0.01")})
    connection = session(analyst, epsilon="1", mechanism="gaussian", delta="0.00001")

    def account():
        return ledger.rows("SELECT mu2_spent_pico, delta_spent_atto FROM pgveil.account "
                           "WHERE holder = 'analyst' AND name = %s", analyst.name)[0]

    sql = "SELECT zip, count(*) FROM people GROUP BY zip ORDER BY zip"
    keys = [row[0] for row in run(connection, sql)]
    first = account()
    run(connection, "SET dp.epsilon = '3'")
    assert [row[0] for row in run(connection, sql)] == keys
    refined = account()
    assert refined[0] > first[0] and refined[1] == first[1] > 0
    run(connection, "SET dp.reuse = 'off'")
    run(connection, sql)
    again = account()
    assert again[0] > refined[0] and again[1] == 2 * first[1]
    connection.close()


def test_a_frozen_revoked_or_disabled_account_gets_nothing_again(service, ledger):
    analyst = service.analyst(grants={DATASET: ("20", "0.01")})
    connection = session(analyst)
    value = run(connection, COUNT)
    for stop, go in ((("budget", "freeze", analyst.name, DATASET), ("budget", "unfreeze", analyst.name, DATASET)),
                     (("budget", "revoke", analyst.name, DATASET, "--yes"),
                      ("budget", "grant", analyst.name, DATASET, "--epsilon", "20", "--delta", "0.01"))):
        ledger.ctl(*stop)
        assert isinstance(attempt(connection, COUNT), str)
        ledger.ctl(*go)
        assert run(connection, COUNT) == value
    ledger.ctl("analyst", "disable", analyst.name)
    assert isinstance(attempt(connection, COUNT), str)
    connection.close()


QUESTIONS = [
    "SELECT count(*) FROM people WHERE id % {b} = 0", "SELECT gender, count(*) FROM people GROUP BY gender",
    "SELECT dept, avg(salary), count(*) FROM people WHERE id > {a} GROUP BY dept",
    "SELECT zip, count(*) FROM people GROUP BY zip", "SELECT sum(salary) FROM people WHERE gender = 'f'",
    "SELECT kind, sum(cost), count(*) FROM visits GROUP BY kind", "SELECT DISTINCT zip FROM people",
    "SELECT (SELECT count(*) FROM people), (SELECT sum(salary) FROM people WHERE id > {a})"]


def test_every_account_adds_up_after_a_crowd_has_chosen_by_what_it_saw(service, ledger):
    """Six sessions of three analysts, two of them in a group with a cap; each answer's digits choose the next
    question and its settings. Then all accounts from the journal, and no cap exceeded."""
    analysts = [service.analyst(grants={DATASET: ("30", "0.01")}) for _ in range(3)]
    for analyst in analysts[:2]:
        ledger.ctl("group", "join", "crowd", analyst.name)
    ledger.ctl("budget", "cap", DATASET, "--group", "crowd", "--epsilon", "12", "--delta", "0.001")
    outcomes = []

    def work(index):
        dice = random.Random(index)
        connection, digits = session(analysts[index % 3]), 0
        for _ in range(25):
            run(connection, f"SET dp.epsilon = '{(1 + digits % 7) / 4}'")
            run(connection, f"SET dp.mechanism = '{('auto', 'gaussian', 'laplace')[digits % 3]}'")
            run(connection, f"SET dp.reuse = '{'off' if digits % 5 == 0 else 'on'}'")
            sql = dice.choice(QUESTIONS).format(a=digits % 3, b=1 + digits % 2)
            rows = attempt(connection, sql)
            assert not isinstance(rows, str) or rows in ("53400", "53300"), (rows, sql)
            outcomes.append(rows if isinstance(rows, str) else "ok")
            digits = sum(ord(c) for c in str(rows))
        connection.close()

    in_threads(work, 6)
    assert outcomes.count("ok") > 30, outcomes
    recounted = recount.check_all(ledger)
    for row in ledger.records("SELECT * FROM pgveil.account WHERE enforced AND dataset = %s", DATASET):
        amounts = recounted.spent(row["holder"], row["name"], DATASET)
        assert amounts["mu2"] <= row["cap_pico"] or \
            amounts["pure"] and amounts["epsilon"] <= row["epsilon_nano"], row
        assert amounts["delta"] <= row["delta_keys_atto"], row
    adoptions = ledger.one("SELECT count(*) FROM pgveil.journal WHERE kind = 'adoption'")
    assert adoptions > 0


def kept_draws(ledger, analyst):
    return ledger.one("SELECT count(*) FROM pgveil.paid WHERE analyst = %s", analyst.name)


@pytest.mark.parametrize("mechanism", ["gaussian", "laplace"])
def test_a_rank_in_ever_new_company_is_drawn_anew_only_when_it_is_paid_for(service, ledger, mechanism):
    """Sets of ranks of one distribution, the next and its epsilon chosen by the digits of the answers so far,
    to get another look at the median for less than it costs. Each statement is charged or tells nothing that
    was not told: its ranks come from draws that were paid for, so that a rank has at most as many different
    values as there were charges since, and all that is charged is what draws cost, added up elsewhere."""
    analyst = service.analyst(grants={DATASET: ("600", "0.01")})
    connection = session(analyst, mechanism=mechanism)
    source = random.Random(mechanism)
    medians, digit = set(), 5
    paid, free = 0, 0
    for turn in range(60):
        n = source.choice([1, 2, 3, 7, 8, 9, 12, 40]) if digit % 2 else 2
        others = sorted({source.randint(1, 99) for _ in range(n - 1)} - {50})
        ranks = "{" + ",".join(str(k / 100) for k in [50, *others]) + "}"
        run(connection, f"SET dp.epsilon = '{source.choice([0.05, 0.2, 0.5]) * (1 + digit / 10):.4f}'")
        before, draws = spent(ledger, "analyst", analyst.name), kept_draws(ledger, analyst)
        sql = f"SELECT percentile_disc('{ranks}'::float8[]) WITHIN GROUP (ORDER BY salary) FROM people"
        (answer,), = run(connection, sql)
        price = spent(ledger, "analyst", analyst.name) - before
        assert kept_draws(ledger, analyst) - draws == (1 if price > 0 else 0), "charged for each draw"
        if price == 0:
            assert answer[0] in medians, "nothing new for nothing"
        medians.add(answer[0])
        again = spent(ledger, "analyst", analyst.name)
        assert run(connection, sql) == [(answer,)] and spent(ledger, "analyst", analyst.name) == again
        paid, free = paid + (price > 0), free + (price == 0)
        digit = sum(answer) % 10
    assert len(medians) <= paid and free > 5 and paid > 5, (len(medians), paid, free)
    connection.close()
