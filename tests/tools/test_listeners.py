"""Which sockets a server serves: bound here, or handed over. What is inherited is a matter of processes of their own."""

from __future__ import annotations

import os
import pickle
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest
from tests.tcp_servers import free_port

from afunix.kernel import activation
from afunix.kernel.listener import Listener, Ownership
from afunix.model.address import Address
from afunix.model.errors import AddressError, NoSuchSocketError, WrongTypeError
from afunix.tools.listeners import open_listeners

Found = tuple[int, bool, str]
"""Descriptor, whether it is inherited, and the address."""


def listeners_of(
    *written: str,
    socket_type: str | None = None,
    on_unmatched: Callable[[Address, int], None] = lambda address, count: None,
    with_tcp: bool = False,
) -> list[Listener]:
    return open_listeners(
        [Address.parse(each) for each in written],
        socket_type=socket_type,
        ownership=Ownership(),
        backlog=None,
        configure=lambda sock: None,
        on_unmatched=on_unmatched,
        observer=None,
        with_tcp=with_tcp,
    )


def test_a_port_is_no_listener_unless_it_may_be_one() -> None:
    with pytest.raises(AddressError, match="is not the name of a Unix socket"):
        listeners_of("tcp:127.0.0.1:80")


def test_a_port_becomes_a_listener_for_each_address_of_its_host() -> None:
    port = free_port()
    listeners = listeners_of(f"tcp:*:{port}", with_tcp=True)
    assert {str(listener.address) for listener in listeners} & {f"tcp:0.0.0.0:{port}"}
    for listener in listeners:
        listener.close()


def as_service(sockets: Sequence[socket.socket], names: str, act: Callable[[], Any]) -> Any:
    """Run `act` in a process that is handed `sockets` from descriptor 3 on; what it returned."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            high = os.dup2(writer, 120, inheritable=False)
            copies = [os.dup2(sock.fileno(), 100 + n) for n, sock in enumerate(sockets)]
            for number, copy in enumerate(copies):
                os.dup2(copy, 3 + number)
            os.environ.update(LISTEN_FDS=str(len(sockets)), LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES=names)
            activation._read.cache_clear()  # the parent has read its own environment
            os.write(high, pickle.dumps(act()))
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    with open(reader, "rb") as answer:
        pickled = answer.read()
    assert os.waitpid(pid, 0)[1] == 0, "the child failed"
    return pickle.loads(pickled)


def describe(*written: str, **options: Any) -> list[Found]:
    return [
        (listener.fd, listener.is_inherited, str(listener.address))
        for listener in listeners_of(*written, **options)
    ]


@pytest.fixture
def handed_over(sock_dir: str) -> Any:
    """Two listeners, at `one` and `two`."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(2)]
        for sock, name in zip(sockets, ("one", "two"), strict=True):
            sock.bind(f"{sock_dir}/{name}")
            sock.listen()
        yield sockets


def test_each_address_is_bound_in_the_order_given(sock_dir: str) -> None:
    listeners = listeners_of(f"{sock_dir}/b", f"{sock_dir}/a")
    try:
        assert [str(listener.address) for listener in listeners] == [f"{sock_dir}/b", f"{sock_dir}/a"]
        assert all(listener.is_ours for listener in listeners)
    finally:
        for listener in listeners:
            listener.close()
    assert os.listdir(sock_dir) == []


def test_type_is_as_asked(sock_dir: str) -> None:
    (listener,) = listeners_of(f"{sock_dir}/s", socket_type="seqpacket")
    assert listener.type == socket.SOCK_SEQPACKET
    listener.close()


def test_one_that_cannot_be_had_leaves_none_of_the_others(sock_dir: str) -> None:
    with pytest.raises(NoSuchSocketError):
        listeners_of(f"{sock_dir}/a", f"{sock_dir}/b", f"{sock_dir}/nodir/c")
    assert os.listdir(sock_dir) == []


def test_no_address_and_nothing_inherited_is_an_error() -> None:
    with pytest.raises(AddressError, match="ADDRESS is missing, and no socket was inherited"):
        listeners_of()


def test_sockets_that_another_process_was_meant_to_have_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_PID", "1")
    monkeypatch.setenv("LISTEN_FDS", "2")
    activation._read.cache_clear()
    with pytest.raises(AddressError) as caught:
        listeners_of()
    assert str(caught.value) == (
        f"ADDRESS is missing, and the inherited sockets are for process 1 (LISTEN_PID): this is {os.getpid()}"
    )
    assert caught.value.hint == "if a shell starts it, write exec in front of it"


def test_one_address_twice_is_an_error(sock_dir: str) -> None:
    with pytest.raises(AddressError, match="is given twice"):
        listeners_of(f"{sock_dir}/s", f"unix:{sock_dir}/s")
    assert os.listdir(sock_dir) == []


def test_without_an_address_all_inherited_ones_are_taken(
    sock_dir: str, handed_over: list[socket.socket]
) -> None:
    assert as_service(handed_over, "a:b", describe) == [
        (3, True, f"{sock_dir}/one"),
        (4, True, f"{sock_dir}/two"),
    ]


@pytest.mark.parametrize("written", ["{dir}/two", "fd:4", "fd:b"])
def test_inherited_one_is_found_by_its_address_number_or_name(
    sock_dir: str, handed_over: list[socket.socket], written: str
) -> None:
    address = written.format(dir=sock_dir)
    assert as_service(handed_over, "a:b", lambda: describe(address)) == [(4, True, f"{sock_dir}/two")]


def test_address_that_no_inherited_one_has_is_bound_and_that_is_told(
    sock_dir: str, handed_over: list[socket.socket]
) -> None:
    def act() -> tuple[list[bool], list[tuple[str, int]]]:
        told: list[tuple[str, int]] = []
        found = describe(
            f"{sock_dir}/one",
            f"{sock_dir}/new",
            on_unmatched=lambda address, count: told.append((str(address), count)),
        )
        return [is_inherited for _, is_inherited, _ in found], told

    assert as_service(handed_over, "a:b", act) == ([True, False], [(f"{sock_dir}/new", 2)])


def test_inherited_one_of_another_type_is_an_error(sock_dir: str, handed_over: list[socket.socket]) -> None:
    def act() -> str:
        with pytest.raises(WrongTypeError) as caught:
            listeners_of("fd:3", socket_type="dgram")
        return caught.value.message

    assert (
        as_service(handed_over, "a:b", act)
        == f"'{sock_dir}/one' (descriptor 3) is a stream socket, and --type dgram was asked for"
    )


def test_types_do_not_mix(sock_dir: str, handed_over: list[socket.socket]) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as other:
        other.bind(f"{sock_dir}/other")
        other.listen()

        def act() -> str:
            with pytest.raises(AddressError) as caught:
                listeners_of()
            return caught.value.message

        said = as_service([handed_over[0], other], "a:b", act)
    assert said == (
        f"'{sock_dir}/other' is a seqpacket socket and '{sock_dir}/one' is a stream socket:"
        " one run serves one type"
    )


@pytest.mark.parametrize("second", ["fd:a", "{dir}/one"])
def test_inherited_one_under_two_names_is_an_error(
    sock_dir: str, handed_over: list[socket.socket], second: str
) -> None:
    def act() -> str:
        with pytest.raises(AddressError) as caught:
            listeners_of("fd:3", second.format(dir=sock_dir))
        return caught.value.message

    said = as_service(handed_over, "a:b", act)
    assert said.startswith("'fd:3' and ")
    assert said.endswith(" are one inherited socket (descriptor 3)")


def test_tcp_listener_that_was_handed_over_is_used_where_it_may_be() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
        for written in ((), ("fd:3",), ("fd:port",), (f"tcp:127.0.0.1:{port}",)):
            found = as_service([sock], "port", partial(describe, *written, with_tcp=True))
            assert found == [(3, True, f"tcp:127.0.0.1:{port}")]


def test_tcp_listener_that_was_handed_over_is_refused_with_who_takes_it() -> None:
    def refused() -> tuple[str, str | None]:
        with pytest.raises(AddressError) as refusal:
            listeners_of()
        return refusal.value.message, refusal.value.hint

    with socket.create_server(("127.0.0.1", 0)) as sock:
        message, hint = as_service([sock], "port", refused)
    assert message == "descriptor 3 ('port') is a socket of the family AF_INET, expected AF_UNIX"
    assert hint == "'afunix relay' takes clients on TCP, for a Unix socket"
