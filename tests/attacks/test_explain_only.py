"""The control socket: who may use it, and whether a session that explains can be made to measure.

The protected server logs every statement: what was measured is seen there, whatever the client got."""
import os
import pwd
import socket
import subprocess
import sys

import psycopg2
import pytest

from harness import raw_protocol as raw
from harness.money import journal, spent

COUNT = "SELECT count(*) FROM people"


def asked(protected):
    """Measurements that the protected server has seen so far."""
    return sum('"people"' in line and "pg_catalog.count" in line
               for line in protected.log.read_text(errors="replace").splitlines())


@pytest.fixture
def target(pgveil, protected):
    """An analyst with a budget; nothing of it may be spent, nothing measured."""
    analyst = pgveil.analyst(grants={"with_bob": ("900", "0.1")})
    before = asked(protected)
    yield analyst
    assert journal(pgveil, analyst) == [] and spent(pgveil, analyst, "with_bob") == 0
    assert asked(protected) == before


def test_the_measure_of_this_file_notices_a_measurement(pgveil, protected):
    analyst = pgveil.analyst(grants={"with_bob": ("900", "0.1")})
    before = asked(protected)
    analyst.rows("with_bob", COUNT, settings={"dp.reuse": "off"})  # nor is another's draw taken over
    assert asked(protected) == before + 1 and len(journal(pgveil, analyst)) == 1


STATEMENTS = [
    COUNT, "TABLE people", "SELECT zip, count(*) FROM people GROUP BY zip",
    "WITH x AS (SELECT count(*) FROM people) SELECT * FROM x", "SELECT (SELECT count(*) FROM people)",
    "SELECT * FROM dp.history", "SELECT * FROM dp.budget",
    "EXPLAIN ANALYZE " + COUNT, "EXPLAIN (ANALYZE) " + COUNT, "EXPLAIN (ANALYZE, COSTS OFF) " + COUNT,
    "EXPLAIN (ANALYZE true, FORMAT JSON) " + COUNT, "EXPLAIN EXPLAIN " + COUNT,
    "COPY (" + COUNT + ") TO STDOUT", "COPY people TO STDOUT",
    "DECLARE c CURSOR WITH HOLD FOR " + COUNT, "BEGIN; DECLARE c CURSOR FOR " + COUNT + "; FETCH c; COMMIT",
    "PREPARE q AS " + COUNT, "PREPARE q AS " + COUNT + "; EXECUTE q", "EXPLAIN " + COUNT + "; " + COUNT,
    COUNT + "; EXPLAIN " + COUNT, "/* EXPLAIN */ " + COUNT, "-- EXPLAIN\n" + COUNT, "SELECT 1; " + COUNT,
    "EXPLAIN SELECT 1; " + COUNT, "BEGIN; EXPLAIN " + COUNT + "; " + COUNT + "; COMMIT",
    "CREATE TEMP TABLE t AS " + COUNT, "SELECT count(*) INTO TEMP t FROM people",
    "EXPLAIN ANALYZE CREATE TEMP TABLE t AS " + COUNT, "EXPLAIN (ANALYZE) EXECUTE q",
    "CREATE TEMP VIEW v AS " + COUNT, "DO $$ BEGIN PERFORM count(*) FROM people; END $$",
    "SELECT query_to_xml('" + COUNT + "', true, true, '')", "SET dp.mechanism = 'auto'; " + COUNT,
    "SET SESSION AUTHORIZATION whale; " + COUNT, "SET ROLE whale; " + COUNT, "RESET ALL; " + COUNT,
    "DISCARD ALL", "SELECT set_config('pgveil.explains_only', 'off', false); " + COUNT,
    "INSERT INTO people SELECT * FROM people", "SELECT * FROM people WHERE false; " + COUNT,
]


@pytest.mark.parametrize("sql", STATEMENTS)
def test_no_simple_query_measures(pgveil, target, sql):
    with raw.explaining(pgveil, target.name, "with_bob") as session:
        session.exchange(raw.query(sql))
        assert session.kinds(raw.query("ROLLBACK; SELECT 1")).endswith("DCZ")


@pytest.mark.parametrize("sql", STATEMENTS)
def test_no_extended_query_measures(pgveil, target, sql):
    with raw.explaining(pgveil, target.name, "with_bob") as session:
        session.exchange(raw.parse(sql, "s"), raw.bind((), "p", "s"), raw.describe("P", "p"),
                         raw.execute("p"), raw.execute("p"), raw.SYNC)
        messages = session.exchange(raw.bind((), "", "s"), raw.execute("", 1), raw.execute("", 1), raw.SYNC)
        assert messages[-1][0] == "Z"
        session.exchange(raw.query("ROLLBACK"))
        session.exchange(raw.query("EXECUTE s"))


def test_each_refusal_says_so_with_42501(pgveil, target):
    with raw.explaining(pgveil, target.name, "with_bob") as session:
        error = session.error(raw.query(COUNT))
        assert error["C"] == "42501" and "explain" in error["M"] and "EXPLAIN" in error["H"]
        error = session.error(raw.parse(COUNT), raw.bind(), raw.execute(), raw.SYNC)
        assert error["C"] == "42501"
        assert "D" in session.kinds(raw.query("EXPLAIN " + COUNT))


def test_parameters_and_a_cursor_of_the_protocol_measure_nothing(pgveil, target):
    with raw.explaining(pgveil, target.name, "with_bob") as session:
        error = session.error(raw.parse("SELECT count(*) FROM people WHERE zip = $1::text", "s", (25,)),
                              raw.bind((b"1",), "c", "s"), raw.execute("c", 1), raw.SYNC)
        assert error["C"] == "42501"
        kinds = session.kinds(raw.parse("EXPLAIN " + COUNT, "s2"), raw.bind((), "c", "s2"),
                              raw.execute("c", 1), raw.SYNC)
        assert kinds == "12DsZ"


def test_what_another_has_paid_for_is_not_given_away(pgveil, protected):
    """An answer that the analyst has got already is not handed to whoever sits at the socket."""
    analyst = pgveil.analyst(grants={"with_bob": ("900", "0.1")})
    analyst.rows("with_bob", COUNT)
    with raw.explaining(pgveil, analyst.name, "with_bob") as session:
        assert session.error(raw.query(COUNT))["C"] == "42501"
    assert len(journal(pgveil, analyst)) == 1


def test_a_cancel_key_of_the_control_socket_is_worth_no_more_than_another(pgveil, target):
    session = raw.log_in(target, "with_bob")
    pid, key = raw.backend_key(session)
    with raw.Raw(pgveil.control / ".s.PGSQL.5432") as other:
        other.send(raw.framed(b"", raw.struct.pack("!iii", raw.CANCEL_REQUEST, pid, key ^ 1)))
        assert other.closed()
    assert session.kinds(raw.query("SELECT 1")) == "TDCZ"
    session.socket.close()


# --- who may come in -----------------------------------------------------------------------------

KNOCK = """
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(20)
try:
    s.connect(sys.argv[1])
    s.sendall(bytes.fromhex(sys.argv[2]))
    print(s.recv(1000).hex())
except ConnectionError:
    print("")
except PermissionError:
    print("denied")
"""


def knock(path, uid):
    startup = raw.startup({"user": "admin", "database": "pgveil"})
    done = subprocess.run([sys.executable, "-c", KNOCK, str(path), startup.hex()], user=uid, group=uid,
                          extra_groups=[], cwd="/", capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
def test_another_user_is_kept_out_by_the_folder_and_turned_away_behind_it(pgveil):
    """The folder's mode, and where somebody has opened it, the kernel's word on who it is."""
    path = pgveil.control / ".s.PGSQL.5432"
    stranger = pwd.getpwnam("nobody").pw_uid
    owner = os.stat(path).st_uid
    assert stranger != owner
    assert knock(path, stranger) == "denied"
    opened = [pgveil.folder, pgveil.state, pgveil.control, path]
    modes = [os.stat(one).st_mode & 0o7777 for one in opened]
    try:
        for one in opened:
            os.chmod(one, 0o777)
        assert knock(path, stranger) == ""
        assert bytes.fromhex(knock(path, owner)).startswith(b"R\0\0\0\x08\0\0\0\0")
    finally:
        for one, mode in zip(opened, modes):
            os.chmod(one, mode)
    assert f"user {stranger} was turned away" in pgveil.log_text()
    assert pgveil.console("SHOW VERSION")


def test_the_console_cannot_be_reached_over_the_network(pgveil, target):
    with pytest.raises(psycopg2.OperationalError, match="does not exist"):
        target.connect("pgveil")
    with socket.create_connection(("127.0.0.1", pgveil.port), 20) as client:
        client.sendall(raw.startup({"user": "admin", "database": "pgveil"}))
        assert client.recv(5)[:1] == b"R"  # asks for a password like anybody's
