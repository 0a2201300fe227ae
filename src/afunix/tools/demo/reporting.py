"""What a process of the main story tells whoever started it: one JSON object a line, through a pipe of its own.

    {"at": 812.25, "event": "BytesWritten", "fd": 3, "count": 6, "inside": []}
    {"failed": "…", "hint": null}                     the last line of one that could not go on

The events are those that are calls on a socket, by the table of types below; others are not sent. Nothing but
these types is ever built from what is read: a pipe's contents are data.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ...model import events
from ...model.address import Address
from ...model.credentials import PeerCredentials
from ...model.lifecycle import Call

_TYPES: dict[str, type[events.Event]] = {
    kind.__name__: kind
    for kind in (
        events.Created,
        events.Bound,
        events.Listening,
        events.Accepted,
        events.Connected,
        events.BytesRead,
        events.BytesWritten,
        events.DescriptorsReceived,
        events.DescriptorsSent,
        events.HalfClosed,
        events.Unlinked,
        events.Closed,
        events.CallFailed,
    )
}

_TO_PLAIN: dict[type[Any], Callable[[Any], object]] = {
    Address: str,
    PeerCredentials: lambda peer: [peer.pid, peer.uid, peer.gid],
    events.Direction: lambda direction: direction.value,
    Call: lambda call: call.value,
}
_FROM_PLAIN: dict[str, Callable[[Any], object]] = {
    "address": lambda written: None if written is None else Address.parse(written),
    "peer": lambda numbers: PeerCredentials(*numbers),
    "direction": events.Direction,
    "call": Call,
}
"""By the name of the field; what is not in it is a number, a word or a bool in both worlds."""


@dataclass(frozen=True, slots=True)
class Told:
    """An event, by when it had happened (CLOCK_MONOTONIC), and what the kernel held right after it."""

    at: float
    event: events.Event
    inside: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Failed:
    """The words of what ended a process early."""

    message: str
    hint: str | None = None


def _same(value: object) -> object:
    return value


def is_told(event: events.Event) -> bool:
    """Whether `event` is one that goes through the pipe."""
    return type(event) in _TYPES.values()


def encode(message: Told | Failed) -> bytes:
    """`message` as a line, with its newline."""
    if isinstance(message, Failed):
        plain: dict[str, object] = {"failed": message.message, "hint": message.hint}
    else:
        plain = {"at": message.at, "event": type(message.event).__name__, "inside": message.inside}
        for field in dataclasses.fields(message.event):
            value = getattr(message.event, field.name)
            plain[field.name] = _TO_PLAIN.get(type(value), _same)(value)
    return json.dumps(plain).encode("ascii") + b"\n"


def decode(line: bytes) -> Told | Failed:
    """What `encode` made.

    Raises:
        ValueError: it is nothing that `encode` makes.
    """
    try:
        plain = json.loads(line)
        if "failed" in plain:
            return Failed(plain["failed"], plain["hint"])
        kind = _TYPES[plain["event"]]
        values = {field.name: plain[field.name] for field in dataclasses.fields(kind)}
        built: dict[str, Any] = {name: _FROM_PLAIN.get(name, _same)(value) for name, value in values.items()}
        return Told(plain["at"], kind(**built), tuple(plain["inside"]))
    except (LookupError, TypeError, ValueError) as error:
        raise ValueError(f"no report: {line[:80]!r} ({error})") from None
