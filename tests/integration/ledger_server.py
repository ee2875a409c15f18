"""A throw-away ledger server and pgveilctl, for the tests of budget/."""
import glob
import json
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import uuid

import psycopg2

ROOT = pathlib.Path(__file__).resolve().parents[2]


def postgres_bin():
    folders = glob.glob("/usr/lib/postgresql/*/bin/initdb")
    if not folders:
        raise RuntimeError("PostgreSQL is not installed below /usr/lib/postgresql")
    return max(folders, key=lambda path: int(path.split("/")[4]))[: -len("/initdb")]


def server_user():
    """Whom the server runs as: PostgreSQL refuses to run as root."""
    if os.getuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError("no unprivileged user to run a server as")


def program(name):
    """The built program; PGVEIL_BUILD names another build folder than the sanitized one."""
    for folder in (os.environ.get("PGVEIL_BUILD"), "build/sanitize", "build/release"):
        if folder and (ROOT / folder / name).exists():
            return str(ROOT / folder / name)
    raise RuntimeError(f"{name} is not built")


class LedgerServer:
    def __init__(self, megabytes=None):
        """megabytes: on a file system of this size of its own; needs the right to mount one."""
        self.user = server_user()
        self.folder = tempfile.mkdtemp(prefix="ledger-")
        self.mounted = False
        if megabytes:
            try:
                subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs",
                                self.folder], check=True, capture_output=True)
            except (OSError, subprocess.CalledProcessError):
                os.rmdir(self.folder)
                raise
            self.mounted = True
        self.data = os.path.join(self.folder, "data")
        if self.user:
            os.chown(self.folder, self.user.pw_uid, self.user.pw_gid)
        self.process = None
        self._run("initdb", "-D", self.data, "-U", "pgveil_admin", "-A", "trust", "-N",
                  "--locale=C", "-E", "UTF8", "--no-instructions", "--wal-segsize=1")
        self.start()
        self.execute("CREATE DATABASE ledger", database="postgres")

    def _as_user(self):
        return {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []} \
            if self.user else {}

    def _run(self, name, *arguments):
        subprocess.run([f"{postgres_bin()}/{name}", *arguments], check=True, cwd="/",
                       stdout=subprocess.DEVNULL, **self._as_user())

    def start(self, *options):
        log = open(os.path.join(self.folder, "log"), "ab")
        self.process = subprocess.Popen(
            [f"{postgres_bin()}/postgres", "-D", self.data, "-k", self.folder,
             "-c", "listen_addresses=", "-c", "max_connections=90", "-c", "shared_buffers=16MB",
             # What is written survives the death of a process; only the machine stays up here.
             "-c", "fsync=off", "-c", "max_wal_size=32MB", "-c", "min_wal_size=2MB",
             *options],
            cwd="/", stdout=log, stderr=log, stdin=subprocess.DEVNULL, **self._as_user())
        log.close()
        self.wait()

    def wait(self):
        for _ in range(600):
            try:
                self.connect("postgres").close()
                return
            except psycopg2.OperationalError:
                if self.process.poll() is not None:
                    raise RuntimeError(open(os.path.join(self.folder, "log")).read())
                time.sleep(0.05)
        raise RuntimeError("the server did not start")

    def kill(self):
        """kill -9 of the postmaster and, as the operating system would, of its children."""
        children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.process.pid)],
                                  capture_output=True, text=True).stdout.split()
        for pid in [self.process.pid, *map(int, children)]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()
        pidfile = os.path.join(self.data, "postmaster.pid")
        if os.path.exists(pidfile):
            os.unlink(pidfile)

    def restart(self):
        if self.process.poll() is None:
            self.kill()
        self.start()

    def remove(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)  # nothing of it is kept
            self.process.wait(30)
        if self.mounted:
            subprocess.run(["umount", "-l", self.folder], check=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def conninfo(self, database="ledger"):
        return f"host={self.folder} user=pgveil_admin dbname={database}"

    def connect(self, database="ledger"):
        connection = psycopg2.connect(self.conninfo(database))
        connection.autocommit = True
        return connection

    def execute(self, sql, *parameters, database="ledger"):
        connection = self.connect(database)
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql, parameters or None)
                return cursor.fetchall() if cursor.description else None
        finally:
            connection.close()

    def fresh_ledger(self):
        """An empty ledger: the schema made anew in the one database."""
        self.execute("DROP SCHEMA IF EXISTS pgveil CASCADE")
        return Ledger(self, "ledger")


def release(mu2=1000, delta=0, epsilon=None, fingerprint=None, measures="[]"):
    """One release of a charge, as budget/ledger_json.c writes it."""
    prices = {"mu2": mu2, "delta": delta, "fingerprint": fingerprint}
    if epsilon is not None:
        prices["epsilon"] = epsilon
    return json.dumps(prices)[:-1] + f', "measures":{measures}}}'


def charge(releases, analyst="ana", request=None, epoch="day"):
    """One charge of a batch, as budget/ledger_json.c writes it."""
    text = {"request": request or str(uuid.uuid4()), "analyst": analyst, "epoch": epoch,
            "fingerprint": "fingerprint"}
    return json.dumps(text)[:-1] + ', "releases":[' + ",".join(releases) + "]}"


ANSWER = ("outcome", "refused_by", "dataset", "epsilon", "delta", "cap_mode", "cap_pico", "spent_pico",
          "delta_keys_atto", "delta_conv_atto", "delta_spent_atto", "epsilon_nano",
          "epsilon_spent_nano", "all_pure", "spent_share", "budget_window", "window_ends",
          "dataset_capped", "dataset_cap_pico", "dataset_spent_pico", "booked_pico", "minimum_pico",
          "adopted")


def unpacked(text):
    """The answers of a batch, from fields of the form length:text, (or -, for none)."""
    fields, data = [], text.encode()
    while data:
        if data.startswith(b"-,"):
            fields.append(None)
            data = data[2:]
            continue
        length, data = data.split(b":", 1)
        length = int(length)
        assert data[length:length + 1] == b","
        fields.append(data[:length].decode())
        data = data[length + 1:]
    assert len(fields) % len(ANSWER) == 0
    return [read_answer(fields[i:i + len(ANSWER)]) for i in range(0, len(fields), len(ANSWER))]


def read_answer(fields):
    """As a row of pgveil.accounts would have it."""
    def read(name, text):
        if text is None:
            return None
        if name.endswith(("_pico", "_atto", "_nano")):
            return int(text)
        return text == "t" if name in ("all_pure", "dataset_capped") else text
    return {name: read(name, text) for name, text in zip(ANSWER, fields)}


def kept_answer(identity, noisy=(7,), measure=0, m=2**46, mu2=1000, **more):
    """One answer of a release, as budget/ledger_json.c writes it."""
    return {"measure": measure, "identity": identity, "mechanism": "gaussian", "scale10": 0,
            "exp2": 0, "sensitivity": 1, "groups": 1, "m": m, "mu2": mu2, "delta": 0, "n_keys": 0,
            "noisy": None if noisy is None else list(noisy), **more}


class Behind:
    """Calls that line up, in their order, behind a transaction that holds the journal's head."""

    def __init__(self, ledger, sql="SELECT FROM pgveil.head FOR UPDATE", *parameters):
        self.ledger = ledger
        self.connection = ledger.server.connect(ledger.database)
        self.connection.autocommit = False
        self.connection.cursor().execute(sql, parameters or None)
        self.calls, self.outcomes = [], []

    def line_up(self, call):
        """call(cursor): its outcome, or psycopg2's error, is at its place in outcomes."""
        def run(place):
            connection = self.ledger.server.connect(self.ledger.database)
            with connection.cursor() as cursor:
                try:
                    self.outcomes[place] = call(cursor)
                except psycopg2.Error as error:
                    self.outcomes[place] = error
            connection.close()

        self.outcomes.append(None)
        self.calls.append(threading.Thread(target=run, args=(len(self.calls),)))
        self.calls[-1].start()
        until = time.monotonic() + 30
        while self.waiting() < len(self.calls):
            assert time.monotonic() < until, self.outcomes
            time.sleep(0.01)

    def waiting(self):
        return self.ledger.one("SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted")

    def let_go(self):
        """Commits, and waits for all calls."""
        self.connection.commit()
        self.connection.close()
        for call in self.calls:
            call.join(60)
            assert not call.is_alive()
        return self.outcomes


class Ledger:
    """One ledger database: SQL as the proxy sends it, and pgveilctl."""

    def __init__(self, server, database):
        self.server = server
        self.database = database
        self.connection = None
        self.ctl("init")

    def reconnect(self):
        self.close()
        self.connection = self.server.connect(self.database)
        return self.connection

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def rows(self, sql, *parameters):
        connection = self.connection or self.reconnect()
        with connection.cursor() as cursor:
            cursor.execute(sql, parameters or None)
            return cursor.fetchall() if cursor.description else None

    def one(self, sql, *parameters):
        return self.rows(sql, *parameters)[0][0]

    def ctl(self, *arguments, stdin=None, check=True, server=True, timeout=60):
        command = [program("pgveilctl"), *arguments]
        if server:
            command += ["--server", self.server.conninfo(self.database)]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout,
                              start_new_session=True)
        if check:
            assert done.returncode == 0, done.stderr
        return done

    def table(self, *arguments):
        return json.loads(self.ctl(*arguments, "--json").stdout)

    def analyst(self, name="ana", dataset="census", epsilon="1", delta="1e-6", window="none"):
        self.ctl("analyst", "add", name, "--password-stdin", stdin="secret\n")
        if dataset:
            self.grant(name, dataset, epsilon, delta, window)

    def grant(self, name="ana", dataset="census", epsilon="1", delta="1e-6", window="none"):
        self.ctl("budget", "grant", name, dataset, "--epsilon", epsilon, "--delta", delta,
                 "--window", window)

    def charge(self, mu2=1000, delta=0, epsilon=None, analyst="ana", dataset="census",
               request=None, measures="[]", cursor=None, releases=None, epoch="day"):
        """As budget/ledger.c sends it; the answer as a dictionary. releases: several, each as
        release() makes it; else there is one of the amounts given, which nobody may take over."""
        wanted = charge(releases or [release(mu2, delta, epsilon, None, measures)], analyst, request,
                        epoch)
        (answer,) = self.charges([wanted], dataset, cursor)
        return answer

    def charges(self, wanted, dataset="census", cursor=None):
        """A batch, each as charge() makes it; the answers in its order."""
        cursor = cursor or (self.connection or self.reconnect()).cursor()
        cursor.execute("CALL pgveil.charge(%s, %s, NULL)", (dataset, "[" + ",".join(wanted) + "]"))
        return unpacked(cursor.fetchone()[0])

    def account(self, analyst="ana", dataset="census"):
        with (self.connection or self.reconnect()).cursor() as cursor:
            cursor.execute("SELECT * FROM pgveil.accounts(%s, %s)", (analyst, dataset))
            return dict(zip([c.name for c in cursor.description], cursor.fetchone()))

    def records(self, sql, *parameters):
        """The rows as dictionaries."""
        with (self.connection or self.reconnect()).cursor() as cursor:
            cursor.execute(sql, parameters)
            return [dict(zip([c.name for c in cursor.description], row))
                    for row in cursor.fetchall()]

    def keep(self, request, releases, answers, analyst="ana", dataset="census", epoch="day"):
        """answers: by release, a list each."""
        drawn = [{"release": number, "answers": of} for number, of in answers.items()]
        return self.one("SELECT pgveil.keep(%s, %s, %s, %s, %s, %s)", request, analyst, dataset,
                        epoch, "[" + ",".join(releases) + "]", json.dumps(drawn))

    def kept(self, *identities, analyst="ana", dataset="census", epoch="day", most=16):
        return self.records("SELECT * FROM pgveil.kept(%s, %s, %s, %s, %s)", analyst, dataset, epoch,
                            list(identities), most)

    def adopted(self, request, analyst="ana"):
        return self.records("SELECT * FROM pgveil.adopted(%s, %s)", request, analyst)

    def age(self, interval):
        """Everything as if it had happened so much earlier. Breaks the chain of hashes."""
        self.rows("SET session_replication_role = replica")
        for table, columns in (("journal", ["at"]), ("head", ["at"]), ("draw", ["at"]),
                               ("paid", ["at"]), ("account", ["window_starts", "window_ends"])):
            changes = ", ".join(f"{column} = {column} - %s::interval" for column in columns)
            self.rows(f"UPDATE pgveil.{table} SET {changes}", *[interval] * len(columns))
        self.rows("RESET session_replication_role")

    def spend(self, analyst="ana", dataset="census"):
        return self.account(analyst, dataset)["spent_pico"]
