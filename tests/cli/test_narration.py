"""What `serve` tells while it runs: the sentences, how loud, and how often."""

from __future__ import annotations

import errno
import os

import pytest

from afunix.cli.messages import Messages
from afunix.cli.narration import Narration
from afunix.kernel.names import comm_of, user_name
from afunix.model.address import Address
from afunix.model.credentials import PeerCredentials
from afunix.model.events import (
    Accepted,
    AcceptPaused,
    AcceptResumed,
    BytesRead,
    Closed,
    Created,
    Event,
    HostTrusted,
    LineOpened,
    LinkLost,
    LinkRestored,
    Listening,
    LiveReplaced,
    PairFailed,
    PeerReset,
    Refused,
    StaleRemoved,
    StdinFailed,
    Stopping,
    Unlinked,
    WentIdle,
)

PATH = Address.pathname("/run/a\x1bb.sock")
ME = PeerCredentials(os.getpid(), os.getuid(), os.getgid())
WHO = f"pid {ME.pid} ({comm_of(os.getpid())}) uid {ME.uid} ({user_name(ME.uid)})"
Captured = pytest.CaptureFixture[str]


class Clock:
    """A clock that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def narrate(*, quiet: bool = False, verbose: bool = False, trace: bool = False) -> tuple[Narration, Clock]:
    clock = Clock()
    return Narration(Messages(quiet=quiet, verbose=verbose), trace=trace, clock=clock), clock


def told(narration: Narration, *events: Event) -> None:
    assert narration.observer is not None
    for event in events:
        narration.observer(event)


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (Listening(3, PATH, 5), r"listening on '/run/a^[b.sock' (descriptor 3)"),
        (Listening(3, PATH, 0, inherited=True), r"listening on '/run/a^[b.sock' (descriptor 3, inherited)"),
        (Accepted(5, 3, 7, ME), f"client 7 came: {WHO}"),
        (Closed(5, 7, 10, 0), "client 7 left: 10 bytes received"),
        (Closed(5, 7, 10, 20), "client 7 left: 10 bytes received, 20 sent"),
        (PeerReset(5, 7), "client 7 broke off (ECONNRESET)"),
        (WentIdle(5, 7, 2.5), "client 7 was silent for 2.5 s and is closed"),
        (StaleRemoved(3, PATH), "removed the stale socket file '/run/a^[b.sock'"),
        (LiveReplaced(3, PATH), "took over the path '/run/a^[b.sock' from a live socket"),
        (Unlinked(3, PATH, True), "removed '/run/a^[b.sock'"),
        (Unlinked(3, PATH, False), "'/run/a^[b.sock' is no longer ours and was left alone"),
        (Stopping(-1, "SIGTERM"), "stopping: SIGTERM"),
    ],
)
def test_note_tells_what_happened(capfd: Captured, event: Event, words: str) -> None:
    narration, _ = narrate(verbose=True)
    told(narration, event)
    assert capfd.readouterr().err == f"afunix: {words}\n"


@pytest.mark.parametrize("event", [Created(3, "SOCK_STREAM"), Closed(3), BytesRead(5, 1)])
def test_calls_are_no_notes(capfd: Captured, event: Event) -> None:
    narration, _ = narrate(verbose=True)
    told(narration, event)
    assert capfd.readouterr().err == ""


def test_nobody_listens_to_events_that_nobody_wants_to_read() -> None:
    assert narrate()[0].observer is None
    assert narrate(quiet=True)[0].observer is None
    assert narrate(quiet=True, trace=True)[0].observer is not None


def test_trace_shows_calls_as_they_are_and_no_notes(capfd: Captured) -> None:
    narration, _ = narrate(trace=True)
    told(narration, Created(3, "SOCK_STREAM"), Accepted(5, 3, 1, ME), Stopping(-1, "SIGTERM"), Closed(5, 1))
    assert capfd.readouterr().err == f"socket(AF_UNIX, SOCK_STREAM) = 3\naccept(3) = 5  {WHO}\nclose(5)\n"


def test_trace_and_notes_do_not_tell_the_same_twice(capfd: Captured) -> None:
    narration, _ = narrate(trace=True, verbose=True)
    told(narration, Accepted(5, 3, 1, ME), Stopping(-1, "SIGTERM"))
    assert capfd.readouterr().err == f"accept(3) = 5  {WHO}\nafunix: stopping: SIGTERM\n"


def test_refusals_are_one_line_and_then_one_a_second_with_a_count(capfd: Captured) -> None:
    narration, clock = narrate()
    for _ in range(10):
        narration.alert(Refused(3, ME, "denied by 'any'"))
    clock.now += 1.0
    narration.alert(Refused(3, ME, "denied by 'any'"))
    narration.alert(Refused(3, ME, "denied by 'any'"))
    narration.finish()
    line = f"afunix: warning: refused {WHO}: denied by 'any'"
    assert capfd.readouterr().err == (
        f"{line}\n{line} (and 9 others before)\nafunix: warning: refused 1 more\n"
    )


def test_somebody_unknown_is_refused_without_numbers(capfd: Captured) -> None:
    narration, _ = narrate()
    narration.alert(Refused(3, PeerCredentials(None, 0xFFFFFFFF, 0xFFFFFFFF), "no rule allows it"))
    assert capfd.readouterr().err == "afunix: warning: refused somebody unknown: no rule allows it\n"


def test_shortage_is_a_warning_with_the_next_step(capfd: Captured) -> None:
    narration, _ = narrate()
    narration.alert(AcceptPaused(-1, 24, "Too many open files (EMFILE)"))
    assert capfd.readouterr().err == (
        "afunix: warning: accepting no clients for now: too many open files (EMFILE);"
        " they wait in the backlog\n"
        "afunix: hint: 'ulimit -n' sets how many descriptors a process may have\n"
    )


def test_shortage_of_processes_has_its_own_next_step(capfd: Captured) -> None:
    narration, _ = narrate()
    narration.alert(AcceptPaused(-1, 11, "no process can be started (EAGAIN)"))
    assert capfd.readouterr().err == (
        "afunix: warning: accepting no clients for now: no process can be started (EAGAIN);"
        " they wait in the backlog\n"
        "afunix: hint: 'ulimit -u' sets how many processes a user may have, pids.max how many a cgroup\n"
    )


def test_limit_of_ours_is_a_note(capfd: Captured) -> None:
    for narration, words in (
        (narrate()[0], ""),
        (
            narrate(verbose=True)[0],
            "afunix: new clients wait: 2 clients are connected, the limit\nafunix: accepting clients again\n",
        ),
    ):
        narration.alert(AcceptPaused(-1, 0, "2 clients are connected, the limit"))
        narration.alert(AcceptResumed(-1))
        assert capfd.readouterr().err == words


def test_line_that_was_let_out_is_a_warning(capfd: Captured) -> None:
    narration, _ = narrate()
    narration.alert(LineOpened(5, 7, 100, 99))
    assert capfd.readouterr().err == (
        "afunix: warning: client 7 sent a line longer than 99 bytes: it passes as it comes\n"
        "afunix: hint: --max-line sets how much of a line is held\n"
    )


def test_line_that_was_let_out_for_want_of_room_is_told_as_that(capfd: Captured) -> None:
    narration, _ = narrate()
    narration.alert(LineOpened(5, 7, 100, 1000))
    assert capfd.readouterr().err == (
        "afunix: warning: client 7 sent 100 bytes of a line that pass as they come:"
        " all clients' unfinished lines together were more than 64 MiB\n"
        "afunix: hint: a smaller --max-line leaves room for more clients\n"
    )


def test_quiet_leaves_all_of_it_away(capfd: Captured) -> None:
    narration, _ = narrate(quiet=True)
    for event in (Refused(3, ME, "x"), AcceptPaused(-1, 24, "x"), LineOpened(5, 7, 100, 99)):
        narration.alert(event)
    narration.alert(Refused(3, ME, "x"))
    narration.finish()
    assert capfd.readouterr().err == ""


def test_inherited_sockets_of_other_names_are_told(capfd: Captured) -> None:
    narration, _ = narrate()
    narration.unmatched(PATH, 2)
    assert capfd.readouterr().err == (
        "afunix: warning: none of the 2 inherited sockets is bound to '/run/a^[b.sock': it is bound here\n"
    )


def test_directory_that_everybody_can_write_in_is_told(capfd: Captured, sock_dir: str) -> None:
    narration, _ = narrate()
    address = Address.pathname(f"{sock_dir}/s")
    narration.warn_of_directories([address])
    assert capfd.readouterr().err == ""
    os.chmod(sock_dir, 0o777)
    narration.warn_of_directories([address, Address.abstract(b"x")])
    assert "everybody can write in the directory of" in capfd.readouterr().err


def test_stdin_that_cannot_go_to_a_client_is_a_warning(capfd: Captured) -> None:
    narration, _ = narrate()
    narration.alert(StdinFailed(7, 2, errno.EMSGSIZE, "Message too long"))
    told_words = capfd.readouterr().err
    assert told_words == "afunix: warning: STDIN goes no further to client 2: message too long (EMSGSIZE)\n"


def test_a_relayed_connection_that_cannot_go_on_is_a_warning_and_many_are_counted(capfd: Captured) -> None:
    narration, clock = narrate()
    for connection in (1, 2, 3):
        narration.alert(PairFailed(7, connection, errno.EOPNOTSUPP, "descriptors were sent"))
    assert capfd.readouterr().err == (
        "afunix: warning: client 1 was cut off: descriptors were sent\n"
        "afunix: hint: --pass-fds passes descriptors on\n"
    )
    clock.now += 2
    narration.alert(PairFailed(7, 0, errno.EMFILE, "no more can be opened"))
    assert "a datagram was left out: no more can be opened (and 2 others before)" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("is_changed", "saved_in", "reason", "words"),
    [
        (
            False,
            "/k",
            "",
            "is not known (SHA256:x), and the host is used all the same; '/k' has the key from now on:",
        ),
        (False, "", "No space", "all the same; the key could not be written down: no space: ssh's"),
        (
            True,
            "",
            "",
            "THE HOST KEY OF 'box' HAS CHANGED (SHA256:x), and the host is used all the same: ssh's",
        ),
    ],
)
def test_host_that_is_believed_is_a_warning(
    capfd: Captured, is_changed: bool, saved_in: str, reason: str, words: str
) -> None:
    narration, _ = narrate()
    far = Address.parse("ssh:box:/run/a")
    narration.alert(HostTrusted(-1, far, "box", "SHA256:x", is_changed, saved_in, reason))
    assert words in capfd.readouterr().err


def test_ssh_connection_that_broke_is_a_warning_and_its_return_a_note(capfd: Captured) -> None:
    narration, _ = narrate(verbose=True)
    far = Address.parse("ssh:box:/run/a")
    narration.alert(LinkLost(-1, far, "Connection lost"))
    narration.alert(LinkRestored(-1, far))
    assert capfd.readouterr().err == (
        "afunix: warning: 'ssh:box:/run/a': the ssh connection broke: connection lost\n"
        "afunix: 'ssh:box:/run/a': the ssh connection is back\n"
    )
