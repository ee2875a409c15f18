#!/usr/bin/python3
"""Writes the first inputs of the fuzzers beside this file; run it again after a change here."""
import os
import struct

HERE = os.path.dirname(os.path.abspath(__file__))


def packet(payload):
    return struct.pack("!I", len(payload) + 4) + payload


def message(kind, payload=b""):
    return kind + packet(payload)


def write(fuzzer, name, data):
    with open(os.path.join(HERE, fuzzer, name), "wb") as file:
        file.write(data)


SESSION = b"\0\3\0\0user\0alice\0database\0census\0"
STARTUPS = {
    "plain": SESSION + b"\0",
    "settings": SESSION + b"DateStyle\0ISO\0application_name\0x\0dp.epsilon\0001\0\0",
    "options": SESSION + b"options\0-c dp.epsilon=1 -cgeqo=off --search-path=a\\ b\0\0",
    "grease": b"\0\3\x27\x0fuser\0alice\0_pq_.test\0\0\0",
    "replication": SESSION + b"replication\0database\0\0",
    "version4": b"\0\4\0\0",
    "tls": bytes([4, 210, 22, 47]),
    "gss": bytes([4, 210, 22, 48]),
    "cancel": bytes([4, 210, 22, 46, 0, 0, 0, 1, 0, 0, 0, 2]),
}
for name, data in STARTUPS.items():
    write("startup_packet", name, b"\3" + data)
    write("login", name, b"\xff" + packet(data))

FIRST = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
NONCE = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
FINAL = b"c=biws," + NONCE + b",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
CHALLENGE = NONCE + b",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
SIGNATURE = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
write("scram", "known", b"\1" + FIRST + b"\n" + FINAL)
write("scram", "unknown", b"\0" + FIRST + b"\n" + FINAL)
write("scram", "extension", b"\1" + FIRST + b",x=y\n" + FINAL)
write("scram", "plus", b"\7p=tls-server-end-point,,n=,r=abc\n" + FINAL)
write("scram", "client", b"\x10" + CHALLENGE + b"\n" + SIGNATURE)
write("scram", "verifier",
      b"\x20SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
      b"wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=")

SASL = message(b"p", b"SCRAM-SHA-256\0" + struct.pack("!I", len(FIRST)) + FIRST)
write("login", "sasl", b"\xff" + packet(STARTUPS["plain"]) + SASL + message(b"p", FINAL))
write("login", "sasl_later", b"\xff" + packet(STARTUPS["plain"]) +
      message(b"p", b"SCRAM-SHA-256\0\xff\xff\xff\xff") + message(b"p", FIRST) + message(b"p", FINAL))
write("login", "requests", b"\7" + packet(STARTUPS["gss"]) + packet(STARTUPS["tls"]) + packet(STARTUPS["plain"]))
write("login", "http", b"\xffGET / HTTP/1.1\r\n\r\n")
write("login", "hello", b"\xff\x16\3\1\2\0\1\0\1\xfc\3\3")

CLIENT = (message(b"Q", b"select 1\0") + message(b"P", b"\0select $1\0\0\1\0\0\0\x17") +
          message(b"B", b"\0\0\0\0\0\1\0\0\0\1x\0\0") + message(b"D", b"S\0") +
          message(b"E", b"\0\0\0\0\0") + message(b"S") + message(b"X"))
SERVER = (message(b"S", b"TimeZone\0UTC\0") + message(b"K", b"\0\0\0\1\0\0\0\2") + message(b"Z", b"I") +
          message(b"D", b"\0\1\0\0\0\1x") + message(b"C", b"SELECT 1\0") +
          message(b"E", b"SERROR\0C42601\0Msyntax error\0\0"))
write("wire", "client", b"\1\xff" + CLIENT)
write("wire", "client_bytewise", b"\1\0" + CLIENT)
write("wire", "server", b"\0\xff" + SERVER)
write("wire", "startup", b"\2\5" + packet(STARTUPS["settings"]))
