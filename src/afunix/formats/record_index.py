"""One line of JSON for each connection of a recording in a directory: who it was, when, and how much each side said.

{"connection": 1, "socket": "/run/x", "type": "stream", "opened": "…Z", "closed": "…Z", "pid": 412, "uid": 1000, …,
 "client": {"bytes": 10, "messages": 1, "missing_bytes": 0, "descriptors": 0}, "server": {…}, "reason": "…"}

`missing_bytes` were said and not kept, so the raw stream has a hole that nothing in it shows. Field names are those of
`jsonl` where both have them. Pure; `sinks.recording_directory` writes the lines.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from ..model.escaping import escape
from ..model.tapped import Beginning, Opened
from .label import format_time


@dataclass(slots=True)
class SideTotals:
    """What is kept of one side's words, and what is not."""

    bytes: int = 0
    messages: int = 0
    missing_bytes: int = 0
    descriptors: int = 0


def render_connection(
    beginning: Beginning,
    opened: Opened,
    *,
    closed_at_s: float | None,
    reason: str,
    client: SideTotals,
    server: SideTotals,
) -> bytes:
    """The line, with its newline. `closed_at_s` is None if the recording ended first."""
    peer = opened.peer
    line = {
        "connection": opened.connection,
        "socket": escape(beginning.path),
        "type": beginning.socket_type,
        "opened": _date(beginning, opened.at_s),
        "closed": None if closed_at_s is None else _date(beginning, closed_at_s),
        "pid": peer.pid,
        "uid": peer.uid if peer.is_known else None,
        "gid": peer.gid if peer.is_known else None,
        "user": escape(opened.user) if opened.user else None,
        "comm": escape(opened.command) if opened.command else None,
        "client": asdict(client),
        "server": asdict(server),
        "reason": escape(reason),
    }
    return json.dumps(line).encode("ascii") + b"\n"


def _date(beginning: Beginning, at_s: float) -> str:
    return format_time(beginning.began_ns / 1e9 + at_s)
