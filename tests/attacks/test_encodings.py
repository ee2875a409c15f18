"""R11: characters with the bytes of quotes, backslashes and semicolons in them, and bytes that are none.
PostgreSQL itself, asked in the same encoding, says where a literal ends."""
import itertools
import random

import pytest
from harness import raw_protocol as raw

SIMPLE = ("SJIS", "SHIFT_JIS_2004", "BIG5", "GBK", "UHC", "GB18030", "JOHAB", "EUC_JP", "EUC_KR", "LATIN1", "UTF8",
          "SQL_ASCII")
EXTENDED = ("SJIS", "SHIFT_JIS_2004", "GBK", "LATIN1")
FIRST = (b"\x81", b"\x95", b"\xa5", b"\xbf", b"\xc3", b"\xe3\x81", b"\x8f\xa1", b"\x81\x30")
SECOND = (b"", b"'", b"\\", b"\"", b";", b"_", b"$", b"*", b"\xa7", b"\x5f\x27", b"\\\\")
# %b is the attack. What stands behind the literal is either part of it, or runs.
SHAPES = (b"SELECT '%b', name FROM people --'", b"SELECT E'%b', name FROM people --'",
          b"SELECT E'\\%b', name FROM people --'", b"SELECT 1 AS \"%b\", name FROM people --\"",
          b"SELECT $%b$, name FROM people --$%b$", b"SELECT 1 /*%b*/, name FROM people --*/",
          b"SELECT '%b' ; LISTEN evil; --'", b"SELECT E'%b' ; LISTEN evil; --'", b"SELECT 1 -- %b\n ; LISTEN evil")


def direct(server, encoding):
    session = raw.Raw(server.socket / ".s.PGSQL.5432")
    session.send(raw.startup({"user": "postgres", "database": "with_bob", "client_encoding": encoding}))
    session.until("Z")
    return session


def seen(replies):
    """What an attack can bring: rows, commands, refusals."""
    return ([body for kind, body in replies if kind == "D"], [body for kind, body in replies if kind == "C"],
            [raw.fields(body, "latin-1")["C"] for kind, body in replies if kind == "E"])


def check(expected, got, text):
    rows, commands, errors = got
    wanted, wanted_commands, wanted_errors = expected
    assert b"LISTEN\0" not in commands, text
    if any(b"name 1" in row for row in wanted):
        assert rows == [] and errors == ["42501"], (text, got)
    elif b"LISTEN\0" in wanted_commands:
        assert errors == ["42501"], (text, got)
    else:
        assert (rows, errors) == (wanted, wanted_errors), (text, got, expected)


@pytest.mark.parametrize("encoding, extended", [*[(e, False) for e in SIMPLE], *[(e, True) for e in EXTENDED]])
def test_a_literal_ends_where_postgresql_ends_it(analyst, protected, encoding, extended):
    harmless = private = 0
    with direct(protected, encoding) as postgres, \
            raw.log_in(analyst, "with_bob", {"client_encoding": encoding}) as session:
        for first, second, shape in itertools.product(FIRST, SECOND, SHAPES):
            text = shape.replace(b"%b", first + second)
            messages = [raw.parse(text), raw.bind(), raw.execute(), raw.SYNC] if extended else [raw.query(text)]
            expected = seen(postgres.exchange(*messages))
            check(expected, seen(session.exchange(*messages)), text)
            harmless += expected[2] == []
            private += any(b"name 1" in row for row in expected[0])
    assert harmless >= 8 and private >= 4


@pytest.mark.parametrize("before, setting, text, refusal", [
    ("UTF8", "standard_conforming_strings = off", rb"SELECT '\'', name FROM people --'", "backslashes are not read"),
    ("UTF8", "client_encoding = 'SJIS'", b"SELECT E'\x83\x5c', name FROM people --'", "rows of individual people"),
    ("GBK", "client_encoding = 'LATIN1'", b"SELECT E'\xbf\x5c\x5c', name FROM people --'", "rows of individual people"),
    ("LATIN1", "client_encoding = 'SHIFT_JIS_2004'", b"SELECT E'\\\x81\x5f', name FROM people --'",
     "rows of individual people")])
@pytest.mark.parametrize("change", ["SET {}", "SELECT set_config({!r}, {!r}, false)"])
@pytest.mark.parametrize("as_query", [False, True])
def test_a_setting_that_was_not_reported_changes_no_reading(analyst, before, setting, text, refusal, change, as_query):
    """A pipeline without Sync: the server reports the change only at the end of it. By what was
    reported the text names no private table, or is none; it must not come as far as the twin's guard."""
    name, value = (part.strip("' ") for part in setting.split("="))
    change = change.format(setting) if change.startswith("SET") else change.format(name, value)
    with raw.log_in(analyst, "with_bob", {"client_encoding": before}) as session:
        last = [raw.query(text)] if as_query else [raw.parse(text), raw.bind((), "p"), raw.execute("p"), raw.SYNC]
        error = session.error(raw.parse(change), raw.bind(), raw.execute(), *last)
        assert ("after a Sync" if as_query else refusal) in error["M"], error


def test_a_change_that_fails_leaves_the_reading_as_it_was(analyst):
    """The setting that was undone was never reported."""
    text = raw.query(b"SELECT E'\x83\x5c', name FROM people --'")
    with raw.log_in(analyst, "with_bob", {"client_encoding": "SJIS"}) as session:
        def parsed():
            return seen(session.exchange(raw.parse(b"SELECT E'\x83\x5c', name FROM people --'"), raw.bind(),
                                         raw.SYNC))[2]
        assert seen(session.exchange(text))[2] == ["42501"] and parsed() == ["42501"]
        for undo in ("SELECT 1/0", "SELECT nothing"):
            session.exchange(raw.parse("SET client_encoding = 'LATIN1'"), raw.bind(), raw.execute(), raw.parse("SELECT '\\'"),
                             raw.bind(), raw.execute(), raw.parse(undo), raw.bind(), raw.execute(), raw.SYNC)
            assert seen(session.exchange(text))[2] == ["42501"] and parsed() == ["42501"]


WORDS = (b"\\", b"'", b"\"", b";", b"$", b"--", b"/*", b"*/", b"E'", b"U&'", b"\n", b"!", *FIRST, b"\xef\xbb\xbf", b"\xff", b"\x5c\x5c")
RANDOM = (*SHAPES, b"SELECT count(*) AS \"%b\" FROM people", b"SELECT '%b'; SELECT count(*) FROM people; SELECT '%b'", b"%b",
          b"SELECT U&\"%b\" UESCAPE '!' FROM people", b"COPY (SELECT count(*), '%b' FROM people) TO STDOUT", b"SAVEPOINT \"%b\"",
          b"ROLLBACK TO \"%b\"", b"EXPLAIN SELECT count(*), E'%b' FROM people", b"SET dp.epsilon = '%b'", b"RESET dp.epsilon",
          b"BEGIN", b"COMMIT", b"ROLLBACK", b"DISCARD ALL", b"SET standard_conforming_strings = off", b"SET backslash_quote = on",
          b"DECLARE h CURSOR WITH HOLD FOR SELECT set_config('client_encoding', 'GBK', false)", b"COPY t%b FROM STDIN")


def random_text(source):
    shape = source.choice((*RANDOM, b"SET client_encoding = '%s'", b"SET LOCAL client_encoding = '%s'",
                           b"SELECT set_config('client_encoding', '%s', false)"))
    return shape.replace(b"%s", source.choice(SIMPLE).encode()).replace(
        b"%b", b"".join(source.choices(WORDS, k=source.randrange(5))))


def random_batch(source):
    """One Query, or a pipeline: in both cases there is one ReadyForQuery at the end."""
    if source.random() < 0.4:
        return [raw.query(random_text(source))]
    batch = []
    for _ in range(source.randrange(1, 8)):
        statement, portal = source.choices((b"", b"s", b"\xc3\xbc", b"\x83\x5c"), k=2)
        batch += source.choice((
            [raw.parse(random_text(source), statement)], [raw.bind((), portal, statement)],
            [raw.parse(random_text(source)), raw.bind(), raw.execute()],
            [raw.parse(random_text(source)), raw.bind(), raw.describe("P"), raw.execute()],
            [raw.framed(b"E", portal + b"\0\0\0\0\0")], [raw.framed(b"D", b"S" + statement + b"\0")],
            [raw.framed(b"D", b"P" + portal + b"\0")], [raw.framed(b"C", b"S" + statement + b"\0")], [raw.FLUSH],
            [raw.framed(b"d", b"data")]))
    return [*batch, raw.SYNC]


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_sent_is_answered_and_nothing_else_is_hurt(analyst, seed):
    """Texts and messages at random; now and then the client leaves in the middle of its messages. The
    server, built with sanitizers, must be alive and in step afterwards."""
    source = random.Random(seed)
    answered = 0
    for _ in range(25):
        with raw.log_in(analyst, "with_bob", {"client_encoding": source.choice(SIMPLE)}) as session:
            for _ in range(source.randrange(1, 12)):
                replies = session.exchange(*random_batch(source))
                errors = [raw.fields(body, "latin-1")["C"] for kind, body in replies if kind == "E"]
                assert not {"XX000", "58000", "08006"} & set(errors), replies
                answered += errors == []
            session.exchange(raw.query("ROLLBACK"))
            assert session.kinds(raw.query("SELECT 'in step'")) == "TDCZ"
            if source.random() < 0.3:
                session.send(*random_batch(source)[:-1])
    assert answered > 20
