"""A PostgreSQL server of a test's own: a cluster in a folder of its own, a Unix socket, TCP and TLS where
asked for. Nothing of it is kept."""
import os
import signal
import socket

import psycopg2

from . import processes

TRUST_LOCALLY = "local all postgres trust\n"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Cluster:
    def __init__(self, options=(), hba=None, tcp=False, tls=False):
        """options: further "name=value" settings. hba: lines of pg_hba.conf; None: trust everybody."""
        self.folder = processes.new_folder()
        self.socket = self.folder / "s"
        self.data = self.folder / "data"
        self.log = self.folder / "log"
        self.port = free_port() if tcp or tls else 5432
        self.process = None
        self.options = ["fsync=off", "max_connections=100", f"port={self.port}",
                        f"listen_addresses={'127.0.0.1' if tcp or tls else ''}", *options]
        processes.checked(["mkdir", "-m", "700", self.socket])
        processes.checked([processes.postgres_bin() / "initdb", "-D", self.data, "-U", "postgres",
                           "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"])
        if hba is not None:
            (self.data / "pg_hba.conf").write_text(hba)
        if tls:
            self.make_certificates()
            self.options += ["ssl=on", f"ssl_cert_file={self.folder}/server.crt",
                             f"ssl_key_file={self.folder}/server.key",
                             f"ssl_ca_file={self.folder}/ca.crt"]
        self.start()

    def make_certificates(self):
        """An authority, the server's certificate for "localhost", and pgveil's own."""
        def openssl(*arguments):
            processes.checked(["openssl", *arguments], timeout=60)
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        openssl("req", "-x509", *key, "-days", "2", "-subj", "/CN=authority",
                "-keyout", self.folder / "ca.key", "-out", self.folder / "ca.crt")
        for name, subject in (("server", "/CN=localhost"), ("client", "/CN=pgveil")):
            openssl("req", *key, "-subj", subject, "-keyout", self.folder / f"{name}.key",
                    "-out", self.folder / f"{name}.csr")
            openssl("x509", "-req", "-days", "2", "-in", self.folder / f"{name}.csr",
                    "-CA", self.folder / "ca.crt", "-CAkey", self.folder / "ca.key",
                    "-CAcreateserial", "-out", self.folder / f"{name}.crt")
            (self.folder / f"{name}.key").chmod(0o600)

    def start(self):
        settings = [part for option in self.options for part in ("-c", option)]
        self.process = processes.start(
            [processes.postgres_bin() / "postgres", "-D", self.data, "-k", self.socket, *settings],
            self.log)
        processes.wait_until(self.answers, 60, "the start of a server")

    def answers(self):
        try:
            self.connect("postgres").close()
            return True
        except psycopg2.OperationalError:
            if self.process.poll() is not None:
                raise RuntimeError(self.log.read_text()[-3000:]) from None
            return False

    def kill(self):
        """As a crash: all its processes at once."""
        os.kill(self.process.pid, signal.SIGQUIT)
        self.process.wait(20)

    def kill_9(self):
        """kill -9 of the postmaster and, as the operating system would, of its children."""
        for pid in [self.process.pid, *processes.children(self.process.pid)]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait(20)
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def stop(self):
        if self.process and self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGINT)
            self.process.wait(30)
        processes.end_all_below(self.folder)

    def conninfo(self, database, user="postgres"):
        return f"host={self.socket} port={self.port} dbname={database} user={user}"

    def tcp_conninfo(self, database, user="postgres", host="127.0.0.1", **more):
        """Over TCP; hostaddr keeps name resolution out of it."""
        items = {"host": host, "hostaddr": "127.0.0.1", "port": self.port, "dbname": database,
                 "user": user, **more}
        return " ".join(f"{key}={value}" for key, value in items.items())

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
