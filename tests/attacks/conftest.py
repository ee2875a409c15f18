"""Fixtures of the attacks: two neighbouring databases behind one pgveil, on the harness of
tests/integration. Whatever an analyst can observe of the two must not tell them apart, but for noise."""
import importlib.util
import sys
from pathlib import Path

import pytest

INTEGRATION = Path(__file__).parent.parent / "integration"
sys.path.insert(0, str(INTEGRATION))
sys.path.insert(0, str(Path(__file__).parent))

_spec = importlib.util.spec_from_file_location("integration_fixtures", INTEGRATION / "conftest.py")
_shared = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_shared)
pytest_configure = _shared.pytest_configure
pytest_collection_modifyitems = _shared.pytest_collection_modifyitems

from harness.pgveil import AMPLE, Pgveil  # noqa: E402
from harness.protected import Protected  # noqa: E402
from ledger_server import LedgerServer  # noqa: E402
import neighbours  # noqa: E402


@pytest.fixture(scope="session")
def protected():
    server = Protected()
    try:
        neighbours.load(server)
        yield server
    finally:
        server.stop()


def running(server, **options):
    pgveil = Pgveil(server, datasets=neighbours.DATASETS, policies=neighbours.POLICIES, **options)
    try:
        pgveil.start()
        pgveil.analyst("whale", {dataset: AMPLE for dataset in neighbours.DATASETS})
        yield pgveil
        # A sanitizer's report or an assertion would end the program before this.
        assert pgveil.alive(), pgveil.log_text()[-5000:]
        assert pgveil.end() == 0, pgveil.log_text()[-5000:]
    finally:
        pgveil.stop()


@pytest.fixture(scope="session")
def pgveil(protected):
    yield from running(protected, settings={"limits": {"answer_rows_max": 200}})


@pytest.fixture(scope="session")
def exact(protected):
    """The same server without noise: its answers are the measurements themselves."""
    yield from running(protected, program="tests/pgveil-zero-noise")


@pytest.fixture(scope="session")
def analyst(pgveil):
    return pgveil.analyst(grants={dataset: AMPLE for dataset in neighbours.DATASETS})


@pytest.fixture(scope="session")
def exact_analyst(exact):
    return exact.analyst(grants={dataset: AMPLE for dataset in neighbours.DATASETS})


@pytest.fixture
def fresh_analyst(pgveil):
    return pgveil.analyst(grants={dataset: AMPLE for dataset in neighbours.DATASETS})


class Pair:
    """One session on each of the neighbours."""

    def __init__(self, analyst):
        self.connections = [analyst.connect(dataset) for dataset in neighbours.DATASETS]

    def run(self, sql, parameters=None):
        return [neighbours.observe(connection, sql, parameters) for connection in self.connections]

    def close(self):
        for connection in self.connections:
            connection.close()


@pytest.fixture(scope="session")
def pair(analyst):
    sessions = Pair(analyst)
    yield sessions
    sessions.close()


@pytest.fixture(scope="session")
def exact_pair(exact_analyst):
    sessions = Pair(exact_analyst)
    yield sessions
    sessions.close()


@pytest.fixture(scope="module")
def cluster():
    server = LedgerServer()
    yield server
    server.remove()


@pytest.fixture(scope="module")
def service(protected, cluster):
    """pgveil over one of the neighbours, its epoch without end, its ledger where a test can look into it."""
    cluster.fresh_ledger().close()
    dataset = "with_bob"
    pgveil = Pgveil(protected, datasets=(dataset,),
                    policies={dataset: {**neighbours.POLICY, "epoch": "none"}},
                    settings={"ledger_server": cluster.conninfo()})
    try:
        pgveil.start()
        yield pgveil
        assert pgveil.alive(), pgveil.log_text()[-5000:]
        assert pgveil.end() == 0, pgveil.log_text()[-5000:]
    finally:
        pgveil.stop()
