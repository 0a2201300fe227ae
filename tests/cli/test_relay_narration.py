"""What `relay` tells beyond `serve`: why there is no connection, how often that is said, and whom the server sees."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from tests.servers import echo, serving

from afunix.cli.messages import Messages
from afunix.cli.relay_narration import RelayNarration
from afunix.kernel.channel import Channel
from afunix.model.address import Address
from afunix.model.errors import AddressError, DeniedError, NoSuchSocketError, TimedOutError
from afunix.model.events import Closed, Listening, PeerReset
from afunix.tools.relay import RelayResult, RelaySettings

Captured = pytest.CaptureFixture[str]
MISSING = NoSuchSocketError("nothing there", errno=errno.ENOENT)


class Clock:
    """A clock that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def narrate(
    directory: str, *, quiet: bool = False, verbose: bool = False, **settings: Any
) -> tuple[RelayNarration, Clock]:
    clock = Clock()
    ends = RelaySettings((Address.parse(f"{directory}/l"),), Address.parse(f"{directory}/up"), **settings)
    return RelayNarration(Messages(quiet=quiet, verbose=verbose), ends, clock=clock), clock


@pytest.fixture
def client() -> Iterator[Channel]:
    ours, theirs = socket.socketpair()
    with theirs:
        channel = Channel(ours, 7)
        yield channel
        channel.close()


def test_reason_is_what_check_finds_with_its_hint(sock_dir: str, client: Channel, capfd: Captured) -> None:
    narration, _ = narrate(sock_dir)
    narration.unreachable(client, MISSING)
    first, second = capfd.readouterr().err.splitlines()
    assert first.startswith(f"afunix: warning: client 7, pid {os.getpid()} ")
    assert first.endswith(f"gets no connection: '{sock_dir}/up' does not exist (ENOENT)")
    assert (
        second == f"afunix: hint: start its server; this waits for it: afunix check --wait 10s {sock_dir}/up"
    )


def test_time_that_was_waited_is_told_too(sock_dir: str, client: Channel, capfd: Captured) -> None:
    narration, _ = narrate(sock_dir)
    narration.unreachable(client, TimedOutError("not there within 3 s"))
    err = capfd.readouterr().err
    assert "gets no connection: not there within 3 s" in err
    assert "check --wait" in err


def test_error_speaks_where_check_finds_nothing_any_more(
    sock_dir: str, client: Channel, capfd: Captured
) -> None:
    narration, _ = narrate(sock_dir)
    with serving(f"{sock_dir}/up", echo):
        narration.unreachable(client, MISSING)
    assert "gets no connection: nothing there\n" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (AddressError("leads back to this relay", hint="the other one"), "leads back to this relay"),
        (OSError(errno.EMFILE, "Too many open files"), "too many open files (EMFILE)"),
    ],
)
def test_what_check_does_not_know_is_told_as_it_is(
    sock_dir: str, client: Channel, capfd: Captured, error: Exception, words: str
) -> None:
    narration, _ = narrate(sock_dir)
    narration.unreachable(client, error)
    assert f"gets no connection: {words}\n" in capfd.readouterr().err


def test_each_reason_is_told_at_once_and_then_once_a_second(
    sock_dir: str, client: Channel, capfd: Captured
) -> None:
    narration, clock = narrate(sock_dir)
    for _ in range(3):
        narration.unreachable(client, MISSING)
    narration.unreachable(client, OSError(errno.EMFILE, "Too many open files"))
    assert capfd.readouterr().err.count("no connection") == 2
    clock.now += 1
    narration.unreachable(client, MISSING)
    assert "(and 2 others before)" in capfd.readouterr().err
    narration.unreachable(client, MISSING)
    narration.finish()
    assert "warning: 1 more client got no connection: " in capfd.readouterr().err


@pytest.mark.parametrize(("others", "named"), [(1, False), (0, True)])
def test_what_is_said_of_the_rest_names_no_user_who_was_but_one_of_them(
    sock_dir: str, client: Channel, capfd: Captured, monkeypatch: pytest.MonkeyPatch, others: int, named: bool
) -> None:
    narration, _ = narrate(sock_dir, as_client=True)
    with serving(f"{sock_dir}/up", echo):
        narration.unreachable(client, DeniedError("only root can connect as ana", errno=errno.EPERM))
        capfd.readouterr()
        peer = replace(client.peer, uid=os.geteuid() + others)
        monkeypatch.setattr(Channel, "peer", property(lambda channel: peer))
        narration.unreachable(client, DeniedError("only root can connect as bob", errno=errno.EPERM))
        narration.finish()
    err = capfd.readouterr().err
    assert ("1 more client got no connection: only root can connect as ana" in err) is named
    assert ("1 more client, of other users too, got no connection for a like reason\n" in err) is not named


def test_quiet_says_nothing(sock_dir: str, client: Channel, capfd: Captured) -> None:
    narration, _ = narrate(sock_dir, quiet=True)
    narration.ready()
    narration.unreachable(client, MISSING)
    narration.finish()
    assert capfd.readouterr().err == ""


def test_root_is_warned_once_and_first(
    sock_dir: str, capfd: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    narration, _ = narrate(sock_dir, verbose=True)
    assert narration.observer is not None
    narration.observer(Listening(3, Address.parse("@l"), 5))
    narration.ready()
    lines = capfd.readouterr().err.splitlines()
    assert lines[0] == f"afunix: warning: '{sock_dir}/up' sees root for everybody, whoever the client is"
    assert lines[1].startswith("afunix: hint: --as-client")
    assert lines[2] == "afunix: listening on '@l' (descriptor 3)"
    assert len(lines) == 3


@pytest.mark.parametrize("verbose", [True, False])
def test_others_are_told_with_v_only(
    sock_dir: str, capfd: Captured, monkeypatch: pytest.MonkeyPatch, verbose: bool
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    narration, _ = narrate(sock_dir, verbose=verbose)
    narration.ready()
    words = f"afunix: '{sock_dir}/up' sees 54321 for everybody, whoever the client is\n"
    assert capfd.readouterr().err == (words if verbose else "")


def test_nothing_of_it_where_each_client_is_itself(sock_dir: str, capfd: Captured) -> None:
    narration, _ = narrate(sock_dir, verbose=True, as_client=True)
    narration.ready()
    assert capfd.readouterr().err == ""


def test_notes_tell_what_was_handed_on_each_way(sock_dir: str, capfd: Captured) -> None:
    narration, _ = narrate(sock_dir, verbose=True, as_client=True)
    assert narration.observer is not None
    narration.observer(PeerReset(5, 2))
    narration.pair_over(2, 1, 20)
    narration.observer(Closed(5, 2, 10, 20))
    narration.observer(Closed(6, 3, 10, 0))
    narration.tell_totals(RelayResult(served=2, moved=(10, 20)))
    assert capfd.readouterr().err == (
        "afunix: client 2: one of its two connections broke\n"
        "afunix: client 2 left: 1 byte up, 20 down\n"
        "afunix: client 3 left: 0 bytes up, 0 down\n"
        "afunix: 2 clients: 10 B up, 20 B down\n"
    )
