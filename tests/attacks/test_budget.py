"""Budget, state, repetition (4.5, N5 to N8, R2, R12): one draw is one charge, whatever path leads to it,
and nothing unpaid comes out."""
import re
import threading
import time
from decimal import Decimal

import psycopg2
import pytest
from harness import raw_protocol as raw
from harness.money import journal, spent

COUNT = "SELECT count(*) FROM people"
FRESH = "-c dp.reuse=off"


def connect(analyst, dataset="with_bob", **settings):
    """A session in which every question is measured anew; test_reuse_adaptive.py has the others."""
    connection = analyst.connect(dataset, options=FRESH)
    with connection.cursor() as cursor:
        for name, value in settings.items():
            cursor.execute(f"SET dp.{name} = '{value}'")
    return connection


def run(connection, sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else None


def charges(analyst):
    return len(journal(analyst.pgveil, analyst))


@pytest.mark.parametrize("sql", [
    COUNT, "SELECT zip, count(*) FROM people GROUP BY zip", "SELECT kind, sum(cost) FROM visits GROUP BY kind",
    "SELECT avg(salary), count(*) FROM people WHERE id = 77", "SELECT name, count(*) FROM people GROUP BY name",
    "SELECT count(*) FROM people p JOIN visits v ON v.person_id = p.id WHERE v.cost > 100"])
def test_the_price_is_the_same_with_and_without_a_person(fresh_analyst, sql):
    """T6, N5: EXPLAIN, notice and ledger."""
    seen = []
    for dataset in ("with_bob", "without_bob"):
        connection = connect(fresh_analyst, dataset)
        explained = run(connection, "EXPLAIN " + sql)
        before = spent(fresh_analyst.pgveil, fresh_analyst, dataset)
        run(connection, sql)
        price = spent(fresh_analyst.pgveil, fresh_analyst, dataset) - before
        notice = re.findall(r"cost .*mu\^2 ([0-9.]+)", "".join(connection.notices))
        seen.append(([line for line in explained if "Budget" not in line[0]], price, notice))
        assert int(Decimal(notice[0]) * 10 ** 12) == price > 0
        connection.close()
    assert seen[0] == seen[1]


@pytest.mark.parametrize("parts, at_least, at_most", [
    (", ".join(["count(*)"] * 50), 1, 1), ("count(*), count(id), count(1)", 1, 3),
    ("avg(salary)", 1, 1), ("count(*), count(DISTINCT id)", 1, 1)])
def test_copies_of_an_aggregate_are_one_draw_or_as_many_charges(pgveil, fresh_analyst, parts, at_least, at_most):
    """S2, S3: equal columns are equal numbers; the statement's price is one release's."""
    connection = connect(fresh_analyst)
    run(connection, COUNT)
    row = run(connection, f"SELECT {parts} FROM people")[0]
    connection.close()
    one, many = journal(pgveil, fresh_analyst)
    assert at_least * one * 0.999 <= many <= at_most * one * 1.001, (one, many)
    if parts.startswith("count(*), count(*)"):
        assert len(set(row)) == 1


def test_variants_of_one_question_are_charged_each_time(pgveil, fresh_analyst):
    """N6, N7: chaff, equal meaning, trackers: free copies of one draw, or charged."""
    connection = connect(fresh_analyst, epsilon="0.01")
    variants = ["salary = 100", "salary + 1 = 101", "salary = 100 AND id <> 1000", "NOT salary <> 100",
                "salary BETWEEN 100 AND 100", "salary IN (100)", "gender = 'm' OR id = 77", "gender = 'm'"]
    values = [run(connection, f"{COUNT} WHERE {condition}")[0][0] for condition in variants]
    connection.close()
    assert len(journal(pgveil, fresh_analyst)) + (len(values) - len(set(values))) >= len(variants)


def test_one_portal_is_one_draw(pgveil, fresh_analyst):
    """T9: Execute again, in pieces, Describe, a cursor forth and back: the rows of one charge."""
    with raw.log_in(fresh_analyst, "with_bob", {"options": FRESH}) as session:
        sql = "SELECT kind, count(*) FROM visits GROUP BY kind ORDER BY kind"
        session.exchange(raw.query("BEGIN"))
        replies = session.exchange(raw.parse(sql), raw.bind((), "c"), raw.describe("P", "c"), raw.execute("c", 2),
                                   raw.execute("c", 1), raw.execute("c"), raw.SYNC)
        assert sum(kind == "D" for kind, _ in replies) == 4
        assert "D" not in session.kinds(raw.execute("c"), raw.SYNC)
        session.exchange(raw.query("ROLLBACK"))
    assert charges(fresh_analyst) == 1
    connection = connect(fresh_analyst)
    connection.autocommit = False
    run(connection, f"DECLARE s SCROLL CURSOR WITH HOLD FOR {sql}")
    first = run(connection, "FETCH ALL FROM s")
    run(connection, "MOVE BACKWARD ALL FROM s")
    assert run(connection, "FETCH ALL FROM s") == first
    assert run(connection, "FETCH BACKWARD ALL FROM s") == first[::-1]
    connection.commit()
    assert run(connection, "FETCH FIRST FROM s") == first[:1]
    connection.rollback()
    connection.close()
    assert charges(fresh_analyst) == 2


def test_every_bind_of_a_prepared_statement_is_charged(pgveil, fresh_analyst):
    """T9: Parse and Describe are free, each Bind is a draw; also in one pipeline without Sync."""
    with raw.log_in(fresh_analyst, "with_bob", {"options": FRESH}) as session:
        session.exchange(raw.parse(COUNT, "s"), raw.describe("S", "s"), raw.SYNC)
        assert charges(fresh_analyst) == 0
        replies = session.exchange(*[raw.bind((), "", "s"), raw.execute()] * 3, raw.SYNC)
        assert sum(kind == "D" for kind, _ in replies) == 3
        assert charges(fresh_analyst) == 3
        session.exchange(raw.bind((), "", "s"), raw.SYNC)  # never executed
        assert charges(fresh_analyst) in (3, 4)


def test_a_kept_result_is_read_again_for_nothing(pgveil, fresh_analyst):
    """T9, P7: CREATE TEMP TABLE AS holds noisy values; no other statement gets at more."""
    connection = connect(fresh_analyst)
    run(connection, "CREATE TEMP TABLE kept AS SELECT zip, count(*) AS n FROM people GROUP BY zip")
    first = run(connection, "TABLE kept")
    assert run(connection, "TABLE kept") == first and charges(fresh_analyst) == 1
    assert {type(row[1]) for row in first} <= {int}
    connection.close()


def test_many_statements_in_one_text_are_charged_one_by_one(pgveil, fresh_analyst):
    """T9: a text of several statements, with a failure in the middle; what was measured stays paid."""
    with raw.log_in(fresh_analyst, "with_bob", {"options": FRESH}) as session:
        text = f"{COUNT}; {COUNT} WHERE id < 10; SELECT 1 / 0; {COUNT} WHERE id < 20"
        kinds = session.kinds(raw.query(text))
        assert kinds.count("D") == 2 and kinds.endswith("EZ")
        assert charges(fresh_analyst) == 2
        assert "D" in session.kinds(raw.query(f"BEGIN; {COUNT}; ROLLBACK"))
    assert charges(fresh_analyst) == 3


def test_an_error_of_the_final_statement_does_not_refund(pgveil, fresh_analyst):
    """T6, T8: count(*) / 0 fails as PostgreSQL says, and is paid for."""
    connection = connect(fresh_analyst)
    with pytest.raises(psycopg2.Error) as error:
        run(connection, "SELECT count(*) / 0 FROM people")
    assert error.value.pgcode == "22012"
    connection.close()
    assert charges(fresh_analyst) == 1


def test_parallel_sessions_cannot_overspend(pgveil):
    """T7, P8: twelve sessions of one analyst, a budget for three questions, one ledger row."""
    analyst = pgveil.analyst(grants={"with_bob": ("3", "0.000001")})
    connections = [connect(analyst, epsilon="1", mechanism="laplace") for _ in range(8)]
    outcomes = []

    def ask(connection):
        try:
            for _ in range(2):
                run(connection, COUNT)
                outcomes.append(None)
        except psycopg2.Error as error:
            outcomes.append(error.pgcode)

    threads = [threading.Thread(target=ask, args=(c,)) for c in connections]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for connection in connections:
        connection.close()
    assert set(outcomes) <= {None, "53400", "53300"}
    assert 1 <= outcomes.count(None) == charges(analyst) <= 3


def test_a_question_above_the_remainder_is_refused_for_nothing(pgveil):
    """T7: with price and remainder in the refusal, and the rest of the budget still usable."""
    analyst = pgveil.analyst(grants={"with_bob": ("1", "0.000001")})
    connection = connect(analyst, epsilon="2", mechanism="laplace")
    with pytest.raises(psycopg2.Error) as error:
        run(connection, COUNT)
    assert error.value.pgcode == "53400" and charges(analyst) == 0
    with pytest.raises(psycopg2.Error) as union:
        run(connection, f"SET dp.epsilon = '0.6'; {COUNT} UNION ALL {COUNT} WHERE id > 3")
    assert union.value.pgcode == "53400" and charges(analyst) == 0
    connection.rollback()
    run(connection, "SET dp.epsilon = '1'")
    run(connection, COUNT)
    connection.close()
    assert charges(analyst) == 1


def test_a_thousandth_of_a_thousandth_is_still_counted(pgveil, fresh_analyst):
    """T10: the smallest epsilon costs, every time, in integers."""
    connection = connect(fresh_analyst, epsilon="0.000001")
    for _ in range(10):
        try:
            run(connection, COUNT)
        except psycopg2.Error as error:
            assert error.pgcode in ("0A000", "22023")
            connection.close()
            return
    connection.close()
    made = journal(pgveil, fresh_analyst)
    assert len(made) == 10 and min(made) >= 1
    assert spent(pgveil, fresh_analyst, "with_bob") == sum(made)


def test_a_cancel_leaves_the_charge_and_says_nothing(pgveil, fresh_analyst, protected):
    """E8, 8: a cancel, and a client that goes away, while the measurement waits for a lock."""
    holder = protected.connect("with_bob")
    holder.autocommit = False
    with holder.cursor() as cursor:
        cursor.execute("LOCK TABLE people IN ACCESS EXCLUSIVE MODE")
    try:
        with raw.log_in(fresh_analyst, "with_bob", {"options": FRESH}) as session:
            session.send(raw.query(COUNT))
            deadline = time.monotonic() + 10
            while charges(fresh_analyst) == 0 and time.monotonic() < deadline:
                time.sleep(0.1)
            raw.cancel(pgveil.port, *raw.backend_key(session))
            errors = [raw.fields(body) for kind, body in session.until("Z") if kind == "E"]
            assert [e["C"] for e in errors] == ["57014"] and "D" not in errors[0]
        with raw.log_in(fresh_analyst, "with_bob", {"options": FRESH}) as session:
            session.send(raw.query(COUNT))
            while charges(fresh_analyst) == 1 and time.monotonic() < deadline:
                time.sleep(0.1)
    finally:
        holder.rollback()
        holder.close()
    assert charges(fresh_analyst) == 2
    connection = connect(fresh_analyst)
    assert run(connection, COUNT) and charges(fresh_analyst) == 3
    connection.close()


def test_logs_hold_no_literal_and_no_exact_value(pgveil, exact_analyst, fresh_analyst):
    """T12, 8: pgveil's own log at its most talkative, and both managed servers'."""
    connection = connect(fresh_analyst)
    run(connection, "SELECT set_config('debug_print_parse', 'on', false), set_config('debug_print_plan', 'on', false)")
    run(connection, "SELECT 'literal_4711'")
    run(connection, "SELECT name, count(*) FROM people WHERE name <> 'literal_4711' GROUP BY name")
    with pytest.raises(psycopg2.Error):
        run(connection, "SELECT 'literal_4711'::integer")
    connection.close()
    logs = [pgveil.log] + [pgveil.state / kind / "log" for kind in ("ledger", "twins")]
    for log in logs:
        text = log.read_text(errors="replace") if log.is_file() else ""
        assert "literal_4711" not in text and "Bob" not in text, log


def test_a_name_of_the_journal_is_nobody_elses(pgveil, fresh_analyst):
    """P8, R10: dp.history and dp.budget show the analyst's own rows, and nothing else of the ledger."""
    connection = connect(fresh_analyst)
    run(connection, COUNT)
    assert len(run(connection, "SELECT * FROM dp.history")) == 1
    assert {row[0] for row in run(connection, "SELECT dataset FROM dp.budget")} <= {"with_bob", "without_bob"}
    run(connection, "SET application_name = 'another'; SET search_path = pg_temp")
    assert len(run(connection, "SELECT * FROM dp.history h WHERE h.at IS NOT NULL")) == 1
    connection.close()
