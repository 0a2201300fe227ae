"""`afunix connect` as a process: bytes, endings, statuses and the words on STDERR."""

from __future__ import annotations

import fcntl
import hashlib
import os
import pty
import resource
import select
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.peers import require
from tests.program import PATIENCE_S, Ended, command, ended, environment, run, run_on, start
from tests.servers import datagram_socket, echo, read_all, serving

BULK = bytes(range(256)) * 4096 * 5 + b"the end"  # more than any buffer on the way


def readable(fd: int) -> bool:
    return bool(select.select([fd], [], [], PATIENCE_S)[0])


@contextmanager
def stdin_pipe() -> Iterator[tuple[int, int]]:
    """A pipe that stays open: STDIN of somebody who does not type."""
    reader, writer = os.pipe()
    try:
        yield reader, writer
    finally:
        os.close(reader)
        os.close(writer)


def end_of(writer: int) -> None:
    """Close the pipe that `writer` leads to, and keep its number taken."""
    null = os.open("/dev/null", os.O_WRONLY)
    os.dup2(null, writer)
    os.close(null)


# What is sent and received


def test_stdin_goes_there_and_the_answer_comes_back(sock_dir: str) -> None:
    with serving(f"{sock_dir}/s", echo) as server:
        end = run("connect", f"{sock_dir}/s", stdin=b"hi\n")
        assert (end.status, end.out, end.err) == (0, b"hi\n", "")
        assert server.result() == b"hi\n"


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 300_000, len(BULK)])
def test_file_arrives_byte_for_byte_and_its_position_moves_on(sock_dir: str, size: int) -> None:
    with open(f"{sock_dir}/file", "wb+") as file, serving(f"{sock_dir}/s", echo) as server:
        file.write(BULK[:size])
        file.flush()
        file.seek(0)
        end = run_on(file, "connect", f"{sock_dir}/s")
        assert (end.status, end.err) == (0, "")
        assert end.out == BULK[:size] == server.result()
        assert os.lseek(file.fileno(), 0, os.SEEK_CUR) == size


def test_file_is_read_from_its_position_on(sock_dir: str) -> None:
    with open(f"{sock_dir}/file", "wb+") as file, serving(f"{sock_dir}/s", echo):
        file.write(BULK)
        file.flush()
        os.lseek(file.fileno(), 1001, os.SEEK_SET)
        assert run_on(file, "connect", f"{sock_dir}/s").out == BULK[1001:]


@pytest.mark.parametrize("option", [[], ["--zero-copy"], ["--trace"]])
def test_bulk_through_pipes_arrives_byte_for_byte(sock_dir: str, option: list[str]) -> None:
    with serving(f"{sock_dir}/s", echo):
        end = run("connect", *option, f"{sock_dir}/s", stdin=BULK)
        assert end.status == 0
        assert hashlib.sha256(end.out).digest() == hashlib.sha256(BULK).digest()


@pytest.mark.parametrize("fallback", ["reopen", "nowait", "splice", "passrights", "all"])
def test_bulk_arrives_also_where_the_kernel_is_older(sock_dir: str, fallback: str) -> None:
    with serving(f"{sock_dir}/s", echo):
        end = run("connect", f"{sock_dir}/s", stdin=BULK, env=environment(AFUNIX_FORCE_FALLBACK=fallback))
        assert (end.status, end.err) == (0, "")
        assert hashlib.sha256(end.out).digest() == hashlib.sha256(BULK).digest()


def test_zero_copy_sends_a_file_whole(sock_dir: str) -> None:
    with open(f"{sock_dir}/file", "wb+") as file, serving(f"{sock_dir}/s", read_all) as server:
        file.write(BULK)
        file.seek(0)
        assert run_on(file, "connect", "--zero-copy", f"{sock_dir}/s").status == 0
        assert server.result() == BULK


def test_file_rewritten_after_the_end_arrives_as_it_was(sock_dir: str) -> None:
    go_on = threading.Event()

    def read_late(connection: socket.socket) -> bytes:
        assert go_on.wait(PATIENCE_S)
        return read_all(connection)

    with open(f"{sock_dir}/file", "wb+") as file, serving(f"{sock_dir}/s", read_late) as server:
        file.write(b"a" * 200_000)
        file.seek(0)
        process = start("connect", "--send-only", f"{sock_dir}/s", stdin=file)
        while os.lseek(file.fileno(), 0, os.SEEK_CUR) < 200_000:
            assert process.poll() is None
            time.sleep(0.01)
        os.pwrite(file.fileno(), b"b" * 200_000, 0)
        go_on.set()
        assert server.result() == b"a" * 200_000
        assert ended(process).status == 0


@pytest.mark.parametrize("flags", [os.O_WRONLY, os.O_WRONLY | os.O_APPEND])
def test_stdout_may_be_a_file(sock_dir: str, flags: int) -> None:
    out = os.open(f"{sock_dir}/out", flags | os.O_CREAT)
    with serving(f"{sock_dir}/s", echo), open(out, "wb") as file:
        assert run("connect", f"{sock_dir}/s", stdin=BULK, stdout=file).status == 0
    with open(f"{sock_dir}/out", "rb") as written:
        assert written.read() == BULK


def test_stdin_and_stdout_may_be_sockets(sock_dir: str) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, serving(f"{sock_dir}/s", echo):
        process = start("connect", f"{sock_dir}/s", stdin=theirs.fileno(), stdout=theirs.fileno())
        ours.sendall(b"question")
        ours.shutdown(socket.SHUT_WR)
        theirs.close()
        assert read_all(ours) == b"question"
        assert ended(process).status == 0


def test_flags_of_stdin_and_stdout_stay_as_they_were(sock_dir: str) -> None:
    with stdin_pipe() as (in_read, in_write), stdin_pipe() as (out_read, out_write):
        flags = [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in (in_read, out_write)]
        with serving(f"{sock_dir}/s", echo):
            process = start("connect", f"{sock_dir}/s", stdin=in_read, stdout=out_write)
            os.write(in_write, b"x")
            assert readable(out_read)
            assert [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in (in_read, out_write)] == flags
            process.terminate()
            ended(process)


def test_dev_null_as_stdin_is_an_end_at_once(sock_dir: str) -> None:
    with serving(f"{sock_dir}/s", read_all) as server:
        assert run_on(subprocess.DEVNULL, "connect", f"{sock_dir}/s").status == 0
        assert server.result() == b""


# How it ends


def test_answer_that_comes_late_is_printed(sock_dir: str) -> None:
    def answer_after_the_end(connection: socket.socket) -> None:
        read_all(connection)
        connection.sendall(b"late")

    with serving(f"{sock_dir}/s", answer_after_the_end):
        end = run("connect", f"{sock_dir}/s", stdin=b"q")
        assert (end.status, end.out) == (0, b"late")


def test_server_that_half_closes_still_gets_all_of_stdin(sock_dir: str) -> None:
    def listen_only(connection: socket.socket) -> bytes:
        connection.sendall(b"bye")
        connection.shutdown(socket.SHUT_WR)
        return read_all(connection)

    with serving(f"{sock_dir}/s", listen_only) as server, stdin_pipe() as (reader, writer):
        process = start("connect", f"{sock_dir}/s", stdin=reader)
        assert process.stdout is not None
        assert process.stdout.read(3) == b"bye"
        os.write(writer, b"more")
        end_of(writer)
        assert server.result() == b"more"
        assert ended(process).status == 0


def test_server_that_closes_ends_it_without_waiting_for_stdin(sock_dir: str) -> None:
    with serving(f"{sock_dir}/s", lambda c: c.sendall(b"bye")), stdin_pipe() as (reader, _):
        end = run_on(reader, "connect", f"{sock_dir}/s")
        assert (end.status, end.out, end.err) == (0, b"bye", "")


def test_server_that_closes_with_bytes_unread_is_status_8_after_its_answer(sock_dir: str) -> None:
    def answer_without_reading(connection: socket.socket) -> None:
        assert readable(connection.fileno())
        connection.sendall(b"final")

    with serving(f"{sock_dir}/s", answer_without_reading):
        end = run("connect", f"{sock_dir}/s", stdin=b"question")
        assert (end.status, end.out) == (8, b"final")
        assert "closed the connection without reading all that was sent (ECONNRESET)" in end.err


def test_stdin_that_was_not_sent_is_status_8(sock_dir: str) -> None:
    def leave(connection: socket.socket) -> None:
        connection.recv(1)

    with serving(f"{sock_dir}/s", leave):
        end = run("connect", f"{sock_dir}/s", stdin=BULK)
        assert end.status == 8
        assert "bytes sent" in end.err


def test_server_that_reads_no_more_is_heard_to_the_end(sock_dir: str) -> None:
    def stop_reading(connection: socket.socket) -> None:
        connection.shutdown(socket.SHUT_RD)
        connection.sendall(b"all I have")

    with serving(f"{sock_dir}/s", stop_reading):
        end = run("connect", f"{sock_dir}/s", stdin=BULK)
        assert (end.status, end.out) == (8, b"all I have")


def test_keep_open_does_not_tell_the_server_of_the_end(sock_dir: str) -> None:
    def answer_then_close(connection: socket.socket) -> bytes:
        got = connection.recv(100)
        assert not select.select([connection], [], [], 0.2)[0]
        connection.sendall(b"answer")
        return got

    with serving(f"{sock_dir}/s", answer_then_close) as server:
        end = run("connect", "--keep-open", f"{sock_dir}/s", stdin=b"q")
        assert (end.status, end.out, server.result()) == (0, b"answer", b"q")


def test_receive_only_leaves_stdin_alone(sock_dir: str) -> None:
    with serving(f"{sock_dir}/s", lambda c: c.sendall(b"news")), stdin_pipe() as (reader, writer):
        os.write(writer, b"for somebody else")
        end = run_on(reader, "connect", "--receive-only", f"{sock_dir}/s")
        assert (end.status, end.out) == (0, b"news")
        assert os.read(reader, 100) == b"for somebody else"


def test_send_only_throws_answers_away_and_needs_no_stdout(sock_dir: str) -> None:
    with serving(f"{sock_dir}/s", echo) as server:
        end = run("connect", "--send-only", f"{sock_dir}/s", stdin=BULK, shell_prefix='"$@" >&-')
        assert (end.status, end.out, end.err) == (0, b"", "")
        assert server.result() == BULK


def test_stdout_whose_reader_left_is_status_1_also_when_idle(sock_dir: str) -> None:
    with serving(f"{sock_dir}/s", read_all), stdin_pipe() as (reader, _):
        out_read, out_write = os.pipe()
        process = start("connect", f"{sock_dir}/s", stdin=reader, stdout=out_write)
        os.close(out_write)
        os.close(out_read)
        end = ended(process)
        assert end.status == 1
        assert "the reader of STDOUT is gone (EPIPE)" in end.err


def test_full_stdout_is_status_1_with_the_bytes_lost(sock_dir: str) -> None:
    with serving(f"{sock_dir}/s", lambda c: c.sendall(b"x" * 1000)), open("/dev/full", "wb") as full:
        end = run("connect", "--receive-only", f"{sock_dir}/s", stdout=full)
        assert end.status == 1
        assert "STDOUT takes no more (ENOSPC); 1000 bytes received and not written" in end.err


def test_file_size_limit_leaves_the_exact_prefix(sock_dir: str) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    with serving(f"{sock_dir}/s", lambda c: c.sendall(BULK[:5000])), open(f"{sock_dir}/out", "wb") as out:
        process = subprocess.Popen(
            command("connect", "--receive-only", f"{sock_dir}/s"),
            stdout=out,
            stderr=subprocess.PIPE,
            env=environment(),
            preexec_fn=limit,
        )
        end = ended(process)
    assert end.status == 1
    assert "(EFBIG); 4000 bytes received and not written" in end.err
    with open(f"{sock_dir}/out", "rb") as written:
        assert written.read() == BULK[:1000]


def test_memory_does_not_grow_while_nobody_reads_stdout(sock_dir: str) -> None:
    def push(connection: socket.socket) -> int:
        connection.setblocking(False)
        sent = 0
        while select.select([], [connection], [], 0.5)[1]:
            sent += connection.send(bytes(65536))
        return sent

    with serving(f"{sock_dir}/s", push) as server, stdin_pipe() as (_, out_write):
        process = start("connect", "--receive-only", f"{sock_dir}/s", stdout=out_write)
        assert server.result() < 4_000_000
        process.kill()
        ended(process)


# Signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_ends_it_by_that_signal_after_what_was_received(sock_dir: str, number: int) -> None:
    def say_half(connection: socket.socket) -> None:
        connection.sendall(b"half a li")
        read_all(connection)

    with serving(f"{sock_dir}/s", say_half), stdin_pipe() as (reader, _):
        process = start("connect", f"{sock_dir}/s", stdin=reader)
        assert process.stdout is not None
        assert process.stdout.read(4) == b"half"
        process.send_signal(number)
        end = ended(process)
        assert (end.status, end.out, end.err) == (-number, b" a li", "")


def test_signal_while_stdout_is_full_writes_all_that_was_received(sock_dir: str) -> None:
    size = 150_000
    sent = threading.Event()

    def push(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        connection.sendall(bytes(size))
        sent.set()
        read_all(connection)

    with serving(f"{sock_dir}/s", push), stdin_pipe() as (reader, _):
        out_read, out_write = os.pipe()
        fcntl.fcntl(out_write, fcntl.F_SETPIPE_SZ, 4096)
        process = start("connect", "--escape=never", f"{sock_dir}/s", stdin=reader, stdout=out_write)
        os.close(out_write)
        assert sent.wait(PATIENCE_S)
        assert readable(out_read)
        process.terminate()
        with open(out_read, "rb") as out:
            assert len(out.read()) == size
        assert ended(process).status == -signal.SIGTERM


def test_signal_ignored_at_start_stays_ignored(sock_dir: str) -> None:
    with serving(f"{sock_dir}/s", echo), stdin_pipe() as (reader, writer):
        process = start("connect", f"{sock_dir}/s", stdin=reader, shell_prefix='trap "" INT; exec "$@"')
        assert process.stdout is not None
        os.write(writer, b"1")
        assert process.stdout.read(1) == b"1"
        process.send_signal(signal.SIGINT)
        os.write(writer, b"2")
        assert process.stdout.read(1) == b"2"
        process.terminate()
        assert ended(process).status == -signal.SIGTERM


def test_interrupt_while_waiting_for_a_server_is_quiet(sock_dir: str) -> None:
    process = start("connect", "--trace", "--wait", "1h", f"{sock_dir}/s", stdin=subprocess.DEVNULL)
    assert process.stderr is not None
    assert process.stderr.readline().startswith(b"socket(")
    process.send_signal(signal.SIGINT)
    end = ended(process)
    assert end.status == -signal.SIGINT
    assert "Traceback" not in end.err


# Refusals: one line, the next step, the status


@pytest.mark.parametrize(
    ("make", "status", "words"),
    [
        (lambda p: None, 3, "does not exist (ENOENT)"),
        (lambda p: os.mkdir(p), 6, "is a directory, and a socket was expected (ECONNREFUSED)"),
        (lambda p: open(p, "w").close(), 6, "is a regular file, and a socket was expected (ECONNREFUSED)"),
        (lambda p: os.mkfifo(p), 6, "is a FIFO, and a socket was expected (ECONNREFUSED)"),
        (
            lambda p: os.symlink("nowhere", p),
            3,
            "is a symbolic link to 'nowhere', which does not exist (ENOENT)",
        ),
        (lambda p: os.symlink(p, p), 3, "too many symbolic links on the way (ELOOP)"),
        (lambda p: leave_stale(p), 4, "exists but nobody listens (stale socket file, ECONNREFUSED)"),
    ],
)
def test_what_is_no_server_is_named(sock_dir: str, make: object, status: int, words: str) -> None:
    assert callable(make)
    make(f"{sock_dir}/s")
    end = run("connect", f"{sock_dir}/s")
    assert (end.status, end.out) == (status, b"")
    error, hint = end.err.splitlines()
    assert error.startswith(f"afunix: error: '{sock_dir}/s'")
    assert error.endswith(words)
    assert hint.startswith("afunix: hint: ")


def leave_stale(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
        sock.listen()


def test_missing_directory_is_named(sock_dir: str) -> None:
    end = run("connect", f"{sock_dir}/a/b/s")
    assert end.status == 3
    assert f"there is no directory '{sock_dir}/a' (ENOENT)" in end.err


def test_file_in_place_of_a_directory_is_named(sock_dir: str) -> None:
    open(f"{sock_dir}/a", "w").close()
    end = run("connect", f"{sock_dir}/a/s")
    assert end.status == 3
    assert f"'{sock_dir}/a' is not a directory (ENOTDIR)" in end.err


def test_bound_and_not_listening_is_told_from_stale(sock_dir: str) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"{sock_dir}/s")
        end = run("connect", f"{sock_dir}/s")
        assert end.status == 4
        assert "is bound, but its process does not listen" in end.err


def test_abstract_name_of_nobody(sock_dir: str) -> None:
    end = run("connect", f"@{sock_dir}/nobody")
    assert end.status == 4
    assert "nobody listens on the abstract name" in end.err


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give files to somebody else")
def test_denied_says_on_what_and_who_you_are(sock_dir: str) -> None:
    setpriv = [
        require("setpriv"),
        "--bounding-set=-dac_override,-dac_read_search",
    ]  # root with nobody's rights

    def connect() -> Ended:
        argv = [*setpriv, *command("connect", f"{sock_dir}/s")]
        process = subprocess.run(argv, capture_output=True, text=True, env=environment(), check=False)
        return Ended(process.returncode, b"", process.stderr)

    with serving(f"{sock_dir}/s", echo):
        os.chown(f"{sock_dir}/s", 65534, 65534)
        os.chmod(f"{sock_dir}/s", 0o600)
        end = connect()
        assert end.status == 5
        assert f"needs write permission on '{sock_dir}/s' (mode 0600, owner nobody)" in end.err
        assert "you are uid 0 (root) (EACCES)" in end.err
        os.chown(sock_dir, 65534, 65534)
        end = connect()
        assert end.status == 5
        assert f"needs search permission on '{sock_dir}' (mode 0700, owner nobody)" in end.err


def test_long_path_works(sock_dir: str) -> None:
    deep = os.path.join(sock_dir, *["d" * 50] * 5)
    os.makedirs(deep)
    directory = os.open(deep, os.O_PATH)
    try:
        with serving(f"/proc/self/fd/{directory}/s", echo):
            assert run("connect", f"{deep}/s", stdin=b"far").out == b"far"
    finally:
        os.close(directory)


def test_abstract_name_works(sock_dir: str) -> None:
    with serving(b"\0" + sock_dir.encode() + b"/a\0b", echo):
        written = "unix-abstract:" + sock_dir + "/a%00b"
        assert run("connect", written, stdin=b"x").out == b"x"


# Waiting and time


def test_wait_connects_once_the_server_is_there(sock_dir: str) -> None:
    process = start("connect", "--trace", "--wait", "20s", f"{sock_dir}/s")
    assert process.stderr is not None
    while b"ENOENT" not in process.stderr.readline():
        pass
    with serving(f"{sock_dir}/s", echo):
        end = ended(process, b"patient")
        assert (end.status, end.out) == (0, b"patient")


def test_wait_that_was_in_vain_names_the_last_obstacle(sock_dir: str) -> None:
    leave_stale(f"{sock_dir}/s")
    end = run("connect", "--wait", "100ms", f"{sock_dir}/s")
    assert end.status == 7
    assert "no connection within 0.1 s: " in end.err
    assert "nobody listens" in end.err


@contextmanager
def full_backlog(path: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(path)
        listener.listen(0)
        first.connect(path)
        yield listener


def test_full_backlog_ends_at_the_deadline_and_says_so(sock_dir: str) -> None:
    with full_backlog(f"{sock_dir}/s"):
        began = time.monotonic()
        end = run("connect", "--connect-timeout", "500ms", f"{sock_dir}/s")
        assert time.monotonic() - began >= 0.5
        assert end.status == 7
        assert "no connection within 0.5 s: the backlog of" in end.err


def test_full_backlog_without_a_deadline_is_waited_for(sock_dir: str) -> None:
    with full_backlog(f"{sock_dir}/s") as listener:
        process = start("connect", f"{sock_dir}/s")
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.7)
        listener.accept()[0].close()
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"at last")
        assert ended(process, b"").out == b"at last"


def test_interrupt_on_a_full_backlog_ends_it(sock_dir: str) -> None:
    with full_backlog(f"{sock_dir}/s"):
        process = start("connect", f"{sock_dir}/s", stdin=subprocess.DEVNULL)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.7)
        process.send_signal(signal.SIGINT)
        end = ended(process)
        assert (end.status, end.err) == (-signal.SIGINT, "")


def test_timeout_is_status_7_when_all_was_sent(sock_dir: str) -> None:
    hold = threading.Event()
    with serving(f"{sock_dir}/s", lambda c: (read_all(c), hold.wait(PATIENCE_S))):
        end = run("connect", "--timeout", "700ms", f"{sock_dir}/s", stdin=b"q")
        hold.set()
        assert end.status == 7
        assert "timed out after 0.7 s" in end.err


def test_idle_timeout_with_bytes_undelivered_is_status_8(sock_dir: str) -> None:
    hold = threading.Event()
    with serving(f"{sock_dir}/s", lambda c: hold.wait(PATIENCE_S)):
        end = run("connect", "--idle-timeout", "300ms", f"{sock_dir}/s", stdin=BULK)
        hold.set()
        assert end.status == 8
        assert "read nothing for 0.3 s" in end.err


def test_idle_timeout_does_not_count_while_stdout_is_not_read(sock_dir: str) -> None:
    hold = threading.Event()

    def push(connection: socket.socket) -> None:
        connection.sendall(BULK)
        hold.wait(PATIENCE_S)

    with serving(f"{sock_dir}/s", push), stdin_pipe() as (reader, _):
        process = start("connect", "--idle-timeout", "200ms", f"{sock_dir}/s", stdin=reader)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        assert process.stdout is not None
        out = process.stdout.read(10)
        end = ended(process)
        hold.set()
        assert (end.status, out + end.out) == (7, BULK)


# Who the server must be, and which type it is


def test_required_user_is_compared_before_a_byte_is_sent(sock_dir: str) -> None:
    with serving(f"{sock_dir}/s", read_all) as server:
        wrong = os.geteuid() + 1
        end = run("connect", "--require", f"user:{wrong}", f"{sock_dir}/s", stdin=b"secret")
        assert end.status == 9
        assert f"is served by uid {os.geteuid()}" in end.err
        assert f"it must be uid {wrong}" in end.err
        assert server.result() == b""
        assert run("connect", "--require", f"user:{os.geteuid()}", f"{sock_dir}/s", stdin=b"x").status == 0
        assert server.result() == b"x"


@pytest.mark.parametrize(
    "written", ["ana", "user:", "user:-1", "user:4294967295", "group:root", "user:no such"]
)
def test_required_user_that_cannot_be_is_wrong_use(sock_dir: str, written: str) -> None:
    assert run("connect", "--require", written, f"{sock_dir}/s").status == 2


@pytest.mark.parametrize("asked", ["stream", "dgram"])
def test_type_that_is_not_the_servers_is_status_6_and_names_the_real_one(sock_dir: str, asked: str) -> None:
    with serving(f"{sock_dir}/s", echo, socket.SOCK_SEQPACKET):
        end = run("connect", "--type", asked, f"{sock_dir}/s")
        assert end.status == 6
        assert f"is a seqpacket socket, and {asked} was asked for (EPROTOTYPE)" in end.err


# Records


def receive_records(connection: socket.socket) -> list[bytes]:
    """All of a seqpacket client's records; an empty one is told from the end by its timestamp."""
    connection.setsockopt(socket.SOL_SOCKET, 29, 1)
    records: list[bytes] = []
    while True:
        record, stamps, _, _ = connection.recvmsg(1 << 20, 64)
        if not record and not stamps:
            return records
        records.append(record)


@pytest.mark.parametrize(
    ("options", "stdin", "records"),
    [
        ([], b"one\ntwo\n\nfour", [b"one", b"two", b"", b"four"]),
        ([], b"", []),
        (["--null"], b"a\nb\0c\0", [b"a\nb", b"c"]),
        (["--raw"], b"a\nb\0c\n", [b"a\nb\0c\n"]),
        ([], b"x" * 70_000 + b"\ny\n", [b"x" * 70_000, b"y"]),
    ],
)
def test_stdin_becomes_records(sock_dir: str, options: list[str], stdin: bytes, records: list[bytes]) -> None:
    with serving(f"{sock_dir}/s", receive_records, socket.SOCK_SEQPACKET) as server:
        assert run("connect", *options, f"{sock_dir}/s", stdin=stdin).status == 0
        assert server.result() == records


@pytest.mark.parametrize(
    ("options", "out"),
    [
        ([], b"a\nb\n\n" + b"x" * 70_000 + b"\n"),
        (["--null"], b"a\0b\n\0\0" + b"x" * 70_000 + b"\0"),
        (["--raw"], b"ab\n" + b"x" * 70_000),
    ],
)
def test_records_are_written_whole_and_an_empty_one_is_not_the_end(
    sock_dir: str, options: list[str], out: bytes
) -> None:
    def send(connection: socket.socket) -> None:
        for record in (b"a", b"b\n", b"", b"x" * 70_000):
            connection.send(record)

    with serving(f"{sock_dir}/s", send, socket.SOCK_SEQPACKET):
        end = run("connect", "--receive-only", *options, f"{sock_dir}/s")
        assert (end.status, end.out) == (0, out)


def test_record_that_is_too_long_names_the_limit(sock_dir: str) -> None:
    with datagram_socket(f"{sock_dir}/s") as server:
        end = run("connect", f"{sock_dir}/s", stdin=b"fits\n" + b"x" * 300_000)
        assert end.status == 1
        assert "is too long" in end.err
        assert (
            f"it may have {server.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) - 32} (EMSGSIZE)" in end.err
        )
        assert server.recv(100) == b"fits"


def test_datagrams_slow_down_with_a_full_receiver_and_none_is_lost(sock_dir: str) -> None:
    lines = [b"%d" % number for number in range(2000)]
    with datagram_socket(f"{sock_dir}/s") as server:
        process = start("connect", f"{sock_dir}/s", stdin=subprocess.PIPE)
        assert process.stdin is not None
        process.stdin.write(b"\n".join(lines))
        process.stdin.close()
        process.stdin = None
        assert [server.recv(100) for _ in lines] == lines
        assert ended(process).status == 0


def test_datagram_client_has_a_name_to_answer_to_and_waits_with_idle_timeout(sock_dir: str) -> None:
    with datagram_socket(f"{sock_dir}/s") as server:
        process = start("connect", "--idle-timeout", "500ms", f"{sock_dir}/s")
        assert process.stdin is not None
        process.stdin.write(b"question\n")
        process.stdin.close()
        process.stdin = None
        question, client = server.recvfrom(100)
        server.sendto(b"answer", client)
        end = ended(process)
        assert (question, end.status, end.out) == (b"question", 0, b"answer\n")


def test_null_on_a_stream_is_wrong_use(sock_dir: str) -> None:
    with serving(f"{sock_dir}/s", read_all) as server:
        end = run("connect", "--null", f"{sock_dir}/s", stdin=b"x")
        assert (end.status, server.result()) == (2, b"")


# Reconnecting


def test_reconnect_receives_from_one_server_after_the_other(sock_dir: str) -> None:
    count = iter(range(100))
    with serving(f"{sock_dir}/s", lambda c: c.sendall(b"%d\n" % next(count))):
        process = start("connect", "--receive-only", "--reconnect", f"{sock_dir}/s")
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(3)] == [b"0\n", b"1\n", b"2\n"]
        process.terminate()
        assert ended(process).status == -signal.SIGTERM


def test_reconnect_sends_the_rest_to_the_next_server(sock_dir: str) -> None:
    with serving(f"{sock_dir}/s", lambda c: c.recv(100)) as server, stdin_pipe() as (reader, writer):
        process = start("connect", "--send-only", "--reconnect", f"{sock_dir}/s", stdin=reader)
        received = []
        for word in (b"one", b"two", b"three"):
            os.write(writer, word)
            while not (got := server.result()):
                pass
            received.append(got)
        process.terminate()
        assert received == [b"one", b"two", b"three"]
        assert ended(process).status == -signal.SIGTERM


def test_reconnect_after_bytes_were_lost_is_not_success(sock_dir: str) -> None:
    turns = iter(range(100))

    def lose_the_first(connection: socket.socket) -> bytes:
        if next(turns) == 0:
            assert readable(connection.fileno())
            return b""
        return read_all(connection)

    with serving(f"{sock_dir}/s", lose_the_first) as server, stdin_pipe() as (reader, writer):
        process = start("connect", "--send-only", "--reconnect", f"{sock_dir}/s", stdin=reader)
        os.write(writer, b"lost")
        assert server.result() == b""
        os.write(writer, b"kept")
        end_of(writer)
        assert server.result() == b"kept"
        assert ended(process).status == 8


# Descriptors


@pytest.mark.parametrize("closed", ["<&-", "2>&-", "<&- 2>&-"])
def test_closed_stdin_or_stderr_becomes_dev_null(sock_dir: str, closed: str) -> None:
    with serving(f"{sock_dir}/s", lambda c: c.sendall(read_all(c) + b"pong")):
        end = ended(start("connect", f"{sock_dir}/s", shell_prefix=f'"$@" {closed}'), b"")
        assert (end.status, end.out) == (0, b"pong")


def test_closed_stdout_is_wrong_use_and_nobody_is_connected_to(sock_dir: str) -> None:
    end = run("connect", f"{sock_dir}/s", shell_prefix='"$@" >&-')
    assert end.status == 2
    assert "STDOUT is closed" in end.err


def test_inherited_socket_is_used_and_its_flags_stay(sock_dir: str) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        fd = fcntl.fcntl(theirs.fileno(), fcntl.F_DUPFD, 20)
        process = start("connect", f"fd:{fd}", pass_fds=[fd])
        os.close(fd)
        ours.sendall(b"hello")
        ours.shutdown(socket.SHUT_WR)
        end = ended(process, b"question")
        assert (end.status, end.out) == (0, b"hello")
        assert read_all(ours) == b"question"
        assert theirs.getblocking()


def test_stdin_as_the_socket_is_wrong_use() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        end = run_on(theirs.fileno(), "connect", "fd:0")
        assert end.status == 2
        assert "cannot be both ends" in end.err


# What a person sees


def test_trace_shows_the_calls_of_a_clients_life(sock_dir: str) -> None:
    def greet(connection: socket.socket) -> None:
        read_all(connection)
        connection.sendall(b"hello!")

    with serving(f"{sock_dir}/s", greet):
        end = run("connect", "--trace", f"{sock_dir}/s", stdin=b"hello\n")
        assert end.err.splitlines() == [
            "socket(AF_UNIX, SOCK_STREAM) = 3",
            f'connect(3, "{sock_dir}/s")',
            "write(3) = 6",
            "shutdown(3, SHUT_WR)",
            "read(3) = 6",
            "read(3) = 0 (end of file)",
            "close(3)",
        ]


def test_trace_shows_failing_calls(sock_dir: str) -> None:
    end = run("connect", "--trace", f"{sock_dir}/s")
    assert end.err.splitlines()[:3] == [
        "socket(AF_UNIX, SOCK_STREAM) = 3",
        f'connect(3, "{sock_dir}/s") = -1 ENOENT',
        "close(3)",
    ]


def test_terminal_is_shown_control_characters_and_a_pipe_gets_them(sock_dir: str) -> None:
    hostile = b"\x1b]0;title\x07\x1b[2J\x9b\r\x7f ok\n"
    with serving(f"{sock_dir}/s", lambda c: c.sendall(hostile)):
        assert run("connect", "--receive-only", f"{sock_dir}/s").out == hostile
        master, slave = pty.openpty()
        attributes = termios.tcgetattr(slave)
        attributes[1] &= ~termios.OPOST
        termios.tcsetattr(slave, termios.TCSANOW, attributes)
        process = start("connect", "--receive-only", f"{sock_dir}/s", stdout=slave)
        assert ended(process).status == 0
        assert os.read(master, 1000) == b"^[]0;title^G^[[2J\\x9b^M^? ok\n"
        os.close(master)
        os.close(slave)


def test_end_of_file_key_on_a_terminal_ends_stdin(sock_dir: str) -> None:
    master, slave = pty.openpty()
    with serving(f"{sock_dir}/s", echo):
        process = start("connect", f"{sock_dir}/s", stdin=slave)
        os.write(master, b"typed\n")
        assert process.stdout is not None
        assert process.stdout.read(6) == b"typed\n"
        os.write(master, b"\x04")
        assert ended(process).status == 0
    os.close(master)
    os.close(slave)


def test_help_tells_examples_and_statuses() -> None:
    end = run("connect", "--help")
    assert end.status == 0
    assert b"afunix connect --wait 10s" in end.out
    assert b"8  the peer or a deadline broke off, and bytes may be lost" in end.out


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["a", "b"],
        ["--no-such", "s"],
        ["--receive-only", "--send-only", "s"],
        ["--reconnect", "s"],
        ["--raw", "--null", "s"],
        ["--wait", "soon", "s"],
        ["--type", "raw", "s"],
        ["--escape", "maybe", "s"],
        ["tcp:localhost:80"],
        ["-"],
        [""],
        ["http:x"],
        ["fd:99"],
        ["fd:nobody"],
    ],
)
def test_wrong_use_is_one_line_and_status_2(sock_dir: str, arguments: list[str]) -> None:
    end = ended(start("connect", *arguments, cwd=sock_dir), b"")
    assert (end.status, end.out) == (2, b"")
    assert end.err.startswith("afunix: error: ")
    assert end.err.count("\n") <= 2
    assert os.listdir(sock_dir) == []


def test_light_start_imports_no_asyncio_no_rich_and_no_events(sock_dir: str) -> None:
    with serving(f"{sock_dir}/s", echo):
        argv = [sys.executable, "-X", "importtime", *command("connect", f"{sock_dir}/s")[1:]]
        end = subprocess.run(argv, input=b"hi", capture_output=True, env=environment(), check=True)
    imported = {line.rpartition(b"|")[2].strip().decode() for line in end.stderr.splitlines()}
    assert "afunix.blocking" in imported
    assert not {"asyncio", "rich", "afunix.model.events", "afunix.model.refusal"} & imported
