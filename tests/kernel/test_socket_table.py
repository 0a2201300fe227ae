"""The kernel's table against sockets that this process has, whose every fact is known."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from tests import program
from tests.peers import require

from afunix.kernel import fallbacks, socket_table
from afunix.kernel.socket_table import entries_of, entry_of, read_table
from afunix.model.address import Address
from afunix.model.socket_table import Shutdown, SocketEntry, TableState


def inode_of(sock: socket.socket) -> int:
    return os.fstat(sock.fileno()).st_ino


def seen(sock: socket.socket) -> SocketEntry:
    entry = entry_of(inode_of(sock))
    assert entry is not None
    return entry


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


@pytest.fixture
def no_sock_diag(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(fallbacks.VARIABLE, "sock_diag")
    fallbacks._forced.cache_clear()
    yield
    monkeypatch.undo()
    fallbacks._forced.cache_clear()


def make(stack: ExitStack, kind: int = socket.SOCK_STREAM) -> socket.socket:
    return stack.enter_context(socket.socket(socket.AF_UNIX, kind))


def listener_at(stack: ExitStack, name: str | bytes, backlog: int = 3) -> socket.socket:
    sock = make(stack)
    sock.bind(name)
    sock.listen(backlog)
    return sock


def client_of(stack: ExitStack, name: str | bytes) -> socket.socket:
    sock = make(stack)
    sock.connect(name)
    return sock


def test_a_listener_tells_its_name_its_file_its_backlog_and_its_maker(
    sock_dir: str, stack: ExitStack
) -> None:
    path = f"{sock_dir}/a.sock"
    entry = seen(listener_at(stack, path))
    file = os.lstat(path)
    assert entry.file is not None
    assert (entry.type, entry.state, entry.address) == (
        "stream",
        TableState.LISTENING,
        Address.pathname(path),
    )
    assert (entry.file.device, entry.file.inode) == (file.st_dev, file.st_ino)
    assert (entry.queued, entry.backlog, entry.uid) == (0, 3, os.geteuid())
    assert (entry.peer, entry.unread, entry.waiting) == (None, None, ())


def test_two_ends_are_each_others_peer_and_tell_what_is_unread(stack: ExitStack) -> None:
    one, other = map(stack.enter_context, socket.socketpair())
    one.send(b"hello")
    assert (seen(one).peer, seen(other).peer) == (inode_of(other), inode_of(one))
    assert (seen(one).unread, seen(other).unread) == (0, 5)
    assert (seen(one).charged or 0) > 5
    assert seen(one).state is TableState.CONNECTED


def test_clients_that_wait_are_counted_and_named_by_their_inodes(sock_dir: str, stack: ExitStack) -> None:
    listener = listener_at(stack, f"{sock_dir}/a.sock")
    clients = [client_of(stack, f"{sock_dir}/a.sock") for _ in range(3)]
    stack.enter_context(listener.accept()[0])
    entry = seen(listener)
    assert entry.queued == 2
    assert entry.waiting == tuple(inode_of(client) for client in clients[1:])
    assert [bool(seen(client).peer) for client in clients] == [True, False, False]


def test_a_peer_that_closed_leaves_no_inode_and_both_directions_shut(stack: ExitStack) -> None:
    one, other = socket.socketpair()
    stack.enter_context(one)
    other.close()
    assert (seen(one).peer, seen(one).shutdown) == (0, Shutdown.BOTH)


def test_a_half_close_is_seen_at_both_ends(stack: ExitStack) -> None:
    one, other = map(stack.enter_context, socket.socketpair())
    one.shutdown(socket.SHUT_WR)
    assert (seen(one).shutdown, seen(other).shutdown) == (Shutdown.SENDING, Shutdown.RECEIVING)


@pytest.mark.parametrize("kind, word", [(socket.SOCK_DGRAM, "dgram"), (socket.SOCK_SEQPACKET, "seqpacket")])
def test_the_type_is_told_by_its_word(stack: ExitStack, kind: int, word: str) -> None:
    entry = seen(make(stack, kind))
    assert (entry.type, entry.state) == (word, TableState.UNCONNECTED)


def test_a_file_called_like_an_abstract_name_is_told_from_it(sock_dir: str, stack: ExitStack) -> None:
    name = f"@af-{os.getpid()}"
    abstract = listener_at(stack, "\0" + name[1:])
    before = os.getcwd()
    os.chdir(sock_dir)
    try:
        file = listener_at(stack, name)
    finally:
        os.chdir(before)
    assert seen(abstract).address == Address.abstract(name[1:])
    assert seen(file).address == Address.pathname(name)


@pytest.mark.parametrize("name", [b"\0a\n0: b", b"\0\x1b[2J\xff\0", b"\0" + b"x" * 107])
def test_a_hostile_name_comes_out_as_it_is(stack: ExitStack, name: bytes) -> None:
    sock = make(stack)
    sock.bind(name)
    assert seen(sock).address == Address.abstract(name[1:])


def test_the_whole_table_has_each_socket_once_as_it_is_told_alone(stack: ExitStack) -> None:
    pairs = [stack.enter_context(sock) for _ in range(200) for sock in socket.socketpair()]
    table = read_table()
    assert table.is_complete
    assert [table.sockets[inode_of(sock)] for sock in pairs] == [seen(sock) for sock in pairs]


def test_a_socket_that_is_gone_has_no_entry() -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        inode = inode_of(sock)
    assert entry_of(inode) is None


def test_without_sock_diag_the_text_of_proc_serves(
    sock_dir: str, stack: ExitStack, no_sock_diag: None
) -> None:
    listener = listener_at(stack, f"{sock_dir}/a.sock")
    client = client_of(stack, f"{sock_dir}/a.sock")
    table = read_table()
    assert not table.is_complete
    assert table.sockets[inode_of(listener)].state is TableState.LISTENING
    assert table.sockets[inode_of(listener)].address == Address.pathname(f"{sock_dir}/a.sock")
    assert seen(client) == SocketEntry(
        inode_of(client), "stream", TableState.CONNECTED, Address.from_kernel(b"")
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="making a network namespace needs root")
def test_another_network_namespace_has_its_own_table(sock_dir: str, stack: ExitStack) -> None:
    listener_at(stack, f"{sock_dir}/a.sock")
    show = "from afunix.kernel.socket_table import read_table; print(list(read_table().sockets))"
    found = subprocess.run(
        [require("unshare"), "-n", sys.executable, "-c", show],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
        env=program.environment(),
    )
    assert found.stdout == "[]\n"


def test_an_error_of_the_kernel_becomes_an_oserror(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_table, "_SOCK_DIAG_BY_FAMILY", 999)
    with pytest.raises(OSError, match=r"\[Errno"):
        list(socket_table._ask(0, socket_table._DUMP))


def test_several_are_asked_for_by_their_numbers(stack: ExitStack) -> None:
    socks = [make(stack) for _ in range(3)]
    wanted = [inode_of(sock) for sock in socks[:2]]
    table = entries_of([*wanted, 1])
    assert table is not None
    assert (list(table.sockets), table.is_complete) == (wanted, True)


def test_without_sock_diag_the_table_is_read_once_for_several(
    stack: ExitStack, no_sock_diag: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings: list[int] = []
    read_all = socket_table._read_all

    def note_reading(fd: int) -> bytes:
        readings.append(fd)
        return read_all(fd)

    monkeypatch.setattr(socket_table, "_read_all", note_reading)
    wanted = [inode_of(make(stack)) for _ in range(3)]
    table = entries_of(wanted)
    assert table is not None
    assert (list(table.sockets), table.is_complete, len(readings)) == (wanted, False, 1)


def test_without_sock_diag_the_whole_is_not_read_where_that_is_not_wanted(
    stack: ExitStack, no_sock_diag: None
) -> None:
    assert entries_of([inode_of(make(stack))], may_read_all=False) is None
