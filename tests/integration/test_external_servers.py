"""External ledger and twin servers, shared by two instances of pgveil: TLS, SCRAM, one twin for both,
nothing that collides, and servers that are refused."""
import copy
import os
import signal
import threading

import psycopg2
import pytest

from harness import clinic, processes, raw_protocol as raw
from harness.cluster import TRUST_LOCALLY, Cluster
from harness.money import journal, spent
from harness.pgveil import AMPLE, Pgveil

SECRET = "chosen-by-the-dba"
HBA = (TRUST_LOCALLY +
       "hostssl all +pgveil_analyst 127.0.0.1/32 scram-sha-256\n"
       "hostssl all postgres 127.0.0.1/32 scram-sha-256\n")


@pytest.fixture(scope="module")
def ledger_cluster():
    server = Cluster()
    try:
        server.query("postgres", "CREATE DATABASE ledger")
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def twin_cluster():
    server = Cluster(hba=HBA, tls=True)
    try:
        server.query("postgres", f"ALTER ROLE postgres PASSWORD '{SECRET}'")
        yield server
    finally:
        server.stop()


def over_tls(twin_cluster, **more):
    return twin_cluster.tcp_conninfo("postgres", host="localhost", **{
        "password": SECRET, "sslmode": "verify-full",
        "sslrootcert": f"{twin_cluster.folder}/ca.crt", **more})


def instance(protected, ledger_cluster, twin_cluster, **options):
    return Pgveil(protected, datasets=("clinic",), settings={
        "ledger_server": ledger_cluster.conninfo("ledger"),
        "twin_server": over_tls(twin_cluster)}, **options)


@pytest.fixture(scope="module")
def pair(protected, ledger_cluster, twin_cluster):
    """Two instances that share both servers."""
    started = []
    try:
        for _ in range(2):
            started.append(instance(protected, ledger_cluster, twin_cluster))
            started[-1].start()
        started[0].analyst("whale", {"clinic": AMPLE})
        yield started
        for pgveil in started:
            assert pgveil.alive(), pgveil.log_text()[-5000:]
            assert pgveil.end() == 0, pgveil.log_text()[-5000:]
    finally:
        for pgveil in started:
            pgveil.stop()


def at(pgveil, analyst):
    """The same analyst at another instance."""
    other = copy.copy(analyst)
    other.pgveil = pgveil
    return other


def twins(twin_cluster):
    return sorted(name for name, in twin_cluster.query(
        "postgres", "SELECT datname FROM pg_database WHERE datname <> 'postgres' "
        "AND NOT datistemplate"))


def test_both_instances_answer_and_share_analysts_budget_and_twin(pair, twin_cluster):
    first, second = pair
    analyst = first.analyst(grants={"clinic": AMPLE})
    assert analyst.rows("clinic", "SELECT chapter FROM icd_codes WHERE code = 'A00'") == [
        ("infection",)]
    analyst.rows("clinic", "SELECT count(*) FROM patients")
    elsewhere = at(second, analyst)
    elsewhere.rows("clinic", "SELECT count(*) FROM visits WHERE minutes > 17")
    assert elsewhere.rows("clinic", "SELECT count(*) FROM dp.history") == [(2,)]
    assert elsewhere.rows("clinic", "SELECT current_database()") == [("clinic",)]
    assert sum(journal(first, analyst)) == spent(second, analyst, "clinic")
    assert twins(twin_cluster) == ["clinic"]
    assert "the twin is there already" in second.log_text()
    assert not (first.state / "twins").exists() and not (first.state / "ledger").exists()


def test_sessions_on_the_twin_server_are_the_analysts_own_over_tls(pair, twin_cluster):
    analyst = pair[0].analyst(grants={"clinic": AMPLE})
    connection = analyst.connect("clinic")
    assert twin_cluster.query(
        "postgres", "SELECT s.ssl FROM pg_stat_activity a JOIN pg_stat_ssl s USING (pid) "
        "WHERE a.usename = %s", (analyst.name,)) == [(True,)]
    connection.close()


def test_a_role_cannot_lock_pgveil_out_and_nobody_else_gets_in(pair, twin_cluster):
    analyst = pair[0].analyst(grants={"clinic": AMPLE})
    assert analyst.rows("clinic", "SELECT 1") == [(1,)]
    for statement in (f"ALTER ROLE {analyst.name} PASSWORD 'x'", "ALTER USER CURRENT_USER PASSWORD 'x'"):
        with pytest.raises(psycopg2.Error) as caught:
            analyst.rows("clinic", statement)
        assert caught.value.pgcode == "42501"
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(twin_cluster.tcp_conninfo(
            "clinic", user=analyst.name, password=analyst.password, sslmode="require"))
    # Even where somebody has changed it, the next login of either instance puts it right.
    twin_cluster.query("postgres", f"ALTER ROLE {analyst.name} PASSWORD 'x'")
    for pgveil in pair:
        assert at(pgveil, analyst).rows("clinic", "SELECT 1") == [(1,)]


def test_many_logins_at_once_at_both_instances(pair):
    analyst = pair[0].analyst(grants={"clinic": AMPLE})
    answers = []

    def ask(pgveil):
        for _ in range(4):
            answers.append(at(pgveil, analyst).rows("clinic", "SELECT 1"))

    threads = [threading.Thread(target=ask, args=(pgveil,)) for pgveil in pair * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [[(1,)]] * 24


def test_a_cancel_reaches_the_twin(pair):
    analyst = pair[0].analyst(grants={"clinic": AMPLE})
    session = raw.log_in(analyst, "clinic")
    session.send(raw.query("SELECT count(*) FROM generate_series(1, 1000000) a, "
                           "generate_series(1, 1000000) b"))
    assert raw.cancel(pair[0].port, *raw.backend_key(session))
    replies = session.until("Z")
    assert [raw.fields(body)["C"] for kind, body in replies if kind == "E"] == ["57014"]


def test_the_databases_of_the_twin_server_are_closed_to_analysts(pair, twin_cluster):
    analyst = pair[0].analyst(grants={"clinic": AMPLE})
    analyst.rows("clinic", "SELECT 1")
    open_to_all = twin_cluster.query(
        "postgres", "SELECT datname FROM pg_database WHERE has_database_privilege(%s, oid, "
        "'CONNECT') AND datname <> 'clinic'", (analyst.name,))
    assert open_to_all == []


def test_two_instances_race_for_the_last_of_a_budget(pair):
    analyst = pair[0].analyst(grants={"clinic": ("1", "1e-6")})
    answered, refused = [], []

    def ask(pgveil, number):
        try:
            at(pgveil, analyst).rows(
                "clinic", f"SELECT count(*) FROM patients WHERE age > {number}",
                settings={"dp.epsilon": "0.4"})
            answered.append(number)
        except psycopg2.Error as error:
            refused.append(error.pgcode)

    threads = [threading.Thread(target=ask, args=(pair[n % 2], n)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(refused) <= {"53400", "53300"}, refused  # 53300: measurements at once
    assert len(journal(pair[0], analyst)) == len(answered) >= 1
    cap = int(pair[0].ledger("SELECT cap_pico FROM pgveil.account WHERE holder = 'analyst' "
                             f"AND name = '{analyst.name}'")[0][0])
    assert spent(pair[0], analyst, "clinic") <= cap


def test_an_instance_with_another_policy_gets_a_twin_of_its_own(
        pair, protected, ledger_cluster, twin_cluster):
    analyst = pair[0].analyst(grants={"clinic": AMPLE})
    session = analyst.connect("clinic")
    policy = copy.deepcopy(clinic.POLICY)
    del policy["tables"]["public.patients"]["columns"]["weight"]
    third = instance(protected, ledger_cluster, twin_cluster, policies={"clinic": policy})
    try:
        third.start()
        assert twins(twin_cluster) == ["clinic", "clinic~2"]
        with session.cursor() as cursor:
            cursor.execute("SELECT count(weight) FROM patients")
        with pytest.raises(psycopg2.errors.UndefinedColumn):
            at(third, analyst).rows("clinic", "SELECT count(weight) FROM patients")
        assert third.end() == 0
        # The next build of anybody drops what nobody uses.
        third.write_policy("clinic")
        third.policies = {}
        third.write_policy("clinic")
        third.start()
        assert twins(twin_cluster) == ["clinic"]
        assert at(third, analyst).rows("clinic", "SELECT current_database()") == [("clinic",)]
        assert third.end() == 0
    finally:
        session.close()
        third.stop()


def test_an_instance_killed_in_the_middle_loses_no_charge_and_holds_nobody_up(pair, protected):
    first, second = pair
    analyst = first.analyst(grants={"clinic": AMPLE})
    lock = protected.connect("clinic")
    lock.autocommit = False
    lock.cursor().execute("LOCK TABLE visits IN ACCESS EXCLUSIVE MODE")
    session = raw.log_in(analyst, "clinic")
    session.send(raw.query("SELECT count(*) FROM visits"))
    processes.wait_until(lambda: journal(first, analyst), 20, "the charge")
    first.kill()
    assert at(second, analyst).rows("clinic", "SELECT count(*) FROM patients")
    lock.rollback()
    lock.close()
    states = [state for state, in second.ledger(
        "SELECT coalesce(r.state, 'charged') FROM pgveil.journal j "
        "LEFT JOIN pgveil.resolution r USING (request) WHERE j.kind = 'charge' "
        f"AND j.analyst = '{analyst.name}' ORDER BY j.seq")]
    assert states == ["charged", "answered"]
    assert sum(journal(second, analyst)) == spent(second, analyst, "clinic")
    first.start()
    assert "the twin is there already" in first.log_text()
    assert analyst.rows("clinic", "SELECT count(*) FROM dp.history WHERE state = 'charged'") == [(1,)]


def test_a_twin_server_that_dies_comes_back_for_both(pair, twin_cluster):
    analyst = pair[0].analyst(grants={"clinic": AMPLE})
    assert analyst.rows("clinic", "SELECT 1") == [(1,)]
    twin_cluster.kill()
    twin_cluster.start()

    def answers(pgveil):
        try:
            return at(pgveil, analyst).rows("clinic", "SELECT count(*) FROM patients")
        except psycopg2.Error:
            return None

    for pgveil in pair:
        processes.wait_until(lambda: answers(pgveil), 30, "a session after the restart")


def test_a_twin_that_was_dropped_is_built_again(pair, twin_cluster):
    analyst = pair[0].analyst(grants={"clinic": AMPLE})
    twin_cluster.query("postgres", "DROP DATABASE clinic WITH (FORCE)")

    def answers(pgveil):
        try:
            return at(pgveil, analyst).rows("clinic", "SELECT current_database()")
        except psycopg2.Error:
            return None

    for pgveil in pair:
        assert processes.wait_until(lambda: answers(pgveil), 30, "a new twin") == [("clinic",)]


# --- servers that are refused -------------------------------------------------------------------


def refusal(protected, **settings):
    pgveil = Pgveil(protected, datasets=("clinic",), settings=settings)
    try:
        with pytest.raises(RuntimeError) as caught:
            pgveil.start()
        return str(caught.value)
    finally:
        pgveil.stop()


def test_the_three_servers_must_be_three_and_nothing_is_written_to_the_wrong_one(
        protected, ledger_cluster):
    protected.query("postgres", "CREATE DATABASE misplaced_ledger")
    misplaced = protected.conninfo("misplaced_ledger", "postgres")
    assert "the ledger server is the protected server" in refusal(protected, ledger_server=misplaced)
    ledger = ledger_cluster.conninfo("ledger")
    assert "the twin server is the ledger server" in refusal(
        protected, ledger_server=ledger, twin_server=ledger)
    assert "the twin server is the protected server" in refusal(protected, twin_server=misplaced)
    assert protected.query("misplaced_ledger", "SELECT nspname FROM pg_namespace "
                           "WHERE nspname LIKE 'pgveil%'") == []
    assert protected.query("postgres", "SELECT FROM pg_roles WHERE rolname = 'pgveil_analyst'") == []


def test_an_unfit_twin_server_is_refused_with_what_would_help(protected):
    server = Cluster(hba=TRUST_LOCALLY + "host all all 127.0.0.1/32 trust\n", tcp=True)
    try:
        server.query("postgres", "CREATE ROLE admin LOGIN CREATEROLE CREATEDB")
        assert "is no superuser" in refusal(
            protected, twin_server=server.tcp_conninfo("postgres", "admin"))
        server.query("postgres", "CREATE DATABASE somebody")
        assert "REVOKE CONNECT ON DATABASE somebody FROM PUBLIC" in refusal(
            protected, twin_server=server.tcp_conninfo("postgres"))
        server.query("postgres", "ALTER DATABASE somebody RENAME TO clinic")
        server.query("postgres", "REVOKE CONNECT ON DATABASE clinic FROM PUBLIC")
        assert "a database clinic that pgveil did not make" in refusal(
            protected, twin_server=server.tcp_conninfo("postgres"))
        server.query("postgres", "DROP DATABASE clinic")
        # Over TCP anybody could be an analyst there: nobody is let in.
        pgveil = Pgveil(protected, datasets=("clinic",),
                        settings={"twin_server": server.tcp_conninfo("postgres")})
        try:
            pgveil.start()
            analyst = pgveil.analyst(grants={"clinic": AMPLE})
            with pytest.raises(psycopg2.OperationalError):
                analyst.connect("clinic")
            assert "the server asks for no password" in pgveil.log_text()
        finally:
            pgveil.stop()
    finally:
        server.stop()


def test_a_certificate_can_take_the_place_of_the_password(protected, twin_cluster):
    own = {"sslcert": f"{twin_cluster.folder}/client.crt", "sslkey": f"{twin_cluster.folder}/client.key"}
    hba = twin_cluster.data / "pg_hba.conf"
    hba.write_text(HBA.replace("scram-sha-256", "trust clientcert=verify-ca"))
    os.kill(twin_cluster.process.pid, signal.SIGHUP)
    pgveil = Pgveil(protected, datasets=("panel",),
                    settings={"twin_server": over_tls(twin_cluster, **own)})
    try:
        pgveil.start()
        analyst = pgveil.analyst(grants={"panel": AMPLE})
        assert analyst.rows("panel", "SELECT current_user") == [(analyst.name,)]
    finally:
        pgveil.stop()
        hba.write_text(HBA)
        os.kill(twin_cluster.process.pid, signal.SIGHUP)


def test_a_server_with_a_wrong_certificate_is_not_believed(protected, twin_cluster):
    foreign = over_tls(twin_cluster).replace("host=localhost", "host=elsewhere.example")
    assert "does not match host name" in refusal(protected, twin_server=foreign)
