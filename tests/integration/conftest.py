"""Fixtures: one protected server and one pgveil for most tests, fresh analysts for each of them.
Tests that kill servers make their own (own_pgveil, own_protected)."""
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from harness.pgveil import AMPLE, DATASETS, Pgveil  # noqa: E402
from harness.protected import Protected  # noqa: E402
from ledger_server import LedgerServer  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: runs only with tests/run --all")


def pytest_collection_modifyitems(items):
    if not os.environ.get("PGVEIL_TESTS_ALL"):
        for item in items:
            if "slow" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="tests/run --all runs it"))


@pytest.fixture(scope="session")
def protected():
    server = Protected()
    try:
        server.load()
        yield server
    finally:
        server.stop()


def running(protected_server, **options):
    pgveil = Pgveil(protected_server, **options)
    try:
        pgveil.start()
        # The first grant on a dataset is the cap of all its analysts.
        pgveil.analyst("whale", {dataset: AMPLE for dataset in DATASETS})
        yield pgveil
        # A sanitizer's report or an assertion would end the program before this.
        assert pgveil.alive(), pgveil.log_text()[-5000:]
        assert pgveil.end() == 0, pgveil.log_text()[-5000:]
    finally:
        pgveil.stop()


@pytest.fixture(scope="session")
def pgveil(protected):
    yield from running(protected)


@pytest.fixture(scope="session")
def zero_noise(protected):
    """The same server without noise; answers are PostgreSQL's where the bounds do not bind."""
    yield from running(protected, program="tests/pgveil-zero-noise")


@pytest.fixture
def analyst(pgveil):
    """An analyst with more budget than a test spends."""
    return pgveil.analyst(grants={dataset: AMPLE for dataset in DATASETS})


@pytest.fixture(scope="module")
def own_protected():
    server = Protected()
    try:
        server.load()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def own_pgveil(own_protected):
    yield from running(own_protected)


@pytest.fixture
def own_analyst(own_pgveil):
    return own_pgveil.analyst(grants={dataset: AMPLE for dataset in DATASETS})


# --- a ledger alone ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server():
    server = LedgerServer()
    yield server
    server.remove()


@pytest.fixture
def ledger(server):
    ledger = server.fresh_ledger()
    yield ledger
    ledger.close()
