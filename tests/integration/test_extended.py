"""The extended protocol through pgveil, message by message, relayed and private."""
import struct

import pytest
from harness import raw_protocol as raw

COUNT = "SELECT count(*) FROM patients"


@pytest.fixture
def session(analyst):
    with raw.log_in(analyst, "clinic") as session:
        yield session


def test_the_golden_replies_of_postgresql(session):
    """Recorded from PostgreSQL 15."""
    assert session.kinds(raw.query("")) == "IZ"
    assert session.kinds(raw.query("select 1; select 1/0; select 2")) == "TDCEZ"
    assert session.kinds(raw.parse("selec"), raw.bind(), raw.describe("P"), raw.execute(), raw.SYNC) == "EZ"
    assert session.kinds(raw.parse(""), raw.bind(), raw.describe("P"), raw.execute(), raw.SYNC) == "12nIZ"
    assert session.kinds(raw.close("S", "none"), raw.SYNC) == "3Z"
    assert session.error(raw.bind(statement="nope"), raw.SYNC)["C"] == "26000"
    assert session.error(raw.execute("nope"), raw.SYNC)["C"] == "34000"
    assert session.error(raw.describe("S", "nope"), raw.SYNC)["C"] == "26000"
    assert session.kinds(raw.parse("select 1", "a"), raw.SYNC) == "1Z"
    assert session.error(raw.parse("select 1", "a"), raw.SYNC)["C"] == "42P05"


def test_a_private_statement_is_parsed_described_bound_and_executed(session):
    assert session.kinds(raw.parse(COUNT), raw.describe("S"), raw.SYNC) == "1tTZ"
    assert session.kinds(raw.bind(), raw.describe("P"), raw.execute(), raw.SYNC) == "2TDCZ"


def test_description_of_statement_and_portal_agree_to_the_byte(session):
    sql = "SELECT sex, count(*) AS n, avg(age) FROM patients GROUP BY sex"
    first = dict(session.exchange(raw.parse(sql, "s"), raw.describe("S", "s"), raw.SYNC))["T"]
    second = dict(session.exchange(raw.bind(statement="s"), raw.describe("P"), raw.SYNC))["T"]
    assert first == second


def test_binary_results_are_what_the_type_says(session):
    rows = [body for kind, body in session.exchange(
        raw.parse(COUNT), raw.bind(results=[1]), raw.execute(), raw.SYNC) if kind == "D"]
    assert len(rows) == 1 and struct.unpack("!hi", rows[0][:6]) == (1, 8)
    assert abs(struct.unpack("!q", rows[0][6:])[0] - 800) < 200


def test_a_portal_is_fetched_in_parts_and_measured_once(session, analyst):
    sql = "SELECT code, count(*) FROM visits GROUP BY code"
    before = len(analyst.rows("clinic", "SELECT * FROM dp.history"))
    session.exchange(raw.query("BEGIN"))
    assert session.kinds(raw.parse(sql), raw.bind(portal="p"), raw.execute("p", 2), raw.SYNC) == "12DDsZ"
    assert session.kinds(raw.execute("p", 2), raw.SYNC) == "DDsZ"
    assert session.kinds(raw.execute("p", 2), raw.SYNC) == "DCZ"
    session.exchange(raw.query("COMMIT"))
    assert len(analyst.rows("clinic", "SELECT * FROM dp.history")) == before + 1


def test_an_error_skips_to_sync_and_a_refusal_does_too(session):
    for bad in ("SELECT 1/0", "SELECT age FROM patients"):
        session.send(raw.parse(bad), raw.bind(), raw.execute(), raw.parse("SELECT 1"), raw.bind(),
                     raw.execute(), raw.SYNC)
        kinds = "".join(kind for kind, _ in session.until("Z"))
        assert kinds in ("12EZ", "1EZ", "EZ"), kinds
        assert session.kinds(raw.query("SELECT 1")) == "TDCZ"


def test_a_refusal_aborts_the_transaction_as_an_error_does(session):
    session.exchange(raw.query("BEGIN"))
    replies = session.exchange(raw.query("SELECT age FROM patients"))
    assert replies[-1] == ("Z", b"E")
    assert session.error(raw.query("SELECT 1"))["C"] == "25P02"
    assert session.exchange(raw.query("ROLLBACK"))[-1] == ("Z", b"I")


def test_pipelined_segments_keep_their_own_ends(session):
    session.send(raw.parse(COUNT), raw.bind(), raw.execute(), raw.SYNC,
                 raw.parse("SELECT 1/0"), raw.bind(), raw.execute(), raw.SYNC,
                 raw.parse("SELECT 1"), raw.bind(), raw.execute(), raw.SYNC)
    segments = ["".join(kind for kind, _ in session.until("Z")) for _ in range(3)]
    assert segments == ["12DCZ", "1EZ", "12DCZ"]


def test_several_statements_in_one_query(session):
    kinds = session.kinds(raw.query(f"SELECT 1; {COUNT}; SELECT 2"))
    assert kinds == "TDCTDCTDCZ"
    kinds = session.kinds(raw.query(f"BEGIN; {COUNT}; COMMIT"))
    assert kinds == "CTDCCZ"
    assert session.error(raw.query(f"{COUNT}; SELECT 1/0; SELECT 2"))["C"] == "22012"
    assert session.kinds(raw.query("SELECT 1")) == "TDCZ"


def test_a_query_of_very_many_statements_is_cut_once(session):
    """Each goes to the twin by itself, and an error tells its place in the whole."""
    text = f"/*{'ä' * 50000}*/;" + "END;" * 5000 + f"{COUNT}; SELECT 1, nothing"
    replies = session.exchange(raw.query(text))
    assert "".join(kind for kind, _ in replies) == "C" * 5000 + "TDCEZ"
    assert int(raw.fields(replies[-2][1])["P"]) == text.index("nothing") + 1


def test_cursors_hold_a_private_answer(session):
    declare = f"DECLARE c CURSOR WITH HOLD FOR {COUNT}"
    assert session.kinds(raw.query(f"BEGIN; {declare}; FETCH 1 IN c; COMMIT")) == "CCTDCCZ"
    rows = [body for kind, body in session.exchange(raw.query("FETCH FIRST FROM c")) if kind == "D"]
    again = [body for kind, body in session.exchange(raw.query("FETCH FIRST FROM c")) if kind == "D"]
    assert len(rows) in (0, 1) and rows == again
    assert session.kinds(raw.query("CLOSE c")) == "CZ"


def test_a_name_keeps_its_private_statement_where_what_would_replace_it_fails(session):
    assert session.kinds(raw.parse(COUNT, "s"), raw.SYNC) == "1Z"
    assert session.error(raw.parse("SELECT 1", "s"), raw.SYNC)["C"] == "42P05"
    assert session.kinds(raw.bind(statement="s"), raw.execute(), raw.SYNC) == "2DCZ"
    session.exchange(raw.parse("SELECT 1/0"), raw.bind(), raw.execute(), raw.close("S", "s"), raw.SYNC)
    assert session.kinds(raw.bind(statement="s"), raw.execute(), raw.SYNC) == "2DCZ"
    assert session.kinds(raw.close("S", "s"), raw.parse("SELECT 1", "s"), raw.bind(statement="s"), raw.execute(),
                         raw.SYNC) == "312DCZ"


def test_of_two_unnamed_statements_in_a_row_the_last_is_bound(session, analyst):
    before = len(analyst.rows("clinic", "SELECT * FROM dp.history"))
    replies = session.exchange(raw.parse(COUNT), raw.parse("SELECT 'harmless'"), raw.bind(), raw.execute(), raw.SYNC)
    assert "".join(kind for kind, _ in replies) == "112DCZ" and b"harmless" in replies[3][1]
    session.exchange(raw.parse(COUNT), raw.query("SELECT 1"))
    assert session.error(raw.bind(), raw.execute(), raw.SYNC)["C"] == "26000"
    session.exchange(raw.parse(COUNT), raw.close("S"), raw.SYNC)
    assert session.error(raw.bind(), raw.execute(), raw.SYNC)["C"] == "26000"
    assert len(analyst.rows("clinic", "SELECT * FROM dp.history")) == before


def test_a_cursor_with_a_private_portals_name_is_described_as_it_is(session):
    session.exchange(raw.query("BEGIN"))
    session.exchange(raw.parse(COUNT), raw.bind(portal="p", results=[1]), raw.SYNC)
    session.exchange(raw.query("CLOSE p"))
    session.exchange(raw.query("DECLARE p CURSOR FOR SELECT 1 AS a, 2 AS b, 3 AS c"))
    description, _ = session.exchange(raw.describe("P", "p"), raw.SYNC)
    assert description[0] == "T" and struct.unpack("!h", description[1][:2]) == (3,)


def test_parameters_are_checked_by_the_twin(session):
    sql = "SELECT count(*) FROM patients WHERE age > $1"
    error = session.error(raw.parse(sql), raw.bind([b"x"]), raw.execute(), raw.SYNC)
    assert error["C"] == "22P02"
    assert session.kinds(raw.parse(sql), raw.bind([b"30"]), raw.execute(), raw.SYNC) == "12DCZ"
    assert session.kinds(raw.parse(sql), raw.bind([None]), raw.execute(), raw.SYNC) == "12DCZ"
    assert session.error(raw.parse(sql), raw.bind([]), raw.execute(), raw.SYNC)["C"] == "08P01"


def test_a_temporary_table_keeps_a_private_answer(session):
    assert session.kinds(raw.query("CREATE TEMP TABLE kept AS SELECT code, count(*) AS n "
                                   "FROM visits GROUP BY code")) == "CZ"
    assert session.kinds(raw.query("SELECT * FROM kept")) == "T" + "D" * 5 + "CZ"


def test_a_function_call_is_refused_without_ending_the_session(session):
    session.send(raw.framed(b"F", struct.pack("!ihhh", 1299, 0, 0, 0)))
    kinds = "".join(kind for kind, _ in session.until("Z"))
    assert kinds == "EZ"
    assert session.kinds(raw.query("SELECT 1")) == "TDCZ"


def test_copy_data_out_of_place_is_ignored(session):
    session.send(raw.framed(b"d", b"abc"), raw.framed(b"c"))
    assert session.kinds(raw.query("SELECT 1")) == "TDCZ"


def test_status_changes_are_reported_also_on_rollback(session):
    session.send(raw.query("BEGIN; SET TimeZone = 'Asia/Tokyo'"))
    changes = []
    while True:
        kind, body = session.message()
        if kind == "S":
            changes.append(body)
        if kind == "Z":
            break
    session.send(raw.query("ROLLBACK"))
    while True:
        kind, body = session.message()
        if kind == "S":
            changes.append(body)
        if kind == "Z":
            break
    assert len(changes) == 2 and changes[0] == b"TimeZone\0Asia/Tokyo\0"
