"""Descriptors that came, as lines and as JSON."""

from __future__ import annotations

import json

from afunix.formats.received import Sender, Shown, as_json, as_lines
from afunix.model.credentials import UNKNOWN_ID, PeerCredentials

LOG = Shown("log", "append", "file", "/var/log/\x1bapp.log")
PIPE = Shown("in", "read", "pipe", "")
ANA = PeerCredentials(7, 1000, 100)


def test_lines_are_columns_in_their_order() -> None:
    assert as_lines([LOG, PIPE]) == "1  log  append  file  /var/log/^[app.log\n2  in   read    pipe\n"


def test_json_has_every_fact_in_ascii() -> None:
    (line,) = as_json([LOG], Sender(ANA, "ana", "é\n".encode())).splitlines()
    assert line.isascii()
    assert json.loads(line) == {
        "number": 1, "name": "log", "kind": "file", "access": "append", "what": "/var/log/^[app.log",
        "pid": 7, "uid": 1000, "gid": 100, "user": "ana", "data": "é\n",
    }  # fmt: skip


def test_json_of_an_unknown_sender_and_other_bytes() -> None:
    found = json.loads(as_json([PIPE], Sender(PeerCredentials(None, UNKNOWN_ID, UNKNOWN_ID), None, b"\xff")))
    assert [found[key] for key in ("pid", "uid", "gid", "user", "data_base64")] == [
        None,
        None,
        None,
        None,
        "/w==",
    ]
