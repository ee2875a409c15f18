"""pgveil under test: its configuration, its life and death, its tool, connections through it."""
import json
import os
import re
import secrets
import signal
import subprocess

import psycopg
import psycopg2

from . import clinic, processes
from .processes import BUILD, ROOT

# Grants are (epsilon, delta); the first on a dataset is the cap that all its analysts share.
AMPLE = ("900", "0.1")
DATASETS = ("census", "panel", "clinic")


class Analyst:
    def __init__(self, pgveil, name, password):
        self.pgveil, self.name, self.password = pgveil, name, password

    def conninfo(self, dataset, **more):
        items = {"host": "127.0.0.1", "port": self.pgveil.port, "dbname": dataset,
                 "user": self.name, "password": self.password, "connect_timeout": 20, **more}
        return " ".join(f"{key}='{value}'" for key, value in items.items())

    def connect(self, dataset="census", **more):
        """psycopg2: simple queries, text."""
        connection = psycopg2.connect(self.conninfo(dataset, **more))
        connection.autocommit = True
        return connection

    def connect3(self, dataset="census", **more):
        """psycopg 3: the extended protocol, parameters on the server's side."""
        return psycopg.connect(self.conninfo(dataset, **more), autocommit=True)

    def rows(self, dataset, sql, parameters=None, settings=None):
        connection = self.connect(dataset)
        try:
            with connection.cursor() as cursor:
                for name, value in (settings or {}).items():
                    cursor.execute(f"SET {name} = '{value}'")
                cursor.execute(sql, parameters)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def psql(self, dataset, text, *options):
        """A psql session that reads the text; its standard output and error."""
        result = subprocess.run(
            ["psql", "-X", "-P", "pager=off", *options, self.conninfo(dataset)], input=text,
            capture_output=True, text=True, timeout=120, check=False,
            env={**processes.environment(), "PSQL_HISTORY": "/dev/null"})
        return result.stdout, result.stderr


class Pgveil:
    def __init__(self, protected, program="pgveil", settings=None, datasets=DATASETS,
                 policies=None, dataset_settings=None):
        self.protected = protected
        self.folder = processes.new_folder()
        self.state = self.folder / "state"
        self.control = self.state / "control"
        self.log = self.folder / "log"
        self.file = self.folder / "pgveil.json"
        self.policies = policies or {}
        self.external_ledger = (settings or {}).get("ledger_server")
        self.port = 0
        self.process = None
        self.program = processes.readable_copy(BUILD / program, self.folder)
        self.tool = processes.readable_copy(BUILD / "pgveilctl", self.folder)
        self.write_configuration(settings or {}, datasets, dataset_settings or {})

    def write_configuration(self, settings, datasets, dataset_settings):
        configuration = {
            "listen": {"address": "127.0.0.1", "port": 0},
            "state_directory": str(self.state),
            "postgres_bin": str(processes.postgres_bin()),
            "log_level": "debug",
            # The external servers of tests have fsync off.
            **({"ledger_durability": "unsafe"} if self.external_ledger else {}),
            "datasets": {}, **settings}
        for name in datasets:
            self.write_policy(name)
            configuration["datasets"][name] = {
                "server": self.protected.conninfo(name), "policy": f"{name}.json",
                "epsilon_default": "1", "epsilon_max": "20", **dataset_settings}
        self.file.write_text(json.dumps(configuration, indent=2))
        self.file.chmod(0o644)

    def write_policy(self, name):
        if name in self.policies:
            text = json.dumps(self.policies[name])
        elif name == "clinic":
            text = json.dumps(clinic.POLICY)
        else:
            text = (ROOT / "demo/policies" / f"{name}.json").read_text()
        path = self.folder / f"{name}.json"
        path.write_text(text)
        path.chmod(0o644)

    def start(self):
        """Starts, waits until it listens, and takes the port that it says."""
        self.port = int(self.launch(r"listening on \S*:(\d+)").group(1))
        return self

    def start_ledger(self):
        """The managed ledger alone."""
        self.launch("the ledger runs for pgveilctl", "--ledger")

    def launch(self, sign, *options):
        before = self.log.stat().st_size if self.log.exists() else 0
        self.process = processes.start([self.program, "-c", self.file, *options], self.log)

        def ready():
            if self.process.poll() is not None:
                raise RuntimeError(f"pgveil ended: {self.log_text()[before:][-3000:]}")
            return re.search(sign, self.log_text()[before:])

        return processes.wait_until(ready, 60, "the start of pgveil")

    def log_text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def alive(self):
        return self.process.poll() is None

    def kill(self):
        """kill -9 of pgveil alone: its managed servers are left behind."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def managed_pids(self, kind):
        """Postmasters of the managed ledger or twins server."""
        return processes.pids_below(self.state / kind, "postgres")

    def kill_managed(self, kind):
        for pid in self.managed_pids(kind):
            os.kill(pid, signal.SIGKILL)

    def end(self, seconds=60):
        """SIGTERM; returns the exit status."""
        if self.process and self.alive():
            os.kill(self.process.pid, signal.SIGTERM)
            return self.process.wait(seconds)
        return self.process.returncode if self.process else None

    def stop(self):
        try:
            self.end()
        finally:
            processes.end_all_below(self.folder)

    def ctl_result(self, *arguments):
        """Whatever it ends with."""
        return processes.run([self.tool, "-c", self.file, *arguments], stdin=subprocess.DEVNULL)

    def ctl(self, *arguments, password=None):
        more = ["--password-stdin"] if password else []
        options = {"input": password + "\n"} if password else {}
        return processes.checked([self.tool, "-c", self.file, *arguments, *more], **options)

    def console(self, command, **options):
        """One command of the administration console: its rows as dictionaries."""
        connection = self.control_connection("pgveil", **options)
        try:
            with connection.cursor() as cursor:
                cursor.execute(command)
                names = [column.name for column in cursor.description or []]
                return [dict(zip(names, row)) for row in (cursor.fetchall() if names else [])]
        finally:
            connection.close()

    def control_connection(self, dataset, analyst="admin", **options):
        """psycopg2 on the control socket: the console, or in an analyst's place."""
        connection = psycopg2.connect(host=str(self.control), port=5432, dbname=dataset,
                                      user=analyst, connect_timeout=20, **options)
        connection.autocommit = True
        return connection

    def analyst(self, name=None, grants=None):
        """A new analyst with a grant per dataset."""
        name = name or f"analyst_{secrets.token_hex(4)}"
        password = secrets.token_hex(12)
        self.ctl("analyst", "add", name, password=password)
        for dataset, (epsilon, delta) in (grants or {}).items():
            self.ctl("budget", "grant", name, dataset, "--epsilon", epsilon, "--delta", delta)
        return Analyst(self, name, password)

    def ledger(self, sql, parameters=None):
        """The ledger as its administrator sees it, as pgveil's own user."""
        assert parameters is None
        managed = f"host={self.state}/ledger/socket port=5432 user=pgveil_admin dbname=ledger"
        text = processes.checked(["psql", "-X", "-A", "-t", "-F", "\t", "-c", sql,
                                  self.external_ledger or managed])
        return [line.split("\t") for line in text.splitlines()]
