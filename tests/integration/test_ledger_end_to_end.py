"""Charge, durably, then measure, then answer: seen from outside, with servers killed in between."""
import random
import threading
import time

import psycopg
import psycopg2
import pytest
from harness import processes, raw_protocol as raw
from harness.money import journal, noticed, spent
from harness.pgveil import AMPLE, Pgveil

from test_crash import measuring, stopped, warm_up

QUESTIONS = [
    "SELECT count(*) FROM patients WHERE age > {n}",
    "SELECT sum(cost), count(*) FROM visits WHERE minutes > {n}",
    "SELECT sex, avg(age) FROM patients WHERE age > {n} GROUP BY sex",
    "SELECT city, count(*) FROM patients WHERE age > {n} GROUP BY city",
    "SELECT p.sex, sum(v.cost) FROM patients p JOIN visits v ON v.patient_id = p.id "
    "WHERE v.minutes > {n} GROUP BY p.sex",
]


def test_the_sum_of_charges_is_the_sum_of_the_prices_shown(pgveil):
    analyst = pgveil.analyst(grants={"clinic": AMPLE})
    connection = analyst.connect("clinic")
    with connection.cursor() as cursor:
        for number, question in enumerate(QUESTIONS * 3):
            cursor.execute(f"SET dp.epsilon = {random.choice(['0.1', '0.5', '1', '3'])}")
            cursor.execute(question.format(n=number))
            cursor.fetchall()
    prices = noticed(connection.notices)
    connection.close()
    assert len(prices) == len(QUESTIONS) * 3, connection.notices
    assert prices == journal(pgveil, analyst)
    assert sum(prices) == spent(pgveil, analyst, "clinic")
    assert analyst.rows("clinic", "SELECT spent_mu2 FROM dp.budget")[0][0] in (
        sum(prices), str(sum(prices)))
    assert len(analyst.rows("clinic", "SELECT * FROM dp.history")) == len(prices)


def test_explain_names_the_price_that_is_then_paid(pgveil):
    analyst = pgveil.analyst(grants={"clinic": AMPLE})
    for question in QUESTIONS:
        sql = question.format(n=3)
        lines = "\n".join(line for line, in analyst.rows("clinic", f"EXPLAIN {sql}"))
        analyst.rows("clinic", sql)
        paid = journal(pgveil, analyst)[-1]
        explained = noticed(lines.replace("Price:", "cost"))
        assert explained == [paid], lines


def test_notices_can_be_silenced_and_the_charge_stands(pgveil):
    analyst = pgveil.analyst(grants={"clinic": AMPLE})
    out, err = analyst.psql("clinic", "SET dp.notices = off;\nSELECT count(*) FROM patients;\n")
    assert "NOTICE" not in err
    assert len(journal(pgveil, analyst)) == 1


def test_a_budget_that_does_not_suffice_refuses_with_price_and_remainder(pgveil):
    analyst = pgveil.analyst(grants={"clinic": ("1", "1e-6")})
    connection = analyst.connect("clinic")
    answered = 0
    with connection.cursor() as cursor, pytest.raises(psycopg2.Error) as caught:
        cursor.execute("SET dp.epsilon = 0.5")
        for number in range(50):
            cursor.execute(f"SELECT count(*) FROM patients WHERE age > {number}")
            answered += 1
    error = caught.value
    assert error.pgcode == "53400"
    assert "costs" in error.diag.message_detail and "remains" in error.diag.message_detail
    assert error.diag.message_hint
    assert 1 <= answered < 50
    assert len(journal(pgveil, analyst)) == answered
    # The refusal was free: something smaller still fits.
    with connection.cursor() as cursor:
        cursor.execute("SET dp.epsilon = 0.01")
        cursor.execute("SELECT count(*) FROM patients WHERE age > 99")
    connection.close()
    cap = int(pgveil.ledger("SELECT cap_pico FROM pgveil.account WHERE holder = 'analyst' "
                            f"AND name = '{analyst.name}'")[0][0])
    assert spent(pgveil, analyst, "clinic") <= cap


def test_parallel_connections_cannot_overspend(pgveil):
    analyst = pgveil.analyst(grants={"clinic": ("1", "1e-6")})
    refused, answered = [], []

    def ask(number):
        try:
            analyst.rows("clinic", f"SELECT count(*) FROM patients WHERE age > {number}",
                         settings={"dp.epsilon": "0.4"})
            answered.append(number)
        except psycopg2.Error as error:
            refused.append(error.pgcode)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(journal(pgveil, analyst)) == len(answered) >= 1
    assert set(refused) <= {"53400", "53300"}, refused
    cap = int(pgveil.ledger("SELECT cap_pico FROM pgveil.account WHERE holder = 'analyst' "
                            f"AND name = '{analyst.name}'")[0][0])
    assert spent(pgveil, analyst, "clinic") <= cap


def test_statements_of_a_busy_analyst_that_wait_for_the_ledger_are_charged_together(own_protected):
    many = 16
    pgveil = Pgveil(own_protected, datasets=("clinic",), dataset_settings={"measurements_max": many},
                    settings={"limits": {"measurements_per_analyst_max": many}})
    try:
        pgveil.start()
        analyst = pgveil.analyst(grants={"clinic": AMPLE})
        warm_up(pgveil)
        sessions = [raw.log_in(analyst, "clinic", {"options": "-c dp.reuse=off"}) for _ in range(many)]
        with stopped(pgveil, "ledger"):
            for number, session in enumerate(sessions):
                session.send(raw.query(f"SELECT count(*) FROM patients WHERE age > {number}"))
            processes.wait_until(lambda: len(measuring(own_protected, "idle in transaction")) == many,
                                 20, "the reserves")
        for session in sessions:
            assert "E" not in [kind for kind, _ in session.until("Z")]
            session.socket.close()
        assert len(journal(pgveil, analyst)) == many
        assert sum(journal(pgveil, analyst)) == spent(pgveil, analyst, "clinic")
        batches = pgveil.ledger("SELECT count(DISTINCT at) FROM pgveil.journal WHERE kind = 'charge' "
                                f"AND analyst = '{analyst.name}'")
        # The one that was on its way, all others; and any that had not been told of its reserve yet.
        assert int(batches[0][0]) <= 4
        assert pgveil.ctl_result("ledger", "verify").returncode == 0
    finally:
        pgveil.stop()


def test_a_rollback_gives_nothing_back(pgveil):
    analyst = pgveil.analyst(grants={"clinic": AMPLE})
    connection = analyst.connect("clinic")
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SAVEPOINT s")
        cursor.execute("SELECT count(*) FROM patients")
        cursor.execute("ROLLBACK TO s")
        cursor.execute("ROLLBACK")
    connection.close()
    assert len(journal(pgveil, analyst)) == 1


def test_an_error_of_the_final_statement_comes_after_the_charge(pgveil):
    analyst = pgveil.analyst(grants={"clinic": AMPLE})
    with pytest.raises(psycopg2.Error) as caught:
        analyst.rows("clinic", "SELECT count(*) / 0 FROM patients")
    assert caught.value.pgcode == "22012"
    assert len(journal(pgveil, analyst)) == 1


def test_pgveilctl_shows_what_the_ledger_holds(pgveil):
    analyst = pgveil.analyst(grants={"clinic": AMPLE})
    analyst.rows("clinic", "SELECT count(*) FROM patients")
    shown = pgveil.ctl("budget", "show", analyst.name, "clinic", "--json")
    assert str(journal(pgveil, analyst)[0]) in shown, shown
    assert analyst.name in pgveil.ctl("analyst", "list")
    pgveil.ctl("status")


def test_a_killed_pgveil_leaves_no_server_that_keeps_the_next_one_from_starting(own_pgveil):
    own_pgveil.kill()
    assert own_pgveil.managed_pids("ledger"), "the test would show nothing"
    own_pgveil.start()
    assert len(own_pgveil.managed_pids("ledger")) == 1
    assert len(own_pgveil.managed_pids("twins")) == 1


def test_the_account_freezes_after_repeated_failures_of_the_measurement(own_protected):
    """A lock makes every measurement run into its time-out: each is charged, then the account waits
    for the DBA."""
    pgveil = Pgveil(own_protected, datasets=("panel",), settings={"timeouts": {"measurement_ms": 200}})
    try:
        pgveil.start()
        analyst = pgveil.analyst(grants={"panel": AMPLE})
        lock = own_protected.connect("panel")
        lock.autocommit = False
        lock.cursor().execute("LOCK TABLE persons IN ACCESS EXCLUSIVE MODE")
        states = []
        for number in range(15):
            try:
                analyst.rows("panel", f"SELECT count(*) FROM persons WHERE education > {number}",
                             settings={"dp.epsilon": "0.01"})
                states.append(None)
            except psycopg2.Error as error:
                states.append(error.pgcode)
        lock.rollback()
        lock.close()
        assert set(states) == {"58000", "53400"}, states
        assert states == sorted(states, reverse=True)
        assert len(journal(pgveil, analyst)) == states.count("58000")
    finally:
        pgveil.stop()


def test_a_cancel_after_the_charge_is_charged_and_uniform(own_pgveil, own_protected):
    """The protected server is made slow by a lock that the measurement must wait for."""
    analyst = own_pgveil.analyst(grants={"clinic": AMPLE})
    lock = own_protected.connect("clinic")
    lock.autocommit = False
    lock.cursor().execute("LOCK TABLE patients IN ACCESS EXCLUSIVE MODE")
    session = raw.log_in(analyst, "clinic")
    session.send(raw.query("SELECT count(*) FROM patients"))
    processes.wait_until(lambda: journal(own_pgveil, analyst), 20, "the charge")
    assert raw.cancel(own_pgveil.port, *raw.backend_key(session))
    replies = session.until("Z")
    lock.rollback()
    lock.close()
    error = next(raw.fields(body) for kind, body in replies if kind == "E")
    assert error["C"] == "57014"
    assert session.kinds(raw.query("SELECT 1")) == "TDCZ"
    assert len(journal(own_pgveil, analyst)) == 1


def test_a_client_that_leaves_during_a_measurement_has_paid(own_pgveil, own_protected):
    analyst = own_pgveil.analyst(grants={"clinic": AMPLE})
    lock = own_protected.connect("clinic")
    lock.autocommit = False
    lock.cursor().execute("LOCK TABLE visits IN ACCESS EXCLUSIVE MODE")
    session = raw.log_in(analyst, "clinic")
    session.send(raw.query("SELECT count(*) FROM visits"))
    processes.wait_until(lambda: journal(own_pgveil, analyst), 20, "the charge")
    session.socket.close()
    time.sleep(0.5)
    lock.rollback()
    lock.close()
    assert len(journal(own_pgveil, analyst)) == 1
    assert own_pgveil.alive()
    with psycopg.connect(analyst.conninfo("clinic")) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
