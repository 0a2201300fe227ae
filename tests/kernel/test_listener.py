"""A listening socket from socket(2) to the path's removal; and an inherited one, which is only used."""

from __future__ import annotations

import fcntl
import os
import select
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from tests.program import PATIENCE_S
from tests.sharing import can_refuse, shared

from afunix.kernel.backlog import max_backlog
from afunix.kernel.listener import Listener, Ownership
from afunix.model.address import Address
from afunix.model.errors import AddressError, AddressInUseError, NoSuchSocketError, WrongTypeError
from afunix.model.events import (
    Bound,
    Closed,
    Created,
    Direction,
    Event,
    HalfClosed,
    Listening,
    Unlinked,
)

NewSocket = Callable[..., socket.socket]


@pytest.fixture
def path(sock_dir: str) -> str:
    return f"{sock_dir}/s"


@pytest.fixture
def inherited(path: str, new_socket: NewSocket) -> Iterator[Listener]:
    """As from a parent: bound, listening, and blocking."""
    sock = new_socket()
    sock.bind(path)
    sock.listen()
    with closing(Listener.take(Address.pathname(path), sock)) as listener:
        yield listener


def connect(path: str, new_socket: NewSocket, kind: int = socket.SOCK_STREAM) -> socket.socket:
    client = new_socket(kind)
    client.connect(path)
    return client


def open_at(path: str, *args: Any, **options: Any) -> closing[Listener]:
    return closing(Listener.open(Address.pathname(path), *args, **options))


def test_client_can_connect_and_is_accepted(path: str, new_socket: NewSocket) -> None:
    with open_at(path) as listener:
        client = connect(path, new_socket)
        with closing(listener.accept()) as accepted:
            client.send(b"hi")
            assert accepted.recv(9) == b"hi"


def test_nobody_waiting_is_said_at_once(path: str) -> None:
    with open_at(path) as listener, pytest.raises(BlockingIOError):
        listener.accept()


def test_accepted_socket_has_its_family_and_type_and_is_close_on_exec(
    path: str, new_socket: NewSocket
) -> None:
    with open_at(path, "seqpacket") as listener:
        connect(path, new_socket, socket.SOCK_SEQPACKET)
        with closing(listener.accept()) as accepted:
            assert (accepted.family, accepted.type) == (socket.AF_UNIX, socket.SOCK_SEQPACKET)
            assert not os.get_inheritable(accepted.fileno())


def test_a_default_timeout_of_the_program_makes_no_receive_wait(path: str, new_socket: NewSocket) -> None:
    with open_at(path) as listener:
        connect(path, new_socket)
        socket.setdefaulttimeout(30)
        try:
            with closing(listener.accept()) as accepted:
                assert os.get_blocking(accepted.fileno())
                with pytest.raises(BlockingIOError):
                    accepted.recv(1, socket.MSG_DONTWAIT)
        finally:
            socket.setdefaulttimeout(None)


def test_events_tell_its_life_in_order(path: str) -> None:
    events: list[Event] = []
    address = Address.pathname(path)
    listener = Listener.open(address, backlog=7, observer=events.append)
    fd = listener.fd
    listener.refuse_new()
    listener.close()
    assert events == [
        Created(fd, "SOCK_STREAM"),
        Bound(fd, address),
        Listening(fd, address, 7),
        HalfClosed(fd, Direction.RECEIVING),
        Unlinked(fd, address, True),
        Closed(fd),
    ]


def test_close_is_told_when_it_is_made(path: str) -> None:
    still_open: list[bool] = []

    def observe(event: Event) -> None:
        if isinstance(event, Closed):
            still_open.append(os.path.exists(f"/proc/self/fd/{event.fd}"))

    Listener.open(Address.pathname(path), observer=observe).close()
    assert still_open == [False]


def test_backlog_is_the_kernels_maximum_if_not_asked(path: str) -> None:
    events: list[Event] = []
    with open_at(path, observer=events.append):
        (listening,) = (event for event in events if isinstance(event, Listening))
        assert listening.backlog == max_backlog() > 0


def test_backlog_limits_who_may_wait(path: str, new_socket: NewSocket) -> None:
    with open_at(path, backlog=1):
        for _ in range(2):
            connect(path, new_socket)
        third = new_socket()
        third.setblocking(False)
        with pytest.raises(BlockingIOError):
            third.connect(path)


def test_mode_is_as_asked(path: str) -> None:
    with open_at(path, "stream", Ownership(mode=0o640)):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o640


def test_configure_sees_the_socket_before_it_has_a_name(path: str) -> None:
    names: list[Any] = []
    with open_at(path, configure=lambda sock: names.append(sock.getsockname())):
        assert names == [""]


def test_error_in_configure_leaves_nothing(path: str) -> None:
    def fail(sock: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Listener.open(Address.pathname(path), configure=fail)
    assert not os.path.lexists(path)


@pytest.mark.parametrize("name", ["nodir/s", "s"])
def test_name_that_cannot_be_had_leaves_nothing_open(sock_dir: str, new_socket: NewSocket, name: str) -> None:
    live = new_socket()
    live.bind(f"{sock_dir}/s")
    live.listen()
    with pytest.raises((NoSuchSocketError, AddressInUseError)):
        Listener.open(Address.pathname(f"{sock_dir}/{name}"))
    assert os.listdir(sock_dir) == ["s"]


def test_datagram_socket_is_bound_and_does_not_listen(path: str, new_socket: NewSocket) -> None:
    events: list[Event] = []
    with open_at(path, "dgram", observer=events.append) as listener:
        assert [type(event) for event in events] == [Created, Bound]
        connect(path, new_socket, socket.SOCK_DGRAM).send(b"hi")
        assert listener.socket.recv(9) == b"hi"


def test_datagrams_that_were_sent_are_received_after_new_ones_are_refused(
    path: str, new_socket: NewSocket
) -> None:
    with open_at(path, "dgram") as listener:
        sender = connect(path, new_socket, socket.SOCK_DGRAM)
        sender.send(b"one")
        sender.send(b"two")
        listener.refuse_new()
        with pytest.raises(BrokenPipeError):
            sender.send(b"late")
        with pytest.raises(BrokenPipeError):
            connect(path, new_socket, socket.SOCK_DGRAM).send(b"new")
        assert [listener.socket.recv(9), listener.socket.recv(9)] == [b"one", b"two"]
        with pytest.raises(BlockingIOError):
            listener.socket.recv(9)


def test_who_waits_can_be_accepted_after_new_ones_are_refused(path: str, new_socket: NewSocket) -> None:
    with open_at(path) as listener:
        connect(path, new_socket)
        listener.refuse_new()
        with pytest.raises(ConnectionRefusedError):
            connect(path, new_socket)
        listener.accept().close()


def test_path_is_free_for_a_successor_before_the_socket_closes(path: str) -> None:
    with open_at(path) as old:
        old.unlink()
        with open_at(path):
            old.close()
            assert os.path.exists(path)
        assert not os.path.exists(path)


def test_path_that_leads_elsewhere_by_now_is_left_alone(path: str) -> None:
    events: list[Event] = []
    with open_at(path, observer=events.append):
        os.unlink(path)
        with open(path, "wb"):
            pass
    assert os.path.isfile(path)
    assert [event.was_ours for event in events if isinstance(event, Unlinked)] == [False]


def test_kept_path_stays(path: str) -> None:
    with open_at(path, "stream", Ownership(keep=True)):
        pass
    assert os.path.exists(path)


def test_close_and_unlink_are_idempotent(path: str) -> None:
    events: list[Event] = []
    listener = Listener.open(Address.pathname(path), observer=events.append)
    for _ in range(2):
        listener.unlink()
    for _ in range(2):
        listener.close()
    assert [type(event) for event in events[-2:]] == [Unlinked, Closed]
    assert listener.fd == -1
    assert not listener.is_ours


def test_abstract_name_is_listened_on_and_has_no_file(new_socket: NewSocket) -> None:
    name = f"afunix-test-{os.getpid()}".encode()
    with closing(Listener.open(Address.abstract(name))) as listener:
        connect("\0" + name.decode(), new_socket)
        listener.accept().close()


# Inherited


def test_inherited_one_is_accepted_on_and_its_flags_stay(
    inherited: Listener, path: str, new_socket: NewSocket
) -> None:
    before = fcntl.fcntl(inherited.fd, fcntl.F_GETFL)
    connect(path, new_socket)
    inherited.accept().close()
    assert fcntl.fcntl(inherited.fd, fcntl.F_GETFL) == before
    assert os.get_blocking(inherited.fd)


def test_inherited_one_that_blocks_does_not_make_us_wait(inherited: Listener) -> None:
    with pytest.raises(BlockingIOError):
        inherited.accept()


def test_client_that_another_process_took_is_waited_for_a_moment_only(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with shared(path) as parents, closing(Listener.inherit(Address.inherited(parents.copy()))) as listener:
        parents.let_the_other_win(monkeypatch)
        parents.connect()
        for _ in range(2):
            with pytest.raises(BlockingIOError):
                listener.accept()
        parents.connect()
        assert select.select([listener.ready_fd], [], [], PATIENCE_S)[0]
        listener.accept().close()


def test_inherited_one_that_does_not_block_is_used_as_it_is(path: str, new_socket: NewSocket) -> None:
    sock = new_socket()
    sock.setblocking(False)
    sock.bind(path)
    sock.listen()
    listener = Listener.take(Address.pathname(path), sock)
    with pytest.raises(BlockingIOError):
        listener.accept()
    assert not os.get_blocking(listener.fd)
    assert (listener.has_thread, listener.ready_fd) == (False, listener.fd)


def test_inherited_one_is_neither_shut_down_nor_removed(
    inherited: Listener, path: str, new_socket: NewSocket
) -> None:
    other_holder = socket.socket(fileno=os.dup(inherited.fd))
    with other_holder:
        inherited.refuse_new()
        inherited.unlink()
        inherited.close()
        assert os.path.exists(path)
        connect(path, new_socket)
        other_holder.accept()[0].close()


def test_inherited_one_of_another_type_stays_its_owners(new_socket: NewSocket) -> None:
    sock = new_socket(socket.SOCK_DGRAM)
    os.set_inheritable(sock.fileno(), True)
    with pytest.raises(WrongTypeError, match="is a dgram socket, expected stream or seqpacket") as caught:
        Listener.inherit(Address.inherited(sock.fileno()), ("stream", "seqpacket"))
    assert "open_datagrams" in (caught.value.hint or "")
    assert os.get_inheritable(sock.fileno())


def test_what_is_given_back_stays_open_and_can_be_had_again(path: str, new_socket: NewSocket) -> None:
    sock = new_socket()
    sock.bind(path)
    sock.listen()
    for _ in range(2):
        listener = Listener.inherit(Address.inherited(sock.fileno()))
        assert listener.ready_fd != listener.fd
        listener.give_back()
        assert (listener.fd, listener.has_thread) == (-1, False)
    assert sock.getsockname() == path


@pytest.mark.skipif(not can_refuse(), reason="SO_PASSRIGHTS needs Linux 6.16")
def test_descriptors_are_let_in_from_clients_of_before_and_after(path: str, new_socket: NewSocket) -> None:
    with open_at(path) as listener:
        assert listener.refuses_fds
        before = connect(path, new_socket)
        with pytest.raises(PermissionError):
            socket.send_fds(before, [b"x"], [0])
        listener.let_descriptors_in()
        after = connect(path, new_socket)
        socket.send_fds(after, [b"x"], [0])
        with closing(listener.accept()):
            socket.send_fds(before, [b"x"], [0])
        assert not listener.refuses_fds


def test_inherited_one_is_told_as_such(path: str, new_socket: NewSocket) -> None:
    sock = new_socket()
    sock.bind(path)
    sock.listen()
    events: list[Event] = []
    listener = Listener.take(Address.pathname(path), sock, observer=events.append)
    assert events == [Listening(listener.fd, Address.pathname(path), 0, inherited=True)]
    assert listener.is_inherited
    assert not listener.is_ours


def test_released_socket_and_file_are_the_callers(path: str) -> None:
    listener = Listener.open(Address.pathname(path))
    sock, file = listener.release()
    listener.close()
    assert sock.fileno() >= 0
    assert file is not None
    assert file.remove()
    file.close()
    sock.close()


def test_release_hands_on_no_file_that_is_to_stay(path: str) -> None:
    listener = Listener.open(Address.pathname(path), ownership=Ownership(keep=True))
    sock, file = listener.release()
    sock.close()
    assert file is None
    assert os.path.lexists(path)


@pytest.mark.parametrize(
    ("options", "said"),
    [({"type_word": "tcp"}, "'tcp' is no type of Unix socket"), ({"backlog": -1}, "a backlog of -1 is none")],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_made(
    path: str, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(AddressError, match=said):
        Listener.open(Address.pathname(path), **options)
    assert not os.path.lexists(path)


def test_owner_and_group_are_names_or_numbers() -> None:
    assert Ownership.of(0o660, "root", 0, True, True) == Ownership(0o660, 0, 0, True, True)
    assert Ownership.of(group="27") == Ownership(0o600, None, 27, False, False)
    with pytest.raises(AddressError, match="'-1' is no user id"):
        Ownership.of(owner=-1)
