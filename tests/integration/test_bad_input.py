"""Hostile and broken clients, unreachable and dying servers: one clear error for the one client,
and pgveil goes on."""
import os
import random
import socket
import struct
import time

import psycopg2
import pytest
from harness import processes, raw_protocol as raw
from harness.money import journal
from harness.pgveil import AMPLE, Pgveil


@pytest.fixture(autouse=True)
def goes_on(pgveil, analyst):
    """After every test the same pgveil still answers."""
    yield
    assert pgveil.alive(), pgveil.log_text()[-5000:]
    assert analyst.rows("census", "SELECT 1") == [(1,)]


def pushed(port, data, wait=5):
    """What a server says to bytes before it closes or falls silent."""
    with socket.create_connection(("127.0.0.1", port), wait) as connection:
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            answer = b""
            while piece := connection.recv(65536):
                answer += piece
            return answer
        except (ConnectionResetError, BrokenPipeError):
            return b""


@pytest.mark.parametrize("data", [
    b"", b"\0", b"\0\0\0", b"\0\0\0\4", b"\0\0\0\x08", b"\xff" * 100, b"\x7f\xff\xff\xff\0\3\0\0",
    b"\x80\0\0\0\0\3\0\0", b"\0\0\x4e\x20" + b"\0" * 64, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", struct.pack("!ii", 9, 196608) + b"x",
    struct.pack("!ii", 12, 196608) + b"user", struct.pack("!ii", 14, 196608) + b"user\0x",
    struct.pack("!ii", 9, 196608) + b"\0", struct.pack("!ii", 16, 80877102) + b"\0" * 8,
    struct.pack("!ii", 17, 80877102) + b"\0" * 9, struct.pack("!ii", 9, 80877103) + b"\0",
], ids=lambda data: data[:12].hex() or "nothing")
def test_garbage_before_authentication_ends_the_connection(pgveil, data):
    answer = pushed(pgveil.port, data)
    assert answer == b"" or answer[:1] in (b"E", b"N"), answer


def test_random_bytes_before_authentication(pgveil):
    source = random.Random(7)
    for _ in range(100):
        pushed(pgveil.port, source.randbytes(source.randint(1, 300)))


def test_random_bytes_in_the_place_of_the_password(analyst):
    source = random.Random(8)
    for _ in range(60):
        with raw.Raw(analyst.pgveil.port) as session:
            session.send(raw.startup({"user": analyst.name, "database": "census"}))
            session.message()
            body = source.randbytes(source.randint(0, 80))
            mechanism = b"SCRAM-SHA-256\0" if source.random() < 0.7 else b""
            try:
                session.send(raw.framed(b"p", mechanism + struct.pack("!i", len(body)) + body))
                kind, body = session.message()
                assert kind == "E" and raw.fields(body)["S"] == "FATAL"
                assert session.closed()
            except (EOFError, ConnectionResetError):
                pass


@pytest.mark.parametrize("message", [
    raw.query("SELECT 1"), raw.parse("SELECT 1"), raw.SYNC, raw.TERMINATE,
    raw.framed(b"p", b""), raw.framed(b"p", b"MD5\0\0\0\0\0"), b"p\x7f\xff\xff\xff", b"p\0\0\0\3",
    raw.framed(b"p", b"x" * 70000)])
def test_wrong_messages_in_the_place_of_the_password(analyst, message):
    with raw.Raw(analyst.pgveil.port) as session:
        session.send(raw.startup({"user": analyst.name, "database": "census"}))
        session.message()
        try:
            session.send(message)
            kind, body = session.message()
            assert kind == "E" and raw.fields(body)["S"] == "FATAL"
            assert session.closed()
        except (EOFError, OSError):
            pass


@pytest.mark.parametrize("data, state", [
    (b"~\0\0\0\4", "08P01"), (b"Q\0\0\0\3", None), (b"Q\x7f\xff\xff\xff", None),
    (b"Q\xff\xff\xff\xff", None), (b"S\0\0\x4e\x20", None), (b"\0\0\0\0\0", None),
    (b"p\0\0\0\4", None)], ids=lambda x: str(x))
def test_broken_framing_ends_the_session(analyst, data, state):
    session = raw.log_in(analyst)
    session.send(data)
    try:
        kind, body = session.message()
        assert kind == "E"
        error = raw.fields(body)
        assert error["S"] == "FATAL"
        assert state is None or error["C"] == state
        assert session.closed()
    except (EOFError, ConnectionResetError):
        assert state is None


@pytest.mark.parametrize("message", [
    raw.framed(b"Q", b"SELECT 1"), raw.framed(b"Q", b"SELECT 1\0 more\0"), raw.framed(b"Q"),
    raw.framed(b"P", b"x"), raw.framed(b"P", b"\0SELECT 1\0"), raw.framed(b"P", b"\0SELECT 1\0\xff\xff"),
    raw.framed(b"B", b"\0\0"), raw.framed(b"B", b"\0\0\0\1\0\7\0\0\0\0"),
    raw.framed(b"B", b"\0\0\0\0\0\1\x7f\xff\xff\xff\0\0"), raw.framed(b"B", b"\0\0\0\0\xff\xff\0\0"),
    raw.framed(b"D", b""), raw.framed(b"D", b"X\0"), raw.framed(b"C", b"X\0"), raw.framed(b"E", b"\0"),
    raw.framed(b"E", b"no end"), raw.framed(b"F", b""), raw.framed(b"f", b"no end")],
    ids=lambda m: m[:12].hex())
def test_messages_that_do_not_parse_are_errors_or_end_the_session(analyst, message):
    session = raw.log_in(analyst)
    session.send(message, raw.SYNC)
    try:
        while True:
            kind, body = session.message()
            if kind == "E":
                assert raw.fields(body)["C"] in ("08P01", "26000", "34000", "0A000", "42501"), body
            if kind == "Z":
                session.socket.settimeout(0.3)
                try:
                    if session.message()[0] != "Z":
                        continue
                except TimeoutError:
                    pass
                break
    except (EOFError, ConnectionResetError):
        pass


def test_random_messages_after_authentication(analyst):
    source = random.Random(9)
    for _ in range(40):
        session = raw.log_in(analyst)
        try:
            for _ in range(10):
                kind = source.choice(b"QPBDECSHFdcfp~XyZ\0")
                session.send(raw.framed(bytes([kind]), source.randbytes(source.randint(0, 60))))
        except OSError:
            pass
        session.socket.close()


def test_a_message_above_the_limit_is_refused_without_being_stored(analyst):
    session = raw.log_in(analyst)
    try:
        session.send(b"Q" + struct.pack("!i", 100_000_000))
        for _ in range(1600):
            session.send(b"x" * 65536)
        kind, body = session.message()
        assert kind == "E" and raw.fields(body)["S"] == "FATAL"
    except (EOFError, OSError):
        pass


def test_a_truncated_message_is_dropped_with_its_connection(analyst):
    for cut in (1, 3, 5, 12):
        session = raw.log_in(analyst)
        session.send(raw.query("SELECT count(*) FROM people")[:cut])
        session.socket.close()
    assert analyst.rows("census", "SELECT * FROM dp.history") == []


def test_a_message_in_single_bytes_is_a_message(analyst):
    session = raw.log_in(analyst)
    for byte in raw.query("SELECT 1"):
        session.send(bytes([byte]))
    assert "".join(kind for kind, _ in session.until("Z")) == "TDCZ"


@pytest.mark.parametrize("sql, states", [
    ("SELECT " + "+".join(["1"] * 30000), ("54001", "54000")),
    ("SELECT count(*) FROM people WHERE " + "NOT " * 30000 + "smsa", ("54001", "54000")),
    ("SELECT count(*) FROM people WHERE education = " + "(" * 9000 + "1" + ")" * 9000,
     ("54001", "54000", "42601")),
    ("SELECT count(*) FROM people WHERE education IN (" + ",".join(map(str, range(30000))) + ")",
     ("54001", "54000")),
    ("SELECT '" + "x" * 3_000_000 + "'", ("54001", "54000")),
    ("SELECT count(*) FROM people " + "UNION ALL SELECT 1 " * 3000, ("54001", "54000")),
    ("SELECT", None), ("SELEC 1", ("42601",)), ("SELECT 'open", ("42601",)),
    ("SELECT $$open", ("42601",)), ("/* open", ("42601",)), (";;;", None), ("", None),
    ("SELECT \"\"", ("42601",)), ("SELECT 1 FROM", ("42601",))],
    ids=lambda x: str(x)[:30])
def test_statements_too_large_or_not_sql(analyst, sql, states):
    session = raw.log_in(analyst)
    replies = session.exchange(raw.query(sql))
    errors = [raw.fields(body)["C"] for kind, body in replies if kind == "E"]
    assert (errors == [] if states is None else len(errors) == 1 and errors[0] in states), errors
    assert session.kinds(raw.query("SELECT 1")) == "TDCZ"
    assert analyst.rows("census", "SELECT * FROM dp.history") == []


@pytest.mark.parametrize("encoding, text", [
    ("UTF8", b"SELECT count(*) FROM people WHERE region = '\xff\xfe'"),
    ("UTF8", b"SELECT count(*) FROM people WHERE region = '\xed\xa0\x80'"),
    ("SJIS", b"SELECT count(*) FROM people WHERE region = '\x83\x5c' OR 1=1 --'"),
    ("GBK", b"SELECT count(*) FROM people WHERE region = '\xbf\x27 OR 1=1 --'")])
def test_bytes_that_are_no_text_in_the_clients_encoding(analyst, encoding, text):
    session = raw.log_in(analyst, parameters={"client_encoding": "UTF8"})
    session.exchange(raw.query(f"SET client_encoding = {encoding}"))
    session.send(raw.framed(b"Q", text + b"\0"))
    replies = session.until("Z")
    if encoding == "UTF8":
        errors = [raw.fields(body)["C"] for kind, body in replies if kind == "E"]
        assert errors == ["22021"], errors
    assert session.kinds(raw.query("SELECT 1")) == "TDCZ"


def test_more_connections_than_allowed_are_refused_one_by_one(analyst):
    sessions, refused = [], 0
    for _ in range(40):
        try:
            sessions.append(analyst.connect("census"))
        except psycopg2.OperationalError as error:
            assert "too many connections" in str(error), error
            refused += 1
    assert len(sessions) == 20 and refused == 20
    for session in sessions:
        session.close()
    processes.wait_until(lambda: analyst.connect("census").close() or True, 10)


def test_a_client_that_says_nothing_is_timed_out(protected):

    pgveil = Pgveil(protected, datasets=("census",),
                    settings={"timeouts": {"login_ms": 500, "idle_ms": 1500, "statement_ms": 1000}})
    try:
        pgveil.start()
        with raw.Raw(pgveil.port) as session:
            started = time.monotonic()
            assert session.closed() and time.monotonic() - started < 5
        analyst = pgveil.analyst(grants={"census": AMPLE})
        with raw.log_in(analyst) as session:
            kind, body = session.message()
            assert kind == "E" and raw.fields(body)["C"] == "57P05"
        with raw.log_in(analyst) as session:
            assert session.error(raw.query("SET statement_timeout = 0; SELECT pg_catalog.count(*) FROM "
                                           "generate_series(1, 10000000000)"))["C"] == "57014"
    finally:
        pgveil.stop()


def test_a_client_that_does_not_read_does_not_fill_the_memory(pgveil, analyst):
    session = raw.log_in(analyst)
    before = memory(pgveil)
    session.send(raw.query("SELECT repeat('x', 1000) FROM generate_series(1, 300000)"))
    time.sleep(3)
    assert memory(pgveil) - before < 50_000_000
    session.socket.close()


def memory(pgveil):
    with open(f"/proc/{pgveil.process.pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_an_unreachable_protected_server_is_one_uniform_error(own_pgveil, own_protected):
    analyst = own_pgveil.analyst(grants={"clinic": AMPLE})
    assert len(analyst.rows("clinic", "SELECT count(*) FROM patients")) == 1
    own_protected.kill()
    with pytest.raises(psycopg2.Error) as caught:
        analyst.rows("clinic", "SELECT count(*) FROM patients WHERE age > 1")
    # Known before the charge: free. Found out after it: charged.
    assert caught.value.pgcode in ("57P03", "58000")
    charged = caught.value.pgcode == "58000"
    text = caught.value.pgerror
    for word in (str(own_protected.folder), "pgveil_reader", "connection", "refused"):
        assert word not in text, text
    # What needs no data goes on.
    assert analyst.rows("clinic", "SELECT 1") == [(1,)]
    assert len(journal(own_pgveil, analyst)) == 1 + charged
    own_protected.start()
    assert len(analyst.rows("clinic", "SELECT count(*) FROM patients WHERE age > 2")) == 1


@pytest.mark.parametrize("kind", ["ledger", "twins"])
def test_a_killed_managed_server_comes_back(own_pgveil, own_analyst, kind):
    assert len(own_analyst.rows("clinic", "SELECT count(*) FROM patients")) == 1
    own_pgveil.kill_managed(kind)

    def answers():
        try:
            return own_analyst.rows("clinic", f"SELECT count(*) FROM patients WHERE age > {time.time()}")
        except psycopg2.Error:
            return None

    processes.wait_until(answers, 60, f"the return of {kind}")
    assert own_pgveil.alive()


def test_a_protected_server_killed_in_the_middle_of_a_measurement(own_pgveil, own_protected):
    analyst = own_pgveil.analyst(grants={"clinic": AMPLE})
    lock = own_protected.connect("clinic")
    lock.autocommit = False
    lock.cursor().execute("LOCK TABLE patients IN ACCESS EXCLUSIVE MODE")
    session = raw.log_in(analyst, "clinic")
    # Asked by nobody before: an answer that another has paid for would need no measurement.
    session.send(raw.query("SELECT count(*) FROM patients WHERE age > -17"))
    processes.wait_until(lambda: journal(own_pgveil, analyst), 20, "the charge")
    own_protected.kill()
    error = next(raw.fields(body) for kind, body in session.until("Z") if kind == "E")
    assert error["C"] == "58000"
    own_protected.start()
    assert session.kinds(raw.query("SELECT 1")) == "TDCZ"
    assert len(journal(own_pgveil, analyst)) == 1
