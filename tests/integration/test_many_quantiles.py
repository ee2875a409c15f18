"""Quantiles of very many groups are seconds of work: other sessions are served meanwhile, and a statement that
is cancelled, or whose session ends, in the middle of it leaves nothing behind."""
import json
import threading

import psycopg2
import pytest
from harness.pgveil import AMPLE, DATASETS
from test_ctl_running import good

GROUPS = 5 * 4 * 3 * 2
RANKS = "'{" + ",".join(f"{k / 1001:.6f}" for k in range(1, 1001)) + "}'::float8[]"
# Nobody is in any group: all of them are drawn when the last row has come.
EMPTY = ("SELECT code, \"Ward No\", sex, insured, percentile_disc(" + RANKS + ") WITHIN GROUP (ORDER BY minutes)"
         " FROM visits JOIN patients p ON p.id = patient_id WHERE minutes < -NUMBER GROUP BY 1, 2, 3, 4")
LAPLACE = "-c dp.mechanism=laplace -c dp.epsilon=8 -c dp.notices=off"


@pytest.fixture
def many(pgveil):
    return pgveil.analyst(grants={dataset: AMPLE for dataset in DATASETS})


class Asking(threading.Thread):
    """A statement under way; once it is charged, wait_until_charged returns."""

    def __init__(self, analyst, sql):
        super().__init__()
        self.analyst, self.sql = analyst, sql
        self.connection = analyst.connect("clinic", options=LAPLACE)
        self.rows = self.error = None

    def run(self):
        try:
            with self.connection.cursor() as cursor:
                cursor.execute(self.sql)
                self.rows = cursor.fetchall()
        except psycopg2.Error as error:
            self.error = error

    def wait_until_charged(self, before):
        while charges(self.analyst) == before:
            assert self.is_alive()


def charges(analyst):
    return int(analyst.pgveil.ledger("SELECT count(*) FROM pgveil.journal WHERE kind = 'charge' AND "
                                     f"analyst = '{analyst.name}'")[0][0])


def test_every_group_has_all_its_quantiles(many):
    connection = many.connect("clinic", options=LAPLACE)
    with connection.cursor() as cursor:
        for where in ("minutes < -1", "minutes > 20"):
            sql = EMPTY.replace("minutes < -NUMBER", where)
            cursor.execute(sql)
            rows = cursor.fetchall()
            assert len(rows) == GROUPS
            assert all(len(row[4]) == 1000 and row[4] == sorted(row[4]) and 0 <= row[4][0]
                       and row[4][-1] <= 600 for row in rows)
            cursor.execute(sql)
            assert cursor.fetchall() == rows
    connection.close()
    assert charges(many) == 2


def test_others_are_served_while_it_is_drawn(many):
    other = many.connect("clinic")
    asking = Asking(many, EMPTY.replace("NUMBER", "2"))
    served = 0
    asking.start()
    asking.wait_until_charged(0)
    while asking.is_alive():
        with other.cursor() as cursor:
            cursor.execute("SELECT 1")
        served += 1
    asking.join()
    assert asking.error is None and len(asking.rows) == GROUPS
    assert served > 10
    asking.connection.close()
    other.close()


def test_it_is_cancelled_in_the_middle(many):
    asking = Asking(many, EMPTY.replace("NUMBER", "3"))
    asking.start()
    asking.wait_until_charged(0)
    asking.connection.cancel()
    asking.join()
    assert isinstance(asking.error, psycopg2.errors.QueryCanceled)
    with asking.connection.cursor() as cursor:
        cursor.execute("ROLLBACK")
        cursor.execute("SELECT 1")
        assert cursor.fetchall() == [(1,)]
    asking.connection.close()


def test_its_session_ends_in_the_middle(many):
    asking = Asking(many, EMPTY.replace("NUMBER", "4"))
    asking.start()
    asking.wait_until_charged(0)
    (session,) = [row for row in json.loads(good(many.pgveil, "session", "list", "--json"))
                  if row["analyst"] == many.name]
    good(many.pgveil, "session", "kill", str(session["pid"]))
    asking.join()
    assert asking.error is not None
    assert many.rows("clinic", "SELECT 1") == [(1,)]
