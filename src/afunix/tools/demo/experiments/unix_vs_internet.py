"""The same program over a Unix socket and over TCP on the loopback: what differs, with times measured now."""

from __future__ import annotations

from dataclasses import dataclass
from errno import EADDRINUSE, EAGAIN, EINPROGRESS
from socket import AF_INET, AF_UNIX

from ....model.credentials import PeerCredentials
from ....model.errors import errno_name
from ....model.experiment import Comparison
from ..experiment import Experiment
from ..measuring import Speed, measure
from ..shown import Address
from ..stage import Stage

LOOPBACK = ("127.0.0.1", 0)
"""Port 0: the kernel chooses one that is free."""


@dataclass(frozen=True, slots=True)
class _Found:
    """What the program found over one family, in words."""

    name: str
    client: str
    credentials: PeerCredentials
    who: str
    full: int
    bound_again: int


def _run(stage: Stage) -> None:
    with stage.scene("over a Unix socket"):
        unix = _program(stage, AF_UNIX, "hello.sock", full=EAGAIN)
    with stage.scene("over TCP"):
        internet = _program(stage, AF_INET, LOOPBACK, full=EINPROGRESS)
    stage.check("a Unix socket knows its client", unix.credentials.is_known, True)
    stage.check("a TCP socket knows its client", internet.credentials.is_known, False)
    rows = [
        ("the server's name", unix.name, internet.name),
        ("getpeername at the server", unix.client, internet.client),
        ("SO_PEERCRED at the server", unix.who, internet.who),
        ("connect, non-blocking, to a full queue", errno_name(unix.full), errno_name(internet.full)),
        (
            "bind again after the server closed first",
            f"{errno_name(unix.bound_again)}, until the file is unlinked",
            f"{errno_name(internet.bound_again)}, for a minute (TIME_WAIT)",
        ),
    ]
    if not stage.is_reproducible:
        rows += _times(measure(AF_UNIX, stage.names.path("speed.sock")), measure(AF_INET, LOOPBACK))
    stage.comparison = Comparison("The two side by side", ("", "Unix", "TCP"), tuple(rows))


def _program(stage: Stage, family: int, address: Address, *, full: int) -> _Found:
    server, client = stage.actor("server"), stage.actor("client")
    listener = server.socket(family=family)
    listener.bind(address)
    listener.listen(0)
    name: Address = listener.own_address()
    sock = client.socket(family=family)
    sock.connect(name)
    other = client.socket(family=family, non_blocking=True)
    found_full = other.connect(name, expect=full)
    other.close()
    conversation = listener.accept()
    peer = conversation.peer_name()
    credentials = conversation.peer_credentials()
    sock.write(b"hello\n")
    conversation.read(b"hello\n")
    conversation.close()
    sock.read(b"")
    sock.close()
    listener.close()
    again = server.socket(family=family)
    bound_again = again.bind(name, expect=EADDRINUSE)
    shown = stage.names.address(name)
    return _Found(shown, peer, credentials, conversation.who(credentials), found_full, bound_again)


def _times(unix: Speed, internet: Speed) -> list[tuple[str, str, str]]:
    def row(name: str, show: str, of_unix: float, of_internet: float) -> tuple[str, str, str]:
        return name, show.format(of_unix), show.format(of_internet)

    return [
        row(
            "1 byte there and 1 back (median)",
            "{:.1f} µs",
            unix.round_trip_s * 1e6,
            internet.round_trip_s * 1e6,
        ),
        row("throughput (median)", "{:.1f} GB/s", unix.bytes_per_s / 1e9, internet.bytes_per_s / 1e9),
    ]


EXPERIMENT = Experiment(
    name="unix-vs-internet",
    question="What is different from TCP on the same machine?",
    plan="The same program runs over a Unix socket and over TCP on 127.0.0.1; both are asked the same, and timed.",
    explanation=(
        "A Unix socket has a name in the file system, knows the process and the user at the other end, and says at once"
        " that a queue is full (EAGAIN); over TCP a client is an address and a port, its credentials are unknown, and"
        " connect goes on in the background (EINPROGRESS) until there is room."
        " Both refuse to bind the name again at once, for different reasons: the socket file is left and goes by unlink,"
        " the closed TCP connection stays for a minute (TIME_WAIT), which only servers that set SO_REUSEADDR ignore."
    ),
    manual_pages=("unix(7)", "tcp(7)", "ip(7)", "socket(7)"),
    run=_run,
)
