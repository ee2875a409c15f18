"""Prices as the analyst reads them, and what the ledger says."""
import re
from decimal import Decimal

PICO = 10 ** 12


def noticed(text):
    """mu^2 in pico units of every price in notices (text of psql, or a list of notices)."""
    if not isinstance(text, str):
        text = "\n".join(text)
    return [int(Decimal(number) * PICO) for number in re.findall(r"cost .*?\(mu\^2 ([0-9.]+)\)", text)]


def journal(pgveil, analyst):
    """mu^2 in pico units of every charge in the journal, oldest first, with the draws of other analysts
    that it took over."""
    return [int(row[0]) for row in pgveil.ledger(
        "SELECT sum(mu2_pico) FROM pgveil.journal WHERE kind IN ('charge', 'adoption') "
        f"AND analyst = '{analyst.name}' GROUP BY request ORDER BY min(seq)")]


def spent(pgveil, analyst, dataset):
    """What the account holds; it must be the journal's sum."""
    rows = pgveil.ledger("SELECT mu2_spent_pico FROM pgveil.account WHERE holder = 'analyst' "
                         f"AND name = '{analyst.name}' AND dataset = '{dataset}'")
    return int(rows[0][0]) if rows else 0
