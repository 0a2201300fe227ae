"""Socket files in directories: found, told apart from everything else, and probed without a trace."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from afunix.kernel import socket_files
from afunix.kernel.socket_files import look_at, search, usual_directories, verdict_on
from afunix.model.ownership import Verdict


@pytest.fixture
def stale(sock_dir: str) -> str:
    path = f"{sock_dir}/stale.sock"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
    return path


@pytest.fixture
def live(sock_dir: str) -> Iterator[str]:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"{sock_dir}/live.sock")
        sock.listen()
        sock.setblocking(False)
        yield f"{sock_dir}/live.sock"
        with pytest.raises(BlockingIOError):
            sock.accept()  # nobody was ever connected


def found_in(*directories: str, **bounds: int) -> list[str]:
    return sorted(os.fsdecode(file.path) for file in search(map(os.fsencode, directories), **bounds).files)


def test_sockets_are_found_below_and_nothing_else(sock_dir: str, stale: str, live: str) -> None:
    os.makedirs(f"{sock_dir}/a/b")
    os.mkfifo(f"{sock_dir}/a/fifo")
    with open(f"{sock_dir}/a/file.sock", "w"):
        pass
    os.rename(stale, f"{sock_dir}/a/b/moved")
    assert found_in(sock_dir) == [f"{sock_dir}/a/b/moved", live]


def test_links_are_not_followed(sock_dir: str, stale: str) -> None:
    os.symlink(stale, f"{sock_dir}/link")
    os.symlink(sock_dir, f"{sock_dir}/round")
    assert found_in(sock_dir) == [stale]
    assert list(look_at([os.fsencode(f"{sock_dir}/link")])) == []


def test_a_search_ends_at_its_bound_and_says_where(sock_dir: str) -> None:
    for number in range(10):
        os.mkdir(f"{sock_dir}/{number}")
    cut = search([os.fsencode(sock_dir)], max_entries=5).cut_short
    assert cut == [os.fsencode(sock_dir)]


def test_each_directory_has_its_own_bound(sock_dir: str, stale: str) -> None:
    os.mkdir(f"{sock_dir}/full")
    os.mkdir(f"{sock_dir}/other")
    for number in range(10):
        os.mkdir(f"{sock_dir}/full/{number}")
    os.rename(stale, f"{sock_dir}/other/s")
    found = search([os.fsencode(f"{sock_dir}/{name}") for name in ("full", "other")], max_entries=5)
    assert [file.path for file in found.files] == [os.fsencode(f"{sock_dir}/other/s")]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every directory")
def test_a_directory_that_may_not_be_read_is_named(sock_dir: str) -> None:
    os.mkdir(f"{sock_dir}/private", 0)
    assert search([os.fsencode(sock_dir)]).unreadable == [os.fsencode(f"{sock_dir}/private")]


def test_a_directory_that_is_not_there_is_passed_over(sock_dir: str) -> None:
    assert found_in(f"{sock_dir}/no") == []


def test_what_a_file_is_worth_is_found_by_asking_it(stale: str, live: str) -> None:
    verdicts = [verdict_on(file) for file in look_at(map(os.fsencode, (stale, live)))]
    assert verdicts == [Verdict.STALE, Verdict.LIVE]


def test_a_file_that_was_replaced_since_is_not_judged(stale: str) -> None:
    (file,) = look_at([os.fsencode(stale)])
    os.rename(stale, stale + ".old")
    assert verdict_on(file) is Verdict.FREE
    with open(stale, "w"):
        pass
    assert verdict_on(file) is Verdict.FREE


def test_the_usual_directories_are_named_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/77")
    directories = usual_directories()
    assert len(directories) == len({os.path.realpath(path) for path in directories})
    assert b"/run" in directories
    assert b"/run/user/77" not in directories  # it is below /run


def test_a_runtime_directory_elsewhere_is_looked_into(monkeypatch: pytest.MonkeyPatch, sock_dir: str) -> None:
    monkeypatch.setattr(socket_files, "_SOME_SOCKETS_ARE_IN", (b"/run",))
    monkeypatch.setenv("XDG_RUNTIME_DIR", sock_dir)
    assert os.fsencode(os.path.realpath(sock_dir)) in usual_directories()
