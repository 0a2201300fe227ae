"""--trace: the lines as one reads them in the man pages and in strace."""

from __future__ import annotations

import errno

import pytest

from afunix.formats.trace import TraceFormat
from afunix.model import events
from afunix.model.address import Address
from afunix.model.credentials import UNKNOWN_ID, PeerCredentials
from afunix.model.lifecycle import Call

PATH = Address.pathname("/run/app.sock")
PORT = Address.parse("tcp:[::1]:80")
NOBODY = PeerCredentials(None, UNKNOWN_ID, UNKNOWN_ID)
ANA = PeerCredentials(4121, 1000, 1000)

LINES: list[tuple[events.Event, str]] = [
    (events.Created(3, "SOCK_STREAM"), "socket(AF_UNIX, SOCK_STREAM) = 3"),
    (events.Created(3, "SOCK_STREAM", "AF_INET6"), "socket(AF_INET6, SOCK_STREAM) = 3"),
    (events.Bound(3, PATH), 'bind(3, "/run/app.sock")'),
    (events.Bound(3, Address.abstract("app")), 'bind(3, "@app")'),
    (events.Bound(3, Address.abstract(b"a\0\n")), 'bind(3, "unix-abstract:a%00%0A")'),
    (events.Bound(3, Address.pathname("a\x1b\n")), 'bind(3, "a^[^J")'),
    (events.Bound(3, Address.from_kernel("")), 'bind(3, "")'),
    (events.Listening(3, PATH, 4096), "listen(3, 4096)"),
    (events.Listening(3, PATH, 0, inherited=True), '(inherited) 3 is bound to "/run/app.sock"'),
    (events.Accepted(5, 3, 1, ANA), "accept(3) = 5  pid 4121 (afunix) uid 1000 (ana)"),
    (events.Accepted(5, 3, 1, NOBODY, PORT), "accept(3) = 5  from tcp:[::1]:80"),
    (
        events.ResetPassedOn(5, 1, 6, errno.ECONNRESET, False),
        "(5 is closed: the other end, 6, broke (ECONNRESET))",
    ),
    (
        events.ResetPassedOn(5, 1, 6, errno.ECONNRESET, True),
        "setsockopt(5, SO_LINGER, 0)  the other end, 6, broke (ECONNRESET): reset",
    ),
    (
        events.CommandStarted(5, 1, 4122, "/bin/a b\n", (0, 1)),
        'execve("/bin/a b^J") in 4122, whose 0 and 1 is 5',
    ),
    (events.CommandEnded(-1, 1, 4122, 3, "exit status 3"), "waitpid(4122) = 4122, exit status 3"),
    (events.Connected(3, PATH), 'connect(3, "/run/app.sock")'),
    (events.BytesRead(5, 6), "read(5) = 6"),
    (events.BytesRead(5, 0), "read(5) = 0 (end of file)"),
    (events.BytesWritten(5, 6), "write(5) = 6"),
    (events.DescriptorsSent(5, 1, 2), "sendmsg(5) = 1, 2 descriptors"),
    (events.DescriptorsReceived(5, 0, 1), "recvmsg(5) = 0, 1 descriptor"),
    (events.HalfClosed(5, events.Direction.SENDING), "shutdown(5, SHUT_WR)"),
    (events.HalfClosed(5, events.Direction.RECEIVING), "shutdown(5, SHUT_RD)"),
    (events.Unlinked(3, PATH, True), 'unlink("/run/app.sock")'),
    (events.Closed(5, 1, 6, 0), "close(5)"),
    (events.CallFailed(5, Call.READ, errno.ECONNRESET), "read(5) = -1 ECONNRESET"),
    (events.CallFailed(3, Call.CONNECT, errno.ENOENT, PATH), 'connect(3, "/run/app.sock") = -1 ENOENT'),
]

NO_CALLS: list[events.Event] = [
    events.StaleRemoved(3, PATH),
    events.LiveReplaced(3, PATH),
    events.Refused(3, ANA, "no rule allows it"),
    events.LineOpened(5, 1, 10, 10),
    events.WentIdle(5, 1, 2.0),
    events.PeerReset(5, 1),
    events.AcceptPaused(3, 0, "limit"),
    events.AcceptResumed(3),
    events.Unlinked(3, PATH, False),
    events.Stopping(-1, "SIGTERM"),
]

TRACE = TraceFormat({4121: "afunix", 7: "a\nb"}.get, {1000: "ana"}.get)


@pytest.mark.parametrize(("event", "line"), LINES)
def test_a_call_is_written(event: events.Event, line: str) -> None:
    assert TRACE.line(event) == line
    assert TRACE.is_call(event)


@pytest.mark.parametrize("event", NO_CALLS)
def test_what_is_no_call_has_no_line(event: events.Event) -> None:
    assert TRACE.line(event) is None
    assert not TRACE.is_call(event)


@pytest.mark.parametrize(
    ("peer", "described"),
    [
        (ANA, "pid 4121 (afunix) uid 1000 (ana)"),
        (PeerCredentials(5, 1001, 1), "pid 5 uid 1001"),
        (PeerCredentials(None, 1000, 1), "pid ? uid 1000 (ana)"),
        (PeerCredentials(7, 1001, 1), "pid 7 (a^Jb) uid 1001"),
        (PeerCredentials(4121, UNKNOWN_ID, UNKNOWN_ID), "somebody unknown"),
    ],
)
def test_a_peer_is_described_as_far_as_it_can_be_seen(peer: PeerCredentials, described: str) -> None:
    assert TRACE.describe(peer) == described
