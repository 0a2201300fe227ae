"""A socket for somebody else's server: a socket.socket in every respect, and its path goes when it is closed."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import pickle
import selectors
import socket
import stat
from collections.abc import Callable
from typing import Any

import pytest
import uvloop

from afunix.kernel.bound_socket import BoundSocket, bind_socket
from afunix.kernel.peercred import SO_PASSRIGHTS, refuse_descriptors
from afunix.model.address import Address
from afunix.model.errors import (
    AddressError,
    AddressInUseError,
    DeniedError,
    NoSuchSocketError,
    NotASocketError,
)
from afunix.model.rules import RuleError

InChild = Callable[..., Any]
NewSocket = Callable[..., socket.socket]


@pytest.fixture(scope="module", autouse=True)
def uvloop_has_its_pipe() -> None:
    """libuv opens one for signals with the first loop, and keeps it."""
    uvloop.run(asyncio.sleep(0))


@pytest.fixture
def path(sock_dir: str) -> str:
    return f"{sock_dir}/s"


def connected(path: str, kind: int = socket.SOCK_STREAM) -> socket.socket:
    client = socket.socket(socket.AF_UNIX, kind)
    client.connect(path)
    return client


def waiting_clients(path: str) -> int:
    """How many can connect before the backlog is full."""
    clients: list[socket.socket] = []
    try:
        while True:
            client = socket.socket(socket.AF_UNIX)
            clients.append(client)
            client.setblocking(False)
            try:
                client.connect(path)
            except BlockingIOError:
                return len(clients) - 1
    finally:
        for client in clients:
            client.close()


def test_it_serves_as_a_plain_socket_does(path: str) -> None:
    with bind_socket(path) as sock, connected(path) as client:
        accepted, _ = sock.accept()
        with accepted:
            accepted.sendall(b"hello")
            assert client.recv(10) == b"hello"
        assert type(accepted) is socket.socket


def test_it_blocks_and_is_close_on_exec(path: str) -> None:
    with bind_socket(path) as sock:
        assert isinstance(sock, socket.socket)
        assert (sock.gettimeout(), os.get_blocking(sock.fileno())) == (None, True)
        assert not sock.get_inheritable()
        assert (sock.family, sock.type) == (socket.AF_UNIX, socket.SOCK_STREAM)


def test_the_default_timeout_of_the_program_is_its_own(path: str) -> None:
    socket.setdefaulttimeout(0.001)
    try:
        with bind_socket(path) as sock, pytest.raises(TimeoutError):
            sock.accept()
    finally:
        socket.setdefaulttimeout(None)


def test_closing_it_removes_the_path_and_may_be_repeated(path: str) -> None:
    sock = bind_socket(path)
    sock.close()
    assert not os.path.lexists(path)
    sock.close()
    assert sock.fileno() == -1


def test_leaving_the_with_removes_the_path_whatever_was_raised(path: str) -> None:
    with pytest.raises(KeyError), bind_socket(path):
        raise KeyError
    assert not os.path.lexists(path)


def test_path_of_somebody_else_stays(path: str, new_socket: NewSocket) -> None:
    sock = bind_socket(path)
    os.unlink(path)
    new_socket().bind(path)
    sock.close()
    assert os.path.lexists(path)


def test_path_is_removed_by_whoever_bound_it_even_after_chdir(
    sock_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(sock_dir)
    with bind_socket("s"):
        os.chdir("/")
    assert os.listdir(sock_dir) == []


def test_forked_child_closes_and_the_path_stays(path: str, in_child: InChild) -> None:
    with bind_socket(path) as sock:
        in_child(sock.close)
        with connected(path):
            pass


def test_child_that_forgets_it_leaves_the_path(path: str) -> None:
    with bind_socket(path):
        pid = os.fork()
        if pid == 0:
            gc.collect()
            os._exit(0)
        os.waitpid(pid, 0)
        assert os.path.lexists(path)


def test_spawned_process_gets_a_plain_socket(path: str) -> None:
    with bind_socket(path) as sock:
        worker = multiprocessing.get_context("spawn").Process(target=socket.socket.close, args=(sock,))
        worker.start()
        worker.join(20)
        assert worker.exitcode == 0
        worker.close()
        with connected(path):
            pass
    # multiprocessing keeps a process and a pipe of its own for the rest of ours
    from multiprocessing import resource_tracker

    resource_tracker._resource_tracker._stop()  # type: ignore[attr-defined]


def test_pickling_outside_of_a_spawn_is_refused(path: str) -> None:
    with bind_socket(path) as sock, pytest.raises(RuntimeError, match="BoundSocket objects should only be"):
        pickle.dumps(sock)


def test_detached_descriptor_is_the_callers_with_its_path(path: str) -> None:
    sock = bind_socket(path)
    with socket.socket(fileno=sock.detach()):
        sock.close()
        with connected(path):
            pass
    assert os.path.lexists(path)


def test_path_of_a_detached_descriptor_goes_once_that_is_closed(path: str) -> None:
    with bind_socket(path) as sock:
        os.close(sock.detach())
        assert os.path.lexists(path)
    assert not os.path.lexists(path)


def test_path_of_a_detached_descriptor_stays_if_somebody_else_has_it_now(path: str) -> None:
    sock = bind_socket(path)
    os.close(sock.detach())
    with bind_socket(path), connected(path):  # with the same inode number, on many file systems
        sock.close()
        assert os.path.lexists(path)


def test_forked_child_leaves_the_path_of_a_detached_descriptor(path: str, in_child: InChild) -> None:
    sock = bind_socket(path)
    os.close(sock.detach())
    in_child(sock.close)
    assert os.path.lexists(path)
    sock.close()


def test_copy_is_plain_and_does_not_remove_the_path(path: str) -> None:
    with bind_socket(path) as sock:
        sock.settimeout(3)
        with sock.dup() as copy:
            assert type(copy) is socket.socket
            assert (copy.gettimeout(), copy.get_inheritable()) == (3, False)
        assert os.path.lexists(path)


def test_forgotten_it_warns_and_the_next_start_replaces_the_path(path: str) -> None:
    sock = bind_socket(path)
    with pytest.warns(ResourceWarning, match="unclosed"):
        del sock
        gc.collect()
    with bind_socket(path), connected(path):
        pass


def test_path_that_cannot_be_removed_stays_with_a_warning(
    path: str, as_ordinary_user: Callable[[Callable[[], Any]], Any]
) -> None:
    def close_in_locked_directory() -> tuple[str, int]:
        sock = bind_socket(path)
        os.chmod(os.path.dirname(path), 0o555)
        with pytest.warns(ResourceWarning) as caught:
            sock.close()
        os.chmod(os.path.dirname(path), 0o755)
        return str(caught[0].message), sock.fileno()

    said, fd = as_ordinary_user(close_in_locked_directory)
    assert said.startswith("the socket file stays: ")
    assert "EACCES" in said
    assert fd == -1
    assert os.path.lexists(path)


@pytest.mark.parametrize(
    ("options", "mode"), [({}, 0o600), ({"mode": 0o660}, 0o660), ({"mode": 0o777}, 0o777)]
)
def test_mode_is_what_was_asked_for(path: str, options: dict[str, int], mode: int) -> None:
    umask = os.umask(0o077)
    try:
        with bind_socket(path, **options):  # type: ignore[arg-type]
            assert stat.S_IMODE(os.stat(path).st_mode) == mode
    finally:
        os.umask(umask)


@pytest.mark.skipif(os.getuid() != 0, reason="changing a file's owner needs root")
@pytest.mark.parametrize(("owner", "group"), [(65534, 65534), ("65534", "65534"), ("nobody", "nogroup")])
def test_owner_and_group_are_names_or_numbers(path: str, owner: str | int, group: str | int) -> None:
    with bind_socket(path, owner=owner, group=group):
        assert (os.stat(path).st_uid, os.stat(path).st_gid) == (65534, 65534)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"owner": "nobody-has-this-name"}, RuleError, "there is no user 'nobody-has-this-name'"),
        ({"group": -1}, RuleError, "'-1' is no group id"),
        ({"mode": 0o4777}, AddressError, "0o4777 is no mode for a socket file"),
        ({"type": "tcp"}, AddressError, "'tcp' is no type of Unix socket: expected one of stream, dgram"),
        ({"backlog": -1}, AddressError, "a backlog of -1 is none: expected 0 or more"),
    ],
)
def test_options_that_cannot_be_meant_leave_nothing(
    sock_dir: str, options: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        bind_socket(f"{sock_dir}/s", **options)
    assert os.listdir(sock_dir) == []


@pytest.mark.parametrize("address", ["fd:3", "tcp:localhost:80", "-", ""])
def test_what_is_no_name_of_a_unix_socket_is_refused(address: str) -> None:
    with pytest.raises(AddressError):
        bind_socket(address)


def test_live_owner_is_named(path: str) -> None:
    with bind_socket(path):
        with pytest.raises(AddressInUseError, match=f"pid {os.getpid()} "):
            bind_socket(path)
        with connected(path):
            pass


def test_live_path_is_taken_over_when_asked(path: str) -> None:
    with bind_socket(path) as old, bind_socket(path, replace=True) as new, connected(path):
        new.accept()[0].close()
        old.close()
        assert os.path.lexists(path)


def test_path_stays_when_asked(path: str) -> None:
    bind_socket(path, keep=True).close()
    assert os.path.lexists(path)


def test_file_and_missing_directory_are_told_apart(sock_dir: str) -> None:
    with open(f"{sock_dir}/file", "w"):
        pass
    with pytest.raises(NotASocketError):
        bind_socket(f"{sock_dir}/file")
    with pytest.raises(NoSuchSocketError):
        bind_socket(f"{sock_dir}/nowhere/s")


def test_denied_directory_leaves_nothing(
    path: str, as_ordinary_user: Callable[[Callable[[], Any]], Any]
) -> None:
    def bind() -> str:
        os.chmod(os.path.dirname(path), 0o555)
        with pytest.raises(DeniedError) as caught:
            bind_socket(path)
        os.chmod(os.path.dirname(path), 0o755)
        return str(caught.value)

    assert "EACCES" in as_ordinary_user(bind)


def test_abstract_name_needs_no_file(new_socket: NewSocket) -> None:
    name = f"afunix-test-{os.getpid()}"
    with bind_socket(f"@{name}") as sock:
        new_socket().connect(f"\0{name}")
        sock.accept()[0].close()
    with bind_socket(Address.abstract(name)):
        pass


def test_long_path_works(sock_dir: str) -> None:
    directory = os.path.join(sock_dir, "d" * 120)
    os.mkdir(directory)
    with bind_socket(os.fsencode(directory) + b"/s") as sock:
        assert sock.address == Address.pathname(f"{directory}/s")
        assert os.listdir(directory) == ["s"]
    assert os.listdir(directory) == []


def test_datagrams_are_received_without_listen(path: str) -> None:
    with bind_socket(path, type="dgram") as sock, connected(path, socket.SOCK_DGRAM) as client:
        client.send(b"one")
        assert sock.recv(10) == b"one"


def test_records_keep_their_boundaries(path: str) -> None:
    with bind_socket(path, type="seqpacket") as sock, connected(path, socket.SOCK_SEQPACKET) as client:
        client.send(b"one")
        client.send(b"two")
        accepted, _ = sock.accept()
        with accepted:
            assert (accepted.recv(10), accepted.recv(10)) == (b"one", b"two")


def test_backlog_holds_when_a_server_calls_listen_with_less(path: str) -> None:
    with bind_socket(path, backlog=5) as sock:
        sock.listen(1)
        assert waiting_clients(path) == 6  # the kernel lets one more wait (unix(7) does not say so)
    with bind_socket(path, backlog=5) as sock:
        sock.listen(9)
        assert waiting_clients(path) == 10


def test_no_client_can_send_descriptors(path: str, new_socket: NewSocket) -> None:
    if not refuse_descriptors(new_socket()):
        pytest.skip("SO_PASSRIGHTS is not in this kernel (Linux 6.16)")
    with bind_socket(path) as sock:
        assert sock.getsockopt(socket.SOL_SOCKET, SO_PASSRIGHTS) == 0


def test_asyncio_serves_on_it_and_closing_the_server_removes_the_path(path: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        writer.close()

    async def main() -> bytes:
        async with await asyncio.start_unix_server(answer, sock=bind_socket(path)):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(b"hello\n")
            reply = await reader.read()
            writer.close()
            await writer.wait_closed()
        return reply

    assert asyncio.run(main(), debug=True) == b"hello\n"
    assert not os.path.lexists(path)


def test_uvloop_serves_on_it_and_the_path_goes_with_the_socket(path: str) -> None:
    async def main() -> None:
        with bind_socket(path) as sock:
            server = await asyncio.get_running_loop().create_server(asyncio.Protocol, sock=sock)
            with connected(path):
                server.close()
                await server.wait_closed()
            assert sock.fileno() == -1  # uvloop has detached it, and closed the descriptor

    uvloop.run(main())
    assert not os.path.lexists(path)


def test_selectors_take_it(path: str) -> None:
    with bind_socket(path) as sock, selectors.DefaultSelector() as selector:
        sock.setblocking(False)
        selector.register(sock, selectors.EVENT_READ)
        with connected(path):
            assert selector.select(5)
        sock.accept()[0].close()


def test_it_says_what_it_is(path: str) -> None:
    with bind_socket(path) as sock:
        assert isinstance(sock, BoundSocket)
        assert repr(sock).startswith("<afunix.kernel.bound_socket.BoundSocket fd=")
        assert path in repr(sock)
