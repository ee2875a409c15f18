"""`budget forecast` against a calculation of its own, and against what the ledger then admits."""
import math
import statistics

import pytest


NORMAL = statistics.NormalDist()
HALF_WIDTHS = [2, 5, 10, 20, 50, 100, 200, 500, 1000]
MINIMUM = 1000


def gaussian(half_width):
    """mu^2 in 1e-12 of a count whose rounded Gaussian noise stays within it with 95 %."""
    sigma = (half_width + 0.5) / NORMAL.inv_cdf(0.975)
    return 1e12 / sigma**2


def laplace(half_width):
    """epsilon in 1e-9 of one with discrete Laplace noise: P(|X| > h) = 2 q^(h + 1) / (1 + q)."""
    low, high = 1e-6, 10.0
    for _ in range(200):
        epsilon = (low + high) / 2
        q = math.exp(-epsilon)
        low, high = (epsilon, high) if 2 * q ** (half_width + 1) / (1 + q) > 0.05 else (low, epsilon)
    return high * 1e9


def forecast(ledger, analyst="ana", dataset="census"):
    rows = ledger.table("budget", "forecast", analyst, dataset)
    assert [row["error_95"] for row in rows] == HALF_WIDTHS
    return {row["error_95"]: row for row in rows}


def cap(ledger):
    return ledger.account()["cap_pico"]


# The caps of ALGORITHMS 5.3 at delta_conv = 1e-6, which is nine tenths of the grant's delta.
@pytest.mark.parametrize("epsilon, expected", [("1", 56028963825), ("3", 419549658558), ("10", 3415592649993)])
def test_a_gaussian_budget_buys_as_many_counts_as_its_cap_holds(ledger, epsilon, expected):
    ledger.analyst(epsilon=epsilon, delta="0.000001111111111111")
    assert abs(cap(ledger) / expected - 1) < 1e-9
    for half_width, row in forecast(ledger).items():
        price = gaussian(half_width)
        assert abs(row["price"] - price) <= 1 + price * 1e-9 and row["mechanism"] == "gaussian"
        assert abs(row["share"] - price / expected) < 1e-9 * (1 + row["share"])
        assert row["queries_left"] == cap(ledger) // row["price"] and row["limit"] == "grant"


def test_noise_of_laplace_is_told_where_only_that_is_admitted(ledger):
    ledger.analyst("bob")  # so that the dataset's cap is another one
    ledger.ctl("analyst", "add", "ana", "--password-stdin", stdin="x\n")
    ledger.ctl("budget", "grant", "ana", "census", "-e", "3", "-d", "1e-6", "-m", "pure")
    ledger.ctl("budget", "cap", "census", "-e", "900", "-d", "0.1")
    for half_width, row in forecast(ledger).items():
        assert abs(row["price"] - laplace(half_width)) < 2 and row["mechanism"] == "laplace"
        assert row["queries_left"] == 3 * 10**9 // row["price"]
    assert "Laplace noise" in ledger.ctl("budget", "forecast", "ana", "census").stdout
    # A pure cap on a Gaussian grant: Gaussian noise would be refused altogether.
    ledger.ctl("budget", "cap", "census", "-e", "2", "-d", "1e-6", "-m", "pure")
    row = forecast(ledger, "bob")[50]
    assert row["mechanism"] == "laplace" and row["queries_left"] == int(1e9 // laplace(50)) > 10
    assert row["limit"] == "grant"  # of epsilon 1, by basic composition


CONFIGURATIONS = {
    "grant": [["budget", "cap", "census", "-e", "900", "-d", "0.1"]],
    "zcdp grant": [["budget", "set", "ana", "census", "-m", "zcdp"], ["budget", "cap", "census", "-e", "900"]],
    "pure grant": [["budget", "set", "ana", "census", "-m", "pure"], ["budget", "cap", "census", "--off"]],
    "cap of all analysts": [["budget", "cap", "census", "-e", "2"]],
    "cap of all analysts by epsilon": [["budget", "set", "ana", "census", "-m", "pure", "-e", "40"]],
    "cap of group north": [["group", "join", "north", "ana"],
                           ["budget", "cap", "census", "-g", "north", "-e", "2", "-d", "1e-6"]],
    "cap of group pure": [["group", "join", "pure", "ana"],
                          ["budget", "cap", "census", "-g", "pure", "-e", "2", "-d", "1e-6", "-m", "pure"]],
    "grant on again": [["budget", "grant", "ana", "again", "-e", "2", "-d", "1e-6"],
                       ["budget", "cap", "again", "--off"]],
    "cap of all analysts on again": [["budget", "grant", "ana", "again", "-e", "2", "-d", "1e-6"],
                                     ["budget", "grant", "ana", "again", "-e", "40", "-d", "1e-6"]],
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_the_ledger_admits_as_many_as_were_forecast_and_no_more(ledger, name):
    """The same counts asked: each is charged the forecast's price, or what Laplace noise of it costs."""
    for dataset in ("census", "again"):
        ledger.rows("SELECT pgveil.serve(%s, 'one')", dataset)
    ledger.analyst(epsilon="3")
    for words in CONFIGURATIONS[name]:
        ledger.ctl(*words)
    first = forecast(ledger)
    ledger.charge(**price_of(first[50], 50))
    left = forecast(ledger)[50]
    assert left["queries_left"] == first[50]["queries_left"] - 1 > 5, first[50]
    if name.startswith(("cap", "grant")) and "by epsilon" not in name:
        assert left["limit"] == ("cap of group pure" if "pure" in name else name), left
        told = ledger.ctl("budget", "forecast", "ana", "census").stdout
        assert (f"the {name} ends them first" in told) == (name != "grant")
    for _ in range(left["queries_left"]):
        assert ledger.charge(**price_of(left, 50))["outcome"] == "ok"
    assert ledger.charge(**price_of(left, 50))["outcome"] == "exceeded"
    assert forecast(ledger)[50]["queries_left"] == 0
    assert "###" not in ledger.ctl("budget", "forecast", "ana", "census").stdout.splitlines()[-5]


def price_of(row, half_width):
    if row["mechanism"] == "gaussian":
        return {"mu2": row["price"]}
    epsilon = math.ceil(laplace(half_width))
    mu2 = math.ceil(1e12 * (2 * NORMAL.inv_cdf(1 / (1 + math.exp(-epsilon / 1e9)))) ** 2)
    return {"mu2": max(mu2, MINIMUM), "epsilon": epsilon}


def test_who_has_no_grant_has_no_forecast(ledger):
    ledger.analyst()
    ledger.ctl("budget", "revoke", "ana", "census", "--yes")
    assert ledger.ctl("budget", "forecast", "ana", "census", check=False).returncode == 1
