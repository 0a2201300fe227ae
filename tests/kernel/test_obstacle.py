"""Facts after a connect that failed: what is there, and where the way ends."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from typing import Any

import pytest

from afunix.kernel import obstacle
from afunix.model.address import Address
from afunix.model.ownership import FileKind
from afunix.model.refusal import Obstacle


def look(path: str, number: int) -> Obstacle:
    return obstacle.look(Address.pathname(path), number, wanted_type="stream")


def test_missing_file_in_a_free_way(sock_dir: str) -> None:
    seen = look(f"{sock_dir}/s", errno.ENOENT)
    assert (seen.kind, seen.obstructed, seen.link_target) == (FileKind.NOTHING, None, None)


def test_first_missing_directory_is_where_the_way_ends(sock_dir: str) -> None:
    assert look(f"{sock_dir}/a/b/s", errno.ENOENT).obstructed == f"{sock_dir}/a".encode()


def test_file_in_the_way(sock_dir: str) -> None:
    open(f"{sock_dir}/a", "w").close()
    assert look(f"{sock_dir}/a/s", errno.ENOTDIR).obstructed == f"{sock_dir}/a".encode()


def test_relative_path_is_walked_from_here(sock_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(sock_dir)
    assert look("s", errno.ENOENT).obstructed is None
    assert look("a/s", errno.ENOENT).obstructed == b"a"


def test_dangling_link_is_named_with_its_target(sock_dir: str) -> None:
    os.symlink("nowhere", f"{sock_dir}/s")
    assert look(f"{sock_dir}/s", errno.ENOENT).link_target == b"nowhere"


@pytest.mark.parametrize(("listens", "is_bound"), [(True, True), (False, True), (None, False)])
def test_socket_with_a_process_is_told_from_a_stale_one(
    sock_dir: str, listens: bool | None, is_bound: bool
) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"{sock_dir}/s")
        os.chmod(f"{sock_dir}/s", 0o640)
        if listens:
            sock.listen()
        if listens is None:
            sock.close()
        seen = look(f"{sock_dir}/s", errno.ECONNREFUSED)
        assert (seen.kind, seen.is_bound, seen.mode) == (FileKind.SOCKET, is_bound, 0o640)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody without rights")
def test_directory_that_may_not_be_searched_is_named(sock_dir: str, in_child: Callable[..., Any]) -> None:
    os.chmod(sock_dir, 0o755)
    os.mkdir(f"{sock_dir}/a", 0o700)
    seen = in_child(lambda: look(f"{sock_dir}/a/s", errno.EACCES), uid=65534)
    assert (seen.obstructed, seen.mode) == (f"{sock_dir}/a".encode(), 0o700)
    assert seen.owner == "root"
    assert seen.person.startswith("uid 65534")


def test_abstract_name_has_no_file() -> None:
    seen = obstacle.look(Address.abstract("x"), errno.ECONNREFUSED, wanted_type="stream", found_type="dgram")
    assert (seen.kind, seen.found_type) == (FileKind.NOTHING, "dgram")
