"""A ledger restored from an older backup gives budget back: pgveil notices and does not start."""
import shutil

import pytest

from harness import processes
from harness.pgveil import AMPLE, Pgveil


def noted(pgveil):
    return int((pgveil.state / "ledger-head").read_text().split(":")[0])


def test_a_ledger_that_was_set_back_is_refused_until_the_dba_says_so(protected):
    pgveil = Pgveil(protected, datasets=("census",))
    try:
        pgveil.start()
        analyst = pgveil.analyst(grants={"census": AMPLE})
        assert pgveil.end() == 0
        ledger = pgveil.state / "ledger"
        processes.checked(["cp", "-a", ledger / "data", ledger / "backup"])

        pgveil.start()
        before = noted(pgveil)
        analyst.rows("census", "SELECT count(*) FROM people")
        processes.wait_until(lambda: noted(pgveil) > before, 30, "the note of the charge")
        assert pgveil.end() == 0

        shutil.rmtree(ledger / "data")
        processes.checked(["cp", "-a", ledger / "backup", ledger / "data"])
        with pytest.raises(RuntimeError, match="no longer holds entry"):
            pgveil.start()

        (pgveil.state / "ledger-head").unlink()
        pgveil.start()
        assert analyst.rows("census", "SELECT 1") == [(1,)]
        assert pgveil.end() == 0
    finally:
        pgveil.stop()


def test_an_unbroken_ledger_is_continued_however_often_it_is_restarted(protected):
    pgveil = Pgveil(protected, datasets=("census",))
    try:
        pgveil.start()
        analyst = pgveil.analyst(grants={"census": AMPLE})
        for _ in range(2):
            analyst.rows("census", "SELECT count(*) FROM people")
            pgveil.kill()
            pgveil.start()
        assert pgveil.end() == 0
    finally:
        pgveil.stop()
