"""Getting in: negotiation, TLS, SCRAM, who is refused and how, settings of the session, leaving."""
import re
import ssl
import struct
import time

import psycopg2
import pytest
from harness import raw_protocol as raw
from harness import processes
from harness.pgveil import AMPLE, Pgveil


@pytest.fixture(scope="module")
def tls_pgveil(protected):
    """One that demands TLS."""
    pgveil = Pgveil(protected, datasets=("census",), settings={
        "tls": {"mode": "require", "certificate": "server.crt", "key": "server.key"}})
    processes.checked(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                       "-subj", "/CN=pgveil.test", "-keyout", pgveil.folder / "server.key",
                       "-out", pgveil.folder / "server.crt"])
    try:
        pgveil.start()
        yield pgveil
        assert pgveil.end() == 0, pgveil.log_text()[-5000:]
    finally:
        pgveil.stop()


def test_an_analyst_connects_with_psql(analyst):
    out, err = analyst.psql("census", "SELECT 'hello' AS word;\n", "-A", "-t")
    assert (out, err) == ("hello\n", "")


def test_both_drivers_connect_and_see_an_unprivileged_server(analyst):
    connection = analyst.connect("census")
    assert connection.get_parameter_status("is_superuser") == "off"
    assert connection.get_parameter_status("server_version").startswith("15")
    assert connection.get_parameter_status("integer_datetimes") == "on"
    connection.close()
    with analyst.connect3("census") as third:
        assert third.execute("SELECT current_user, current_database()").fetchone() == (
            analyst.name, "census")


def test_the_greeting_holds_every_parameter_that_postgresql_reports(analyst):
    session = raw.log_in(analyst)
    names = [body.split(b"\0")[0].decode() for kind, body in session.greeting if kind == "S"]
    assert set(names) >= {
        "application_name", "client_encoding", "DateStyle", "default_transaction_read_only",
        "in_hot_standby", "integer_datetimes", "IntervalStyle", "is_superuser", "server_encoding",
        "server_version", "session_authorization", "standard_conforming_strings", "TimeZone"}
    assert [kind for kind, _ in session.greeting].count("K") == 1


@pytest.mark.parametrize("user, password", [("nobody_at_all", "x"), (None, "wrong"), (None, "")])
def test_a_wrong_password_and_an_unknown_name_look_the_same(analyst, user, password):
    with pytest.raises(psycopg2.OperationalError) as caught:
        psycopg2.connect(host="127.0.0.1", port=analyst.pgveil.port, dbname="census",
                         user=user or analyst.name, password=password or "y")
    name = user or analyst.name
    assert f'password authentication failed for user "{name}"' in str(caught.value)


def test_the_exchange_of_an_unknown_name_goes_as_far_as_that_of_a_known_one(analyst):
    replies = []
    for name in (analyst.name, "nobody_at_all"):
        with raw.Raw(analyst.pgveil.port) as session:
            session.send(raw.startup({"user": name, "database": "census"}))
            kind, body = session.authenticate("wrong")
            error = raw.fields(body)
            replies.append((kind, error["S"], error["C"], error["M"].replace(name, "NAME")))
            assert session.closed()
    assert replies[0] == replies[1]
    assert replies[0][:3] == ("E", "FATAL", "28P01")


def test_the_mock_salt_of_a_name_does_not_change_and_differs_between_names(analyst):
    def salt(name):
        with raw.Raw(analyst.pgveil.port) as session:
            session.send(raw.startup({"user": name, "database": "census"}))
            session.message()
            first = b"n,,n=,r=abcdefghijklmnopqrstuvwx"
            session.send(raw.framed(b"p", b"SCRAM-SHA-256\0" + struct.pack("!i", len(first)) + first))
            kind, body = session.message()
            assert kind == "R"
            return re.search(r"s=([^,]+)", body[4:].decode()).group(1)

    assert salt("nobody_a") == salt("nobody_a") != salt("nobody_b")


def test_an_unknown_database_is_named_after_authentication(analyst):
    with pytest.raises(psycopg2.OperationalError) as caught:
        analyst.connect("nothing_here")
    assert 'database "nothing_here" does not exist' in str(caught.value)
    for password, state in ((analyst.password, "3D000"), ("wrong", "28P01")):
        with raw.Raw(analyst.pgveil.port) as session:
            session.send(raw.startup({"user": analyst.name, "database": "nothing_here"}))
            kind, body = session.authenticate(password)
            if kind == "R":
                kind, body = session.message()
            assert (kind, raw.fields(body)["C"]) == ("E", state)


def test_an_analyst_without_a_grant_cannot_measure(pgveil):
    other = pgveil.analyst(grants={"census": AMPLE})
    with pytest.raises(psycopg2.Error):
        other.rows("clinic", "SELECT count(*) FROM patients")


def test_a_disabled_analyst_is_an_unknown_one(pgveil):
    analyst = pgveil.analyst(grants={"census": AMPLE})
    analyst.connect("census").close()
    pgveil.ctl("analyst", "disable", analyst.name)
    with pytest.raises(psycopg2.OperationalError) as caught:
        analyst.connect("census")
    assert "password authentication failed" in str(caught.value)


def test_a_new_password_replaces_the_old_one(pgveil):
    analyst = pgveil.analyst(grants={"census": AMPLE})
    pgveil.ctl("analyst", "passwd", analyst.name, password="another one")
    with pytest.raises(psycopg2.OperationalError):
        analyst.connect("census")
    analyst.password = "another one"
    analyst.connect("census").close()


def test_encryption_requests_are_answered_when_there_is_no_tls(analyst):
    with raw.Raw(analyst.pgveil.port) as session:
        session.send(raw.request(raw.GSS_REQUEST))
        assert session.read_bytes(1) == b"N"
        session.send(raw.request(raw.SSL_REQUEST))
        assert session.read_bytes(1) == b"N"
        session.send(raw.startup({"user": analyst.name, "database": "census"}))
        assert session.authenticate(analyst.password) == ("R", struct.pack("!i", 0))


def test_newer_protocols_are_negotiated_down(analyst):
    with raw.Raw(analyst.pgveil.port) as session:
        session.send(raw.startup({"user": analyst.name, "database": "census", "_pq_.foo": "1"},
                                 (3 << 16) | 9999))
        kind, body = session.message()
        assert (kind, body) == ("v", struct.pack("!ii", 196608, 1) + b"_pq_.foo\0")
        assert session.authenticate(analyst.password) == ("R", struct.pack("!i", 0))


@pytest.mark.parametrize("protocol", [2 << 16, 4 << 16, 0])
def test_other_protocols_end_the_connection(analyst, protocol):
    with raw.Raw(analyst.pgveil.port) as session:
        session.send(raw.startup({"user": analyst.name, "database": "census"}, protocol))
        try:
            kind, body = session.message()
            assert (kind, raw.fields(body)["C"]) == ("E", "0A000")
        except (EOFError, ConnectionResetError):
            return
        assert session.closed()


@pytest.mark.parametrize("parameters, state", [
    ({"foo": "1"}, "42704"), ({"statement_timeout": "abc"}, "22023"),
    ({"replication": "database"}, "42501"), ({"session_authorization": "postgres"}, None),
    ({"options": "-c session_preload_libraries=x"}, None)])
def test_startup_parameters_off_the_list_are_fatal(analyst, parameters, state):
    with raw.Raw(analyst.pgveil.port) as session:
        session.send(raw.startup({"user": analyst.name, "database": "census", **parameters}))
        kind, body = session.authenticate(analyst.password)
        while kind != "E":
            kind, body = session.message()
            assert kind != "Z", "accepted"
        error = raw.fields(body)
        assert error["S"] == "FATAL"
        assert state is None or error["C"] == state, error


def test_startup_parameters_on_the_list_take_effect(analyst):
    connection = analyst.connect("census", options="-c dp.epsilon=0.25 -c statement_timeout=54321",
                                 application_name="a test")
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('dp.epsilon'), current_setting('statement_timeout'), "
                       "current_setting('application_name')")
        assert cursor.fetchone() == ("0.25", "54321ms", "a test")
    connection.close()


def test_tls_is_used_and_scram_is_bound_to_the_channel(tls_pgveil):
    analyst = tls_pgveil.analyst(grants={"census": AMPLE})
    connection = analyst.connect("census", sslmode="require", channel_binding="require")
    assert connection.info.ssl_in_use
    assert connection.info.ssl_attribute("protocol") in ("TLSv1.2", "TLSv1.3")
    connection.close()


def test_clear_text_is_refused_where_tls_is_required(tls_pgveil):
    analyst = tls_pgveil.analyst(grants={"census": AMPLE})
    with pytest.raises(psycopg2.OperationalError):
        analyst.connect("census", sslmode="disable")
    with raw.Raw(tls_pgveil.port) as session:
        session.send(raw.startup({"user": analyst.name, "database": "census"}))
        kind, body = session.message()
        assert (kind, raw.fields(body)["S"]) == ("E", "FATAL")
        assert session.closed()


def test_bytes_behind_the_request_for_tls_end_the_connection(tls_pgveil):
    """CVE-2021-23214: they would count as sent under TLS."""
    with raw.Raw(tls_pgveil.port) as session:
        session.send(raw.request(raw.SSL_REQUEST), raw.startup({"user": "x", "database": "census"}))
        try:
            answer = session.socket.recv(1)
            assert answer != b"R"
            with pytest.raises((ssl.SSLError, OSError, EOFError)):
                context = ssl._create_unverified_context()
                tls = context.wrap_socket(session.socket)
                tls.sendall(raw.startup({"user": "x", "database": "census"}))
                if not tls.recv(1):
                    raise EOFError
        except (ConnectionResetError, BrokenPipeError):
            pass


def test_a_downgrade_of_channel_binding_is_noticed(tls_pgveil):
    analyst = tls_pgveil.analyst(grants={"census": AMPLE})
    with raw.Raw(tls_pgveil.port) as session:
        session.start_tls()
        session.send(raw.startup({"user": analyst.name, "database": "census"}))
        kind, body = session.authenticate(analyst.password, gs2="y,,")
        assert kind == "E", "a client that says the server has no PLUS was let in"


def test_terminate_ends_the_session_and_the_twin_session(analyst):
    session = raw.log_in(analyst)
    session.send(raw.TERMINATE)
    assert session.closed()


def test_the_cancel_key_belongs_to_pgveil_and_a_wrong_one_does_nothing(analyst):
    session = raw.log_in(analyst)
    pid, key = raw.backend_key(session)
    other = raw.log_in(analyst)
    assert raw.backend_key(other) != (pid, key)
    assert raw.cancel(analyst.pgveil.port, pid, key ^ 1)
    assert session.kinds(raw.query("SELECT 1")) == "TDCZ"


def test_a_cancel_ends_a_relayed_statement(analyst):
    session = raw.log_in(analyst)
    session.send(raw.query("SELECT count(*) FROM generate_series(1, 1000000000)"))
    time.sleep(0.5)
    started = time.monotonic()
    assert raw.cancel(analyst.pgveil.port, *raw.backend_key(session))
    replies = session.until("Z")
    assert raw.fields(next(body for kind, body in replies if kind == "E"))["C"] == "57014"
    assert time.monotonic() - started < 5
    assert session.kinds(raw.query("SELECT 1")) == "TDCZ"


def test_many_sessions_at_once_are_kept_apart(analyst):
    sessions = [raw.log_in(analyst, parameters={"application_name": f"s{n}"}) for n in range(15)]
    for number, session in enumerate(sessions):
        session.send(raw.query("SHOW application_name"))
        session.number = number
    for session in sessions:
        rows = [body for kind, body in session.until("Z") if kind == "D"]
        assert rows[0].endswith(b"s%d" % session.number)
    for session in sessions:
        session.socket.close()
