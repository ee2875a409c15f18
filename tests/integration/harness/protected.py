"""The server that holds the data: a cluster of its own on a Unix socket, with three databases."""
import os
import random
import signal

import psycopg2

from . import clinic, processes
from .processes import ROOT

SURVEYS = {"census": "cps1988.csv", "panel": "psid7682.csv"}


class Protected:
    def __init__(self):
        self.folder = processes.new_folder()
        self.socket = self.folder / "s"
        self.data = self.folder / "data"
        self.log = self.folder / "log"
        self.process = None
        bin_folder = processes.postgres_bin()
        processes.checked(["mkdir", "-m", "700", self.socket])
        processes.checked([bin_folder / "initdb", "-D", self.data, "-U", "postgres", "-A", "trust",
                           "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"])
        self.start()

    def start(self):
        self.process = processes.start(
            [processes.postgres_bin() / "postgres", "-D", self.data, "-k", self.socket,
             "-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=100",
             "-c", "log_statement=all"],
            self.log)
        processes.wait_until(self.answers, 30, "the start of the protected server")

    def answers(self):
        try:
            self.connect("postgres").close()
            return True
        except psycopg2.OperationalError:
            return False

    def kill(self):
        """As a crash: all its processes at once."""
        os.kill(self.process.pid, signal.SIGQUIT)
        self.process.wait(20)

    def stop(self):
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGINT)
            self.process.wait(30)
        processes.end_all_below(self.folder)

    def conninfo(self, database, user="pgveil_reader"):
        return f"host={self.socket} dbname={database} user={user}"

    def connect(self, database, user="postgres"):
        connection = psycopg2.connect(self.conninfo(database, user))
        connection.autocommit = True
        return connection

    def query(self, database, sql, parameters=None):
        connection = self.connect(database)
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql, parameters)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

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
