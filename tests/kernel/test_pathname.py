"""Paths of every length, names of directories, NUL bytes, and what bind and connect are given."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any

import pytest

from afunix.kernel import socket_file
from afunix.kernel.pathname import hold, kernel_name
from afunix.model.address import Address, AddressKind
from afunix.model.errors import AddressError

Claim = Callable[..., tuple[socket.socket, socket_file.SocketFile]]


@pytest.mark.parametrize("length", [40, 106, 107, 108, 109, 110, 300, 4000])
def test_a_path_of_any_length_is_bound_reached_and_removed(
    sock_dir: str, claim: Claim, new_socket: Callable[..., socket.socket], length: int
) -> None:
    path = _path_of_length(sock_dir, length)
    sock, file = claim(path)
    sock.listen()
    with kernel_name(Address.pathname(path)) as name:
        new_socket().connect(name)
    assert _names_in(os.path.dirname(path)) == [os.path.basename(path)]
    assert file.remove()
    assert _names_in(os.path.dirname(path)) == []


@pytest.mark.parametrize("length", [106, 107])
def test_a_path_that_fits_is_bound_as_it_was_written(sock_dir: str, claim: Claim, length: int) -> None:
    path = _path_of_length(sock_dir, length)
    sock, _ = claim(path)
    assert sock.getsockname() == path


def test_a_stale_file_with_a_long_path_is_replaced(sock_dir: str, claim: Claim) -> None:
    path = _path_of_length(sock_dir, 300)
    claim(path)[0].close()
    assert claim(path)[1].is_ours()


def test_a_live_long_path_is_taken_over(sock_dir: str, claim: Claim) -> None:
    path = _path_of_length(sock_dir, 300)
    claim(path)
    assert claim(path, replace=True)[1].is_ours()
    assert _names_in(os.path.dirname(path)) == [os.path.basename(path)]


def test_a_long_file_name_in_a_short_path_needs_no_way_around(sock_dir: str, claim: Claim) -> None:
    path = f"{sock_dir}/{'n' * (106 - len(sock_dir))}"
    assert len(path) == 107
    assert claim(path)[0].getsockname() == path


def test_a_file_name_too_long_for_the_way_around_is_refused_with_the_lengths(
    sock_dir: str, claim: Claim
) -> None:
    with pytest.raises(AddressError) as caught:
        claim(f"{sock_dir}/{'n' * 95}")
    room = 107 - len(f"/proc/self/fd/{_next_descriptor()}/")
    assert str(caught.value) == (
        f"the file name '{'n' * 95}' is 95 bytes long; in a path of more than 107 bytes"
        f" (this one has {len(sock_dir) + 96}) it may have {room}"
    )
    assert caught.value.hint
    assert os.listdir(sock_dir) == []


@pytest.mark.parametrize("name", ["n" * 300, "d/" * 2500 + "s"])
def test_what_no_file_system_takes_is_refused(sock_dir: str, claim: Claim, name: str) -> None:
    with pytest.raises(AddressError, match="bytes long"):
        claim(f"{sock_dir}/{name}")
    with pytest.raises(AddressError, match="bytes long"), kernel_name(Address.pathname(f"{sock_dir}/{name}")):
        pass
    assert os.listdir(sock_dir) == []


def test_a_nul_byte_is_refused_and_nothing_is_created(sock_dir: str) -> None:
    address = Address(AddressKind.PATHNAME, os.fsencode(sock_dir) + b"/a\0b")
    with socket.socket(socket.AF_UNIX) as sock, pytest.raises(AddressError, match="NUL byte"):
        socket_file.bind(sock, address)
    with pytest.raises(AddressError, match="NUL byte"), kernel_name(address):
        pass
    assert os.listdir(sock_dir) == []


@pytest.mark.parametrize("written", ["/", ".", "..", "/tmp/", "/tmp/.", "a/.."])
def test_the_name_of_a_directory_is_refused(claim: Claim, written: str) -> None:
    with pytest.raises(AddressError, match="is the name of a directory"):
        claim(written)


def test_bytes_that_are_not_utf8_are_kept(sock_dir: str, claim: Claim) -> None:
    path = os.fsencode(sock_dir) + b"/\xff\n"
    assert os.fsencode(claim(path)[0].getsockname()) == path
    assert os.listdir(os.fsencode(sock_dir)) == [b"\xff\n"]


def test_a_short_path_and_an_abstract_name_need_no_descriptor() -> None:
    before = _next_descriptor()
    with kernel_name(Address.pathname("hello.sock")) as name:
        assert (name, _next_descriptor()) == (b"hello.sock", before)
    with kernel_name(Address.abstract(b"a\0b")) as name:
        assert (name, _next_descriptor()) == (b"\0a\0b", before)


def test_an_error_on_the_way_to_a_long_path_is_the_errno_of_connect(sock_dir: str) -> None:
    missing = Address.pathname(f"{sock_dir}/{'d' * 100}/s")
    with pytest.raises(FileNotFoundError), kernel_name(missing):
        pass


def test_a_place_is_the_same_directory_after_it_was_renamed(sock_dir: str) -> None:
    os.mkdir(f"{sock_dir}/one")
    place = hold(Address.pathname(f"{sock_dir}/one/s"))
    try:
        os.rename(f"{sock_dir}/one", f"{sock_dir}/two")
        assert place.stat() is None
        with open(f"{sock_dir}/two/s", "w"):
            pass
        assert place.stat() is not None
        place.unlink()
        place.unlink()
    finally:
        place.close()
    assert os.listdir(f"{sock_dir}/two") == []


def test_the_descriptor_of_a_place_is_close_on_exec(sock_dir: str) -> None:
    place: Any = hold(Address.pathname(f"{sock_dir}/s"))
    try:
        assert not os.get_inheritable(place.directory)
    finally:
        place.close()


def _path_of_length(directory: str, length: int) -> str:
    """A path of exactly that many bytes in directories that exist, with a last component of 10 to 60."""
    while length - len(directory) > 61:
        part = min(200, length - len(directory) - 1 - 11)
        directory += "/" + "d" * part
        os.mkdir(directory)
    path = directory + "/" + "s" * (length - len(directory) - 1)
    assert len(path) == length
    return path


def _names_in(directory: str) -> list[str]:
    return sorted(os.listdir(directory))


def _next_descriptor() -> int:
    fd = os.dup(0)
    os.close(fd)
    return fd
