"""The ledger's rules on a real PostgreSQL server: what is charged, refused, kept and never given back."""
import os
import subprocess
import threading
import time
import uuid

import psycopg2
import pytest

from ledger_server import LedgerServer


def cap(ledger):
    return ledger.account()["cap_pico"]


def test_schema_applies_again_and_keeps_everything(ledger):
    ledger.analyst()
    ledger.charge(5000)
    ledger.ctl("init")
    assert ledger.spend() == 5000


def test_a_newer_schema_is_refused(ledger):
    ledger.rows("INSERT INTO pgveil.version (version) VALUES (999)")
    done = ledger.ctl("init", check=False)
    assert done.returncode == 1 and "999" in done.stderr
    assert ledger.ctl("status", check=False).returncode == 1


def test_a_charge_is_booked_on_both_accounts_and_in_the_journal(ledger):
    ledger.analyst()
    answer = ledger.charge(123456, delta=7)
    assert answer["outcome"] == "ok"
    assert answer["booked_pico"] == 123456
    assert answer["spent_pico"] == answer["dataset_spent_pico"] == 123456
    assert answer["delta_spent_atto"] == 7
    (row,) = ledger.rows("SELECT mu2_pico, delta_atto, epsilon_nano, detail, "
                         "cardinality(debited) FROM pgveil.journal WHERE kind = 'charge'")
    assert row == (123456, 7, None, '[[]]', 2)


def test_the_same_request_debits_once(ledger):
    ledger.analyst()
    request = str(uuid.uuid4())
    for _ in range(3):
        assert ledger.charge(5000, request=request)["outcome"] == "ok"
    assert ledger.spend() == 5000
    with pytest.raises(psycopg2.Error, match="another content"):
        ledger.charge(5001, request=request)
    with pytest.raises(psycopg2.Error, match="another content"):
        ledger.charge(5000, request=request, measures="[1]")
    assert ledger.spend() == 5000


def test_the_same_request_from_many_connections_debits_once(ledger):
    ledger.analyst()
    request = str(uuid.uuid4())
    outcomes = []

    def ask():
        connection = ledger.server.connect(ledger.database)
        with connection.cursor() as cursor:
            outcomes.append(ledger.charge(5000, request=request, cursor=cursor)["outcome"])
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert outcomes == ["ok"] * 8
    assert ledger.spend() == 5000


def test_a_refusal_debits_nothing_and_tells_what_is_left(ledger):
    ledger.analyst()
    ledger.charge(1000)
    answer = ledger.charge(cap(ledger))
    # Both accounts refuse; the dataset's is looked at first.
    assert (answer["outcome"], answer["refused_by"]) == ("exceeded", "dataset")
    assert answer["spent_pico"] == 1000
    assert answer["booked_pico"] == cap(ledger)
    assert ledger.spend() == 1000
    assert ledger.charge(cap(ledger) - 1000)["outcome"] == "ok"
    assert ledger.charge(1000)["outcome"] == "exceeded"
    assert ledger.spend() == cap(ledger)


def test_no_grant_no_charge(ledger):
    ledger.analyst(dataset=None)
    assert ledger.charge()["outcome"] == "no_account"
    assert ledger.charge(analyst="nobody")["outcome"] == "no_account"
    ledger.grant()
    assert ledger.charge(dataset="panel")["outcome"] == "no_account"


def test_a_disabled_analyst_cannot_spend(ledger):
    ledger.analyst()
    ledger.ctl("analyst", "disable", "ana")
    assert ledger.charge()["outcome"] == "frozen"
    assert ledger.account()["outcome"] == "frozen"
    assert ledger.rows("SELECT enabled FROM pgveil.login('ana')") == [(False,)]
    ledger.ctl("analyst", "enable", "ana")
    assert ledger.charge()["outcome"] == "ok"


def test_amounts_beyond_the_integers_are_errors_not_small_charges(ledger):
    ledger.analyst()
    for amount in (2**63, 2**64 - 1, -1):
        with pytest.raises(psycopg2.Error):
            ledger.charge(amount)
    assert ledger.charge(2**63 - 1)["outcome"] == "exceeded"
    assert ledger.charge(1000, delta=2**63 - 1)["outcome"] == "exceeded"
    assert ledger.charge(2**63 - 1, epsilon=2**63 - 1)["outcome"] == "exceeded"
    assert ledger.spend() == 0


def test_every_measured_statement_costs_the_minimum(ledger):
    ledger.analyst()
    answer = ledger.charge(1)
    assert answer["booked_pico"] == answer["minimum_pico"] == 1000
    assert ledger.spend() == 1000


def test_delta_for_keys_has_its_own_cap(ledger):
    ledger.analyst()
    left = ledger.account()["delta_keys_atto"]
    assert left == 10**11 - 10**6
    assert ledger.charge(1000, delta=left + 1)["outcome"] == "exceeded"
    assert ledger.charge(1000, delta=left)["outcome"] == "ok"
    assert ledger.charge(1000, delta=1)["outcome"] == "exceeded"
    assert ledger.charge(1000, delta=0)["outcome"] == "ok"


# eps = 3, eps_q = 0.5: basic composition admits 6 where the Gaussian filter alone admits 1: releases
# of randomised response with epsilon 0.5. mu2 is dp_mu2_of_pure(0.5), rounded up.
PURE_HALF = dict(mu2=389_241_966_476, epsilon=500_000_000)


def test_basic_composition_admits_where_every_charge_was_pure(ledger):
    ledger.analyst(epsilon="3")
    outcomes = [ledger.charge(**PURE_HALF)["outcome"] for _ in range(7)]
    assert outcomes == ["ok"] * 6 + ["exceeded"]
    assert ledger.account()["epsilon_spent_nano"] == 3_000_000_000


def test_basic_composition_ends_with_the_first_gaussian(ledger):
    ledger.analyst(epsilon="3")
    assert ledger.charge(1000)["outcome"] == "ok"
    assert ledger.account()["all_pure"] is False
    assert ledger.charge(**PURE_HALF)["outcome"] == "ok"
    assert ledger.charge(**PURE_HALF)["outcome"] == "exceeded"


def test_a_gaussian_is_refused_beyond_the_filter_though_epsilon_is_left(ledger):
    ledger.analyst(epsilon="3")
    assert [ledger.charge(**PURE_HALF)["outcome"] for _ in range(2)] == ["ok", "ok"]
    assert ledger.charge(1000)["outcome"] == "exceeded"
    assert ledger.charge(**PURE_HALF)["outcome"] == "ok"


def test_the_dataset_cap_is_on_by_default_and_shared(ledger):
    ledger.analyst("ana")
    ledger.analyst("bob")
    whole = cap(ledger)
    assert ledger.charge(whole - 1000)["outcome"] == "ok"
    answer = ledger.charge(5000, analyst="bob")
    assert (answer["outcome"], answer["refused_by"]) == ("exceeded", "dataset")
    assert answer["spent_pico"] == 0
    assert answer["dataset_spent_pico"] == whole - 1000
    assert ledger.charge(1000, analyst="bob")["outcome"] == "ok"


def test_a_second_grant_leaves_the_dataset_cap_alone(ledger):
    ledger.analyst("ana", epsilon="1")
    ledger.analyst("bob", epsilon="10")
    assert ledger.account("bob")["dataset_cap_pico"] == cap(ledger)


def test_the_journal_cannot_be_changed(ledger):
    ledger.analyst()
    request = str(uuid.uuid4())
    ledger.charge(request=request)
    ledger.rows("SELECT pgveil.resolve(%s, true)", request)
    for statement in ("UPDATE pgveil.journal SET mu2_pico = 0", "DELETE FROM pgveil.journal",
                      "TRUNCATE pgveil.journal CASCADE", "DELETE FROM pgveil.resolution",
                      "UPDATE pgveil.resolution SET state = 'failed'",
                      "TRUNCATE pgveil.resolution", "DELETE FROM pgveil.account"):
        with pytest.raises(psycopg2.Error, match="append-only"):
            ledger.rows(statement)


def test_each_entry_carries_the_hash_of_the_one_before(ledger):
    ledger.analyst()
    for i in range(5):
        ledger.charge(1000 + i)
    rows = ledger.rows("SELECT prev_hash, hash, sha256(prev_hash || pgveil.encoded(j)) "
                       "FROM pgveil.journal j ORDER BY seq")
    assert all(bytes(row[1]) == bytes(row[2]) for row in rows)
    assert [bytes(row[0]) for row in rows[1:]] == [bytes(row[1]) for row in rows[:-1]]
    assert bytes(ledger.one("SELECT hash FROM pgveil.head")) == bytes(rows[-1][1])


def test_an_unresolved_charge_stays_spent_and_is_visible(ledger):
    ledger.analyst()
    requests = [str(uuid.uuid4()) for _ in range(3)]
    for request in requests:
        ledger.charge(request=request)
    assert ledger.one("SELECT pgveil.resolve(%s, true)", requests[0]) == "answered"
    assert ledger.one("SELECT pgveil.resolve(%s, false)", requests[1]) == "failed"
    assert ledger.one("SELECT pgveil.resolve(%s, true)", requests[1]) == "known"
    assert ledger.one("SELECT pgveil.resolve(%s, true)", str(uuid.uuid4())) == "unknown"
    history = ledger.rows("SELECT * FROM pgveil.history('ana', 'census', 100)")
    assert [row[6] for row in history] == ["answered", "failed", "charged"]
    assert ledger.spend() == 3000
    assert [row["unresolved"] for row in ledger.table("budget", "show", "ana")] == [1]


def test_history_has_the_columns_of_dp_history_newest_last(ledger):
    ledger.analyst(epsilon="3")
    ledger.charge(2_000_000_000, delta=10**10)
    ledger.charge(1, epsilon=500_000_000)
    rows = ledger.rows("SELECT * FROM pgveil.history('ana', 'census', 100)")
    assert rows[0][1:5] == ("fingerprint", "", "2000000000", "0.00000001")
    assert rows[1][1:5] == ("fingerprint", "0.5", "1000", "0")
    assert float(rows[0][5]) == pytest.approx(2_000_000_000 / cap(ledger), abs=1e-6)
    assert rows[0][0].endswith("Z") and rows[0][0] <= rows[1][0]
    assert len(ledger.rows("SELECT * FROM pgveil.history('ana', 'census', 1)")) == 1


def test_failures_in_a_row_freeze_the_account(ledger):
    ledger.analyst()
    ledger.rows("UPDATE pgveil.setting SET value = 3 WHERE name = 'failures_max'")

    def fail(answered=False):
        request = str(uuid.uuid4())
        assert ledger.charge(request=request)["outcome"] == "ok"
        ledger.rows("SELECT pgveil.resolve(%s, %s)", request, answered)

    fail(), fail(), fail(answered=True), fail(), fail()
    assert ledger.account()["outcome"] == "ok"
    fail()
    answer = ledger.charge()
    assert (answer["outcome"], answer["refused_by"]) == ("frozen", "analyst")
    assert "failed in a row" in ledger.table("budget", "show", "ana")[0]["state"]


# Windows. Time is moved by moving the ledger's clock (never behind the journal) and the accounts.

def at(ledger, time_text):
    """Sets the ledger's clock to a time ahead of the server's."""
    ledger.rows("UPDATE pgveil.head SET at = %s", time_text)


def test_a_window_starts_anew_at_its_end_in_utc(ledger):
    ledger.analyst(window="day")
    at(ledger, "2100-03-01 23:59:59.999999+00")
    ledger.charge(5000)
    assert ledger.spend() == 5000
    assert ledger.account()["window_ends"] == "2100-03-02T00:00:00.000000Z"
    at(ledger, "2100-03-02 00:00:00+00")
    assert ledger.spend() == 0
    ledger.charge(3000)
    assert ledger.spend() == 3000


@pytest.mark.parametrize("window, ends", [("day", "2100-02-25"), ("week", "2100-03-01"),
                                          ("month", "2100-03-01")])
def test_windows_end_where_the_calendar_says(ledger, window, ends):
    ledger.analyst(window=window)
    at(ledger, "2100-02-24 12:00+00")  # a Wednesday
    ledger.charge()
    assert ledger.account()["window_ends"] == ends + "T00:00:00.000000Z"


def test_a_clock_that_goes_back_does_not_open_an_old_window(ledger):
    ledger.analyst(window="day")
    at(ledger, "2100-03-01 12:00+00")
    ledger.charge(5000)
    # The server's own clock is decades behind now, as after a wrong leap forward.
    assert ledger.spend() == 5000
    ledger.charge(1000)
    assert ledger.spend() == 6000
    assert ledger.account()["window_ends"] == "2100-03-02T00:00:00.000000Z"
    times = [row[0] for row in ledger.rows("SELECT at FROM pgveil.journal ORDER BY seq")]
    assert times == sorted(times)


def test_a_larger_or_smaller_grant_keeps_what_was_spent(ledger):
    ledger.analyst(epsilon="3")
    ledger.charge(40_000_000_000)
    ledger.grant(epsilon="1")
    assert ledger.spend() == 40_000_000_000
    ledger.grant(epsilon="0.1")
    assert ledger.charge()["outcome"] == "exceeded"
    assert ledger.spend() == 40_000_000_000


def test_from_no_window_to_a_window_nothing_comes_back(ledger):
    ledger.analyst(window="none")
    at(ledger, "2100-03-01 12:00+00")
    ledger.charge(5000)
    ledger.grant(window="day")
    ledger.charge(1000)
    assert ledger.spend() == 6000
    at(ledger, "2100-03-02 12:00+00")
    assert ledger.spend() == 5000
    ledger.charge(1000)
    assert ledger.spend() == 6000


def test_from_a_window_to_none_all_windows_count(ledger):
    ledger.analyst(window="day")
    for day in (1, 2, 3):
        at(ledger, f"2100-03-0{day} 12:00+00")
        ledger.charge(5000)
    assert ledger.spend() == 5000
    ledger.grant(window="none")
    assert ledger.spend() == 15000
    ledger.grant(window="day")
    at(ledger, "2100-03-04 12:00+00")
    assert ledger.spend() == 15000


def test_from_a_month_to_a_day_the_month_is_finished_first(ledger):
    ledger.analyst(window="month")
    at(ledger, "2100-03-01 12:00+00")
    ledger.charge(5000)
    ledger.grant(window="day")
    at(ledger, "2100-03-20 12:00+00")
    assert ledger.spend() == 5000
    assert ledger.account()["window_ends"] == "2100-04-01T00:00:00.000000Z"
    at(ledger, "2100-04-01 12:00+00")
    assert ledger.spend() == 0
    ledger.charge()
    assert ledger.account()["window_ends"] == "2100-04-02T00:00:00.000000Z"


def test_from_a_day_to_a_month_earlier_days_of_the_month_count(ledger):
    ledger.analyst(window="day")
    for day in (1, 2):
        at(ledger, f"2100-03-0{day} 12:00+00")
        ledger.charge(5000)
    ledger.grant(window="month")
    assert ledger.spend() == 10000


def test_a_dataset_keeps_its_identity_and_seed(ledger):
    first = ledger.rows("SELECT * FROM pgveil.dataset('census')")
    ledger.analyst()
    assert ledger.rows("SELECT * FROM pgveil.dataset('census')") == first
    other = ledger.rows("SELECT * FROM pgveil.dataset('panel')")
    assert other[0][0] != first[0][0] and other[0][1] != first[0][1]


def test_the_public_may_do_nothing(ledger):
    role = "r" + uuid.uuid4().hex[:8]
    ledger.rows(f"CREATE ROLE {role} LOGIN")
    ledger.rows(f"SET ROLE {role}")
    for statement in ("SELECT * FROM pgveil.journal", "SELECT pgveil.status()",
                      "SELECT pgveil.login('ana')"):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            ledger.rows(statement)
    ledger.rows("RESET ROLE")


def test_every_function_pins_its_search_path(ledger):
    rows = ledger.rows("SELECT oid::regprocedure::text, proconfig FROM pg_proc "
                       "WHERE pronamespace = 'pgveil'::regnamespace")
    assert len(rows) > 20
    for name, config in rows:
        if name.startswith(("pgveil.charge(", "pgveil.counts(", "pgveil.encoded_field(")):
            continue  # commits, is inlined: so they may not; all names in them are qualified
        assert config and "search_path=pg_catalog, pg_temp" in config, name


def test_objects_of_other_schemas_do_not_mislead(ledger):
    ledger.analyst()
    ledger.rows("CREATE SCHEMA trap; CREATE TABLE trap.journal (x int); "
                "CREATE FUNCTION trap.greatest_of(bigint, bigint) RETURNS bigint "
                "LANGUAGE sql AS 'SELECT 0::bigint'; "
                "CREATE FUNCTION trap.minus(bigint, bigint) RETURNS bigint "
                "LANGUAGE sql AS 'SELECT 9223372036854775807'; "
                "CREATE OPERATOR trap.- (leftarg = bigint, rightarg = bigint, function = trap.minus)")
    ledger.rows("SET search_path = trap, pg_catalog")
    assert ledger.charge(cap(ledger) + 1)["outcome"] == "exceeded"
    assert ledger.charge(5000)["outcome"] == "ok"
    ledger.rows("RESET search_path")


# Races and crashes

def test_64_clients_racing_for_the_last_of_a_budget_never_overspend(ledger):
    ledger.analyst()
    whole = cap(ledger)
    price = 7_000_000
    assert ledger.charge(whole - 50 * price - 1)["outcome"] == "ok"
    outcomes = []
    barrier = threading.Barrier(64)

    def race():
        connection = ledger.server.connect(ledger.database)
        with connection.cursor() as cursor:
            barrier.wait()
            for _ in range(3):
                outcomes.append(ledger.charge(price, cursor=cursor)["outcome"])
        connection.close()

    threads = [threading.Thread(target=race) for _ in range(64)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(outcomes) == 192
    assert outcomes.count("ok") == 50 and outcomes.count("exceeded") == 142
    assert ledger.spend() == whole - 1
    assert ledger.one("SELECT sum(mu2_pico) FROM pgveil.journal WHERE kind = 'charge'") == whole - 1


def test_two_analysts_racing_never_overspend_the_dataset(ledger):
    ledger.analyst("ana")
    ledger.analyst("bob")
    whole = cap(ledger)
    price = 9_000_000
    ledger.charge(whole - 20 * price)
    outcomes = []

    def race(analyst):
        connection = ledger.server.connect(ledger.database)
        with connection.cursor() as cursor:
            for _ in range(30):
                outcomes.append(ledger.charge(price, analyst=analyst, cursor=cursor)["outcome"])
        connection.close()

    threads = [threading.Thread(target=race, args=(name,)) for name in ("ana", "bob") * 4]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert outcomes.count("ok") == 20


def test_kill_9_of_the_ledger_server_loses_no_confirmed_charge():
    server = LedgerServer()
    try:
        ledger = server.fresh_ledger()
        ledger.analyst()
        confirmed = []
        sent = []

        def spend():
            try:
                connection = server.connect(ledger.database)
                with connection.cursor() as cursor:
                    while True:
                        request = str(uuid.uuid4())
                        sent.append(request)
                        if ledger.charge(1000, request=request, cursor=cursor)["outcome"] == "ok":
                            confirmed.append(request)
            except psycopg2.Error:
                pass

        for _ in range(3):
            before = len(confirmed)
            threads = [threading.Thread(target=spend) for _ in range(6)]
            [thread.start() for thread in threads]
            time.sleep(0.4)
            server.kill()
            [thread.join() for thread in threads]
            assert len(confirmed) > before
            server.start()
            ledger.reconnect()
            kept = {row[0] for row in ledger.rows(
                "SELECT request::text FROM pgveil.journal WHERE kind = 'charge'")}
            assert set(confirmed) <= kept <= set(sent)
            assert ledger.spend() == 1000 * len(kept)
            # A retry of what was not confirmed debits at most once.
            lost = [request for request in sent if request not in confirmed]
            for request in lost:
                assert ledger.charge(1000, request=request)["outcome"] == "ok"
                confirmed.append(request)
            assert ledger.spend() == 1000 * len(confirmed)
        ledger.close()
    finally:
        server.remove()


def test_a_full_disk_refuses_charges_and_loses_none():
    try:
        server = LedgerServer(megabytes=100)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no right to mount a small file system")
    try:
        ledger = server.fresh_ledger()
        ledger.analyst()
        confirmed = [str(uuid.uuid4())]
        assert ledger.charge(1000, request=confirmed[0])["outcome"] == "ok"  # all files have begun
        ballast = os.path.join(server.folder, "ballast")
        with open(ballast, "wb") as file:
            try:
                while True:
                    file.write(b"x" * 65536)
                    file.flush()
            except OSError:
                pass
        with pytest.raises(psycopg2.Error):
            for _ in range(20000):
                request = str(uuid.uuid4())
                if ledger.charge(1000, request=request, measures="[" + " " * 2000 + "]")["outcome"] == "ok":
                    confirmed.append(request)
        os.unlink(ballast)
        server.restart()
        ledger.reconnect()
        kept = {row[0] for row in ledger.rows(
            "SELECT request::text FROM pgveil.journal WHERE kind = 'charge'")}
        assert len(confirmed) > 1 and set(confirmed) <= kept and len(kept) <= len(confirmed) + 1
        assert ledger.spend() == 1000 * len(kept)
        assert ledger.charge(1000)["outcome"] == "ok"
        ledger.ctl("ledger", "verify")
        ledger.close()
    finally:
        server.remove()


def test_a_read_only_ledger_charges_nothing_and_says_so(ledger):
    ledger.analyst()
    ledger.rows("SET default_transaction_read_only = on")
    with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
        ledger.charge()
    ledger.rows("RESET default_transaction_read_only")
    assert ledger.spend() == 0


def spend_tiny(ledger, count):
    """Charges of 1000 + i mod 977 and delta i mod 3, in batches of 1 to 64."""
    ledger.rows("SET synchronous_commit = off")
    ledger.rows(f"""DO $$ DECLARE at integer := 1; size integer; BEGIN WHILE at <= {count} LOOP
        size := least(1 + at % 64, {count} - at + 1);
        PERFORM pgveil.debit('census', (SELECT json_agg(json_build_object(
            'request', gen_random_uuid(), 'analyst', 'ana', 'epoch', 'day', 'fingerprint', 'f',
            'releases', json_build_array(json_build_object(
                'mu2', 1000 + i % 977, 'delta', i % 3, 'measures', '[]'::json))))
            FROM generate_series(at, at + size - 1) i));
        COMMIT; at := at + size; END LOOP; END $$""")
    mu2 = sum(1000 + i % 977 for i in range(1, count + 1))
    account = ledger.account()
    assert account["spent_pico"] == account["dataset_spent_pico"] == mu2
    assert account["delta_spent_atto"] == sum(i % 3 for i in range(1, count + 1))
    assert ledger.one("SELECT sum(mu2_pico) FROM pgveil.journal") == mu2
    assert ledger.charge(account["cap_pico"] - mu2 + 1)["outcome"] == "exceeded"
    assert ledger.charge(account["cap_pico"] - mu2)["outcome"] == "ok"
    ledger.ctl("ledger", "verify", timeout=1800)


def test_many_tiny_charges_add_up_exactly(ledger):
    ledger.analyst()
    spend_tiny(ledger, 5000)


@pytest.mark.slow
def test_a_million_tiny_charges_add_up_exactly(ledger):
    ledger.analyst(epsilon="10")
    spend_tiny(ledger, 1_000_000)
