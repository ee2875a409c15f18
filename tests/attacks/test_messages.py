"""Messages in an order and with names that no driver would send (9, T9, R10): the server lives, its
assertions hold, and every session that is still open answers the next question."""
import os
import random
import socket

import pytest
from harness import raw_protocol as raw

TEXTS = [
    "SELECT count(*) FROM people", "SELECT count(*) FROM people WHERE id = $1", "SELECT name FROM people",
    "SELECT 1", "", "EXPLAIN SELECT count(*) FROM people", "SELECT * FROM dp.budget", "SELECT * FROM dp.history",
    "BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT a", "ROLLBACK TO a", "DECLARE c CURSOR FOR SELECT count(*) FROM people",
    "FETCH c", "CLOSE c", "SELECT * FROM people LIMIT 0", "CREATE TEMP TABLE people (id int)",
    "DROP TABLE pg_temp.people", "DISCARD ALL", "DEALLOCATE ALL", "SELECT 1; SELECT count(*) FROM people; SELECT 2",
    "SELECT 1 / 0; SELECT count(*) FROM people", "COPY (SELECT 1) TO STDOUT", "SET dp.epsilon = 'x'", "RESET ALL",
    "SELECT count(*) FROM people WHERE d < $1 AND ts > '2020-01-01'", "BEGIN; SELECT count(*) FROM people",
    "SELECT kind, count(*) FROM visits GROUP BY 1", "SET client_encoding = 'SJIS'", "SELECT '\u00e9\\''",
    "SET standard_conforming_strings = off", "EXECUTE s1", "PREPARE s1 AS SELECT count(*) FROM zones",
    "CREATE TEMP TABLE t AS SELECT count(*) FROM people", "LISTEN x", "WITH a AS (SELECT 1) SELECT * FROM a, people"]
NAMES = ["", "s1", "s2", "c", "pgveil flight"]


def message(source):
    def name():
        return source.choice(NAMES)

    kinds = [
        (20, lambda: raw.query(source.choice(TEXTS))),
        (20, lambda: raw.parse(source.choice(TEXTS), name(), source.choice([(), (23,), (25,), (0,), (1082,)]))),
        (20, lambda: raw.bind(source.choice([(), (b"1",), (None,), (b"x" * 1000,), (b"1", b"2")]), name(), name(),
                              source.choice([(), (0,), (1,), (1, 0)]))),
        (10, lambda: raw.describe(source.choice("PSX"), name())),
        (10, lambda: raw.execute(name(), source.choice([0, 1, 2]))),
        (5, lambda: raw.close(source.choice("PSX"), name())),
        (10, lambda: raw.SYNC), (2, lambda: raw.FLUSH),
        (1, lambda: raw.framed(b"d", b"abc") + raw.framed(b"c") + raw.framed(b"f", b"no\0")),
        (1, lambda: raw.framed(source.choice([b"F", b"B", b"P", b"D", b"Q"]), os.urandom(source.randrange(30)))),
    ]
    return source.choices([make for _, make in kinds], [weight for weight, _ in kinds])[0]()


def read_until(session, marker):
    """False where the server has closed the connection."""
    seen = b""
    while marker not in seen:
        try:
            piece = session.socket.recv(65536)
        except (ConnectionResetError, BrokenPipeError):
            return False
        except socket.timeout:
            raise AssertionError(f"no answer: ...{seen[-300:]!r}") from None
        if not piece:
            return False
        seen = (seen + piece)[-100000:]
    return True


@pytest.mark.parametrize("seed", range(6))
def test_any_order_of_messages_leaves_a_session_that_answers(pgveil, analyst, seed):
    source = random.Random(seed)
    for _ in range(8):
        with raw.log_in(analyst, "with_bob") as session:
            session.socket.settimeout(20)
            try:
                session.send(*[message(source) for _ in range(source.randrange(3, 30))], raw.SYNC)
                if source.random() < 0.2:
                    continue  # the client goes away in the middle
                session.send(raw.query("ROLLBACK"), raw.query("SELECT 424242"))
                read_until(session, b"424242")
            except (ConnectionResetError, BrokenPipeError):
                pass
        assert pgveil.alive(), pgveil.log_text()[-3000:]


@pytest.mark.parametrize("seed", range(4))
def test_cancels_at_any_time_leave_a_server_that_answers(pgveil, analyst, seed):
    """E8, T9."""
    source = random.Random(100 + seed)
    for _ in range(5):
        with raw.log_in(analyst, "with_bob") as session:
            session.socket.settimeout(20)
            try:
                session.send(*[message(source) for _ in range(source.randrange(3, 20))], raw.SYNC)
                for _ in range(source.randrange(1, 4)):
                    raw.cancel(pgveil.port, *raw.backend_key(session))
            except (ConnectionResetError, BrokenPipeError):
                pass
        assert pgveil.alive(), pgveil.log_text()[-3000:]
    assert analyst.rows("with_bob", "SELECT 1") == [(1,)]
