"""Every account of a ledger, recomputed from its journal alone.

This is a second reading of docs/ledger.md, in Python: it shares no code with the ledger. It reads what
`pgveilctl ledger export` prints and, to know whose account a number is, the accounts' names.
"""
import datetime
import decimal
import hashlib
import json
import math
import statistics

PICO = 10**12
NORMAL = statistics.NormalDist()
BEGINNING = datetime.datetime.min.replace(tzinfo=datetime.timezone.utc)


def time_of(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def window_start(window, at):
    if window == "none":
        return BEGINNING
    day = at.replace(hour=0, minute=0, second=0, microsecond=0)
    if window == "week":
        return day - datetime.timedelta(days=day.weekday())
    return day.replace(day=1) if window == "month" else day


def price(measures):
    """mu^2 in 1e-12 and epsilon in 1e-9 (None where one is not pure) of a release's measures."""
    mu2, epsilon = 0, 0
    for measure in measures:
        if measure["measure"] == "complement":
            continue
        if measure["mechanism"] == "exponential":
            levels = measure["n"] if measure["n"] <= 8 else measure["n"].bit_length()
            nano = levels * measure["groups"] * 2 * measure["half_range"]
            epsilon = None if epsilon is None else epsilon + nano
            each = measure["half_range"] / 1e9
            mu2 += math.floor(levels * measure["groups"] * 1.55 * min(each, 0.5) ** 2 * 1e12)
            continue
        scale = measure["delta"] * measure["m"]
        if measure["mechanism"] == "gaussian":
            mu2 += -(-PICO * measure["groups"] * scale**2 // 2**100)
            epsilon = None
        else:
            nano = -(-10**9 * measure["groups"] * scale // 2**50)
            epsilon = None if epsilon is None else epsilon + nano
            # Floating point is near enough to find a price that is too small.
            mu2 += math.floor(PICO * (2 * NORMAL.inv_cdf(1 / (1 + math.exp(-nano / 1e9)))) ** 2
                              * (1 - 1e-9))
    return mu2, epsilon


def scaled(value, places):
    """A decimal of the export as an integer; None where it is empty."""
    return None if value in ("", None) else int(decimal.Decimal(str(value)) * 10**places)


class Account:
    """mu2, zcdp, delta, epsilon, pure: what is spent, in the ledger's integers."""

    def __init__(self, window):
        self.window = window
        self.floor = dict(mu2=0, zcdp=0, delta=0, epsilon=0, pure=True)
        self.entries = []  # (seq, at, amounts), all that ever debited it
        self.counted_from = 0
        self.starts = None

    def counts(self, seq, at):
        return seq > self.counted_from and at >= self.starts

    def roll(self, at):
        start = window_start(self.window, at)
        if self.starts is None or (start > self.starts and self.window != "none"):
            self.starts = start

    def spent(self):
        total = dict(self.floor)
        for seq, at, amounts in self.entries:
            if self.counts(seq, at):
                for currency in ("mu2", "zcdp", "delta"):
                    total[currency] += amounts[currency]
                total["epsilon"] += amounts["epsilon"] or 0
                total["pure"] = total["pure"] and amounts["epsilon"] is not None
        return total

    def forget(self, seq):
        self.floor = dict(mu2=0, zcdp=0, delta=0, epsilon=0, pure=True)
        self.counted_from = seq - 1


class Recount:
    def __init__(self, ledger):
        self.names = {row["id"]: (row["holder"], row["name"], row["dataset"], row["budget_window"])
                      for row in ledger.records(
                          "SELECT id, holder, name, dataset, budget_window FROM pgveil.account")}
        self.accounts = {}
        self.charges = {}  # by request
        self.by_seq = {}
        self.debits = {}   # by draw: [(seq, at, accounts)]
        hash_before = None
        for line in ledger.ctl("ledger", "export").stdout.splitlines():
            entry = json.loads(line, parse_float=decimal.Decimal)
            hash_before = self.check_hash(entry, hash_before)
            self.read(entry)

    @staticmethod
    def check_hash(entry, before):
        fields = [entry["seq"], entry["at"], entry["kind"], entry["request"] or None, entry["analyst"],
                  entry["dataset"], entry["debited"], entry["mu2_pico"], entry["zcdp_pico"],
                  scaled(entry["delta"], 18), scaled(entry["epsilon"], 9), entry["fingerprint"], entry["detail"]]
        encoded = "".join("-," if field is None else f"{len(str(field).encode())}:{field},"
                          for field in fields)
        digest = hashlib.sha256(bytes.fromhex(entry["prev_hash"]) + encoded.encode()).hexdigest()
        assert digest == entry["hash"], entry
        assert before in (None, entry["prev_hash"])
        return digest

    def account(self, number):
        if number not in self.accounts:
            self.accounts[number] = Account(self.names[number][3])
        return self.accounts[number]

    def read(self, entry):
        at = time_of(entry["at"])
        numbers = [int(number) for number in str(entry["debited"]).split()]
        for number in numbers:
            self.account(number).roll(at)
        if entry["kind"] == "reset":
            self.account(numbers[0]).forget(entry["seq"])
        if entry["kind"] not in ("charge", "adoption"):
            return
        amounts = {"mu2": entry["mu2_pico"], "zcdp": entry["zcdp_pico"],
                   "delta": scaled(entry["delta"], 18), "epsilon": scaled(entry["epsilon"], 9)}
        self.check_price(entry, amounts)
        if entry["kind"] == "charge":
            self.charges[entry["request"]] = self.by_seq[entry["seq"]] = (entry, at, numbers)
        else:
            self.check_adoption(entry, at, numbers)
        for number in numbers:
            self.account(number).entries.append((entry["seq"], at, amounts))

    @staticmethod
    def check_price(entry, amounts):
        detail = json.loads(entry["detail"])
        releases = detail if entry["kind"] == "charge" else [detail["measures"]]
        for mu2, epsilon in [price([m for release in releases for m in release])]:
            assert amounts["mu2"] >= mu2, entry
            assert amounts["epsilon"] is None or amounts["epsilon"] >= epsilon, entry

    def check_adoption(self, entry, at, numbers):
        """Whoever shares the draw was debited for it before, and counts that still."""
        detail = json.loads(entry["detail"])
        charge, _, debited = self.charges[entry["request"]]
        first, first_at, first_debited = self.by_seq[detail["of"]]
        assert first["analyst"] != entry["analyst"] and first["dataset"] == entry["dataset"]
        debits = self.debits.setdefault(detail["draw"], [(first["seq"], first_at, first_debited)])
        for number in set(debited) - set(numbers):
            account = self.account(number)
            assert self.names[number][0] != "analyst"
            account.roll(at)
            assert any(number in members and account.counts(seq, when)
                       for seq, when, members in debits), (entry, number)
        assert set(numbers) <= set(debited)
        debits.append((entry["seq"], at, numbers))

    def spent(self, holder, name, dataset="census"):
        for number, names in self.names.items():
            if names[:3] == (holder, name, dataset):
                return self.account(number).spent() if number in self.accounts else \
                    dict(mu2=0, zcdp=0, delta=0, epsilon=0, pure=True)
        raise KeyError(name)


def check_all(ledger):
    """The journal against the accounts' own sums, and the ledger's own verdict."""
    recount = Recount(ledger)
    for row in ledger.records("SELECT * FROM pgveil.account"):
        spent = recount.spent(row["holder"], row["name"], row["dataset"])
        assert spent == {"mu2": row["mu2_spent_pico"], "zcdp": row["zcdp_spent_pico"],
                         "delta": row["delta_spent_atto"], "epsilon": row["epsilon_spent_nano"],
                         "pure": row["all_pure"]}, row
    ledger.ctl("ledger", "verify")
    return recount
