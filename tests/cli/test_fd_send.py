"""`afunix fd send` as a process: what is sent, and the words and statuses for what cannot be."""

from __future__ import annotations

import os
import re
import signal
import socket
from typing import Any

import pytest
from tests.program import PATIENCE_S, end_for_good, ended, run, start
from tests.servers import datagram_socket, serving
from tests.threads import until


def take(connection: socket.socket) -> tuple[bytes, list[bytes]]:
    """The data of a message, and what can be read from each descriptor."""
    data, fds, _, _ = socket.recv_fds(connection, 1 << 16, 253)
    contents = []
    for fd in fds:
        with open(fd, "rb") as file:
            contents.append(file.read())
    return data, contents


def sent(path: str, *args: str, kind: int = socket.SOCK_STREAM, **options: Any) -> tuple[bytes, list[bytes]]:
    with serving(path, take, kind) as server:
        done = run("fd", "send", path, *args, **options)
        assert (done.status, done.err) == (0, "")
        found: tuple[bytes, list[bytes]] = server.result()
        return found


@pytest.fixture
def path(sock_dir: str) -> str:
    return os.path.join(sock_dir, "x.sock")


@pytest.fixture
def notes(sock_dir: str) -> str:
    place = os.path.join(sock_dir, "notes")
    with open(place, "w") as file:
        file.write("hello")
    return place


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET])
def test_a_path_is_opened_and_sent(path: str, notes: str, kind: int) -> None:
    assert sent(path, f"log={notes}", kind=kind) == (b"log\n", [b"hello"])


def test_a_number_is_the_shells(path: str, notes: str) -> None:
    assert sent(path, "3", shell_prefix=f'exec 3<{notes}; "$@"') == (b"unknown\n", [b"hello"])


def test_a_file_that_is_called_3_is_a_path(path: str, sock_dir: str, notes: str) -> None:
    os.rename(notes, os.path.join(sock_dir, "3"))
    assert sent(path, "./3", cwd=sock_dir) == (b"unknown\n", [b"hello"])


def test_other_data_goes_as_it_is(path: str, notes: str) -> None:
    assert sent(path, notes, "--data", r"a\0b") == (rb"a\0b", [b"hello"])


def test_any_bytes_can_come_from_stdin(path: str, notes: str) -> None:
    assert sent(path, notes, "--data-from", "-", stdin=b"\0\n") == (b"\0\n", [b"hello"])


def test_write_empties_the_file(path: str, notes: str) -> None:
    with serving(path, lambda c: socket.recv_fds(c, 99, 1)[1]) as server:
        assert run("fd", "send", path, notes, "--write").status == 0
        (fd,) = server.result()
        os.write(fd, b"x")
        os.close(fd)
    with open(notes) as file:
        assert file.read() == "x"


def test_it_can_wait_for_the_one_that_is_to_have_them(path: str, notes: str) -> None:
    process = start("fd", "send", "--listen", path, notes)
    receiver = ended(start("fd", "receive", "--connect", "--wait", "20s", path, "--", "cat", "/dev/fd/3"))
    sender = ended(process)
    assert (receiver.status, receiver.out, sender.status) == (0, b"hello", 0)
    assert not os.path.exists(path)


def test_a_descriptor_that_is_not_open_is_wrong_use(path: str) -> None:
    done = run("fd", "send", path, "7")
    assert (done.status, done.err.splitlines()) == (2, [
        "afunix: error: descriptor 7 is not open (EBADF)",
        "afunix: hint: the shell opens it with 7<FILE or 7>FILE; a file called 7 is ./7",
    ])  # fmt: skip


def test_a_standard_descriptor_that_was_closed_is_not_open(path: str) -> None:
    done = run("fd", "send", path, "0", shell_prefix='"$@" <&-')
    assert (done.status, "descriptor 0 is not open" in done.err) == (2, True)


@pytest.mark.parametrize(
    ("args", "status", "words"),
    [
        (("./none",), 1, "'./none' cannot be opened: no such file or directory (ENOENT)"),
        (("--write", "."), 1, "'.' cannot be opened: is a directory (EISDIR)"),
        (("a:b=0",), 2, "'a:b' is no name for a descriptor"),
        ((), 2, "WHAT… is missing"),
        (("./a", "--write", "--append"), 2, "--write and --append exclude each other"),
        (("0", "--write"), 2, "--write is for paths, and there are only descriptors"),
        (("-",), 1, "'-' cannot be opened"),
        (("0", "--data", "", "--data-from", "-"), 2, "--data and --data-from exclude each other"),
        (("0", "--data-from", "./none"), 1, "--data-from './none' cannot be read"),
        (("0",), 3, "does not exist (ENOENT)"),
        (("0",) * 254, 2, "254 descriptors are too many: one message carries at most 253 (SCM_MAX_FD)"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_line_and_its_status(
    sock_dir: str, args: tuple[str, ...], status: int, words: str
) -> None:
    done = run("fd", "send", "./x.sock", *args, cwd=sock_dir)
    assert done.status == status
    assert words in done.err.splitlines()[0]
    assert os.listdir(sock_dir) == []


def test_nobody_at_a_stale_path_is_4(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
    assert run("fd", "send", path, "0").status == 4


def test_a_receiver_that_takes_none_is_1(path: str) -> None:
    server = start("serve", path)
    done = run("fd", "send", "--wait", "20s", path, "0")
    end_for_good(server)
    if done.status == 0:
        pytest.skip("SO_PASSRIGHTS is Linux 6.16")
    assert (done.status, "takes no descriptors (EPERM)" in done.err) == (1, True)


def test_a_long_record_is_told_with_its_size(path: str) -> None:
    with datagram_socket(path):
        done = run("fd", "send", path, "0", "--data-from", "-", stdin=b"x" * 900_000)
    assert (done.status, "900000 bytes are too many for one message" in done.err) == (1, True)


def test_the_trace_shows_the_message(path: str) -> None:
    with serving(path, take):
        done = run("fd", "send", "--trace", path, "/dev/null", "/dev/null")
    assert "sendmsg(" in done.err
    assert " = 16, 2 descriptors\n" in done.err


def catches(pid: int, number: int) -> bool:
    with open(f"/proc/{pid}/status") as file:
        found = re.search(r"(?m)^SigCgt:\s*(\w+)", file.read())
    assert found
    return bool(int(found[1], 16) & 1 << number - 1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("what", [("./fifo",), ("0", "--data-from", "./fifo"), ("0", "--data-from", "-")])
def test_a_signal_ends_the_wait_for_a_file(sock_dir: str, what: tuple[str, ...], number: int) -> None:
    os.mkfifo(os.path.join(sock_dir, "fifo"))
    process = start("fd", "send", "./x.sock", *what, cwd=sock_dir)
    until(lambda: catches(process.pid, signal.SIGTERM))
    process.send_signal(number)
    assert process.wait(PATIENCE_S) == -number
    end_for_good(process)


def test_the_deadline_is_that_of_the_whole_run(sock_dir: str) -> None:
    os.mkfifo(os.path.join(sock_dir, "fifo"))
    done = run("fd", "send", "--timeout", "100ms", "./x.sock", "./fifo", cwd=sock_dir)
    assert (done.status, done.err.splitlines()[0]) == (
        7,
        "afunix: error: './fifo' could not be opened within 0.1 s (--timeout): nobody has its other end open",
    )


def test_stdin_that_does_not_end_is_status_7(sock_dir: str) -> None:
    process = start("fd", "send", "--timeout", "100ms", "--data-from", "-", "./x.sock", "2", cwd=sock_dir)
    assert process.wait(PATIENCE_S) == 7  # its STDIN is open still
    end_for_good(process)
