"""A protected server that comes up after pgveil."""
import psycopg2
import pytest

from harness import processes
from harness.pgveil import AMPLE, Pgveil
from harness.protected import Protected


def test_pgveil_starts_without_the_protected_server_and_opens_the_dataset_when_it_is_there():
    protected = Protected()
    pgveil = None
    try:
        protected.load()
        protected.kill()
        pgveil = Pgveil(protected, datasets=("census",)).start()
        analyst = pgveil.analyst(grants={"census": AMPLE})
        with pytest.raises(psycopg2.OperationalError, match="protected server of database"):
            analyst.connect()
        protected.start()

        def answered():
            try:
                return analyst.rows("census", "SELECT count(*) FROM people")
            except psycopg2.OperationalError:
                return None

        assert processes.wait_until(answered, 60, "the dataset")[0][0] > 27000
        assert pgveil.end() == 0
    finally:
        if pgveil:
            pgveil.stop()
        protected.stop()
