"""Every account of a ledger, from its journal alone.

This is a second reading of docs/ledger.md, in Python: it shares no code with the ledger, and reads nothing
but the lines that `pgveilctl ledger export` prints. The journal says whose account a number is and under
which terms (grant, cap), who was a member of which group, which datasets are over one database, what was
frozen, reset and set; so every charge is checked again when it is read: whom it debits, that it was
admitted, what it costs. Time is the time of the entries.
"""
import datetime
import decimal
import hashlib
import json
import math
import re
import statistics

PICO = 10**12
NORMAL = statistics.NormalDist()
EARLIEST = datetime.datetime.min.replace(tzinfo=datetime.timezone.utc)
LATEST = datetime.datetime.max.replace(tzinfo=datetime.timezone.utc)
MONEY = ("charge", "adoption")
TERMS = re.compile(r"(?P<holder>analyst|group|dataset): epsilon (?P<epsilon>\S+) delta (?P<delta>\S+) "
                   r"mode (?P<mode>gdp|zcdp|pure) cap (?P<cap>[0-9]+) window (?P<window>none|day|week|month)"
                   r"(?P<both>; the same for all analysts together)?")


def time_of(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def scaled(value, places):
    """A decimal of the export as an integer; None where it is empty."""
    return None if value in ("", None) else int(decimal.Decimal(str(value)).scaleb(places))


# --- windows -----------------------------------------------------------------------------------------


def window_start(window, at):
    if window == "none":
        return EARLIEST
    day = at.replace(hour=0, minute=0, second=0, microsecond=0)
    if window == "week":
        return day - datetime.timedelta(days=day.weekday())
    return day.replace(day=1) if window == "month" else day


def window_end(window, at):
    if window == "none":
        return LATEST
    start = window_start(window, at)
    if window == "month":
        return (start + datetime.timedelta(days=32)).replace(day=1)
    return start + datetime.timedelta(days=7 if window == "week" else 1)


# --- prices and caps ---------------------------------------------------------------------------------


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


def upper_tail(x):
    return math.erfc(x / math.sqrt(2)) / 2


def gdp_delta(mu, epsilon):
    """delta(epsilon) of mu-Gaussian DP."""
    return upper_tail(epsilon / mu - mu / 2) - math.exp(epsilon) * upper_tail(epsilon / mu + mu / 2)


def zcdp_delta(rho, epsilon):
    """The least delta that rho-zCDP implies: inf over alpha > 1 of
    exp((alpha - 1)(alpha rho - epsilon)) / (alpha - 1) * (1 - 1 / alpha)^alpha."""
    def at(log_excess):
        excess = math.exp(log_excess)
        alpha = 1 + excess
        return excess * (alpha * rho - epsilon) - log_excess + alpha * math.log(excess / alpha)
    low, high = math.log(1e-9), math.log(1e9)
    for _ in range(200):
        a, b = low + (high - low) / 3, high - (high - low) / 3
        low, high = (low, b) if at(a) < at(b) else (a, high)
    return math.exp(at(low))


def check_cap(terms):
    """The cap is the largest that the grant implies, to what floating point can tell."""
    epsilon, delta = float(terms["epsilon"]), float(terms["delta_conv"])
    cap, slack = terms["cap"], max(1.5, terms["cap"] * 1e-5)
    delta_of = {"gdp": lambda cap: gdp_delta(math.sqrt(cap / PICO), epsilon),
                "zcdp": lambda cap: zcdp_delta(cap / 2 / PICO, epsilon)}.get(terms["mode"])
    if delta_of is None:
        assert cap == 0
    elif epsilon < 300:  # beyond, exp() has no digits left
        assert cap < slack or delta_of(cap - slack) < delta, terms
        assert delta < delta_of(cap + slack), terms


def read_terms(match):
    terms = {"mode": match["mode"], "window": match["window"], "cap": int(match["cap"]),
             "epsilon": decimal.Decimal(match["epsilon"]), "delta": scaled(match["delta"], 18)}
    # A tenth of delta, rounded up (in mode pure all of it), less 1e-12, pays for private keys.
    tenth = terms["delta"] if terms["mode"] == "pure" else -(-terms["delta"] // 10)
    terms["delta_keys"] = tenth - 10**6
    terms["delta_conv"] = decimal.Decimal(terms["delta"] - tenth).scaleb(-18)
    terms["epsilon_nano"] = scaled(terms["epsilon"], 9)
    check_cap(terms)
    return terms


# --- accounts ----------------------------------------------------------------------------------------


def nothing():
    """mu2, zcdp, delta, epsilon, pure: what is spent, in the ledger's integers."""
    return dict(mu2=0, zcdp=0, delta=0, epsilon=0, pure=True)


def add(total, amounts):
    for currency in ("mu2", "zcdp", "delta"):
        total[currency] += amounts[currency]
    total["epsilon"] += amounts["epsilon"] or 0
    total["pure"] = total["pure"] and amounts["epsilon"] is not None


class Account:
    def __init__(self, number, holder, name, dataset, terms, at):
        self.number, self.holder, self.name, self.dataset = number, holder, name, dataset
        self.terms = terms
        self.granted = self.enforced = True
        self.frozen = False
        self.floor, self.total = nothing(), nothing()
        self.counted_from = 0
        self.starts, self.ends = window_start(terms["window"], at), window_end(terms["window"], at)
        self.n_charges = self.n_unresolved = 0

    def counts(self, seq, at):
        return seq > self.counted_from and at >= self.starts

    def roll(self, at):
        """Into the window of this time, where the one before has ended; never back."""
        if at >= self.ends:
            window = self.terms["window"]
            self.starts, self.ends = window_start(window, at), window_end(window, at)
            self.total = dict(self.floor)

    def rewindow(self, terms, seq, at):
        before, window = self.terms["window"], terms["window"]
        if before != window and before == "none":
            # Spent under no window: for good.
            self.floor, self.counted_from = dict(self.total), seq - 1
            self.starts, self.ends = window_start(window, at), window_end(window, at)
        elif before != window:
            self.starts = min(self.starts, window_start(window, at))
            self.ends = max(self.ends, window_end(window, at))
        self.terms = terms

    def admits(self, due):
        terms, spent = self.terms, self.total
        by_cap = terms["mode"] != "pure" and \
            due["zcdp" if terms["mode"] == "zcdp" else "mu2"] <= terms["cap"] - self.spent_pico()
        by_epsilon = spent["pure"] and due["pure"] and due["epsilon"] <= terms["epsilon_nano"] - spent["epsilon"]
        return not self.enforced or due["delta"] <= terms["delta_keys"] - spent["delta"] and (by_cap or by_epsilon)

    def spent_pico(self):
        return self.total["zcdp" if self.terms["mode"] == "zcdp" else "mu2"]

    def share(self):
        """Of the budget: six places, rounded up."""
        shares = []
        if self.terms["cap"]:
            shares.append(decimal.Decimal(self.spent_pico()) / self.terms["cap"])
        if self.total["pure"]:
            shares.append(decimal.Decimal(self.total["epsilon"]) / self.terms["epsilon_nano"])
        return min(shares, default=decimal.Decimal(1)).quantize(decimal.Decimal("1e-6"), decimal.ROUND_CEILING)


class Recount:
    def __init__(self, lines):
        self.accounts = {}  # by number
        self.disabled, self.known = set(), set()
        self.members = {}   # by group
        self.siblings = {}  # by dataset, without itself
        self.minimum = {"": 1000}
        self.implicit = []  # caps that older journals do not give the number of: (dataset, terms, at)
        self.money = []     # (seq, at, dataset, numbers, amounts)
        self.charges, self.by_seq = {}, {}
        self.debits = {}    # by draw: [(seq, at, numbers)]
        self.resets = self.adoptions = 0
        self.request = None  # the entries of one request that are not yet checked together
        self.last, hash_before = EARLIEST, None
        for line in lines:
            entry = json.loads(line, parse_float=decimal.Decimal)
            hash_before = self.check_hash(entry, hash_before)
            at = time_of(entry["at"])
            assert at >= self.last
            self.last = at
            numbers = [int(number) for number in str(entry["debited"]).split()]
            if not (entry["kind"] == "adoption" and self.request and self.request[0][0] == entry["request"]):
                self.check_request()
            getattr(self, "read_" + entry["kind"])(entry, at, numbers)
        self.check_request()
        for account in self.accounts.values():
            assert account.total == self.from_scratch(account), vars(account)

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

    # --- people, groups, datasets

    def read_analyst(self, entry, at, numbers):
        name, what = entry["analyst"], entry["detail"]
        if what in ("added", "enabled"):
            self.known.add(name)
            self.disabled.discard(name)
        elif what == "disabled":
            self.disabled.add(name)
        elif what == "removed":
            self.known.discard(name)
            for account in self.accounts.values():
                account.granted = account.granted and (account.holder, account.name) != ("analyst", name)
        else:
            assert what == "password changed", entry

    def read_group(self, entry, at, numbers):
        word, group = entry["detail"].split(" ", 1)
        members = self.members.setdefault(group, set())
        assert (entry["analyst"] in members) == (word == "left"), entry
        (members.add if word == "joined" else members.remove)(entry["analyst"])

    def read_database(self, entry, at, numbers):
        others = entry["detail"].removeprefix("the same as that of ").split(", ")
        for other in others:
            self.siblings.setdefault(entry["dataset"], set()).add(other)
            self.siblings.setdefault(other, set()).add(entry["dataset"])
        for account in self.accounts.values():
            if account.dataset in self.over(entry["dataset"]):
                account.roll(at)
                account.total = self.from_scratch(account)

    def read_setting(self, entry, at, numbers):
        name, value = re.match(r"(\w+): (none of its own|\d+), before", entry["detail"]).groups()
        if name == "minimum_mu2_pico" and value == "none of its own":
            del self.minimum[entry["dataset"]]
        elif name == "minimum_mu2_pico":
            self.minimum[entry["dataset"]] = int(value)

    def read_forget(self, entry, at, numbers):
        pass  # answers, not budgets

    def read_accept(self, entry, at, numbers):
        pass

    def over(self, dataset):
        """The datasets whose charges count for one on this dataset."""
        return self.siblings.get(dataset, set()) | {dataset}

    # --- budgets

    def read_grant(self, entry, at, numbers):
        match = TERMS.fullmatch(entry["detail"].removesuffix("; by the first grant"))
        terms = read_terms(match)
        (number,) = numbers
        if match["both"]:
            self.implicit.append((entry["dataset"], terms, at))
        account = self.accounts.get(number)
        if account is None:
            account = Account(number, match["holder"], entry["analyst"], entry["dataset"], terms, at)
            self.accounts[number] = account
            account.total = self.from_scratch(account)
        else:
            assert (account.holder, account.name, account.dataset) == \
                (match["holder"], entry["analyst"], entry["dataset"]), entry
            account.roll(at)
            account.rewindow(terms, entry["seq"], at)
            account.total = self.from_scratch(account)
        account.granted = account.enforced = True

    read_cap = read_grant

    def read_revoke(self, entry, at, numbers):
        self.accounts[numbers[0]].granted = False

    def read_freeze(self, entry, at, numbers):
        self.accounts[numbers[0]].frozen = True

    def read_unfreeze(self, entry, at, numbers):
        self.accounts[numbers[0]].frozen = False

    def read_enforce(self, entry, at, numbers):
        self.accounts[numbers[0]].enforced = True

    def read_release(self, entry, at, numbers):
        self.accounts[numbers[0]].enforced = False

    def read_reset(self, entry, at, numbers):
        account = self.accounts[numbers[0]]
        account.roll(at)
        spent = account.total
        assert entry["detail"] == f"{account.holder}: forgets mu2 {spent['mu2']} zcdp {spent['zcdp']} " \
            f"delta {spent['delta']} epsilon {spent['epsilon']}", (entry, spent)
        account.floor, account.counted_from = nothing(), entry["seq"] - 1
        account.total = self.from_scratch(account)
        self.resets += 1

    def kin(self, account):
        return {other.number for other in self.accounts.values()
                if (other.holder, other.name) == (account.holder, account.name)
                and other.dataset in self.over(account.dataset)}

    def from_scratch(self, account):
        kin, datasets, total = self.kin(account), self.over(account.dataset), dict(account.floor)
        for seq, at, dataset, numbers, amounts in self.money:
            if dataset in datasets and not kin.isdisjoint(numbers) and account.counts(seq, at):
                add(total, amounts)
        return total

    # --- charges

    def debited_by(self, analyst, dataset):
        """Whom a charge debits."""
        return {account.number for account in self.accounts.values()
                if account.dataset in self.over(dataset) and (
                    account.holder == "dataset"
                    or account.holder == "analyst" and account.name == analyst
                    and (account.granted or account.dataset != dataset)
                    or account.holder == "group" and analyst in self.members.get(account.name, ()))}

    def name_implicit(self, entry, numbers):
        """Older journals name the dataset's account by its first charge only."""
        for number in sorted(set(numbers) - set(self.accounts)):
            (found,) = [one for one in self.implicit if one[0] == entry["dataset"]]
            self.implicit.remove(found)
            self.accounts[number] = Account(number, "dataset", "", *found)

    def read_charge(self, entry, at, numbers):
        self.name_implicit(entry, numbers)
        assert set(numbers) == self.debited_by(entry["analyst"], entry["dataset"]), entry
        assert numbers == sorted(numbers) and entry["request"] not in self.charges
        assert entry["analyst"] in self.known - self.disabled, entry
        self.charges[entry["request"]] = self.by_seq[entry["seq"]] = (entry, at, numbers)
        for number in numbers:
            account = self.accounts[number]
            account.roll(at)
            assert not (account.frozen and account.dataset == entry["dataset"]), entry
            account.n_charges += 1
            account.n_unresolved += entry["state"] == "charged"
        self.request = [(entry["request"], entry, numbers, self.amounts(entry))]

    def read_adoption(self, entry, at, numbers):
        detail = json.loads(entry["detail"])
        charge, _, debited = self.charges[entry["request"]]
        assert self.request and self.request[0][0] == entry["request"] and set(numbers) <= set(debited)
        first, first_at, first_debited = self.by_seq[detail["of"]]
        assert first["analyst"] != entry["analyst"] and first["dataset"] == entry["dataset"]
        debits = self.debits.setdefault(detail["draw"], [(first["seq"], first_at, first_debited)])
        for number in set(debited) - set(numbers):
            # Whoever shares the draw was debited for it before, and counts that still.
            account = self.accounts[number]
            assert account.holder != "analyst"
            assert any(not self.kin(account).isdisjoint(members) and account.counts(seq, when)
                       for seq, when, members in debits), (entry, number)
        debits.append((entry["seq"], at, numbers))
        self.adoptions += 1
        self.request.append((entry["request"], entry, numbers, self.amounts(entry)))

    @staticmethod
    def amounts(entry):
        amounts = {"mu2": entry["mu2_pico"], "zcdp": entry["zcdp_pico"],
                   "delta": scaled(entry["delta"], 18), "epsilon": scaled(entry["epsilon"], 9)}
        detail = json.loads(entry["detail"])
        releases = detail if entry["kind"] == "charge" else [detail["measures"]]
        mu2, epsilon = price([measure for release in releases for measure in release])
        assert amounts["mu2"] >= mu2, entry
        assert amounts["epsilon"] is None or epsilon is not None and amounts["epsilon"] >= epsilon, entry
        return amounts

    def check_request(self):
        """A charge and its adoptions together: admitted by all accounts, and not below the minimum."""
        entries, self.request = self.request, None
        if not entries:
            return
        charge = entries[0][1]
        minimum = self.minimum.get(charge["dataset"], self.minimum[""])
        assert sum(amounts["mu2"] for *_, amounts in entries) >= minimum, charge
        for number in entries[0][2]:
            account, due = self.accounts[number], nothing()
            for _, _, numbers, amounts in entries:
                if number in numbers:
                    add(due, amounts)
            if account.granted or account.dataset == charge["dataset"]:
                assert account.admits(due), (charge, vars(account))
            add(account.total, due)
            account.total["pure"] = account.total["pure"] and due["pure"]
        for _, entry, numbers, amounts in entries:
            self.money.append((entry["seq"], time_of(entry["at"]), entry["dataset"], numbers, amounts))

    def account(self, holder, name, dataset="census"):
        (found,) = [account for account in self.accounts.values()
                    if (account.holder, account.name, account.dataset) == (holder, name, dataset)]
        return found

    def spent(self, holder, name, dataset="census"):
        return self.account(holder, name, dataset).total


def check_table(recount, table):
    """`budget show --json`: what the DBA is told, to the last digit."""
    shown = {(row["holder"], row["name"], row["dataset"]): row for row in table}
    assert set(shown) == {(a.holder, a.name, a.dataset) for a in recount.accounts.values()} \
        | {("dataset", "", dataset) for dataset, *_ in recount.implicit}
    for account in recount.accounts.values():
        row = shown[account.holder, account.name, account.dataset]
        terms, share = account.terms, account.share()
        assert decimal.Decimal(str(row["spent"])) == share, (row, vars(account))
        assert decimal.Decimal(str(row["remaining"])) == max(1 - share, 0), row
        expected = {
            "mode": terms["mode"], "budget_window": terms["window"],
            "epsilon": terms["epsilon"], "delta": decimal.Decimal(terms["delta"]).scaleb(-18),
            "spent_pico": account.spent_pico(), "cap_pico": terms["cap"],
            "spent_delta": decimal.Decimal(account.total["delta"]).scaleb(-18),
            "cap_delta": decimal.Decimal(terms["delta_keys"]).scaleb(-18),
            "charges": account.n_charges, "unresolved": account.n_unresolved}
        told = {key: decimal.Decimal(str(row[key])) if isinstance(value, decimal.Decimal) else row[key]
                for key, value in expected.items()}
        assert told == expected, row
        assert (row["window_ends"] == "") == (account.ends == LATEST), row
        assert account.ends == LATEST or time_of(row["window_ends"]) == account.ends, row
        state = row["state"].split(":")[0]
        assert state == ("revoked" if not account.granted else "frozen" if account.frozen
                         else "not enforced" if not account.enforced
                         else "analyst disabled" if account.holder == "analyst"
                         and account.name not in recount.known - recount.disabled else "active"), row


def check_all(ledger):
    """The journal against the accounts' own sums, what pgveilctl shows, and the ledger's own verdict."""
    recount = Recount(ledger.ctl("ledger", "export").stdout.splitlines())
    for row in ledger.records("SELECT * FROM pgveil.account"):
        if row["id"] not in recount.accounts:
            assert row["holder"] == "dataset" and row["mu2_spent_pico"] == 0  # of an older journal
            continue
        account = recount.accounts[row["id"]]
        assert (account.holder, account.name, account.dataset) == (row["holder"], row["name"], row["dataset"])
        assert account.total == {"mu2": row["mu2_spent_pico"], "zcdp": row["zcdp_spent_pico"],
                                 "delta": row["delta_spent_atto"], "epsilon": row["epsilon_spent_nano"],
                                 "pure": row["all_pure"]}, row
    now = max(recount.last, datetime.datetime.now(datetime.timezone.utc))
    now = max(now, time_of(ledger.one("SELECT pgveil.time_text(h.at) FROM pgveil.head h")))
    for account in recount.accounts.values():
        account.roll(now)
    check_table(recount, json.loads(ledger.ctl("budget", "show", "--json").stdout))
    ledger.ctl("ledger", "verify")
    return recount
