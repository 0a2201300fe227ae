"""The inside of a process of the main story: its part, its reports, and its end when nobody listens any more."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest
from tests.program import PATIENCE_S, environment

from afunix.tools.demo.player import Part
from afunix.tools.demo.reporting import Failed, Told, decode

PLAY = "import sys; from afunix.tools.demo.player import play; play(sys.argv[1])"


def start(
    role: str,
    sock_dir: str,
    report_fd: int,
    *more_fds: int,
    sign_fd: int = -1,
    directory: str = "",
    preexec_fn: Callable[[], None] | None = None,
) -> subprocess.Popen[bytes]:
    part = Part(role, "s", report_fd, sign_fd, directory=directory)
    return subprocess.Popen(
        [sys.executable, "-c", PLAY, part.written()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=[report_fd, *more_fds],
        cwd=sock_dir,
        env=environment(),
        preexec_fn=preexec_fn,
    )


def read_reports(fd: int) -> list[Told | Failed]:
    with open(fd, "rb") as pipe:
        return [decode(line) for line in pipe]


def test_client_without_a_server_tells_each_call_and_why_it_failed(sock_dir: str) -> None:
    ours, theirs = os.pipe()
    with start("connect", sock_dir, theirs) as process:
        os.close(theirs)
        *told, failed = read_reports(ours)
    assert process.returncode == 0
    assert [type(it.event).__name__ for it in told if isinstance(it, Told)] == [
        "Created",
        "CallFailed",
        "Closed",
    ]
    assert isinstance(told[0], Told)
    assert told[0].event.fd == 3
    assert failed == Failed("'s' does not exist (ENOENT)", "start its server; '--wait 10s' waits for it")


def test_times_are_those_of_the_monotonic_clock(sock_dir: str) -> None:
    ours, theirs = os.pipe()
    with start("connect", sock_dir, theirs):
        os.close(theirs)
        times = [it.at for it in read_reports(ours) if isinstance(it, Told)]
    assert times == sorted(times)
    assert all(at > 0 for at in times)


def test_held_server_waits_for_its_sign_after_listen(sock_dir: str) -> None:
    ours, theirs = os.pipe()
    their_sign, sign = os.pipe()
    with start("serve", sock_dir, theirs, their_sign, sign_fd=their_sign) as process:
        os.close(theirs)
        os.close(their_sign)
        with open(ours, "rb") as pipe:
            names = [
                type(it.event).__name__
                for it in map(decode, (pipe.readline() for _ in range(3)))
                if isinstance(it, Told)
            ]
            os.write(sign, b".")
            process.terminate()
            rest = pipe.read()
        os.close(sign)
    assert names == ["Created", "Bound", "Listening"]
    assert rest.count(b'"Closed"') == 1
    assert process.returncode == 0


def test_process_whose_listener_is_gone_ends(sock_dir: str) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    with start("serve", sock_dir, theirs) as process:
        os.close(theirs)
        assert process.wait(PATIENCE_S) == -signal.SIGKILL
    assert os.path.isdir(sock_dir)


def test_server_that_waits_ends_with_its_listener_and_removes_its_directory(sock_dir: str) -> None:
    place = f"{sock_dir}/place"
    os.mkdir(place)
    ours, theirs = os.pipe()
    with start("serve", place, theirs, directory=place) as process:
        os.close(theirs)
        with open(ours, "rb") as pipe:
            while b"Listening" not in pipe.readline():
                pass
        assert process.wait(PATIENCE_S) == -signal.SIGKILL
    assert not os.path.exists(place)


@pytest.mark.parametrize("limit", [40, 100, 101])
def test_low_limit_of_descriptors_is_no_obstacle(sock_dir: str, limit: int) -> None:
    ours, theirs = os.pipe()

    def lower() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))

    with start("connect", sock_dir, theirs, preexec_fn=lower) as process:
        os.close(theirs)
        *told, failed = read_reports(ours)
    assert process.returncode == 0
    assert isinstance(told[0], Told)
    assert told[0].event.fd == 3
    assert isinstance(failed, Failed)
