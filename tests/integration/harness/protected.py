"""The server that holds the data: a cluster of its own on a Unix socket, with three databases."""
import random

from . import clinic, processes
from .cluster import Cluster
from .processes import ROOT

SURVEYS = {"census": "cps1988.csv", "panel": "psid7682.csv"}


class Protected(Cluster):
    def __init__(self):
        super().__init__(options=["log_statement=all"])

    def conninfo(self, database, user="pgveil_reader"):
        return super().conninfo(database, user)

    def load(self):
        """The two surveys of the demo, and a clinic invented from a fixed seed."""
        self.query("postgres", "CREATE ROLE pgveil_reader LOGIN")
        for name, file in SURVEYS.items():
            self.query("postgres", f"CREATE DATABASE {name}")
            script = self.folder / f"{name}.sql"
            script.write_text((ROOT / "demo/sql" / f"{name}.sql").read_text())
            script.chmod(0o644)
            with open(ROOT / "demo/data" / file) as rows:
                processes.checked(["psql", "-X", "-q", self.conninfo(name, "postgres"), "-f", script],
                                  stdin=rows)
        self.query("postgres", "CREATE DATABASE clinic")
        connection = self.connect("clinic")
        with connection.cursor() as cursor:
            clinic.create(cursor, random.Random(20260101))
        connection.close()
        # The same without the rows that belong to nobody, which pgveil does not measure.
        self.query("postgres", "CREATE DATABASE clinic_owned TEMPLATE clinic")
        self.query("clinic_owned", "DELETE FROM visits WHERE patient_id IS NULL")
