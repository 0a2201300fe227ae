"""What a tap saw, told at its end: as lines for a person, and as one JSON object. Pure; `model.tap_summary` counts.

12.3 s: 3 connections, 1 of them broken off
  client → server  12 messages, 1.2 KiB, 1 descriptor
  client ← server  30 messages, 34 MiB
  longest silence  5.2 s on [2], from 0.512 s
  slowest answer   120 ms on [1], to what was said at 0.132 s
  most talkative   docker of ana: 1.1 KiB in 10 messages on 2 connections
"""

from __future__ import annotations

from dataclasses import asdict
from json import dumps
from typing import Any

from ..model.counting import counted
from ..model.escaping import escape
from ..model.tap_summary import Spoken, Stretch, Summary, Talker
from .traffic import show_bytes


def render_summary(summary: Summary) -> list[str]:
    """The lines, without newlines; one that has nothing to tell is left out."""
    lines = [f"{show_duration(summary.seconds)}: {_connections(summary)}"]
    rows = (
        ("client → server", _spoken(summary.client)),
        ("client ← server", _spoken(summary.server)),
        ("longest silence", _stretch(summary.longest_silence, "from {} s")),
        ("slowest answer", _stretch(summary.slowest_answer, "to what was said at {} s")),
        ("most talkative", _talker(summary.most_talkative)),
    )
    if summary.connections:
        lines += [f"  {title:<15}  {text}" for title, text in rows if text]
    return lines


def render_summary_json(summary: Summary) -> bytes:
    """One object in ASCII, with a newline; `"event": "summary"` tells it from those of `tap_json`."""
    fields: dict[str, Any] = asdict(summary)
    talker = fields["most_talkative"]
    if talker is not None:
        talker["user"] = escape(talker["user"]) or None
        talker["comm"] = escape(talker.pop("command")) or None
    return dumps({"event": "summary", **_rounded(fields)}).encode("ascii") + b"\n"


def show_duration(seconds: float) -> str:
    """`120 µs`, `12.3 ms`, `1.2 s`, `12 min 5 s`, `3 h 20 min`: three figures, or two units."""
    if seconds >= 3600:
        minutes = int(seconds / 60)
        return f"{minutes // 60} h {minutes % 60} min"
    if seconds >= 60:
        return f"{int(seconds) // 60} min {int(seconds) % 60} s"
    unit, per_second = (
        ("s", 1.0) if seconds >= 0.9995 else ("ms", 1e3) if seconds >= 0.9995e-3 else ("µs", 1e6)
    )
    number = seconds * per_second
    return f"{number:.0f} {unit}" if number >= 99.95 or unit == "µs" else f"{number:.1f} {unit}"


def _connections(summary: Summary) -> str:
    text = counted(summary.connections, "connection")
    marks = ((summary.broken, "broken off"), (summary.still_open, "still open"))
    told = [f"{count} of them {word}" for count, word in marks if count]
    return ", ".join([text, *told])


def _spoken(spoken: Spoken) -> str:
    text = f"{counted(spoken.messages, 'message')}, {show_bytes(spoken.bytes)}"
    return f"{text}, {counted(spoken.descriptors, 'descriptor')}" if spoken.descriptors else text


def _stretch(stretch: Stretch | None, where: str) -> str:
    if stretch is None:
        return ""
    return f"{show_duration(stretch.seconds)} on [{stretch.connection}], {where.format(f'{stretch.began_s:.3f}')}"


def _talker(talker: Talker | None) -> str:
    if talker is None:
        return ""
    pid = "" if talker.pid is None else f"[{talker.pid}]"
    user = escape(talker.user) or ("?" if talker.uid is None else f"uid {talker.uid}")
    said = f"{show_bytes(talker.bytes)} in {counted(talker.messages, 'message')}"
    on = f" on {counted(talker.connections, 'connection')}" if talker.connections > 1 else ""
    return f"{escape(talker.command) or '?'}{pid} of {user}: {said}{on}"


def _rounded(value: Any) -> Any:
    """Times to microseconds, as the events have them."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return round(value, 6) if isinstance(value, float) else value
