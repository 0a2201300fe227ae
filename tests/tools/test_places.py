"""Where names lead: for the process that bound them, for us, and where a file is now."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from tests.program import environment

from afunix.kernel.owners import find_owners
from afunix.kernel.socket_files import search
from afunix.kernel.socket_table import read_table
from afunix.model.address import Address
from afunix.model.listing import FileState, Row, RowState, join
from afunix.model.socket_table import SocketEntry, TableState
from afunix.tools.places import Places, vouch


def placed(sock: socket.socket | int, *directories: str) -> Row:
    """The row of a socket, by itself or by its inode, with its place."""
    inode = sock if isinstance(sock, int) else os.fstat(sock.fileno()).st_ino
    owners = find_owners()
    rows = join({inode: read_table().sockets[inode]}, owners.of)
    (row,) = Places(owners, search(map(os.fsencode, directories)).files).place(rows)
    return row


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def listen(stack: ExitStack, path: str) -> socket.socket:
    sock = stack.enter_context(socket.socket(socket.AF_UNIX))
    sock.bind(path)
    sock.listen()
    return sock


def test_a_file_that_is_there_is_there(stack: ExitStack, sock_dir: str) -> None:
    row = placed(listen(stack, f"{sock_dir}/s"))
    assert (row.address, row.file) == (Address.pathname(f"{sock_dir}/s"), FileState.THERE)


def test_a_foreign_file_of_that_name_is_not_taken_for_it(
    stack: ExitStack, sock_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(sock_dir)
    sock = listen(stack, "s")
    os.mkdir("other")
    monkeypatch.chdir("other")
    with open("s", "w"):
        pass
    row = placed(sock)
    assert (row.address, row.file) == (Address.pathname("s"), None)


def test_what_was_moved_is_shown_where_it_was_found(stack: ExitStack, sock_dir: str) -> None:
    sock = listen(stack, f"{sock_dir}/s")
    os.rename(f"{sock_dir}/s", f"{sock_dir}/new")
    row = placed(sock, sock_dir)
    assert (row.address, row.file) == (Address.pathname(f"{sock_dir}/new"), FileState.MOVED)
    assert placed(sock).file is FileState.GONE


JAILED = """
import os, socket, sys
os.chroot(sys.argv[1]); os.chdir("/")
sock = socket.socket(socket.AF_UNIX); sock.bind("/in.sock"); sock.listen()
print(os.fstat(sock.fileno()).st_ino, flush=True)
sys.stdin.read()
"""


@contextmanager
def jailed(directory: str) -> Iterator[int]:
    """The inode of a listener whose process has another root."""
    argv = [sys.executable, "-c", JAILED, directory]
    with subprocess.Popen(argv, stdin=-1, stdout=-1, env=environment(), text=True) as process:
        assert process.stdout is not None and process.stdin is not None
        yield int(process.stdout.readline())
        process.stdin.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="chroot(2) needs root")
def test_a_file_below_another_root_is_said_to_be_there(sock_dir: str) -> None:
    with jailed(sock_dir) as inode:
        row = placed(inode)
    assert (row.address, row.file) == (Address.pathname("/in.sock"), FileState.OTHER_ROOT)


def test_a_row_that_a_name_has_forged_is_not_vouched_for(stack: ExitStack, sock_dir: str) -> None:
    def entry(inode: int, name: str) -> SocketEntry:
        return SocketEntry(inode, "stream", TableState.LISTENING, Address.parse(name))

    real = listen(stack, f"{sock_dir}/s")
    inode = os.fstat(real.fileno()).st_ino
    table = {
        inode: entry(inode, f"{sock_dir}/s"),
        99999998: entry(99999998, "/run/forged.sock"),
        99999999: entry(99999999, f"{sock_dir}/s"),  # somebody else's, who answers
    }
    assert set(vouch(table, find_owners())) == {inode, 99999999}


def test_a_connection_takes_its_listeners_word(stack: ExitStack, sock_dir: str) -> None:
    listener = listen(stack, f"{sock_dir}/s")
    client = stack.enter_context(socket.socket(socket.AF_UNIX))
    client.connect(f"{sock_dir}/s")
    stack.enter_context(listener.accept()[0])
    owners = find_owners()
    rows = Places(owners).place(join(read_table().sockets, owners.of))
    mine = [row for row in rows if row.address == Address.pathname(f"{sock_dir}/s")]
    assert {row.state for row in mine} == {RowState.LISTENING, RowState.CONNECTED}
    assert {row.file for row in mine} == {FileState.THERE}
