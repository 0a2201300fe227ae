"""Datagram sockets from nothing, from a name, or inherited; and what the name is for others."""

from __future__ import annotations

import os
import socket
import stat

import pytest

from afunix.kernel.datagram_opening import Wishes, connect, open_named, open_nameless, prepare_given
from afunix.kernel.listener import Listener, Ownership
from afunix.kernel.peercred import SO_PASSCRED
from afunix.model import events
from afunix.model.address import Address, AddressKind
from afunix.model.errors import NobodyListensError, NoSuchSocketError, WrongTypeError


def asks_for_credentials(sock: socket.SocketType) -> bool:
    return bool(sock.getsockopt(socket.SOL_SOCKET, SO_PASSCRED))


def test_a_path_has_its_mode_and_is_removed_with_the_socket(sock_dir: str) -> None:
    path = f"{sock_dir}/d"
    bound = open_named(Address.parse(path), Ownership(mode=0o640), Wishes())
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o640
    assert asks_for_credentials(bound.socket)
    bound.close()
    assert not os.path.lexists(path)


def test_two_without_a_name_get_different_ones() -> None:
    one, other = open_nameless(Wishes()), open_nameless(Wishes())
    assert one.address.kind is other.address.kind is AddressKind.ABSTRACT
    assert one.address != other.address
    assert one.socket.getsockname() == b"\0" + one.address.name
    one.close()
    other.close()


def test_a_relative_path_can_be_replied_to_from_everywhere(
    sock_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(sock_dir)
    bound = open_named(Address.parse("./d"), Ownership(), Wishes())
    assert bound.socket.getsockname() == os.path.join(os.getcwd(), "d")
    bound.close()


def test_calls_are_told(sock_dir: str) -> None:
    told: list[events.Event] = []
    bound = open_nameless(Wishes(observer=told.append))
    assert told == [events.Created(bound.fd, "SOCK_DGRAM"), events.Bound(bound.fd, bound.address)]
    bound.close()


def test_an_inherited_socket_is_used_and_its_path_stays(sock_dir: str) -> None:
    path = f"{sock_dir}/d"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as mine:
        mine.bind(path)
        given = os.dup(mine.fileno())
        bound = open_named(Address.inherited(given), Ownership(), Wishes())
        assert (bound.fd, bound.address) == (given, Address.parse(path))
        assert asks_for_credentials(mine)
        assert os.get_blocking(given)
        bound.close()
        assert os.path.exists(path)


def test_an_inherited_socket_of_another_type_is_refused_and_left_open(sock_dir: str) -> None:
    with socket.socket(socket.AF_UNIX) as mine:
        mine.bind(f"{sock_dir}/s")
        mine.listen()
        with pytest.raises(WrongTypeError, match=r"is a stream socket, expected a dgram one"):
            open_named(Address.inherited(mine.fileno()), Ownership(), Wishes())
        assert not asks_for_credentials(mine)
        assert mine.getsockname() == f"{sock_dir}/s"


def test_a_given_listener_of_another_type_stays_as_it_was(sock_dir: str) -> None:
    listener = Listener.open(Address.parse(f"{sock_dir}/s"))
    with pytest.raises(WrongTypeError):
        prepare_given(listener, Wishes())
    assert not asks_for_credentials(listener.socket)
    listener.close()


def test_who_cannot_be_connected_to_is_told_in_words(sock_dir: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        with pytest.raises(NoSuchSocketError, match="does not exist"):
            connect(sock, Address.parse(f"{sock_dir}/nobody"))
        with pytest.raises(NobodyListensError, match="abstract name"):
            connect(sock, Address.parse(f"@{os.getpid()}-nobody"))
        with socket.socket(socket.AF_UNIX) as stream:
            stream.bind(f"{sock_dir}/stream")
            stream.listen()
            with pytest.raises(WrongTypeError, match="dgram was asked for"):
                connect(sock, Address.parse(f"{sock_dir}/stream"))
