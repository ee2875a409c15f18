"""Statements in every encoding that PostgreSQL's clients may have. The answers without noise, their
column names, and errors are byte for byte those of PostgreSQL asked in the same encoding."""
import os
import struct
import subprocess

import pytest
from harness import processes, raw_protocol as raw
from harness.money import journal
from harness.pgveil import AMPLE, Pgveil

# Words that each encoding has; in SJIS, BIG5, GBK and UHC with the byte of a backslash or of | in them.
WORDS = {
    "UTF8": "Ürün 表示 \U0001F600", "SQL_ASCII": "Ürün 表示 \U0001F600",
    "LATIN1": "Zürich", "LATIN2": "Łódź", "LATIN3": "ħobż", "LATIN4": "Ķīpsala", "LATIN5": "Iğdır",
    "LATIN6": "Reykjavík", "LATIN7": "Šiauliai", "LATIN8": "Caerdydd ŵ", "LATIN9": "Œuvre €",
    "LATIN10": "Țara €", "WIN1250": "Plzeň", "WIN1251": "Москва", "WIN1252": "Köln € „da“",
    "WIN1253": "Αθήνα", "WIN1254": "İzmir", "WIN1255": "חיפה", "WIN1256": "دمشق", "WIN1257": "Rīga",
    "WIN1258": "Huê ₫", "WIN866": "Тверь", "WIN874": "เชียงใหม่", "KOI8R": "Казань", "KOI8U": "Київ",
    "ISO_8859_5": "Софија", "ISO_8859_6": "حلب", "ISO_8859_7": "Πάτρα", "ISO_8859_8": "עכו",
    "EUC_JP": "東京表示", "EUC_CN": "北京", "EUC_KR": "서울", "EUC_TW": "臺北功", "EUC_JIS_2004": "か゚京",
    "SJIS": "表ソ能ポ", "SHIFT_JIS_2004": "表か゚ソ", "BIG5": "功許蓋", "GBK": "誠昞臷", "UHC": "똠걍힝",
    "GB18030": "誠\U00020000ü\U0001F600", "JOHAB": "漢江",
}
PYTHON = {"LATIN1": "latin-1", "WIN1252": "cp1252", "SJIS": "cp932", "GB18030": "gb18030", "EUC_JP": "euc_jp",
          "UTF8": "utf-8"}
SCHEMA = """
CREATE TABLE persons (id integer PRIMARY KEY, place text, age integer, "größe" integer, born date);
CREATE TABLE places (name text PRIMARY KEY, code text);
GRANT SELECT ON persons, places TO pgveil_reader;
"""
POLICY = {"tables": {
    "public.persons": {"unit": "id", "max_rows": 1, "columns": {
        "id": {}, "place": {"domain": sorted({*WORDS.values(), "plain"})}, "age": {"bounds": [0, 100]},
        "größe": {"bounds": [0, 250]}, "born": {}}},
    "public.places": {"public": True}}}


@pytest.fixture(scope="module")
def words(protected):
    """The protected database: ten rows of every word."""
    protected.query("postgres", "CREATE DATABASE words")
    protected.query("words", SCHEMA)
    places = sorted({*WORDS.values(), "plain"})
    protected.query("words", "INSERT INTO persons SELECT i, (%s::text[])[i %% %s + 1], i %% 100, 150 + i %% 50 "
                    "FROM generate_series(1, %s) i", (places, len(places), 10 * len(places)))
    protected.query("words", "INSERT INTO places SELECT unnest(%s::text[]), 'c'", (places,))
    return protected


@pytest.fixture(scope="module")
def server(words):
    pgveil = Pgveil(words, program="tests/pgveil-zero-noise", datasets=("words",),
                    policies={"words": POLICY})
    try:
        yield pgveil.start()
        assert pgveil.alive() and pgveil.end() == 0, pgveil.log_text()[-5000:]
    finally:
        pgveil.stop()


@pytest.fixture
def asker(server):
    return server.analyst(grants={"words": AMPLE})


def direct(words, encoding):
    """A session with PostgreSQL itself."""
    session = raw.Raw(words.socket / ".s.PGSQL.5432")
    session.send(raw.startup({"user": "postgres", "database": "words", "client_encoding": encoding}))
    session.until("Z")
    return session


def through(asker, encoding):
    return raw.log_in(asker, "words", {"client_encoding": encoding})


def in_encoding(words, text, encoding):
    """As PostgreSQL converts it, which is not always what others do."""
    if encoding in ("UTF8", "SQL_ASCII"):
        return text.encode()
    return bytes(words.query("words", "SELECT convert_to(%s, %s)", (text, encoding))[0][0])


def without_origin(kind, body):
    """A RowDescription without the OIDs of its tables, an error without the server's own places."""
    if kind == "T":
        count, at, names = struct.unpack("!h", body[:2])[0], 2, []
        for _ in range(count):
            end = body.index(b"\0", at)
            names.append(body[at:end])
            at = end + 19
        return kind, names
    if kind == "E":
        return kind, [part for part in body.split(b"\0") if part[:1] in b"CMDHP" and part]
    return kind, body


def both(words, asker, encoding, *texts, before=()):
    """What PostgreSQL and pgveil say to the same messages; texts are Queries in the encoding."""
    answers = []
    for session in (direct(words, encoding), through(asker, encoding)):
        with session:
            for command in before:
                session.exchange(raw.query(command))
            for text in texts:
                message = text if text[:1] in (b"P", b"Q") and b"\0" in text else raw.query(text)
                answers.append([without_origin(*m) for m in session.exchange(message)])
    half = len(answers) // 2
    return answers[:half], answers[half:]


@pytest.mark.parametrize("encoding", WORDS)
def test_a_simple_query_is_read_and_answered_in_the_clients_encoding(words, asker, encoding):
    word = WORDS[encoding]
    texts = [f"SELECT count(*) AS \"{word}\", '{word}' AS text FROM persons WHERE place = '{word}'",
             f"SELECT count(*) {word.split()[0]} FROM persons WHERE place IN ('{word}', E'pl\\x61in', U&'\\0041')",
             f"SELECT place, count(*), sum(age) /* {word} */ FROM persons WHERE place LIKE '{word}%' "
             "GROUP BY place HAVING count(*) > 0 ORDER BY 1",
             f"SELECT $a${word}$a$ || count(*) FROM persons WHERE place <> '{word}' -- {word}",
             f"SELECT code, (SELECT count(*) FROM persons) FROM places WHERE name = '{word}'"]
    expected, got = both(words, asker, encoding, *[in_encoding(words, t, encoding) for t in texts])
    assert got == expected
    assert [sorted({m[0] for m in answer}) for answer in got] == [list("CDTZ")] * len(texts), got


@pytest.mark.parametrize("encoding", WORDS)
def test_the_extended_protocol_has_literals_parameters_and_names_in_it(words, asker, encoding):
    word = in_encoding(words, WORDS[encoding], encoding)
    sql = (b"SELECT count(*) AS \"" + word + b"\", $1 AS text FROM persons WHERE place = $1 OR place = '"
           + word + b"'")
    answers = []
    for session in (direct(words, encoding), through(asker, encoding)):
        with session:
            answers.append([without_origin(*m) for m in session.exchange(
                raw.parse(sql, types=(25,)), raw.describe("S"), raw.bind((word,)), raw.describe("P"),
                raw.execute(), raw.SYNC)])
    assert answers[0] == answers[1] and "".join(m[0] for m in answers[0]) == "1tT2TDCZ"


@pytest.mark.parametrize("encoding", ["LATIN1", "WIN1252", "SJIS", "GB18030", "SHIFT_JIS_2004", "UHC"])
def test_several_statements_in_one_query(words, asker, encoding):
    word = WORDS[encoding]
    texts = [f"SELECT ';{word}'; SELECT count(*) FROM persons WHERE place = '{word}';; SELECT '{word};' ",
             f"SELECT '{word}';\n SELECT count(*) FROM persons; SELECT '{word}', nothing",
             f"BEGIN; SELECT count(*), ';' FROM persons WHERE place = '{word}'; -- {word};\nCOMMIT",
             f"/*{word};*/ SELECT count(*) FROM persons; SELECT count(*) FROM places WHERE name = '{word}'"]
    expected, got = both(words, asker, encoding, *[in_encoding(words, t, encoding) for t in texts])
    assert got == expected
    assert [part for part in got[1][-2][1] if part[:1] in b"CP"] == [
        b"C42703", b"P%d" % (texts[1].index("nothing") + 1)]


@pytest.mark.parametrize("encoding", ["WIN1252", "SJIS"])
def test_what_odbc_wraps_a_statement_in(words, asker, encoding):
    ask = f"SELECT count(*), '{WORDS[encoding]}' AS t FROM persons WHERE place = '{WORDS[encoding]}'"
    texts = ["BEGIN", f"SAVEPOINT s;{ask};RELEASE s", f"SAVEPOINT s;{ask}, nothing;RELEASE s", "ROLLBACK to s;RELEASE s", "COMMIT",
             f'BEGIN;declare "c" cursor with hold for {ask};fetch 2 in "c"', 'fetch 2 in "c";close "c"', "COMMIT"]
    expected, got = both(words, asker, encoding, *[in_encoding(words, t, encoding) for t in texts])
    assert got == expected


@pytest.mark.parametrize("encoding", PYTHON)
def test_errors_point_at_characters_and_quote_in_the_clients_encoding(words, asker, encoding):
    word, codec = WORDS[encoding], PYTHON[encoding]
    name = word.split()[0]
    with through(asker, encoding) as session:
        def error(sql):
            replies = session.exchange(raw.query(sql.encode(codec)))
            assert [kind for kind, _ in replies] == ["E", "Z"], replies
            return raw.fields(replies[0][1], codec)
        sql = f"SELECT count(*), '{word}', string_agg(place, ',') FROM persons"
        unknown = error(sql)
        assert unknown["C"] == "0A000"
        assert int(unknown["P"]) == sql.index("string_agg") + 1, unknown
        missing = error(f"SELECT count(\"{name}\") FROM persons")
        assert missing["C"] == "42703" and f'"{name}"' in missing["M"]
        setting = error(f"SET \"{name}\" = 1")
        assert setting["C"] == "42501" and setting["M"].endswith(f'parameter "{name}"'), setting
        for value in (name, "1"):
            session.exchange(raw.query(f"SET dp.epsilon = '{value}'".encode(codec)))
            if value == name:
                wrong = error(f"SELECT count(*) FROM persons WHERE place = '{word}'")
                assert wrong["C"] == "22023" and f'"{name}"' in wrong["M"], wrong
        parsed = session.exchange(raw.parse(f"SET \"{name}\" = 1".encode(codec)), raw.SYNC)
        assert [kind for kind, _ in parsed] == ["E", "Z"]
        assert raw.fields(parsed[0][1], codec)["M"] == setting["M"]


def test_an_error_that_was_cut_inside_a_character_is_text(asker):
    for encoding in ("UTF8", "WIN1252"):
        with through(asker, encoding) as session:
            session.exchange(raw.query("SET dp.epsilon = U&'xy" + "\\20ac" * 40 + "'"))
            error = session.error(raw.query("SELECT count(*) FROM persons"))
            assert error["C"] == "22023" and 'parameter "dp.epsilon": "xy??' in error["M"]


def test_an_error_marks_characters_that_the_encoding_lacks(asker):
    with through(asker, "LATIN1") as session:
        error = session.error(raw.query('SET U&"gr\\00f6\\4e2d" = 1'))
        assert error["M"].endswith('parameter "gr??"')
        session.exchange(raw.query("BEGIN"))
        assert session.error(raw.query('SET U&"\\4e2d" = 1'))["C"] == "42501"
        assert session.exchange(raw.query("ROLLBACK"))[-1] == ("Z", b"I")
        assert session.kinds(raw.query("SELECT count(*) FROM persons")) == "TDCZ"


@pytest.mark.parametrize("encoding", ["LATIN1", "SJIS", "GB18030", "EUC_JP"])
def test_cursors_copies_tables_and_explain(words, asker, encoding):
    word = in_encoding(words, WORDS[encoding], encoding)
    count = b"SELECT count(*) AS \"" + word + b"\", '" + word + b"'::text AS t FROM persons WHERE place = '" + word + b"'"
    texts = [b"COPY (" + count + b") TO STDOUT", b"COPY (" + count + b") TO STDOUT (FORMAT csv, HEADER)", b"BEGIN",
             b"DECLARE \"" + word + b"\" CURSOR FOR " + count, b"FETCH ALL FROM \"" + word + b"\"", b"COMMIT",
             b"CREATE TEMP TABLE \"" + word + b"\" AS " + count, b"SELECT * FROM \"" + word + b"\"",
             b"CREATE TEMP TABLE second AS SELECT place AS \"" + word + b"\", count(*) FROM persons "
             b"GROUP BY place HAVING place = '" + word + b"'", b"SELECT * FROM second"]
    expected, got = both(words, asker, encoding, *texts)
    assert got == expected


@pytest.mark.parametrize("encoding", ["LATIN1", "WIN1252", "GB18030", "EUC_JP"])
def test_plans_are_in_the_clients_encoding(words, asker, encoding):
    word, column = (in_encoding(words, text, encoding) for text in (WORDS[encoding], "größe"))
    with through(asker, encoding) as session:
        for form in (b"EXPLAIN ", b"EXPLAIN (FORMAT json) "):
            replies = session.exchange(raw.query(
                form + b"SELECT avg(\"" + column + b"\") FROM persons WHERE place = '" + word + b"'"))
            assert b"EXPLAIN\0" in [body for kind, body in replies if kind == "C"]
            assert any(column in body for kind, body in replies if kind == "D"), replies


def test_history_and_columns_are_in_the_clients_encoding(asker):
    with through(asker, "LATIN1") as session:
        session.exchange(raw.query("SELECT count(*) FROM persons"))
        for sql in ("SELECT * FROM dp.history", "SELECT * FROM dp.budget", "COPY (SELECT * FROM dp.history) TO STDOUT"):
            assert "E" not in session.kinds(raw.query(sql)), sql
        columns = session.exchange(raw.query("SELECT * FROM dp.columns WHERE column_name = 'größe'".encode("latin-1")))
        assert any("größe".encode("latin-1") in body for kind, body in columns if kind == "D"), columns
        answer = session.exchange(raw.query("SELECT avg(\"größe\"), count(\"größe\") FROM persons".encode("latin-1")))
        assert [kind for kind, _ in answer] == list("TDCZ")


def test_a_key_that_the_encoding_lacks_is_postgresqls_error_after_the_charge(words, server, asker):
    sql = "SELECT place, count(*) FROM persons GROUP BY place ORDER BY place"
    expected, got = both(words, asker, "LATIN1", sql.encode())
    assert [part for part in got[0][-2][1] if part[:1] == b"C"] == [b"C22P05"]
    assert got[0][-2] == expected[0][-2]
    assert len(journal(server, asker)) == 1
    with through(asker, "LATIN1") as session:
        assert session.error(raw.query(sql))["C"] == "22P05"
        session.exchange(raw.query("SET client_encoding = 'UTF8'"))
        rows = [body for kind, body in session.exchange(raw.query(sql)) if kind == "D"]
        assert len(rows) == len({*WORDS.values(), "plain"})
    assert len(journal(server, asker)) == 1


INVALID = [("SJIS", b"\x83\x27"), ("SJIS", b"\x83"), ("GBK", b"\xbf\x27"), ("BIG5", b"\xa5"), ("EUC_JP", b"\x8f\xa1"),
           ("UHC", b"\xb0\x3b"), ("GB18030", b"\x81\x30\x27\x30"), ("UTF8", b"\xc3"), ("SQL_ASCII", b"\xe9"),
           ("WIN1252", b"\x81"), ("EUC_KR", b"\xc8\x5c"), ("SHIFT_JIS_2004", b"\x81\x27"), ("JOHAB", b"\xa1\x3b")]


@pytest.mark.parametrize("encoding, octets", INVALID)
def test_bytes_that_are_no_character_are_refused_as_by_postgresql(words, server, asker, encoding, octets):
    text = b"SELECT count(*) FROM persons WHERE place = '" + octets + b"' OR place = 'x'"
    expected, got = both(words, asker, encoding, text, b"BEGIN", text, b"SELECT 1", b"ROLLBACK", raw.parse(text) + raw.SYNC)
    assert got == expected
    assert got[0][0][1][0] in (b"C22021", b"C22P05"), got[0]
    assert journal(server, asker) == []


@pytest.mark.parametrize("encoding", ["UTF8", "LATIN1", "SJIS"])
@pytest.mark.parametrize("literal", ["E'\\xff'", "E'\\377'", "E'\\xed\\xa0\\x80'", "E'\\xc3'", "U&'\\d800'", "E'\\ud800'",
                                     "E'\\x00'", "E'\\u0000'", "U&'\\00'"])
def test_escapes_that_make_no_character_are_refused(words, server, asker, encoding, literal):
    for sql in (f"SELECT count(*) FROM persons WHERE place = {literal}",
                f"SELECT count(*) FROM persons WHERE born = {literal}",
                f"SELECT count(*), {literal} FROM persons", f"SELECT count(*) FROM {literal.replace(chr(39), chr(34))}"):
        expected, got = both(words, asker, encoding, sql.encode())
        assert got == expected and got[0][0][0] == "E", got
    assert journal(server, asker) == []


@pytest.mark.parametrize("encoding", ["LATIN1", "SJIS", "UTF8"])
def test_a_failed_transaction_is_ended_in_any_encoding(words, server, asker, encoding):
    """The twin answers no question in it, so that it is sent what can only end it."""
    word = in_encoding(words, "größe" if encoding != "SJIS" else "表", encoding)
    fail = b"SELECT 1/0"
    texts = [b"BEGIN", b'SAVEPOINT "' + word + b'"', fail, b'SELECT count(*) FROM persons -- ' + word,
             b"LISTEN \"" + word + b'"', b'ROLLBACK TO "' + word + b'"; \n', b"SELECT 1", fail,
             b"ROLLBACK -- " + word, b"BEGIN", fail, b"COMMIT /*" + word + b"*/"]
    expected, got = both(words, asker, encoding, *texts)
    assert got == expected
    assert [answer[-1][1] for answer in got] == [b"T", b"T", b"E", b"E", b"E", b"T", b"T", b"E", b"I", b"T", b"E", b"I"]
    with through(asker, encoding) as session:
        session.exchange(raw.query("BEGIN; SELECT 1/0"))
        for text in (b"ROLLBACK; LISTEN \"" + word + b'"', b'ROLLBACK; SELECT place AS "' + word + b'" FROM persons'):
            assert session.exchange(raw.query(text))[-2][0] == "E"
            assert session.exchange(raw.query("BEGIN; SELECT 1/0"))[-1][1] == b"E"
    assert journal(server, asker) == []


def test_an_old_name_of_utf8_is_utf8(words, asker):
    text = raw.parse("SELECT count(*) AS ü, 'ü' FROM persons", "ü") + raw.bind((), "", "ü") + raw.execute() + raw.SYNC
    expected, got = both(words, asker, "UNICODE", text)
    assert got == expected and [m[0] for m in got[0]] == list("12DCZ")


def test_the_encoding_may_change_between_statements(words, asker):
    sjis, latin = WORDS["SJIS"].encode("cp932"), WORDS["LATIN1"].encode("latin-1")
    ask = b"SELECT count(*), '%b' FROM persons WHERE place = '%b'"
    texts = [b"SET client_encoding = 'SJIS'", ask % (sjis, sjis), b"BEGIN", b"SET LOCAL client_encoding = 'LATIN1'",
             ask % (latin, latin), b"ROLLBACK", ask % (sjis, sjis), b"BEGIN", b"SAVEPOINT s",
             b"SELECT set_config('client_encoding', 'UTF8', false)", ask % (b"\xc3\xbc", b"\xc3\xbc"),
             b"ROLLBACK TO s", ask % (sjis, sjis), b"COMMIT", b"RESET client_encoding", ask % (latin, latin)]
    expected, got = both(words, asker, "LATIN1", *texts)
    assert got == expected
    assert "E" not in {message[0] for answer in got for message in answer}


def test_a_change_in_the_same_query_makes_what_follows_unreadable(asker):
    """PostgreSQL has read all of a Query before it runs the first of its statements."""
    with through(asker, "LATIN1") as session:
        for change in (b"SET client_encoding = 'SJIS'", b"BEGIN; SET LOCAL client_encoding = 'UTF8'"):
            error = session.error(raw.query(change + b"; SELECT count(*) FROM persons WHERE place = '\x83\x5c'"))
            assert error["C"] == "0A000" and "client_encoding" in error["M"]
            session.exchange(raw.query("ROLLBACK"))
        session.exchange(raw.query(b"SET client_encoding = 'SJIS'; SELECT count(*) FROM persons"))
        assert session.kinds(raw.query(b"SELECT count(*) FROM persons WHERE place = '\x83\x5c'")) == "TDCZ"


def run(statement, *values):
    return [statement, raw.bind(values), raw.execute()]


def test_a_change_in_a_pipeline_is_seen_before_it_is_reported(words, asker):
    """The server reports a setting at the next Sync; texts before that are read by it all the same."""
    sjis, latin = WORDS["SJIS"].encode("cp932"), WORDS["LATIN1"].encode("latin-1")
    def ask(word):
        return run(raw.parse(b"SELECT count(*), '%b'::text FROM persons WHERE place = '%b'" % (word, word)))
    batches = [
        [*run(raw.parse("SET client_encoding = 'SJIS'")), *ask(sjis), raw.SYNC],
        [*run(raw.parse("SET client_encoding = 'UTF8'")), *ask("ü".encode()),
         *run(raw.parse("SET client_encoding = 'LATIN1'")), *ask(latin), raw.SYNC],
        # What the failure undoes was never reported.
        [*run(raw.parse("SET client_encoding = 'SJIS'")), *ask(sjis), *run(raw.parse("SELECT 1/0")), raw.SYNC],
        [*ask(latin), raw.SYNC]]
    answers = []
    for session in (direct(words, "LATIN1"), through(asker, "LATIN1")):
        with session:
            answers.append([[without_origin(*m) for m in session.exchange(*batch)] for batch in batches])
    assert answers[0] == answers[1]
    assert [[m[0] for m in batch if m[0] == "E"] for batch in answers[1]] == [[], [], ["E"], []]


def test_an_error_in_a_pipeline_quotes_in_the_encoding_in_force(asker):
    with through(asker, "UTF8") as session:
        for encoding, codec in (("UTF8", "utf-8"), ("LATIN1", "latin-1")):
            replies = session.exchange(*run(raw.parse(f"SET client_encoding = '{encoding}'")),
                                       raw.parse('SET "größe" = 1'.encode(codec)), raw.SYNC)
            assert [kind for kind, _ in replies] == list("12CEZ")
            assert '"größe"' in raw.fields(replies[3][1], codec)["M"]


def test_strings_in_a_pipeline_are_read_by_the_setting_in_force(asker):
    with through(asker, "UTF8") as session:
        off = run(raw.parse("SET standard_conforming_strings = off"))
        text = raw.parse("SELECT count(*), 'a\\'' FROM persons --'")
        replies = session.exchange(*off, text, raw.SYNC)
        assert [kind for kind, _ in replies] == list("12CEZ")
        assert raw.fields(replies[3][1])["C"] == "0A000"


def test_an_aborted_transaction_answers_as_postgresql(words, asker):
    word = WORDS["SJIS"].encode("cp932")
    ask = b"SELECT count(*) FROM persons WHERE place = '" + word + b"'"
    expected, got = both(words, asker, "SJIS", b"BEGIN", b"SELECT 1/0", ask, raw.parse(ask) + raw.SYNC, b"ROLLBACK", ask)
    assert got == expected


def test_a_prepared_statement_outlives_the_encoding_of_its_text(words, asker):
    latin = WORDS["LATIN1"].encode("latin-1")
    sql = (b"SELECT count(*) AS \"" + latin + b"\", '" + latin + b"'::text, 1 + 1 FROM persons WHERE place = '" + latin
           + b"'")
    answers = []
    for session in (direct(words, "LATIN1"), through(asker, "LATIN1")):
        with session:
            session.exchange(raw.parse(sql, "s"), raw.SYNC)
            session.exchange(raw.query("SET client_encoding = 'UTF8'"))
            answers.append([without_origin(*m) for m in session.exchange(raw.bind((), "", "s"), raw.describe("P"),
                                                                         raw.execute(), raw.SYNC)])
    assert answers[0] == answers[1] and [m[0] for m in answers[1]] == list("2TDCZ")


def test_names_of_private_statements_are_in_ascii(asker):
    with through(asker, "LATIN1") as session:
        assert session.kinds(raw.parse("SELECT 1", b"\xe9"), raw.SYNC) == "1Z"
        error = session.error(raw.parse("SELECT count(*) FROM persons", b"\xe9"), raw.SYNC)
        assert error["C"] == "08P01" and "ASCII" in error["M"]
        session.exchange(raw.query("SET client_encoding = 'UTF8'"))
        assert session.kinds(raw.parse("SELECT count(*) FROM persons", "ü"), raw.bind((), "", "ü"), raw.execute(),
                             raw.SYNC) == "12DCZ"
        session.exchange(raw.query("SET client_encoding = 'LATIN1'"))
        assert "D" not in session.kinds(raw.bind((), "", "ü"), raw.execute(), raw.SYNC)


@pytest.mark.parametrize("encoding", PYTHON)
def test_psql_and_psycopg_in_their_encoding(words, asker, encoding):
    codec, word = PYTHON[encoding], WORDS[encoding]
    sql = f"SELECT count(*) AS \"{word}\" FROM persons WHERE place = '{word}'"
    result = subprocess.run(
        ["psql", "-X", "-A", "-P", "footer=off", asker.conninfo("words")], input=f"{sql};\n".encode(codec),
        capture_output=True, timeout=120, check=True,
        env={**processes.environment(), "PGCLIENTENCODING": encoding, "PSQL_HISTORY": os.devnull})
    assert result.stdout.decode(codec) == f"{word}\n10\n", result
    simple = asker.connect("words", client_encoding=encoding)
    with simple.cursor() as cursor:
        cursor.execute("SELECT count(*), %s FROM persons WHERE place = %s", (word, word))
        assert cursor.fetchall() == [(10, word)]
    simple.close()
    with asker.connect3("words", client_encoding=encoding) as extended:
        cursor = extended.execute(f"SELECT count(*), '{word}'::text FROM persons WHERE place = %s", (word,))
        assert cursor.fetchall() == [(10, word)]


def test_a_column_name_that_the_encoding_lacks_fails_before_the_charge(server, asker):
    """pgveil asks for the columns' names at Parse, and again at Bind where the encoding has changed."""
    def prepare(name):
        return raw.parse(f'SELECT count(*) AS U&"\\{name}" FROM persons', "s")

    def ask(session):
        return session.exchange(raw.bind((), "", "s"), raw.describe("P"), raw.execute(), raw.SYNC)
    def code(replies):
        assert [kind for kind, _ in replies if kind not in "1t"] == ["E", "Z"], replies
        return raw.fields(replies[-2][1], "latin-1")["C"]
    with through(asker, "LATIN1") as session:
        assert code(session.exchange(prepare("20AC"), raw.bind((), "", "s"), raw.execute(), raw.SYNC)) == "22P05"
        assert code(ask(session)) == "22P05"
        session.exchange(raw.query("SET client_encoding = 'WIN1252'"))
        assert [kind for kind, _ in ask(session)] == list("2TDCZ")
        assert [without_origin(*m)[1] for m in ask(session) if m[0] == "T"] == [[b"\x80"]]
        session.exchange(raw.query("SET client_encoding = 'KOI8R'"))
        assert code(ask(session)) == "22P05"
        session.exchange(raw.query("SET client_encoding = 'WIN1252'"))
        session.exchange(prepare("0416"), raw.SYNC)
        session.exchange(raw.parse("SET client_encoding = 'WIN1251'"), raw.bind(), raw.execute(), raw.SYNC)
        session.exchange(raw.parse('SELECT sum(age) AS U&"\\0416" FROM persons', "t"), raw.SYNC)
        def pipelined(name):
            return [raw.bind((), "", name), raw.execute()]
        replies = session.exchange(*pipelined("s"), *pipelined("s"), raw.parse("SET client_encoding = 'LATIN1'"),
                                   *pipelined(""), *pipelined("t"), raw.SYNC)
        assert [kind for kind, _ in replies] == list("2DC2DC12CEZ") and code(replies[-2:]) == "22P05"
    assert len(journal(server, asker)) == 1


def test_a_statement_described_anew_is_not_taken_for_another(asker):
    """An open portal keeps its columns, whatever has the statement's name by now."""
    with through(asker, "LATIN1") as session:
        session.exchange(raw.parse('SELECT count(*) AS "größe" FROM persons'.encode("latin-1"), "s"), raw.SYNC)
        session.exchange(raw.query("BEGIN"))
        session.exchange(raw.bind((), "p", "s", (1,)), raw.SYNC)
        session.exchange(raw.query("DEALLOCATE s"), )
        session.exchange(raw.query("PREPARE s AS SELECT 1 AS a, 2 AS b, 3 AS c"))
        session.exchange(raw.query("SET client_encoding = 'UTF8'"))
        replies = session.exchange(raw.bind((), "q", "s"), raw.execute("q"), raw.describe("P", "p"), raw.execute("p"),
                                   raw.SYNC)
    assert [kind for kind, _ in replies] == list("2DCTDCZ")
    assert [without_origin(*m)[1] for m in replies if m[0] == "T"] == [["größe".encode()]]
