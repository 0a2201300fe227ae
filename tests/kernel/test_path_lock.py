"""The lock: one holder, nothing left behind, nobody else's file touched."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from afunix.kernel import path_lock
from afunix.kernel.pathname import Place, hold
from afunix.model.address import Address
from afunix.model.errors import DeniedError, TimedOutError

InChild = Callable[..., Any]


@pytest.fixture
def place(sock_dir: str) -> Iterator[Place]:
    place = hold(Address.pathname(f"{sock_dir}/s"))
    yield place
    place.close()


def test_the_lock_is_a_file_beside_that_is_there_only_while_it_is_held(sock_dir: str, place: Place) -> None:
    with path_lock.held(place):
        assert os.listdir(sock_dir) == [".s.lock"]
        assert os.lstat(f"{sock_dir}/.s.lock").st_mode & 0o777 == 0o600
    assert os.listdir(sock_dir) == []


def test_the_lock_is_let_go_when_its_block_fails(sock_dir: str, place: Place) -> None:
    with pytest.raises(KeyError), path_lock.held(place):
        raise KeyError
    assert os.listdir(sock_dir) == []


def test_the_lock_is_let_go_when_its_file_cannot_be_removed(
    sock_dir: str, place: Place, as_ordinary_user: InChild
) -> None:
    def hold_it_in_a_directory_that_is_closed_meanwhile() -> list[str]:
        before = os.listdir("/proc/self/fd")
        with pytest.raises(PermissionError), path_lock.held(place):
            os.chmod(sock_dir, 0o555)
        os.chmod(sock_dir, 0o700)
        return sorted(set(os.listdir("/proc/self/fd")) ^ set(before))

    assert as_ordinary_user(hold_it_in_a_directory_that_is_closed_meanwhile) == []
    with path_lock.held(place, patience_s=0):
        pass


def test_a_lock_file_left_by_a_process_that_was_killed_is_used_and_removed(
    sock_dir: str, place: Place
) -> None:
    with open(f"{sock_dir}/.s.lock", "w"):
        pass
    with path_lock.held(place):
        assert os.listdir(sock_dir) == [".s.lock"]
    assert os.listdir(sock_dir) == []


def test_who_waits_too_long_is_told(sock_dir: str, place: Place) -> None:
    with (
        path_lock.held(place),
        pytest.raises(TimedOutError, match=rf"holds the lock '{sock_dir}/\.s\.lock'"),
        path_lock.held(place, patience_s=0.01),
    ):
        pass
    assert os.listdir(sock_dir) == []


def test_two_never_hold_it_at_once(place: Place) -> None:
    inside, most, rounds = 0, 0, []

    def enter_often() -> None:
        nonlocal inside, most
        for _ in range(50):
            with path_lock.held(place):
                inside += 1
                most = max(most, inside)
                rounds.append(place.stat())  # a call that lets the other threads run
                inside -= 1

    threads = [threading.Thread(target=enter_often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, len(rounds)) == (1, 200)


def test_a_lock_that_was_unlinked_while_we_waited_is_not_taken_for_the_lock(
    sock_dir: str, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def lock_after_its_holder_let_go(fd: int) -> bool:
        tries.append(os.fstat(fd).st_ino)
        if len(tries) == 1:
            os.unlink(f"{sock_dir}/.s.lock")
            keep.append(os.open(f"{sock_dir}/.s.lock", os.O_CREAT | os.O_RDWR, 0o600))
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True

    keep: list[int] = []
    monkeypatch.setattr(path_lock, "_try_lock", lock_after_its_holder_let_go)
    with path_lock.held(place):
        assert tries[-1] == os.fstat(keep[0]).st_ino
    os.close(keep[0])
    assert len(tries) == 2


@pytest.mark.parametrize("kind", ["data", "directory", "link", "dangling link", "fifo"])
def test_what_has_its_name_and_is_no_lock_is_left_alone(sock_dir: str, place: Place, kind: str) -> None:
    path = f"{sock_dir}/.s.lock"
    _make(kind, path)
    before = os.lstat(path)
    with pytest.raises(DeniedError, match=r"\.s\.lock' is in the way"), path_lock.held(place):
        pytest.fail("the lock was given")
    assert os.path.samestat(os.lstat(path), before)
    assert os.lstat(path).st_size == before.st_size
    assert not os.path.exists(f"{sock_dir}/nowhere")


def test_where_it_cannot_be_made_the_directory_is_named(
    sock_dir: str, place: Place, as_ordinary_user: InChild
) -> None:
    os.chmod(sock_dir, 0o555)

    def claim() -> str:
        with pytest.raises(DeniedError) as caught, path_lock.held(place):
            pytest.fail("the lock was given")
        return str(caught.value)

    said = as_ordinary_user(claim)
    os.chmod(sock_dir, 0o700)
    assert "/.s.lock' cannot be made: the directory is not writable for uid " in said


@pytest.mark.skipif(os.getuid() != 0, reason="needs a second user")
def test_the_lock_of_another_user_is_not_broken(
    sock_dir: str, place: Place, as_ordinary_user: InChild
) -> None:
    def claim() -> int | None:
        with pytest.raises(DeniedError) as caught, path_lock.held(place, patience_s=0):
            pytest.fail("the lock was given")
        return caught.value.errno

    with path_lock.held(place):
        assert as_ordinary_user(claim) == errno.EACCES
        assert os.listdir(sock_dir) == [".s.lock"]


def _make(kind: str, path: str) -> None:
    if kind == "data":
        with open(path, "w") as file:
            file.write("4711\n")
    elif kind == "directory":
        os.mkdir(path)
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        os.symlink("/etc/hostname" if kind == "link" else "nowhere", path)
