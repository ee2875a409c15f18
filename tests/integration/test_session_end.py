"""How sessions end: a twin that dies under a slow reader, a client that vanishes."""
import json
import socket
import struct

import psycopg2

from harness import processes, raw_protocol as raw

ROWS = 50  # of ten thousand bytes each, for one statement


def as_admin(pgveil, sql):
    """The twin server's administrator."""
    server = f"host={pgveil.state}/twins/socket user=pgveil_admin dbname=postgres"
    return processes.checked(["psql", "-X", "-A", "-t", "-c", sql, server]).split()


def backends(pgveil, analyst):
    return as_admin(pgveil, "SELECT a.pid FROM pg_stat_activity a "
                    f"WHERE a.usename = '{analyst.name}'")


def is_idle(pgveil, pid):
    """Runs no statement: there is no transaction."""
    return as_admin(pgveil, "SELECT count(*) FROM pg_locks "
                    f"WHERE locktype = 'virtualxid' AND pid = {pid}") == ["0"]


def settles(pgveil, pid):
    try:
        return processes.wait_until(lambda: is_idle(pgveil, pid), 2)
    except TimeoutError:
        return False


def test_a_slow_reader_gets_all_that_the_twin_said_before_it_died(own_pgveil, own_analyst):
    session = raw.log_in(own_analyst, "clinic")
    pid, = backends(own_pgveil, own_analyst)
    # Without reading: until every buffer on the way is full and the twin cannot go on.
    complete = 0
    while True:
        session.send(raw.query(f"SELECT repeat('x', 10000) FROM generate_series(1, {ROWS})"))
        if not settles(own_pgveil, pid):
            break
        complete += 1
        assert complete < 1000, "nothing is ever full"
    as_admin(own_pgveil, f"SELECT pg_terminate_backend({pid}, 10000)")
    session.send(raw.query("SELECT 'to nobody'"))
    processes.wait_until(lambda: not backends(own_pgveil, own_analyst), 20, "the twin's end")
    kinds = []
    try:
        while True:
            kinds.append(session.message()[0])
    except (EOFError, ConnectionError):
        pass
    assert kinds.count("Z") >= complete >= 1
    assert kinds.count("D") >= complete * ROWS
    assert own_pgveil.alive()


def sessions(pgveil, analyst):
    return [row for row in json.loads(pgveil.ctl("session", "list", "--json"))
            if row["analyst"] == analyst.name]


def test_a_client_gone_by_reset_ends_its_session_and_its_statement(own_pgveil, own_analyst):
    session = raw.log_in(own_analyst, "clinic")
    pid, = backends(own_pgveil, own_analyst)
    session.send(raw.query("SELECT count(*) FROM generate_series(1, 1000000) a, "
                           "generate_series(1, 1000000) b"))
    processes.wait_until(lambda: not is_idle(own_pgveil, pid), 20, "the statement")
    assert len(sessions(own_pgveil, own_analyst)) == 1
    session.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    session.socket.close()
    processes.wait_until(lambda: not sessions(own_pgveil, own_analyst), 20, "the end of the session")
    processes.wait_until(lambda: not backends(own_pgveil, own_analyst), 20, "the end of the statement")


def test_a_client_that_only_ends_its_half_gets_its_answer(own_pgveil, own_analyst):
    session = raw.log_in(own_analyst, "clinic")
    session.send(raw.query("SELECT count(*) FROM generate_series(1, 300000)"))
    session.socket.shutdown(socket.SHUT_WR)
    assert [kind for kind, _ in session.until("Z")] == ["T", "D", "C", "Z"]
    assert session.closed()
    with psycopg2.connect(own_analyst.conninfo("clinic")) as connection:
        assert connection.closed == 0


def test_a_client_that_leaves_in_the_middle_of_a_pipeline_holds_no_session(own_pgveil, own_analyst):
    """A server answers a pipeline when it is flushed or ended, which nobody will do any more."""
    for messages in ([raw.parse("SELECT 1"), raw.bind()], [raw.parse("SELECT count(*) FROM patients"), raw.bind()],
                     [raw.parse("SELECT 1/0"), raw.bind(), raw.execute(), raw.close("P")]):
        session = raw.log_in(own_analyst, "clinic")
        session.send(*messages)
        session.socket.close()
        processes.wait_until(lambda: not backends(own_pgveil, own_analyst), 20, "the session's end")
