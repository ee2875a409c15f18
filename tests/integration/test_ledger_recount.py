"""A long life of a ledger at random, added up again from its journal alone (recount.py)."""
import datetime
import decimal
import json
import random
import uuid

import psycopg2
import pytest

from harness.pgveil import Pgveil
from harness.usual import usual
from ledger_server import kept_answer, release
from recount import Recount, check_all, check_table

ANALYSTS = ("ana", "bob", "cy", "Zoë")
GROUPS = ("north", "south")
# Two over one database, and one of its own.
DATASETS = ("census", "again", "far")
OPERATIONS, CHECKED_EVERY = 500, 125


class Life:
    """Each method is something that happens; what it may and may not do is the ledger's business."""

    def __init__(self, ledger, seed):
        self.ledger, self.dice = ledger, random.Random(seed)
        self.outcomes = {}
        self.requests = []  # (request, analyst, dataset, releases) of charges that were admitted
        # The ledger's time is never behind the journal: from here on it moves only when it is told to.
        ledger.rows("UPDATE pgveil.head SET at = '2100-03-03 17:00Z'")
        for analyst in ANALYSTS:
            ledger.analyst(analyst, dataset=None)
        for dataset, database in zip(DATASETS, ("one", "one", "two")):
            ledger.rows("SELECT pgveil.serve(%s, %s)", dataset, database)
            for analyst in ANALYSTS:
                ledger.grant(analyst, dataset, epsilon=self.one_of("3", "40"), window=self.one_of("none", "week"))

    def one_of(self, *choices):
        return self.dice.choice(choices)

    def ctl(self, *words):
        """Whatever becomes of it."""
        done = self.ledger.ctl(*words, check=False)
        assert done.returncode in (0, 1) or "no budget follows" in done.stderr, (words, done)
        self.count(" ".join(words[:2]) + (" refused" if done.returncode else ""))

    def count(self, word):
        self.outcomes[word] = self.outcomes.get(word, 0) + 1

    def terms(self):
        return ["--epsilon", self.one_of("0.5", "1", "3", "3", "10", "40", "40", "0.000000001"),
                "--delta", self.one_of("1e-6", "1e-6", "1e-5", "1e-10"), "--mode", self.one_of("gdp", "gdp", "gdp", "zcdp", "zcdp", "pure"),
                "--window", self.one_of("none", "day", "week", "month")]

    def grant(self):
        self.ctl("budget", "grant", self.one_of(*ANALYSTS), self.one_of(*DATASETS), *self.terms())

    def cap(self):
        group = ["--group", self.one_of(*GROUPS)] if self.dice.random() < 0.6 else []
        terms = self.terms() if self.dice.random() < 0.6 else [self.one_of("--on", "--off", "--off")]
        if not group and len(terms) > 1:
            terms[1] = self.one_of("10", "40")
        self.ctl("budget", "cap", self.one_of(*DATASETS), *group, *terms)

    def change(self):
        holder = self.one_of("analyst", "analyst", "group", "dataset")
        name = {"analyst": self.one_of(*ANALYSTS), "group": self.one_of(*GROUPS), "dataset": ""}[holder]
        change = self.one_of("revoke", "freeze", *["unfreeze"] * 4, "reset", "reset", "enforce") \
            if holder == "analyst" else self.one_of("freeze", *["unfreeze"] * 6, "reset", "reset", "release")
        word = self.ledger.one("SELECT pgveil.change_budget(%s, %s, %s, %s)", holder, name,
                               self.one_of(*DATASETS), change)
        self.count(f"{change} {word}")

    def analyst(self):
        name = self.one_of(*ANALYSTS)
        if self.dice.random() < 0.3:
            self.ctl("analyst", "remove", name, "--yes")
            self.ledger.ctl("analyst", "add", name, "--password-stdin", stdin="again\n", check=False)
            for dataset in DATASETS[:2]:
                self.ctl("budget", "grant", name, dataset, *self.terms())
        else:
            self.ctl("analyst", self.one_of("disable", "enable", "enable", "enable"), name)

    def member(self):
        self.ledger.rows("SELECT pgveil.member(%s, %s, %s)", self.one_of(*GROUPS), self.one_of(*ANALYSTS),
                         self.dice.random() < 0.7)

    def setting(self):
        scope = ["--dataset", self.one_of(*DATASETS)] if self.dice.random() < 0.5 else []
        self.ctl("setting", "set", "minimum_mu2_pico", self.one_of("1000", "7", "50000"), *scope, "--yes")

    def time(self):
        self.ledger.rows("UPDATE pgveil.head SET at = at + %s::interval",
                         self.one_of("1 second", "5 hours", "1 day", "6 days", "20 days"))

    def own(self):
        return release(self.one_of(100, 5000, 40_000_000, 3_000_000_000), self.one_of(0, 0, 0, 7, 10**9),
                       self.one_of(None, None, 40_000, 200_000_000))

    def shared(self):
        """What others ask too, at the same price: a draw that can be taken over."""
        return self.one_of(release(40_000_000, 0, None, "a" * 64), release(5000, 7, 60_000, "b" * 64))

    def charge(self):
        analyst, dataset = self.one_of(*ANALYSTS), self.one_of("census", "census", "again", "far")
        releases = [self.one_of(self.own(), self.shared()) for _ in range(self.one_of(1, 1, 2, 3))]
        request = str(uuid.UUID(int=self.dice.getrandbits(128)))
        answer = self.ledger.charge(request=request, analyst=analyst, dataset=dataset, releases=releases,
                                    epoch="none")
        self.count("charge " + answer["outcome"] + (" adopted" if answer["adopted"] else "")
                   + (f" by {answer['refused_by']}" if answer["refused_by"] else ""))
        if answer["outcome"] == "ok":
            self.requests.append((request, analyst, dataset, releases))
            draws = (answer["adopted"] or "0 " * len(releases)).split()
            self.after(request, analyst, dataset, releases, [n for n, draw in enumerate(draws) if draw == "0"])

    def after(self, request, analyst, dataset, releases, drawn):
        """Answered and kept, failed, or never heard of again."""
        fate = self.one_of("answered", "answered", "answered", "failed", "lost")
        if fate == "answered" and drawn:
            self.ledger.keep(request, releases, {number: [kept_answer(f"{number:064x}")] for number in drawn},
                             analyst, dataset, "none")
        if fate != "lost":
            self.ledger.one("SELECT pgveil.resolve(%s, %s)", request, fate == "answered")

    def again(self):
        """The same request once more debits nothing, unless a setting has made it another price."""
        if self.requests:
            request, analyst, dataset, releases = self.dice.choice(self.requests)
            before = self.ledger.one("SELECT seq FROM pgveil.head")
            try:
                self.ledger.charge(request=request, analyst=analyst, dataset=dataset, releases=releases,
                                   epoch="none")
                self.count("again")
            except Exception as error:  # the ledger's refusal, whatever the driver calls it
                assert "another content" in str(error)
                self.ledger.reconnect()
            assert self.ledger.one("SELECT seq FROM pgveil.head") == before

    def forget(self):
        self.ctl("answers", "forget", self.one_of(*DATASETS), "--yes")

    def live(self, operations):
        kinds = [(self.charge, 60), (self.grant, 16), (self.cap, 4), (self.change, 8), (self.analyst, 4),
                 (self.member, 4), (self.setting, 2), (self.time, 8), (self.again, 3), (self.forget, 1)]
        for kind in self.dice.choices(*zip(*kinds), k=operations):
            kind()


@pytest.mark.parametrize("seed", usual(range(3), lambda seed: seed == 0))
def test_every_account_of_a_long_life_is_what_the_journal_alone_adds_up_to(server, seed):
    ledger = server.fresh_ledger()
    try:
        life = Life(ledger, seed)
        for _ in range(OPERATIONS // CHECKED_EVERY):
            life.live(CHECKED_EVERY)
            recount = check_all(ledger)
            for analyst in ANALYSTS:
                check_as_analyst(ledger, recount, analyst)
        seen = life.outcomes
        assert seen["charge ok"] > 30 and recount.resets > 1, seen
        assert sum(count for word, count in seen.items() if word.startswith("charge exceeded")) > 5, seen
        assert sum(count for word, count in seen.items() if "adopted" in word) > 3, seen
    finally:
        ledger.close()


def check_as_analyst(ledger, recount, analyst):
    """What dp.budget is made of."""
    rows = ledger.records("SELECT * FROM pgveil.accounts(%s, NULL)", analyst)
    own = {account.dataset: account for account in recount.accounts.values()
           if (account.holder, account.name) == ("analyst", analyst) and account.granted}
    assert {row["dataset"] for row in rows} == set(own)
    for row in rows:
        account = own[row["dataset"]]
        assert (row["spent_pico"], row["delta_spent_atto"], row["epsilon_spent_nano"]) == \
            (account.spent_pico(), account.total["delta"], account.total["epsilon"]), row
        assert decimal.Decimal(row["spent_share"]) == account.share(), row
        shared = recount.account("dataset", "", row["dataset"])
        assert row["dataset_spent_pico"] == shared.spent_pico(), row


# --- the same with pgveil before it ------------------------------------------------------------------

QUESTIONS = ["SELECT count(*) FROM patients", "SELECT sex, count(*) FROM patients GROUP BY sex",
             "SELECT avg(age) FROM patients", "SELECT sum(age), count(*) FROM patients WHERE sex = 'f'",
             "SELECT count(*) FROM visits", "SELECT avg(cost) FROM visits",
             "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY age) FROM patients",
             "SELECT count(*) FROM patients WHERE age > {}"]


def with_a_sibling(protected):
    """Two datasets over the clinic's database."""
    pgveil = Pgveil(protected, datasets=("clinic",))
    configuration = json.loads(pgveil.file.read_text())
    configuration["datasets"]["again"] = configuration["datasets"]["clinic"]
    pgveil.file.write_text(json.dumps(configuration))
    return pgveil


def ask_at_random(dice, analysts, times):
    outcomes = {}
    for _ in range(times):
        settings = {"dp.epsilon": dice.choice(["0.1", "0.5", "1"]), "dp.notices": "off"}
        if dice.random() < 0.3:
            settings["dp.mechanism"] = "laplace"
        if dice.random() < 0.3:
            settings["dp.reuse"] = "off"
        try:
            dice.choice(analysts).rows(dice.choice(["clinic", "again"]),
                                       dice.choice(QUESTIONS).format(dice.randrange(20, 60)), settings=settings)
            word = "answered"
        except psycopg2.Error as error:
            word = error.pgcode
        outcomes[word] = outcomes.get(word, 0) + 1
    return outcomes


def check_running(pgveil, analysts):
    recount = Recount(pgveil.ctl("ledger", "export").splitlines())
    now = max(recount.last, datetime.datetime.now(datetime.timezone.utc))
    for account in recount.accounts.values():
        account.roll(now)
    check_table(recount, json.loads(pgveil.ctl("budget", "show", "--json")))
    for analyst in analysts:
        for dataset, spent, remaining, spent_mu2, cap_mu2 in analyst.rows(
                "clinic", "SELECT dataset, spent, remaining, spent_mu2, cap_mu2 FROM dp.budget"):
            account = recount.account("analyst", analyst.name, dataset)
            assert (spent_mu2, cap_mu2) == (account.spent_pico(), account.terms["cap"]), analyst.name
            assert spent.quantize(decimal.Decimal("1e-6"), decimal.ROUND_CEILING) == account.share()
            assert remaining == max(1 - spent, 0)
    pgveil.ctl("ledger", "verify")
    return recount


def test_what_pgveil_tells_its_analysts_is_what_the_journal_alone_adds_up_to(protected):
    dice = random.Random(20261122)
    pgveil = with_a_sibling(protected)
    try:
        pgveil.start()
        analysts = [pgveil.analyst(name, {"clinic": ("9", "1e-5"), "again": ("6", "1e-5")}) for name in ("ana", "bob")]
        pgveil.ctl("budget", "cap", "clinic", "--epsilon", "12")
        pgveil.ctl("budget", "cap", "again", "--mode", "zcdp", "--epsilon", "12")
        pgveil.ctl("budget", "set", "bob", "again", "--mode", "zcdp", "--window", "week")
        pgveil.ctl("group", "join", "north", "bob")
        pgveil.ctl("budget", "cap", "clinic", "--group", "north", "--epsilon", "8", "--delta", "1e-5")
        seen = ask_at_random(dice, analysts, 40)
        check_running(pgveil, analysts)
        pgveil.ctl("analyst", "remove", "ana", "--yes")
        analysts[0] = pgveil.analyst("ana", {"clinic": ("20", "1e-5"), "again": ("20", "1e-5")})
        pgveil.ctl("budget", "reset", "bob", "clinic", "--yes")
        pgveil.ctl("budget", "cap", "clinic", "--off")
        for word, count in ask_at_random(dice, analysts, 30).items():
            seen[word] = seen.get(word, 0) + count
        pgveil.kill()
        pgveil.start()
        recount = check_running(pgveil, analysts)
        assert set(seen) <= {"answered", "53400"} and seen["answered"] > 20 and seen["53400"] > 3, seen
        assert recount.resets == 1 and recount.adoptions > 0
        assert pgveil.end() == 0
    finally:
        pgveil.stop()
