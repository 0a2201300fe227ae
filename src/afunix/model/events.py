"""What happened, as typed values in the past tense. Counterpart of `lifecycle`, whose calls they report.

The first group are calls on a socket with their true results, in the order of a socket's life; the second group
are things that a person who runs a server wants to know. An event is built only when an observer is there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from .address import Address
from .credentials import PeerCredentials
from .lifecycle import Call


class Direction(Enum):
    """Which half of a connection was shut down."""

    RECEIVING = "SHUT_RD"
    SENDING = "SHUT_WR"


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all: `fd` is the descriptor of the socket it happened to."""

    fd: int


@dataclass(frozen=True, slots=True)
class Created(Event):
    """socket(2) returned `fd`; `type_name` is SOCK_STREAM, SOCK_DGRAM or SOCK_SEQPACKET."""

    type_name: str
    family_name: str = "AF_UNIX"


@dataclass(frozen=True, slots=True)
class Bound(Event):
    """bind(2) gave the socket its name."""

    address: Address


@dataclass(frozen=True, slots=True)
class Listening(Event):
    """listen(2): from now on connect(2) succeeds. `inherited`: somebody else bound it and listened."""

    address: Address
    backlog: int
    inherited: bool = False


@dataclass(frozen=True, slots=True)
class Accepted(Event):
    """accept(2) on `listener` returned `fd`, the `connection`-th since the start.

    `client` is where a TCP client comes from: of `peer` nothing is known then. None: a Unix socket.
    """

    listener: int
    connection: int
    peer: PeerCredentials
    client: Address | None = None


@dataclass(frozen=True, slots=True)
class Connected(Event):
    """connect(2) succeeded."""

    address: Address


@dataclass(frozen=True, slots=True)
class BytesRead(Event):
    """read(2) returned `count` bytes; 0 is the end of file."""

    count: int


@dataclass(frozen=True, slots=True)
class BytesWritten(Event):
    """write(2) took `count` bytes."""

    count: int


@dataclass(frozen=True, slots=True)
class DescriptorsReceived(BytesRead):
    """recvmsg(2) returned `count` bytes, and with them so many `descriptors`; told instead of BytesRead, which it is."""

    descriptors: int


@dataclass(frozen=True, slots=True)
class DescriptorsSent(BytesWritten):
    """sendmsg(2) took `count` bytes, and with them so many `descriptors`; told instead of BytesWritten, which it is."""

    descriptors: int


@dataclass(frozen=True, slots=True)
class HalfClosed(Event):
    """shutdown(2) ended one direction."""

    direction: Direction


@dataclass(frozen=True, slots=True)
class Closed(Event):
    """close(2): the descriptor is gone. `connection` is 0 for a socket that is none."""

    connection: int = 0
    bytes_received: int = 0
    bytes_sent: int = 0


@dataclass(frozen=True, slots=True)
class CallFailed(Event):
    """A call returned -1 with `errno`."""

    call: Call
    errno: int
    address: Address | None = None


@dataclass(frozen=True, slots=True)
class StaleRemoved(Event):
    """A socket file that nobody listened on was in the way, and was removed under the lock."""

    address: Address


@dataclass(frozen=True, slots=True)
class LiveReplaced(Event):
    """The path of a live socket was taken over, as asked."""

    address: Address


@dataclass(frozen=True, slots=True)
class Refused(Event):
    """A client was closed unread: a rule or a limit was against it. `fd` is the listener."""

    peer: PeerCredentials
    reason: str


@dataclass(frozen=True, slots=True)
class LineOpened(Event):
    """A line was let out unfinished; `held` bytes of it had been waiting.

    `held` is at least `limit`, a line's own; or less, and then all clients' lines together were too much.
    """

    connection: int
    held: int
    limit: int


@dataclass(frozen=True, slots=True)
class WentIdle(Event):
    """A connection moved no byte for `seconds` and is closed."""

    connection: int
    seconds: float


@dataclass(frozen=True, slots=True)
class PeerReset(Event):
    """The client went away with a reset: what it sent before is written, what it did not get is lost."""

    connection: int


@dataclass(frozen=True, slots=True)
class ResetPassedOn(Event):
    """The other end of a relayed connection broke, on the socket `origin`; what it sent before has gone out on `fd`,
    which ends now. `is_reset`: with a reset of its own, as TCP can; otherwise by an ordinary close.
    """

    connection: int
    origin: int
    errno: int
    is_reset: bool


@dataclass(frozen=True, slots=True)
class PairFailed(Event):
    """A relayed connection was ended for what came on `fd` and could not be passed on: descriptors that nobody passes
    on, a record that is too long. No end of it broke off.
    """

    connection: int
    errno: int
    reason: str


@dataclass(frozen=True, slots=True)
class LinkLost(Event):
    """What all connections beyond this machine to or from `address` went through broke: they have ended with it."""

    address: Address
    reason: str


@dataclass(frozen=True, slots=True)
class LinkRestored(Event):
    """It is there again, for new connections."""

    address: Address


@dataclass(frozen=True, slots=True)
class HostTrusted(Event):
    """The host on the way to `address`, which known_hosts calls `known_as`, has shown a key that is not known, and was
    taken at its word, because ssh's StrictHostKeyChecking says so. `is_changed`: another key is known. `saved_in`: the
    known_hosts file that has it now, "" for none; `reason`: why it could not be written.
    """

    address: Address
    known_as: str
    fingerprint: str
    is_changed: bool
    saved_in: str
    reason: str


@dataclass(frozen=True, slots=True)
class CommandStarted(Event):
    """The client has a process of its own, `pid`, which runs the program `path` with `fd` as its
    descriptors `numbers`."""

    connection: int
    pid: int
    path: str
    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CommandEnded(Event):
    """The process of a client has ended: with the exit status `code`, or by the signal -`code`; `how` in words."""

    connection: int
    pid: int
    code: int
    how: str


@dataclass(frozen=True, slots=True)
class CommandFailed(Event):
    """No process could be had for a client, which was closed with its bytes unread."""

    connection: int
    errno: int
    reason: str


@dataclass(frozen=True, slots=True)
class HandlerFailed(Event):
    """What serves a client raised `error`; the client was closed, and nobody else is concerned."""

    connection: int
    error: BaseException


@dataclass(frozen=True, slots=True)
class Queued(Event):
    """A client was accepted and waits until another one leaves."""

    connection: int


@dataclass(frozen=True, slots=True)
class Dropped(Event):
    """A client that had waited for a place for `seconds` was closed unread. `had_left`: by its own will, not by ours."""

    connection: int
    seconds: float
    had_left: bool = False


@dataclass(frozen=True, slots=True)
class AcceptPaused(Event):
    """No client is accepted for now; they wait in the backlog. One event an episode. `errno` 0: a limit of ours."""

    errno: int
    reason: str


@dataclass(frozen=True, slots=True)
class AcceptResumed(Event):
    """The reason to pause is over."""


@dataclass(frozen=True, slots=True)
class StdinFailed(Event):
    """What should have gone from STDIN to a client could not: it cannot be read, or a record in it is too long."""

    connection: int
    errno: int
    reason: str


@dataclass(frozen=True, slots=True)
class Unlinked(Event):
    """Our socket file was removed; False if it was no longer ours, and so was left alone."""

    address: Address
    was_ours: bool


@dataclass(frozen=True, slots=True)
class Stopping(Event):
    """The stop began; `cause` is the signal's name or what else ended the run. `fd` is -1."""

    cause: str


Observer = Callable[[Event], None]
"""Who is told. Called in the step in which it happened, so it must not wait.

It should not raise either, and does no harm if it does: its exception never reaches the operation that it was told of.
In a program on asyncio that goes to the loop's exception handler, elsewhere to `sys.unraisablehook`.
"""
