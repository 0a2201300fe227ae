"""Keeping a path: it is removed if it is still ours, by the process that made it, and nothing else ever is."""

from __future__ import annotations

import errno
import os
import resource
import socket
from collections.abc import Callable
from typing import Any

import pytest

from afunix.kernel import path_lock, socket_file
from afunix.model.address import Address
from afunix.model.errors import AddressError, AddressInUseError, DeniedError

Claim = Callable[..., tuple[socket.socket, socket_file.SocketFile]]
NewSocket = Callable[..., socket.socket]
InChild = Callable[..., Any]


def test_our_own_path_is_removed_once(sock_dir: str, claim: Claim) -> None:
    _, file = claim(f"{sock_dir}/s")
    assert file.is_ours()
    assert file.remove() is True
    assert os.listdir(sock_dir) == []
    assert file.remove() is False
    assert not file.is_ours()


def test_its_identity_is_that_of_the_file(sock_dir: str, claim: Claim) -> None:
    _, file = claim(f"{sock_dir}/s")
    found = os.lstat(f"{sock_dir}/s")
    assert (file.device, file.inode, file.pid) == (found.st_dev, found.st_ino, os.getpid())
    assert file.address == Address.pathname(f"{sock_dir}/s")


def test_a_chmod_or_another_link_does_not_make_it_foreign(sock_dir: str, claim: Claim) -> None:
    _, file = claim(f"{sock_dir}/s")
    os.chmod(f"{sock_dir}/s", 0o777)
    os.link(f"{sock_dir}/s", f"{sock_dir}/alias")
    assert file.remove() is True
    assert os.listdir(sock_dir) == ["alias"]


def test_a_path_that_is_gone_is_no_error(sock_dir: str, claim: Claim) -> None:
    _, file = claim(f"{sock_dir}/s")
    os.unlink(f"{sock_dir}/s")
    assert file.remove() is False
    assert os.listdir(sock_dir) == []


@pytest.mark.parametrize("kind", ["socket", "file", "directory", "link"])
def test_what_took_the_place_of_our_file_is_left_alone(
    sock_dir: str, claim: Claim, new_socket: NewSocket, kind: str
) -> None:
    path = f"{sock_dir}/s"
    _, file = claim(path)
    os.rename(path, f"{sock_dir}/moved")
    _put(kind, path, new_socket)
    before = os.lstat(path)
    assert not file.is_ours()
    assert file.remove() is False
    assert os.path.samestat(os.lstat(path), before)
    assert sorted(os.listdir(sock_dir)) == ["moved", "s"]


def test_the_socket_of_a_successor_is_left_alone(sock_dir: str, claim: Claim) -> None:
    old, old_file = claim(f"{sock_dir}/s")
    old.listen()
    assert old_file.remove()
    new, new_file = claim(f"{sock_dir}/s")
    new.listen()
    assert old_file.remove() is False
    assert new_file.is_ours()


def test_what_is_put_there_while_we_wait_for_the_lock_is_left_alone(
    sock_dir: str, claim: Claim, new_socket: NewSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"{sock_dir}/s"
    _, file = claim(path)
    acquire = path_lock._acquire

    def acquire_late(*arguments: Any) -> int:
        os.rename(path, f"{sock_dir}/moved")
        new_socket().bind(path)
        return acquire(*arguments)

    monkeypatch.setattr(path_lock, "_acquire", acquire_late)
    assert file.remove() is False
    assert sorted(os.listdir(sock_dir)) == ["moved", "s"]


def test_the_path_is_removed_under_the_lock(sock_dir: str, claim: Claim) -> None:
    _, file = claim(f"{sock_dir}/s")
    seen: list[list[str]] = []
    unlink = os.unlink

    def watching(*arguments: Any, **options: Any) -> None:
        seen.append(sorted(os.listdir(sock_dir)))
        unlink(*arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "unlink", watching)
        assert file.remove()
    assert seen == [[".s.lock", "s"], [".s.lock"]]


def test_chdir_does_not_matter(sock_dir: str, claim: Claim, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(sock_dir)
    _, file = claim("s")
    os.mkdir("other")
    os.chdir("other")
    with open("s", "w"):
        pass
    assert file.remove() is True
    assert os.listdir(sock_dir) == ["other"]
    assert os.listdir(".") == ["s"]


def test_a_renamed_directory_does_not_matter(sock_dir: str, claim: Claim) -> None:
    os.mkdir(f"{sock_dir}/one")
    _, file = claim(f"{sock_dir}/one/s")
    os.rename(f"{sock_dir}/one", f"{sock_dir}/two")
    os.mkdir(f"{sock_dir}/one")
    with open(f"{sock_dir}/one/s", "w"):
        pass
    assert file.remove() is True
    assert os.listdir(f"{sock_dir}/two") == []
    assert os.listdir(f"{sock_dir}/one") == ["s"]


def test_a_directory_that_was_removed_is_no_error(sock_dir: str, claim: Claim) -> None:
    os.mkdir(f"{sock_dir}/one")
    _, file = claim(f"{sock_dir}/one/s")
    os.unlink(f"{sock_dir}/one/s")
    os.rmdir(f"{sock_dir}/one")
    assert file.remove() is False


def test_a_forked_child_removes_nothing(sock_dir: str, claim: Claim, in_child: InChild) -> None:
    _, file = claim(f"{sock_dir}/s")
    assert in_child(lambda: (file.is_ours(), file.remove())) == (False, False)
    assert file.is_ours()


def test_a_disowned_file_stays(sock_dir: str, claim: Claim) -> None:
    _, file = claim(f"{sock_dir}/s")
    file.disown()
    assert file.remove() is False
    assert os.listdir(sock_dir) == ["s"]


def test_closing_leaves_the_file_and_can_be_repeated(sock_dir: str, claim: Claim) -> None:
    _, file = claim(f"{sock_dir}/s")
    file.close()
    file.close()
    assert not file.is_ours()
    assert file.remove() is False
    assert os.listdir(sock_dir) == ["s"]


def test_the_path_of_a_closed_socket_is_removed_when_that_is_asked_for(sock_dir: str, claim: Claim) -> None:
    sock, file = claim(f"{sock_dir}/s")
    assert not file.remove_if_stale()
    sock.close()
    assert file.remove_if_stale()
    assert os.listdir(sock_dir) == []
    assert not file.remove_if_stale()


def test_a_closed_socket_of_somebody_else_is_left_alone(sock_dir: str, claim: Claim) -> None:
    _, file = claim(f"{sock_dir}/s")
    os.rename(f"{sock_dir}/s", f"{sock_dir}/away")
    claim(f"{sock_dir}/s")[0].close()
    assert not file.remove_if_stale()
    assert os.path.lexists(f"{sock_dir}/s")


def test_a_forgotten_file_closes_its_directory(sock_dir: str, new_socket: NewSocket) -> None:
    before = len(os.listdir("/proc/self/fd"))
    socket_file.bind(new_socket(), Address.pathname(f"{sock_dir}/s"))
    assert len(os.listdir("/proc/self/fd")) == before + 1  # the socket's


def test_a_stop_without_descriptors_removes_the_path(sock_dir: str, claim: Claim, in_child: InChild) -> None:
    def run_short_and_remove() -> bool:
        sock = socket.socket(socket.AF_UNIX)
        file = socket_file.bind(sock, Address.pathname(f"{sock_dir}/s"))
        assert file is not None
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
        return file.remove()

    assert in_child(run_short_and_remove) is True
    assert os.listdir(sock_dir) == []


def test_a_stop_does_not_wait_for_a_lock_that_is_stuck(
    sock_dir: str, claim: Claim, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_file, "_REMOVE_PATIENCE_S", 0.01)
    sock, file = claim(f"{sock_dir}/s")
    place = file._place
    assert place is not None
    with path_lock.held(place):
        assert file.remove() is True
    assert os.listdir(sock_dir) == []
    assert sock.fileno() >= 0


def test_a_path_that_may_not_be_removed_any_more_is_an_error(
    sock_dir: str, as_ordinary_user: InChild, new_socket: NewSocket
) -> None:
    def serve_and_stop() -> str:
        file = socket_file.bind(new_socket(), Address.pathname(f"{sock_dir}/s"))
        assert file is not None
        os.chmod(sock_dir, 0o500)
        with pytest.raises(DeniedError) as caught:
            file.remove()
        os.chmod(sock_dir, 0o700)
        assert file.is_ours()
        return str(caught.value)

    said = as_ordinary_user(serve_and_stop)
    assert said.startswith(f"the socket file '{sock_dir}/s' cannot be removed by uid ")
    assert said.endswith("(EACCES)")


def test_an_abstract_name_has_no_file(sock_dir: str, new_socket: NewSocket) -> None:
    sock = new_socket()
    called = []
    name = f"afunix-test-{os.getpid()}"
    assert socket_file.bind(sock, Address.abstract(name), ready=lambda: called.append(1)) is None
    assert sock.getsockname() == b"\0" + name.encode()
    assert called == [1]


def test_any_bytes_make_an_abstract_name(new_socket: NewSocket) -> None:
    name = b"\0\xff\n" + str(os.getpid()).encode()
    sock = new_socket()
    socket_file.bind(sock, Address.abstract(name))
    assert sock.getsockname() == b"\0" + name


def test_a_taken_abstract_name_is_refused_with_its_holder(new_socket: NewSocket) -> None:
    address = Address.abstract(f"afunix-test-{os.getpid()}")
    socket_file.bind(new_socket(), address)
    with pytest.raises(AddressInUseError, match=rf"pid {os.getpid()} \(.+\) holds it") as caught:
        socket_file.bind(new_socket(), address)
    assert caught.value.errno == errno.EADDRINUSE


@pytest.mark.parametrize("written", ["fd:3", "tcp:localhost:80", "-"])
def test_what_is_no_name_of_a_unix_socket_is_refused(new_socket: NewSocket, written: str) -> None:
    with pytest.raises(AddressError, match="is not the name of a Unix socket"):
        socket_file.bind(new_socket(), Address.parse(written))


def test_a_world_writable_parent_is_a_fact(sock_dir: str) -> None:
    address = Address.pathname(f"{sock_dir}/s")
    assert not socket_file.is_parent_world_writable(address)
    os.chmod(sock_dir, 0o1777)
    assert socket_file.is_parent_world_writable(address)


@pytest.mark.parametrize("written", ["@name", "/nowhere/at/all", "fd:3"])
def test_a_parent_that_is_not_there_is_not_world_writable(written: str) -> None:
    assert not socket_file.is_parent_world_writable(Address.parse(written))


def test_the_parent_of_a_bare_name_is_where_we_stand(sock_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(sock_dir)
    os.chmod(sock_dir, 0o777)
    assert socket_file.is_parent_world_writable(Address.pathname("s"))


def _put(kind: str, path: str, new_socket: NewSocket) -> None:
    if kind == "socket":
        new_socket().bind(path)
    elif kind == "file":
        with open(path, "w") as file:
            file.write("precious")
    elif kind == "directory":
        os.mkdir(path)
    else:
        os.symlink("moved", path)
