"""What `tap` tells of the names, of clients that get no connection, and of what is not recorded."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from afunix.cli.messages import Messages
from afunix.cli.tap_narration import AS_ME_HINT, TapNarration
from afunix.kernel.channel import Channel
from afunix.model.address import Address
from afunix.model.errors import AddressError, DeniedError, OutputError
from afunix.model.standing import Standing
from afunix.model.tap_notices import (
    GuardianReplaced,
    LeftoverMended,
    NotBack,
    PathChanged,
    ServerGone,
    SteppedBack,
    SteppedIn,
)
from afunix.tools.relay_settings import RelaySettings
from afunix.tools.tap_audience import AudienceSettings, Outlet

Captured = pytest.CaptureFixture[str]
PATH = "/run/s"


def narrate(
    path: str = PATH, *, is_strict: bool = False, write: str | None = None, **more: Any
) -> TapNarration:
    ends = RelaySettings((), Address.parse(path), **{"as_client": True, **more})
    return TapNarration(Messages(verbose=True), ends, AudienceSettings(write=write), is_strict=is_strict)


def told(capfd: Captured) -> str:
    return capfd.readouterr().err.replace("afunix: ", "")


@pytest.fixture
def client() -> Iterator[Channel]:
    ours, theirs = socket.socketpair()
    with theirs:
        channel = Channel(ours, 7)
        yield channel
        channel.close()


# The names


def test_second_name_is_told_when_it_has_stepped_in(capfd: Captured) -> None:
    narrate().notice(SteppedIn(PATH, "/run/s.tapped"))
    words = "in front of '/run/s' until stopped (Ctrl-C); meanwhile its server's socket is '/run/s.tapped'\n"
    assert told(capfd) == words


def test_others_are_warned_for_who_will_be_refused(
    sock_dir: str, capfd: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot() -> None:
        raise DeniedError("no")

    monkeypatch.setattr("afunix.kernel.as_client.must_be_able", cannot)
    os.close(os.open(f"{sock_dir}/2", os.O_CREAT))
    for mode, is_warned in ((0o600, False), (0o620, True), (0o602, True)):
        os.chmod(f"{sock_dir}/2", mode)
        narrate().notice(SteppedIn(PATH, f"{sock_dir}/2"))
        assert ("warning: clients of other users are refused meanwhile" in told(capfd)) is is_warned


def test_stepping_back_is_told_with_the_conversations_that_go_on(capfd: Captured) -> None:
    narrate().notice(SteppedBack(PATH, Standing.BACK, 2))
    assert told(capfd).splitlines() == [
        "'/run/s' leads to its server again",
        "2 connections through here go on until they end; a second signal cuts them short",
    ]
    narrate(drain_s=5.0).notice(SteppedBack(PATH, Standing.REMOVED, 1))
    assert told(capfd) == (
        "1 connection through here goes on until it ends, for at most 5 s; a second signal cuts it short\n"
    )
    narrate().notice(SteppedBack(PATH, Standing.REMOVED, 0))
    assert told(capfd) == ""


def test_path_that_cannot_be_put_back_comes_with_the_command_that_does(capfd: Captured) -> None:
    narrate().notice(NotBack(PATH, "/run/s.tapped", "Read-only file system"))
    words, hint = told(capfd).splitlines()
    assert words.startswith(
        "warning: '/run/s' still leads here, and cannot be put back: read-only file system"
    )
    assert hint == "hint: 'mv /run/s.tapped /run/s' puts it back"


@pytest.mark.parametrize(
    ("notice", "words"),
    [
        (ServerGone(PATH), "nobody listens at '/run/s' any more"),
        (PathChanged(PATH, Standing.REMOVED), "somebody has removed '/run/s' while it was tapped"),
        (PathChanged(PATH, Standing.REPLACED), "somebody has put another file at '/run/s' while it was"),
        (PathChanged(PATH, Standing.ALONE), "somebody has removed the server's socket beside '/run/s'"),
        (PathChanged(PATH, Standing.BACK), "somebody has changed '/run/s'"),
    ],
)
def test_what_others_do_to_the_path_is_the_end_with_status_4(notice: Any, words: str) -> None:
    narration = narrate()
    narration.notice(notice)
    assert narration.end is not None
    assert narration.end.words.startswith(words)
    assert narration.end.status == 4


def test_mended_leftovers_and_killed_guardians_are_warned_of(capfd: Captured) -> None:
    narration = narrate()
    narration.notice(LeftoverMended(PATH))
    assert told(capfd).startswith("warning: '/run/s' led to a tap that had been killed")
    narration.notice(GuardianReplaced(412))
    assert "pid 412 does so now" in told(capfd)


# Who gets no connection


def test_client_whom_we_cannot_be_is_told_of_with_the_ways_out(client: Channel, capfd: Captured) -> None:
    narrate().unreachable(client, DeniedError("may not connect as uid 9", errno=errno.EPERM))
    assert (
        told(capfd).splitlines()[1] == "hint: run it as root, or --as-me makes every client you to the server"
    )


def test_reason_names_the_path_and_not_what_is_dialled(client: Channel, capfd: Captured) -> None:
    narrate().unreachable(client, AddressError("'/proc/self/fd/9' is of no use"))
    assert told(capfd).endswith("gets no connection: '/run/s' is of no use\n")


def test_identity_is_told_where_it_is_ours_for_everybody(capfd: Captured) -> None:
    narrate(as_client=False).ready()
    lines = told(capfd).splitlines()
    assert "'/run/s' sees " in lines[0]
    assert os.geteuid() != 0 or lines[1] == f"hint: {AS_ME_HINT}"
    narrate().ready()
    assert told(capfd) == ""


# What is not shown or recorded

SLOW = OutputError("recording 'f' is too slow", errno=errno.ENOBUFS)
FULL = OutputError("recording 'f' stopped: no space left on device (ENOSPC)", hint="h", errno=errno.ENOSPC)


def test_recording_that_stops_is_warned_of_and_does_not_end_it(capfd: Captured) -> None:
    narration = narrate(write="f")
    narration.trouble(Outlet.FILE, FULL)
    assert told(capfd).splitlines()[0] == f"warning: {FULL}; the conversations go on"
    assert not narration.ends_with(Outlet.FILE)


def test_slow_stdout_is_warned_of_and_a_broken_one_ends_it(capfd: Captured) -> None:
    narration = narrate()
    narration.trouble(Outlet.VIEW, SLOW)
    assert told(capfd).startswith("warning: STDOUT takes too little")
    assert not narration.ends_with(Outlet.VIEW)
    narration.trouble(Outlet.VIEW, FULL)
    assert told(capfd) == ""
    assert narration.ends_with(Outlet.VIEW)


@pytest.mark.parametrize(
    ("outlet", "error", "words"),
    [
        (Outlet.FILE, FULL, f"error: {FULL}"),
        (Outlet.VIEW, SLOW, "error: STDOUT takes too little"),
        (Outlet.VIEW, FULL, "error: cannot write to STDOUT: no space left on device (ENOSPC)"),
        (Outlet.VIEW, OutputError("gone", errno=errno.EPIPE), "nobody reads STDOUT any more (EPIPE)"),
    ],
)
def test_why_it_ends_comes_before_what_goes_on(
    outlet: Outlet, error: OutputError, words: str, capfd: Captured
) -> None:
    narration = narrate(is_strict=True, write="f")
    narration.trouble(outlet, error)
    narration.notice(SteppedBack(PATH, Standing.REMOVED, 1))
    lines = told(capfd).splitlines()
    assert lines[0] == words
    assert lines[-1] == "1 connection through here goes on until it ends; a signal cuts it short"
    assert narration.is_end_told


def test_end_by_itself_is_told_before_what_goes_on(capfd: Captured) -> None:
    narration = narrate()
    narration.notice(ServerGone(PATH))
    narration.notice(SteppedBack(PATH, Standing.BACK, 1))
    assert "nobody listens at '/run/s' any more" in told(capfd).splitlines()[1]


def test_fifo_without_a_reader_is_told_of_and_with_strict_a_trouble(capfd: Captured) -> None:
    missing = OutputError("nobody reads the FIFO 'f' (ENXIO)", errno=errno.ENXIO)
    narrate(write="f").waits_for_reader(missing)
    assert told(capfd) == f"warning: {missing}: the recording waits for a reader\n"
    strict = narrate(write="f", is_strict=True)
    strict.waits_for_reader(missing)
    assert (told(capfd), strict.ends_with(Outlet.FILE)) == ("", True)
    narrate(write="f").trouble(Outlet.FILE, missing)
    assert told(capfd) == ""


@pytest.mark.parametrize("error", [SLOW, FULL])
def test_with_strict_each_trouble_ends_it(error: OutputError, capfd: Captured) -> None:
    narration = narrate(is_strict=True, write="f")
    narration.trouble(Outlet.FILE, error)
    assert told(capfd) == ""
    assert narration.ends_with(Outlet.FILE)
