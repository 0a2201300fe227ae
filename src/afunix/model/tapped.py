"""What a tap sees: who came, what each side said and with which descriptors, where each stopped, and how it ended.

Values only; who makes them is `tools.tap`, who shows or keeps them are `formats` and `sinks`. Times are seconds since
the tap began, by a clock that never goes back; `began_ns` of a `Beginning` is what a calendar said then, so that
`began_ns + at_s * 1e9` is a date. Events are tuples, because there may be hundreds of thousands a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from .credentials import PeerCredentials


class Side(Enum):
    """Whose words: the client's, who connected, or the server's."""

    CLIENT = "client"
    SERVER = "server"


RESETS = {side: f"reset by the {side.value}" for side in Side}
"""The reasons of an `Over` that have somebody who broke off."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """What is tapped: its path as given, the type of its socket ("stream", "seqpacket"), the date in nanoseconds."""

    path: str
    socket_type: str
    began_ns: int


class Opened(NamedTuple):
    """A client came. `user` and `command` are what is known of it: "" if nothing; `command` is its name, as ps has it."""

    connection: int
    at_s: float
    peer: PeerCredentials
    user: str = ""
    command: str = ""


class Said(NamedTuple):
    """Bytes that one side sent and the other side's socket has taken: all of a record, some of a stream.

    `descriptors` says what each that came with them is, in their order: `/var/log/x`, `socket`, `pipe`, `memfd:name`.
    """

    connection: int
    at_s: float
    side: Side
    data: bytes
    descriptors: tuple[str, ...] = ()


class SaidAll(NamedTuple):
    """This side sends no more (a half-close)."""

    connection: int
    at_s: float
    side: Side


class Over(NamedTuple):
    """The connection is closed. `reason` says why where it was no orderly end: "reset by the server", "refused: …"."""

    connection: int
    at_s: float
    reason: str = ""


TapEvent = Opened | Said | SaidAll | Over
