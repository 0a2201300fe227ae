"""A guardian acts when its tap has gone, does nothing when it is dismissed, and touches no name once the path is back."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest
from tests.program import PATIENCE_S
from tests.tapping import wait_until

from afunix.kernel.front import Front
from afunix.kernel.listener import Listener
from afunix.model.address import Address
from afunix.model.errors import AfunixError, DeniedError
from afunix.tools import tap_guardian
from afunix.tools.tap_beside import open_beside, step_in
from afunix.tools.tap_guardian import Guardian, not_back, through
from afunix.tools.tap_place import find


class Scene:
    """A server at `path`, and we are in front of it."""

    def __init__(self, path: str, server: socket.socket, listener: Listener, front: Front) -> None:
        self.path = path
        self.server = server
        self.listener = listener
        self.front = front
        self.directory = os.path.dirname(path)

    def guardian(self) -> Guardian:
        return Guardian(self.front, self.listener.socket, as_client=False)

    @property
    def is_back(self) -> bool:
        return os.listdir(self.directory) == ["s"] and os.lstat(self.path).st_ino == self.front.theirs.inode


@pytest.fixture
def scene(sock_dir: str) -> Iterator[Scene]:
    path = f"{sock_dir}/s"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        server.settimeout(PATIENCE_S)
        with closing(find(Address.parse(path), print)) as target:
            listener, front = open_beside(target, None)
            step_in(front)
            with closing(listener):
                yield Scene(path, server, listener, front)
            os.close(front.our_pin)


def wait_for(guardian: Guardian) -> None:
    with suppress(OSError):
        os.waitpid(guardian.pid, 0)


def test_dismissed_it_changes_nothing(scene: Scene) -> None:
    scene.guardian().dismiss()
    assert os.lstat(scene.path).st_ino == scene.front.ours.inode


def test_left_alone_it_puts_the_path_back(scene: Scene, capfd: pytest.CaptureFixture[str]) -> None:
    guardian = scene.guardian()
    guardian.leave()
    wait_until(lambda: scene.is_back)
    wait_for(guardian)
    assert "has put" in capfd.readouterr().err


def test_who_waits_in_the_queue_is_served_by_it(scene: Scene) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE_S)
        client.connect(scene.path)
        guardian = scene.guardian()
        guardian.leave()
        with scene.server.accept()[0] as upstream:
            client.sendall(b"hello")
            assert upstream.recv(10) == b"hello"
    wait_for(guardian)


def test_once_the_path_is_back_it_touches_no_name(scene: Scene, capfd: pytest.CaptureFixture[str]) -> None:
    guardian = scene.guardian()
    scene.front.step_back()
    guardian.say_back()
    with socket.socket(socket.AF_UNIX) as other:  # as the next tap in front would have it
        other.bind(f"{scene.directory}/x")
        os.rename(scene.path, f"{scene.path}.tapped")
        os.rename(f"{scene.directory}/x", scene.path)
        guardian.leave()
        wait_for(guardian)
    assert sorted(os.listdir(scene.directory)) == ["s", "s.tapped"]
    assert capfd.readouterr().err == ""


def test_a_dismissal_after_its_end_does_no_harm(scene: Scene) -> None:
    guardian = scene.guardian()
    os.kill(guardian.pid, 9)
    wait_until(lambda: os.waitid(os.P_PID, guardian.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None)
    guardian.say_back()
    guardian.dismiss()


@pytest.mark.parametrize(
    ("start", "words"),
    [
        ("raise SystemExit(3)", "ended with exit status 3"),
        ("import os; os.kill(os.getpid(), 11)", "ended by SIGSEGV"),
        ("import os; os.kill(os.getpid(), 40)", "ended by signal 40"),
    ],
)
def test_one_that_does_not_start_is_an_error_that_says_how_it_ended(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, start: str, words: str
) -> None:
    monkeypatch.setattr(tap_guardian, "_START", start)
    with pytest.raises(AfunixError, match=words):
        scene.guardian()


def test_one_that_cannot_be_started_is_an_error(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nonexistent")
    with pytest.raises(AfunixError, match="does not start"):
        scene.guardian()


def test_one_that_does_not_get_ready_is_ended_and_that_is_not_called_its_end(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tap_guardian, "_START", "import signal; signal.pause()")
    monkeypatch.setattr(tap_guardian, "READY_PATIENCE_S", 0.01)
    with pytest.raises(AfunixError, match=r"not ready within 0\.01 s"):
        scene.guardian()


def test_what_leads_through_a_pin_needs_no_name(scene: Scene) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(through(scene.front.pin).name)
        scene.server.accept()[0].close()


def test_a_tap_that_left_was_not_killed(scene: Scene, capfd: pytest.CaptureFixture[str]) -> None:
    guardian = scene.guardian()
    guardian.leave()
    wait_for(guardian)
    assert "the tap has ended; its guardian has put" in capfd.readouterr().err


def test_why_the_path_cannot_be_put_back_has_the_errno_and_the_next_step(scene: Scene) -> None:
    error = not_back(scene.front, OSError(errno.EROFS, "no"))
    assert isinstance(error, DeniedError)
    assert f"{scene.path!r} cannot be put back (EROFS): expected" in error.message
    assert error.hint is not None and f"'mv {scene.path}.tapped {scene.path}'" in error.hint
