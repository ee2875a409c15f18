"""Reuse (N6, N7, 4.5): two analysts who tell each other everything walk at random through all that a session can
do: precisions, fresh draws, transactions that are rolled back, savepoints, cursors, prepared statements, COPY,
temporary tables, cancels. What the next step is follows from the digits of the last answer.

Whatever they saw must follow from draws that who saw it has paid for: each value is the mean, by precision, of
some of them, and all of them together are no more precise than what was paid."""
import io
import random
import threading

import psycopg
import pytest
import recount
from ledger_server import Ledger

DATASET = "with_bob"
QUESTIONS = [f"SELECT count(*) FROM people WHERE id > {n}" for n in range(4)]


class Walker:
    """One session of an analyst. seen: question -> values."""

    def __init__(self, analyst, seed, seen):
        self.connection = analyst.connect3(DATASET)
        self.connection.autocommit = True
        self.dice = random.Random(seed)
        self.seen, self.last, self.number = seen, 0, 0
        self.outcomes = []

    def run(self, sql, *parameters, prepare=False):
        cursor = self.connection.execute(sql, parameters or None, prepare=prepare)
        return cursor.fetchall() if cursor.description else []

    def note(self, questions, values):
        for question, value in zip(questions, values):
            self.seen[question].add(int(value))
            self.last = abs(int(value))

    def step(self):
        """One thing that an analyst may do; it may be refused."""
        self.run(f"SET dp.reuse = {'off' if self.last % 5 == 0 else 'on'}")
        self.run(f"SET dp.epsilon = '{(0.05, 0.1, 0.2, 0.4)[self.last % 4]}'")
        question = (self.last + self.dice.randrange(4)) % 4
        kind = self.dice.choice([self.plain, self.pair, self.prepared, self.rolled_back, self.savepoint, self.cursor,
                                 self.copied, self.table, self.cancelled, self.failing, self.twice])
        try:
            kind(question)
            self.outcomes.append(kind.__name__)
        except psycopg.Error as error:
            assert error.sqlstate in ("57014", "53400", "53300", "22012"), error
            self.outcomes.append(error.sqlstate)
            if self.connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                self.run("ROLLBACK")

    def plain(self, question):
        self.note([question], self.run(QUESTIONS[question])[0])

    def twice(self, question):
        (first, second), = self.run(f"SELECT ({QUESTIONS[question]}), ({QUESTIONS[question]})")
        self.note([question, question], (first, second))

    def pair(self, question):
        other = self.dice.randrange(4)
        row, = self.run(f"SELECT ({QUESTIONS[question]}), ({QUESTIONS[other]})")
        self.note([question, other], row)

    def prepared(self, question):
        self.note([question], self.run("SELECT count(*) FROM people WHERE id > %s::int4", question, prepare=True)[0])

    def rolled_back(self, question):
        self.run("BEGIN")
        self.run("SET LOCAL dp.epsilon = '0.3'")
        self.plain(question)
        self.run("ROLLBACK")

    def savepoint(self, question):
        self.run("BEGIN")
        self.run("SAVEPOINT s")
        self.plain(question)
        self.run("ROLLBACK TO s")
        self.plain(self.dice.randrange(4))
        self.run("COMMIT")

    def cursor(self, question):
        self.run("BEGIN")
        self.run(f"DECLARE c CURSOR FOR {QUESTIONS[question]}")
        self.note([question], self.run("FETCH ALL FROM c")[0])
        self.run("ROLLBACK")

    def copied(self, question):
        text = io.BytesIO()
        with self.connection.cursor().copy(f"COPY ({QUESTIONS[question]}) TO STDOUT") as copy:
            for piece in copy:
                text.write(piece)
        self.note([question], [text.getvalue()])

    def table(self, question):
        self.number += 1
        self.run(f"CREATE TEMP TABLE t{self.number} AS {QUESTIONS[question]}")
        self.note([question], self.run(f"TABLE t{self.number}")[0])

    def cancelled(self, question):
        """Before, in, or after the charge, as it happens."""
        thread = threading.Thread(target=self.connection.cancel)
        thread.start()
        try:
            self.plain(question)
        finally:
            thread.join()
            self.run("SELECT 1")  # a cancel that came late ends here at the latest

    def failing(self, question):
        self.run(f"SELECT 1 / (count(*) - count(*)) FROM people WHERE id > {question}")


def together(walkers):
    failures = []

    def step(walker):
        try:
            walker.step()
        except Exception as failure:  # told below, in the test's own thread
            failures.append(failure)

    threads = [threading.Thread(target=step, args=(walker,)) for walker in walkers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures


def means(draws):
    """Of every choice of draws (m, value): by precision, halves up."""
    assert len(draws) <= 20, "too many to try all choices"
    sums = {(0, 0)}
    for m, value in draws:
        sums |= {(above + m * m * value, below + m * m) for above, below in sums}
    return {(2 * above + below) // (2 * below) for above, below in sums if below > 0}


def kept_of(ledger, analyst):
    """identity -> (m, value) of the draws that the analyst has paid for, the most exact first."""
    kept = {}
    for identity, m, noisy in ledger.rows(
            "SELECT k.identity, k.m, k.noisy[1] FROM pgveil.kept_answer k JOIN pgveil.paid p ON p.draw = k.draw "
            "WHERE p.analyst = %s AND k.mechanism = 'gaussian' ORDER BY k.m DESC", analyst.name):
        kept.setdefault(identity, []).append((int(m), int(noisy)))
    return kept


@pytest.mark.parametrize("seed", range(2))
def test_what_was_seen_follows_from_what_was_paid_for(service, cluster, seed):
    ledger = Ledger(cluster, "ledger")
    analysts = [service.analyst(grants={DATASET: ("60", "0.01")}) for _ in range(2)]
    ledger.ctl("budget", "cap", DATASET, "--epsilon", "900", "--delta", "0.1")
    seen = [{question: set() for question in range(4)} for _ in analysts]
    walkers = [Walker(analysts[n % 2], f"{seed} {n}", seen[n % 2]) for n in range(4)]
    for walker in walkers:
        walker.run("SET dp.mechanism = gaussian")
    dice, outcomes = random.Random(seed), []
    for _ in range(60):
        walker = dice.choice(walkers)
        # At the same time as another session of the same or the other analyst.
        others = [other for other in walkers if other is not walker and dice.random() < 0.2]
        together([walker, *others])
    for walker in walkers:
        outcomes += walker.outcomes
        walker.connection.close()
    assert len(set(outcomes) - {"57014"}) >= 9, outcomes
    recounted = recount.check_all(ledger)
    for analyst, values in zip(analysts, seen):
        kept = kept_of(ledger, analyst)
        assert len(kept) == 4, "one identity for each question"
        paid = recounted.spent("analyst", analyst.name, DATASET)["mu2"]
        assert sum(10**12 * m * m / 2**100 for draws in kept.values() for m, _ in draws) <= paid
        explained = {identity: means(draws) for identity, draws in kept.items()}
        for question, found in values.items():
            assert found and any(found <= possible for possible in explained.values()), (question, found)
    ledger.close()
