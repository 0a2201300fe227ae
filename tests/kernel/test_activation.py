"""Inherited sockets and the service manager. Each test plays a service in a process of its own."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from afunix.kernel import activation
from afunix.model.address import Address
from afunix.model.errors import AddressError

InChild = Callable[..., Any]
NewSocket = Callable[..., socket.socket]
Listeners = Callable[..., list[socket.socket]]


@pytest.fixture
def listeners(sock_dir: str, new_socket: NewSocket) -> Listeners:
    """Listening sockets at `0`, `1` … in the short directory; a datagram socket is only bound."""

    def make(*kinds: int) -> list[socket.socket]:
        made = []
        for number, kind in enumerate(kinds or (socket.SOCK_STREAM,)):
            sock = new_socket(kind)
            sock.bind(f"{sock_dir}/{number}")
            if kind != socket.SOCK_DGRAM:
                sock.listen()
            made.append(sock)
        return made

    return make


def as_service(
    sockets: list[socket.socket], question: Callable[[], Any], **variables: str
) -> Callable[[], Any]:
    """What a service does that was started with these sockets from 3 on, and asks `question`."""

    def serve() -> Any:
        high = [fcntl.fcntl(sock.fileno(), fcntl.F_DUPFD, 50) for sock in sockets]
        for number, fd in enumerate(high):
            os.dup2(fd, 3 + number, inheritable=True)
            os.close(fd)
        announced = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(sockets)), **variables}
        os.environ.update({name: value for name, value in announced.items() if value != "unset"})
        activation._read.cache_clear()  # what the process that we were forked from had found
        return question()

    return serve


def describe_inherited() -> list[tuple[int, str]]:
    return [(each.fd, each.name) for each in activation.inherited()]


def error_of(question: Callable[[], Any]) -> Callable[[], str]:
    def ask() -> str:
        with pytest.raises(AddressError) as caught:
            question()
        return str(caught.value)

    return ask


def test_announced_sockets_are_found_with_their_names(listeners: Listeners, in_child: InChild) -> None:
    service = as_service(listeners(1, 1), describe_inherited, LISTEN_FDNAMES="web:control")
    assert in_child(service) == [(3, "web"), (4, "control")]


def test_sockets_without_names_are_called_unknown(listeners: Listeners, in_child: InChild) -> None:
    assert in_child(as_service(listeners(1, 1), describe_inherited)) == [(3, "unknown"), (4, "unknown")]


def test_they_are_described(sock_dir: str, listeners: Listeners, in_child: InChild) -> None:
    stream, dgram, seqpacket = in_child(
        as_service(
            listeners(socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET), activation.inherited
        )
    )
    assert (stream.type, stream.is_listening) == (socket.SOCK_STREAM, True)
    assert (dgram.type, dgram.is_listening) == (socket.SOCK_DGRAM, False)
    assert (seqpacket.type, seqpacket.is_listening) == (socket.SOCK_SEQPACKET, True)
    assert stream.address == Address.pathname(f"{sock_dir}/0")


@pytest.mark.parametrize("pid", ["1", "unset", "0"])
def test_what_is_meant_for_another_process_is_ignored(
    listeners: Listeners, in_child: InChild, pid: str
) -> None:
    assert in_child(as_service(listeners(), describe_inherited, LISTEN_PID=pid)) == []


@pytest.mark.parametrize(
    ("pid", "count", "found"),
    [("1", "1", 1), ("me", "1", None), ("1", "0", None), ("one", "1", None), (None, "1", None)],
)
def test_other_process_that_is_meant_can_be_asked_for(
    monkeypatch: pytest.MonkeyPatch, pid: str | None, count: str, found: int | None
) -> None:
    monkeypatch.setenv("LISTEN_FDS", count)
    if pid is None:
        monkeypatch.delenv("LISTEN_PID", raising=False)
    else:
        monkeypatch.setenv("LISTEN_PID", str(os.getpid()) if pid == "me" else pid)
    assert activation.addressee() == found


@pytest.mark.parametrize(("written", "is_there"), [("/run/n", True), ("@n", True), ("vsock:2:1", False)])
def test_manager_is_there_if_it_can_be_told(
    monkeypatch: pytest.MonkeyPatch, written: str, is_there: bool
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", written)
    assert activation.has_manager() is is_there


def test_nothing_announced_is_nothing_inherited(in_child: InChild) -> None:
    assert in_child(describe_inherited) == []
    assert in_child(as_service([], describe_inherited, LISTEN_FDNAMES="")) == []


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"LISTEN_PID": "me"}, "LISTEN_PID is 'me', expected a number"),
        ({"LISTEN_FDS": "one"}, "LISTEN_FDS is 'one', expected a number"),
        ({"LISTEN_FDS": "-1"}, "LISTEN_FDS is '-1', expected a number"),
        ({"LISTEN_FDS": ""}, "LISTEN_FDS is '', expected a number"),
        (
            {"LISTEN_FDNAMES": "a:b"},
            "LISTEN_FDS announces 1 descriptor, and LISTEN_FDNAMES has 2 names: 'a:b'",
        ),
        ({"LISTEN_FDS": "900000000"}, "descriptor 4 ('unknown') is not open (EBADF)"),
    ],
)
def test_variables_that_make_no_sense_are_an_error_each_time(
    listeners: Listeners, in_child: InChild, variables: dict[str, str], said: str
) -> None:
    def ask_twice() -> list[str]:
        os.closerange(4, 20)
        return [error_of(activation.inherited)(), error_of(activation.inherited)()]

    assert in_child(as_service(listeners(), ask_twice, **variables)) == [said, said]


def test_a_descriptor_that_is_no_socket_is_an_error(in_child: InChild, sock_dir: str) -> None:
    def with_a_file() -> str:
        os.dup2(os.open(sock_dir, os.O_RDONLY), 3)
        return as_service([], error_of(activation.inherited), LISTEN_FDS="1")()  # type: ignore[no-any-return]

    assert in_child(with_a_file) == "descriptor 3 ('unknown') is a directory, expected a Unix socket"


def test_a_descriptor_without_any_kind_is_an_error(in_child: InChild) -> None:
    def with_an_eventfd() -> str:
        os.dup2(os.eventfd(0), 3)
        return as_service([], error_of(activation.inherited), LISTEN_FDS="1")()  # type: ignore[no-any-return]

    said = in_child(with_an_eventfd)
    assert said == "descriptor 3 ('unknown') is another kind of file, expected a Unix socket"


def test_a_socket_of_another_family_is_an_error(in_child: InChild) -> None:
    with socket.socket(socket.AF_INET) as sock:
        said = in_child(as_service([sock], error_of(activation.inherited)))
    assert said == "descriptor 3 ('unknown') is a socket of the family AF_INET, expected AF_UNIX"


def test_a_tcp_listener_is_one_for_who_takes_it(in_child: InChild) -> None:
    def look() -> tuple[str, int, bool]:
        (found,) = activation.inherited(with_tcp=True)
        sock = activation.take(Address.inherited(3), with_tcp=True)
        return str(found.address), sock.family, os.get_inheritable(sock.fileno())

    with socket.create_server(("127.0.0.1", 0)) as sock:
        said = in_child(as_service([sock], look))
        assert said == (f"tcp:127.0.0.1:{sock.getsockname()[1]}", socket.AF_INET, False)


def test_a_tcp_socket_that_does_not_listen_is_an_error(in_child: InChild) -> None:
    with socket.socket(socket.AF_INET) as sock:
        said = in_child(as_service([sock], error_of(lambda: activation.inherited(with_tcp=True))))
    assert "a stream socket, does not listen" in said


def test_a_udp_socket_is_an_error(in_child: InChild) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        said = in_child(as_service([sock], error_of(lambda: activation.inherited(with_tcp=True))))
    assert said == (
        "descriptor 3 ('unknown') is a socket of the family AF_INET, expected AF_UNIX, or one on TCP"
    )


def test_a_connected_stream_cannot_serve(in_child: InChild) -> None:
    one, other = socket.socketpair()
    with one, other:
        said = in_child(as_service([one], error_of(activation.inherited), LISTEN_FDNAMES="connection"))
    assert said == (
        "descriptor 3 ('connection'), a stream socket, does not listen, and a server needs one that does"
    )


def test_threads_that_ask_at_once_share_out_what_there_is(listeners: Listeners, in_child: InChild) -> None:
    look = activation._look_at

    def look_for_long(fd: int, name: str) -> activation.Inherited:
        time.sleep(0.02)  # while the other thread asks
        return look(fd, name)

    def take_all() -> list[int]:
        with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(2) as pool:
            patch.setattr(activation, "_look_at", look_for_long)
            asked = [pool.submit(activation.take_listeners) for _ in range(2)]
            return sorted(sock.detach() for each in asked for sock in each.result())

    assert in_child(as_service(listeners(1, 1), take_all)) == [3, 4]


def test_the_environment_is_read_once_and_then_is_not_for_our_children(
    listeners: Listeners, in_child: InChild
) -> None:
    def ask_twice() -> tuple[Any, ...]:
        first = activation.inherited()
        left = [name for name in os.environ if name.startswith("LISTEN_")]
        return first == activation.inherited(), len(first), left, os.get_inheritable(3)

    service = as_service(listeners(), ask_twice, LISTEN_FDNAMES="web")
    assert in_child(service) == (True, 1, [], False)


def test_a_descriptor_is_taken_by_number_without_any_variable(
    sock_dir: str, listeners: Listeners, in_child: InChild
) -> None:
    def take_third() -> tuple[str, bool]:
        with activation.take(Address.inherited(3)) as sock:
            return sock.getsockname(), sock.get_inheritable()

    service = as_service(listeners(), take_third, LISTEN_PID="unset", LISTEN_FDS="unset")
    assert in_child(service) == (f"{sock_dir}/0", False)


def test_a_descriptor_is_taken_by_name(sock_dir: str, listeners: Listeners, in_child: InChild) -> None:
    def take_control() -> str:
        with activation.take(Address.parse("fd:control")) as sock:
            return sock.getsockname()  # type: ignore[no-any-return]

    service = as_service(listeners(1, 1), take_control, LISTEN_FDNAMES="web:control")
    assert in_child(service) == f"{sock_dir}/1"


def test_taking_by_number_clears_the_environment_too(listeners: Listeners, in_child: InChild) -> None:
    def take_third() -> list[str]:
        activation.take(Address.inherited(3)).close()
        return [name for name in os.environ if name.startswith("LISTEN_")]

    assert in_child(as_service(listeners(), take_third)) == []


@pytest.mark.parametrize("default_timeout", [None, 5.0])
def test_an_inherited_socket_keeps_its_flags_and_its_path(
    sock_dir: str, listeners: Listeners, in_child: InChild, default_timeout: float | None
) -> None:
    def look_and_take() -> None:
        socket.setdefaulttimeout(default_timeout)
        activation.inherited()
        activation.take(Address.inherited(3)).close()

    (listener,) = listeners()
    flags = fcntl.fcntl(listener.fileno(), fcntl.F_GETFL)
    in_child(as_service([listener], look_and_take))
    assert fcntl.fcntl(listener.fileno(), fcntl.F_GETFL) == flags
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(f"{sock_dir}/0")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("fd:mail", "no inherited socket is called 'mail'; LISTEN_FDNAMES names 'web', 'web'"),
        ("fd:web", "2 inherited sockets are called 'web'"),
        ("fd:19", "descriptor 19 is not open (EBADF)"),
        ("./s", "'./s' is no inherited socket"),
    ],
)
def test_what_cannot_be_taken_is_told(
    listeners: Listeners, in_child: InChild, written: str, said: str
) -> None:
    def take() -> str:
        os.closerange(5, 20)
        return error_of(lambda: activation.take(Address.parse(written)))()

    assert in_child(as_service(listeners(1, 1), take, LISTEN_FDNAMES="web:web")) == said


def test_where_nothing_is_announced_no_name_is_known(in_child: InChild) -> None:
    said = in_child(error_of(lambda: activation.take(Address.parse("fd:web"))))
    assert said == "no inherited socket is called 'web'; LISTEN_FDNAMES names none"


def test_a_client_takes_a_connected_socket_and_no_listener(listeners: Listeners, in_child: InChild) -> None:
    one, other = socket.socketpair()

    def take_connected() -> None:
        with activation.take(Address.inherited(3), listening=False) as sock:
            sock.sendall(b"hello")

    with one, other:
        in_child(as_service([one], take_connected))
        assert other.recv(10) == b"hello"
    said = in_child(
        as_service(listeners(), error_of(lambda: activation.take(Address.inherited(3), listening=False)))
    )
    assert said == "descriptor 3, a stream socket, listens, and a connected one is needed"


@pytest.mark.parametrize("abstract", [False, True])
def test_the_service_manager_is_told(
    sock_dir: str, new_socket: NewSocket, monkeypatch: pytest.MonkeyPatch, abstract: bool
) -> None:
    name = f"@afunix-test-{os.getpid()}" if abstract else f"{sock_dir}/notify"
    manager = new_socket(socket.SOCK_DGRAM)
    manager.bind(name.replace("@", "\0"))
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    assert activation.notify("READY=1\nSTATUS=one client") is True
    assert manager.recv(100) == b"READY=1\nSTATUS=one client"


@pytest.mark.parametrize("value", [None, "", "relative", "vsock:2:1", "/nowhere/at/all", "@nobody-listens"])
def test_without_a_service_manager_nobody_is_told_and_nothing_fails(
    monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if value is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", value)
    assert activation.notify("READY=1") is False


def test_a_manager_that_does_not_read_is_waited_for_and_then_left(
    sock_dir: str, new_socket: NewSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = new_socket(socket.SOCK_DGRAM)
    manager.bind(f"{sock_dir}/notify")
    monkeypatch.setenv("NOTIFY_SOCKET", f"{sock_dir}/notify")
    told, before = 0, time.monotonic()
    while activation.notify("READY=1"):
        told += 1
    assert told > 0
    assert time.monotonic() - before < 2  # our clients wait meanwhile
    manager.setblocking(False)
    assert [manager.recv(10) for _ in range(told)] == [b"READY=1"] * told


def test_descriptors_go_with_a_message(
    sock_dir: str, new_socket: NewSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = new_socket(socket.SOCK_DGRAM)
    manager.bind(f"{sock_dir}/notify")
    monkeypatch.setenv("NOTIFY_SOCKET", f"{sock_dir}/notify")
    assert activation.notify("FDSTORE=1", [manager.fileno()])
    message, fds, _, _ = socket.recv_fds(manager, 100, 5)
    sent = [os.fstat(fd).st_ino for fd in fds]
    for fd in fds:
        os.close(fd)
    assert (message, sent) == (b"FDSTORE=1", [os.fstat(manager.fileno()).st_ino])


def test_a_message_that_must_not_wait_does_not(
    sock_dir: str, new_socket: NewSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_socket(socket.SOCK_DGRAM).bind(f"{sock_dir}/notify")
    monkeypatch.setenv("NOTIFY_SOCKET", f"{sock_dir}/notify")
    monkeypatch.setattr(activation, "NOTIFY_PATIENCE_S", 1000)
    while activation.notify("WATCHDOG=1", patience=0):
        pass


def test_listeners_are_taken_by_name_and_only_once(listeners: Listeners, in_child: InChild) -> None:
    def take_twice() -> list[Any]:
        taken = activation.take_listeners("b", "a")
        found = [sock.detach() for sock in taken]
        return [found, error_of(lambda: activation.take_listeners("a"))(), activation.take_listeners()]

    said = "the inherited socket 'a' (descriptor 3) was taken already"
    assert in_child(as_service(listeners(1, 1), take_twice, LISTEN_FDNAMES="a:b")) == [[4, 3], said, []]


def test_what_was_given_back_is_there_again(listeners: Listeners, in_child: InChild) -> None:
    def take_again() -> list[Any]:
        activation.give_back(activation.take(Address.parse("fd:a")))
        return [activation.take(Address.parse("fd:a")).detach(), os.get_inheritable(3)]

    assert in_child(as_service(listeners(1), take_again, LISTEN_FDNAMES="a")) == [3, False]


def test_what_was_given_back_is_as_it_was(listeners: Listeners) -> None:
    (sock,) = listeners(1)
    for before in (True, False):
        os.set_inheritable(sock.fileno(), before)
        taken = activation.take(Address.inherited(sock.fileno()))
        assert not os.get_inheritable(sock.fileno())
        activation.give_back(taken)
        assert os.get_inheritable(sock.fileno()) is before


def test_what_was_taken_by_address_is_not_there_any_more(listeners: Listeners, in_child: InChild) -> None:
    def take() -> list[Any]:
        activation.take(Address.parse("fd:a")).detach()
        activation.take(Address.inherited(4)).detach()
        return [activation.take_listeners(), error_of(lambda: activation.take(Address.parse("fd:a")))()]

    said = "the inherited socket 'a' (descriptor 3) was taken already"
    assert in_child(as_service(listeners(1, 1), take, LISTEN_FDNAMES="a:b")) == [[], said]


def test_stored_descriptors_need_not_be_sockets(listeners: Listeners, in_child: InChild) -> None:
    def take() -> list[Any]:
        os.dup2(os.eventfd(0), 3)
        names = activation.announced_names()
        return [
            names,
            activation.take_descriptors("s"),
            activation.take_descriptors("s"),
            os.get_inheritable(3),
        ]

    found = in_child(as_service(listeners(), take, LISTEN_FDNAMES="s"))
    assert found == [["s"], [3], [], False]


def test_watchdog_gives_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    monkeypatch.setenv("WATCHDOG_USEC", "2500000")
    assert activation.watchdog() == 2.5


_LAUNCHER = """
import os, sys
os.dup2(int(sys.argv[1]), 3, inheritable=True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="web")
os.execv(sys.executable, [sys.executable, "-c", sys.argv[2]])
"""


def test_the_protocol_works_across_a_real_exec(listeners: Listeners) -> None:
    service = "from afunix.kernel import activation as a; print([(i.fd, i.name) for i in a.inherited()])"
    (listener,) = listeners()
    fd = listener.fileno()
    done = subprocess.run(
        [sys.executable, "-c", _LAUNCHER, str(fd), service],
        pass_fds=[fd],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stdout == "[(3, 'web')]\n", done.stderr
