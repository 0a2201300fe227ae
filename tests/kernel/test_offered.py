"""Descriptors to be sent: those that are there, and paths opened as the shell would."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import closing

import pytest
from tests.faults.users import IS_ROOT

from afunix.kernel.offered import Offered
from afunix.model.errors import AddressError, AfunixError, DeniedError
from afunix.model.offer import Access, Offer


def path_of(sock_dir: str, name: str = "file", text: str = "old") -> str:
    path = os.path.join(sock_dir, name)
    with open(path, "w") as file:
        file.write(text)
    return path


def opened(offers: list[Offer], access: Access) -> Offered:
    found = Offered(offers, access)
    try:
        found.open()
    except AfunixError:
        found.close()
        raise
    return found


def offered(path: str, access: Access = Access.READ) -> Offered:
    return opened([Offer("unknown", None, path)], access)


def content(path: str) -> str:
    with open(path) as file:
        return file.read()


def test_a_number_is_borrowed() -> None:
    with open(os.devnull) as null:
        with closing(opened([Offer("null", null.fileno())], Access.READ)) as found:
            assert found.fds == [null.fileno()]
        os.fstat(null.fileno())


def test_a_number_that_is_not_open_is_told_before_anything_is_opened(sock_dir: str) -> None:
    path = os.path.join(sock_dir, "new")
    with pytest.raises(AddressError, match="descriptor 1000 is not open"):
        Offered([Offer("a", None, path), Offer("b", 1000)], Access.WRITE)
    assert not os.path.exists(path)


def test_what_was_closed_at_start_is_not_open() -> None:
    with pytest.raises(AddressError, match="descriptor 0 is not open"):
        Offered([Offer("in", 0)], Access.READ, closed_at_start={0})


def test_the_order_is_that_of_the_offers(sock_dir: str) -> None:
    path = path_of(sock_dir)
    with closing(opened([Offer("a", 2), Offer("b", None, path), Offer("c", 0)], Access.READ)) as found:
        assert (found.fds[0], found.fds[2]) == (2, 0)
        assert os.read(found.fds[1], 9) == b"old"


def test_a_file_is_emptied_only_when_it_is_asked_for(sock_dir: str) -> None:
    path = path_of(sock_dir)
    with closing(offered(path, Access.WRITE)) as found:
        assert content(path) == "old"
        found.empty_files()
    assert content(path) == ""


@pytest.mark.parametrize("access", [Access.READ, Access.APPEND, Access.READ_WRITE])
def test_other_ways_of_opening_empty_nothing(sock_dir: str, access: Access) -> None:
    path = path_of(sock_dir)
    with closing(offered(path, access)) as found:
        found.empty_files()
    assert content(path) == "old"


def test_append_writes_to_the_end(sock_dir: str) -> None:
    path = path_of(sock_dir)
    with closing(offered(path, Access.APPEND)) as found:
        os.write(found.fds[0], b" and new")
    assert content(path) == "old and new"


def test_reading_makes_no_file(sock_dir: str) -> None:
    with pytest.raises(AfunixError) as caught:
        offered(os.path.join(sock_dir, "new"))
    assert (caught.value.errno, os.listdir(sock_dir)) == (errno.ENOENT, [])


def test_a_socket_file_is_not_opened(sock_dir: str) -> None:
    path = os.path.join(sock_dir, "x.sock")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
        with pytest.raises(AddressError, match="is a Unix socket, which is connected to"):
            offered(path)


@pytest.mark.skipif(IS_ROOT, reason="root may open every file")
def test_a_closed_file_is_denied(sock_dir: str) -> None:
    path = path_of(sock_dir)
    os.chmod(path, 0)
    with pytest.raises(DeniedError, match="may not be opened to read"):
        offered(path)


def test_what_was_opened_is_closed_if_the_next_cannot_be(sock_dir: str) -> None:
    with pytest.raises(AfunixError):
        opened([Offer("a", None, path_of(sock_dir)), Offer("b", None, "./no/such")], Access.READ)
