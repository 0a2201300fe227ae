"""The same program over a Unix socket and over TCP on the loopback: what differs, with times measured now."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from errno import EADDRINUSE, EAGAIN, EINPROGRESS
from socket import AF_INET, AF_UNIX

from ....model.errors import errno_name
from ....model.experiment import Comparison
from ..experiment import Experiment
from ..measuring import Speed, measure
from ..shown import Address
from ..stage import BrokenOff, Stage
from ..staged_socket import StagedSocket

_PATIENCE_MS = 100
"""A connection over the loopback stands much sooner, and the next SYN goes out only after a second."""

LOOPBACK = ("127.0.0.1", 0)
"""Port 0: the kernel chooses one that is free."""


NOT_FOUND = "not found out"


@dataclass(frozen=True, slots=True)
class _Found:
    """What the program found over one family, in words."""

    name: str
    client: str
    who: str
    empty: str
    full: str
    bound_again: str


def _run(stage: Stage) -> None:
    with stage.scene("over a Unix socket"):
        unix = _program(stage, AF_UNIX, "hello.sock", full=EAGAIN, again="until the file is unlinked")
    internet = None
    with suppress(BrokenOff), stage.scene("over TCP"):
        internet = _program(stage, AF_INET, LOOPBACK, full=EINPROGRESS, again="for a minute (TIME_WAIT)")
    rows = _rows(unix, internet)
    if not stage.is_reproducible:
        rows += _times(_measured(stage, AF_UNIX), _measured(stage, AF_INET) if internet else None)
    stage.comparison = Comparison("The two side by side", ("", "Unix", "TCP"), tuple(rows))


def _rows(unix: _Found, internet: _Found | None) -> list[tuple[str, str, str]]:
    rows = {
        "name": "the server's name",
        "client": "getpeername at the server",
        "who": "SO_PEERCRED at the server",
        "empty": "connect, non-blocking, to an empty queue",
        "full": "connect, non-blocking, to a full queue",
        "bound_again": "bind again after the server closed first",
    }
    return [
        (row, getattr(unix, field), getattr(internet, field) if internet else NOT_FOUND)
        for field, row in rows.items()
    ]


def _program(stage: Stage, family: int, address: Address, *, full: int, again: str) -> _Found:
    server, client = stage.actor("server"), stage.actor("client")
    listener = server.socket(family=family)
    listener.bind(address)
    listener.listen(0)
    name: Address = listener.own_address()
    sock = client.socket(family=family, non_blocking=True)
    to_empty = _connect(sock, name, 0 if family == AF_UNIX else EINPROGRESS, is_room=True)
    other = client.socket(family=family, non_blocking=True)
    to_full = _connect(other, name, full, is_room=False)
    other.close()
    sock.let_block()
    conversation = listener.accept()
    peer = conversation.peer_name()
    credentials = conversation.peer_credentials()
    stage.check("whether the client is known", credentials.is_known, family == AF_UNIX)
    sock.write(b"hello\n")
    conversation.read(b"hello\n")
    conversation.close()
    sock.read(b"")
    sock.close()
    listener.close()
    bound_again = errno_name(server.socket(family=family).bind(name, expect=EADDRINUSE))
    shown = stage.names.address(name)
    return _Found(shown, peer, stage.names.who(credentials), to_empty, to_full, f"{bound_again}, {again}")


def _connect(sock: StagedSocket, name: Address, expect: int, *, is_room: bool) -> str:
    """What comes of a connect that must not block, and, where it goes on, of 100 ms of waiting for its end."""
    found = sock.connect(name, expect=expect)
    if found != expect:
        raise BrokenOff  # a surprise already, after which nothing can be compared
    if not expect:
        return "0, connected"
    if expect != EINPROGRESS:
        return f"{errno_name(expect)}, nothing was begun"
    sock.is_writable(_PATIENCE_MS, is_room)
    return f"{errno_name(expect)}, then {'connected' if is_room else 'nothing for 100 ms'}"


def _measured(stage: Stage, family: int) -> Speed | None:
    try:
        return measure(family, stage.names.path("speed.sock") if family == AF_UNIX else LOOPBACK)
    except OSError as error:
        stage.surprise(f"the speed could not be measured: {error.strerror} ({errno_name(error.errno)})")
        return None


def _times(unix: Speed | None, internet: Speed | None) -> list[tuple[str, str, str]]:
    def row(name: str, show: Callable[[Speed], str]) -> tuple[str, str, str]:
        of_unix, of_internet = (show(speed) if speed else NOT_FOUND for speed in (unix, internet))
        return name, of_unix, of_internet

    return [
        row("1 byte there and 1 back (median)", lambda speed: f"{speed.round_trip_s * 1e6:.1f} µs"),
        row("throughput (median)", lambda speed: f"{speed.bytes_per_s / 1e9:.1f} GB/s"),
    ]


EXPERIMENT = Experiment(
    name="unix-vs-internet",
    question="What is different from TCP on the same machine?",
    plan=(
        "The same program runs over a Unix socket and over TCP on 127.0.0.1; both are asked the same, and timed."
    ),
    explanation=(
        "A Unix socket has a name in the file system and knows the process at the other end; TCP has address and port."
        " Unix refuses at once if the queue is full (EAGAIN). TCP says EINPROGRESS whether it is full or not,"
        " repeats its SYN, and finally fails with ETIMEDOUT."
        " Both refuse to bind again, one until unlink, the other for a minute unless SO_REUSEADDR is set."
    ),
    manual_pages=("unix(7)", "tcp(7)", "ip(7)", "socket(7)"),
    run=_run,
)
