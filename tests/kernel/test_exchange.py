"""Two names are swapped in one step, and a name is moved only to where nothing is."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from afunix.kernel.exchange import exchange, move


@pytest.fixture
def directory(sock_dir: str) -> Iterator[int]:
    fd = os.open(sock_dir, os.O_PATH)
    yield fd
    os.close(fd)


def make(sock_dir: str, *names: str) -> None:
    for name in names:
        Path(sock_dir, name).write_text(name)


def test_each_name_leads_to_what_the_other_led_to(sock_dir: str, directory: int) -> None:
    make(sock_dir, "a", "b")
    exchange(directory, b"a", directory, b"b")
    assert (Path(sock_dir, "a").read_text(), Path(sock_dir, "b").read_text()) == ("b", "a")


def test_the_names_may_be_in_two_directories(sock_dir: str, directory: int) -> None:
    os.mkdir(f"{sock_dir}/d")
    make(sock_dir, "a", "d/b")
    below = os.open(f"{sock_dir}/d", os.O_PATH)
    try:
        exchange(directory, b"a", below, b"b")
    finally:
        os.close(below)
    assert (Path(sock_dir, "a").read_text(), Path(sock_dir, "d/b").read_text()) == ("d/b", "a")


def test_at_no_moment_is_a_name_missing(sock_dir: str, directory: int) -> None:
    make(sock_dir, "a", "b")
    missing = []
    is_over = threading.Event()

    def look() -> None:
        while not is_over.is_set():
            for name in ("a", "b"):
                if not os.path.lexists(f"{sock_dir}/{name}"):
                    missing.append(name)

    thread = threading.Thread(target=look)
    thread.start()
    for _ in range(2000):
        exchange(directory, b"a", directory, b"b")
    is_over.set()
    thread.join()
    assert not missing


@pytest.mark.parametrize("there", ["a", "b"])
def test_with_one_name_missing_nothing_is_changed(sock_dir: str, directory: int, there: str) -> None:
    make(sock_dir, there)
    with pytest.raises(FileNotFoundError):
        exchange(directory, b"a", directory, b"b")
    assert os.listdir(sock_dir) == [there]


def test_a_move_replaces_nothing(sock_dir: str, directory: int) -> None:
    make(sock_dir, "a", "b")
    with pytest.raises(FileExistsError) as raised:
        move(directory, b"a", b"b")
    assert raised.value.errno == errno.EEXIST
    assert Path(sock_dir, "b").read_text() == "b"


def test_a_move_renames(sock_dir: str, directory: int) -> None:
    make(sock_dir, "a")
    move(directory, b"a", b"b")
    assert os.listdir(sock_dir) == ["b"]
