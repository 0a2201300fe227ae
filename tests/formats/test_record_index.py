"""The index of a recorded directory: a line of JSON for each connection."""

from __future__ import annotations

import json

from tests.captures import ANA, beginning, opened

from afunix.formats.record_index import SideTotals, render_connection
from afunix.model.credentials import UNKNOWN_ID, PeerCredentials
from afunix.model.tapped import Opened


def test_line_says_who_when_and_how_much() -> None:
    line = render_connection(
        beginning(), opened(3), closed_at_s=2.0, reason="", client=SideTotals(5, 2), server=SideTotals()
    )
    assert json.loads(line) == {
        "connection": 3,
        "socket": "/run/app.sock",
        "type": "stream",
        "opened": "2023-11-14T22:13:20.623457Z",
        "closed": "2023-11-14T22:13:22.123457Z",
        "pid": ANA.pid,
        "uid": 1000,
        "gid": 100,
        "user": "ana",
        "comm": "curl",
        "client": {"bytes": 5, "messages": 2, "missing_bytes": 0, "descriptors": 0},
        "server": {"bytes": 0, "messages": 0, "missing_bytes": 0, "descriptors": 0},
        "reason": "",
    }


def test_what_is_not_known_is_null_and_every_name_is_one_line_of_ascii() -> None:
    nobody = Opened(1, 0.0, PeerCredentials(None, UNKNOWN_ID, UNKNOWN_ID))
    line = render_connection(
        beginning("/é\n\udcff"),
        nobody,
        closed_at_s=None,
        reason="x\n",
        client=SideTotals(),
        server=SideTotals(),
    )
    assert (line.isascii(), line.count(b"\n")) == (True, 1)
    read = json.loads(line)
    assert [read[key] for key in ("closed", "pid", "uid", "gid", "user", "comm")] == [None] * 6
    assert (read["socket"], read["reason"]) == ("/é^J\\xff", "x^J")
