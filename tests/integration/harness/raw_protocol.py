"""PostgreSQL's protocol by hand, for messages that no driver would send."""
import base64
import hashlib
import hmac
import secrets
import socket
import ssl
import struct

PROTOCOL_3 = 196608
SSL_REQUEST = 80877103
GSS_REQUEST = 80877104
CANCEL_REQUEST = 80877102


def startup(parameters, protocol=PROTOCOL_3):
    body = struct.pack("!i", protocol)
    for name, value in parameters.items():
        body += name.encode() + b"\0" + value.encode() + b"\0"
    return framed(b"", body + b"\0")


def framed(kind, body=b""):
    return kind + struct.pack("!i", len(body) + 4) + body


def request(code):
    return framed(b"", struct.pack("!i", code))


def encoded(text):
    """Text in UTF-8; bytes are in an encoding of their own."""
    return text if isinstance(text, bytes) else text.encode()


def query(sql):
    return framed(b"Q", encoded(sql) + b"\0")


def parse(sql, name="", types=()):
    return framed(b"P", encoded(name) + b"\0" + encoded(sql) + b"\0" +
                  struct.pack(f"!h{len(types)}i", len(types), *types))


def bind(values=(), portal="", statement="", results=()):
    body = encoded(portal) + b"\0" + encoded(statement) + b"\0" + struct.pack("!hh", 0, len(values))
    for value in values:
        body += struct.pack("!i", -1) if value is None else struct.pack("!i", len(value)) + value
    return framed(b"B", body + struct.pack(f"!h{len(results)}h", len(results), *results))


def describe(kind, name=""):
    return framed(b"D", kind.encode() + name.encode() + b"\0")


def execute(portal="", rows=0):
    return framed(b"E", portal.encode() + b"\0" + struct.pack("!i", rows))


def close(kind, name=""):
    return framed(b"C", kind.encode() + name.encode() + b"\0")


SYNC, FLUSH, TERMINATE = framed(b"S"), framed(b"H"), framed(b"X")


def fields(body, encoding="utf-8"):
    """The fields of an ErrorResponse or NoticeResponse by their letters. No encoding of a client has
    NULs in its text."""
    return {part[:1].decode(): part[1:].decode(encoding) for part in body.split(b"\0") if part}


class Raw:
    """A socket that cuts what it reads into messages (type, body)."""

    def __init__(self, port, timeout=20):
        """port: of this machine, or the path of a Unix socket."""
        if isinstance(port, int):
            self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        else:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(timeout)
            self.socket.connect(str(port))
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.socket.close()

    def send(self, *messages):
        self.socket.sendall(b"".join(messages))

    def start_tls(self):
        self.send(request(SSL_REQUEST))
        assert self.socket.recv(1) == b"S"
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.socket = context.wrap_socket(self.socket)

    def read_bytes(self, count):
        while len(self.buffer) < count:
            piece = self.socket.recv(65536)
            if not piece:
                raise EOFError
            self.buffer += piece
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def closed(self):
        """True when the server closes without another word."""
        try:
            return self.buffer == b"" and self.socket.recv(1) == b""
        except (ConnectionResetError, BrokenPipeError):
            return True

    def message(self):
        kind = self.read_bytes(1)
        length = struct.unpack("!i", self.read_bytes(4))[0]
        return kind.decode(), self.read_bytes(length - 4)

    def until(self, *kinds):
        """All messages up to the first of these types; notices and status changes are left out."""
        messages = []
        while True:
            message = self.message()
            if message[0] in kinds or message[0] not in "SN":
                messages.append(message)
            if message[0] in kinds:
                return messages

    def exchange(self, *messages):
        """Sends, and returns what came up to ReadyForQuery."""
        self.send(*messages)
        return self.until("Z")

    def kinds(self, *messages):
        return "".join(kind for kind, _ in self.exchange(*messages))

    def error(self, *messages):
        """The fields of the one error among the replies."""
        errors = [fields(body) for kind, body in self.exchange(*messages) if kind == "E"]
        assert len(errors) == 1, errors
        return errors[0]

    def authenticate(self, password, gs2="n,,", mechanism="SCRAM-SHA-256"):
        """SCRAM after the startup message; returns the message that ends it."""
        kind, body = self.message()
        while kind == "v":
            kind, body = self.message()
        if kind != "R":
            return kind, body
        assert struct.unpack("!i", body[:4])[0] == 10, body
        nonce = base64.b64encode(secrets.token_bytes(18)).decode()
        first = f"n=,r={nonce}"
        initial = (gs2 + first).encode()
        self.send(framed(b"p", mechanism.encode() + b"\0" + struct.pack("!i", len(initial)) + initial))
        kind, body = self.message()
        if kind != "R":
            return kind, body
        server_first = body[4:].decode()
        parts = dict(part.split("=", 1) for part in server_first.split(","))
        assert parts["r"].startswith(nonce)
        final = f"c={base64.b64encode(gs2.encode()).decode()},r={parts['r']}"
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(parts["s"]),
                                     int(parts["i"]))
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        stored = hashlib.sha256(client_key).digest()
        message = f"{first},{server_first},{final}".encode()
        signature = hmac.digest(stored, message, "sha256")
        proof = bytes(a ^ b for a, b in zip(client_key, signature))
        self.send(framed(b"p", f"{final},p={base64.b64encode(proof).decode()}".encode()))
        kind, body = self.message()
        if kind != "R":
            return kind, body
        server_key = hmac.digest(salted, b"Server Key", "sha256")
        expected = b"v=" + base64.b64encode(hmac.digest(server_key, message, "sha256"))
        assert body == struct.pack("!i", 12) + expected, "the server does not know the password"
        return self.message()


def log_in(analyst, dataset="census", parameters=None, protocol=PROTOCOL_3):
    """A raw session that is ready; .greeting holds the messages before its first ReadyForQuery."""
    raw = Raw(analyst.pgveil.port)
    raw.send(startup({"user": analyst.name, "database": dataset, **(parameters or {})}, protocol))
    kind, body = raw.authenticate(analyst.password)
    assert (kind, body) == ("R", struct.pack("!i", 0)), (kind, body)
    raw.greeting = []
    while True:
        message = raw.message()
        if message[0] == "Z":
            return raw
        assert message[0] in "SKN", message
        raw.greeting.append(message)


def explaining(pgveil, analyst, dataset="census"):
    """A raw session on the control socket, in an analyst's place."""
    raw = Raw(pgveil.control / ".s.PGSQL.5432")
    raw.send(startup({"user": analyst, "database": dataset}))
    messages = raw.until("Z", "E")
    assert messages[-1][0] == "Z", messages
    return raw


def backend_key(raw):
    """Process id and key for a CancelRequest."""
    return next(struct.unpack("!ii", body) for kind, body in raw.greeting if kind == "K")


def cancel(port, pid, key):
    with Raw(port) as raw:
        raw.send(framed(b"", struct.pack("!iii", CANCEL_REQUEST, pid, key)))
        return raw.closed()
