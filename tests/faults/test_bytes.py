"""Every byte that was sent comes out, once, in order, whole lines whole. Rows 26, 28, 30, 31, 33, 35-37."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.faults import strangers
from tests.faults.running import Drain, Serve, becomes_quiet, connected, say, until
from tests.faults.scale import scaled, timed
from tests.faults.test_path import mounted
from tests.faults.users import User
from tests.program import PATIENCE_S, Ended, ended
from tests.servers import read_all, serving

BULK_BYTES = scaled(24 << 20, 1 << 30) + 12_345


class Hashing(threading.Thread):
    """Reads `fd`, which it owns, to its end; for more bytes than one wants to keep."""

    def __init__(self, fd: int) -> None:
        super().__init__(daemon=True)
        self._fd = fd
        self.sha256 = hashlib.sha256()
        self.size = 0
        self.start()

    def run(self) -> None:
        with open(self._fd, "rb", buffering=0) as source:
            while piece := source.read(1 << 20):
                self.sha256.update(piece)
                self.size += len(piece)


@pytest.fixture(scope="module")
def bulk(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A file of random bytes, and their hash."""
    path = str(tmp_path_factory.mktemp("bulk") / "random")
    block = os.urandom(1 << 20)
    sha256 = hashlib.sha256()
    with open(path, "wb") as file:
        for number in range(0, BULK_BYTES, len(block)):
            piece = (b"%016d" % number + block)[: min(len(block), BULK_BYTES - number)]
            file.write(piece)
            sha256.update(piece)
    return path, sha256.hexdigest()


# 26: any kind of STDOUT


def pipe(place: str) -> tuple[int, int | None]:
    read_fd, write_fd = os.pipe()
    return write_fd, read_fd


def fifo(place: str) -> tuple[int, int | None]:
    os.mkfifo(f"{place}/fifo", 0o600)
    read_fd = os.open(f"{place}/fifo", os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(read_fd, True)
    return os.open(f"{place}/fifo", os.O_WRONLY), read_fd


def stream_socket(place: str) -> tuple[int, int | None]:
    ours, theirs = socket.socketpair()
    return theirs.detach(), ours.detach()


def file(place: str) -> tuple[int, int | None]:
    return os.open(f"{place}/out", os.O_WRONLY | os.O_CREAT), None


def appended_file(place: str) -> tuple[int, int | None]:
    return os.open(f"{place}/out", os.O_WRONLY | os.O_CREAT | os.O_APPEND), None


@pytest.mark.parametrize("make", [pipe, fifo, stream_socket, file, appended_file])
@pytest.mark.parametrize("option", [(), ("--raw",)])
def test_one_client_comes_out_byte_for_byte(
    user: User,
    place: str,
    bulk: tuple[str, str],
    make: Callable[[str], tuple[int, int | None]],
    option: tuple[str, ...],
) -> None:
    stdout, reader = make(place)
    flags = os.get_blocking(stdout)
    hashing = Hashing(reader) if reader is not None else None
    with Serve(user, *option, f"{place}/s", stdout=stdout) as serve:
        with open(bulk[0], "rb") as source:
            client = user.start("connect", f"{place}/s", stdin=source)
            assert client.wait(PATIENCE_S * scaled(1, 20)) == 0
        assert serve.stop() == Ended(0, b"", serve.err())
    assert os.get_blocking(stdout) is flags
    os.close(stdout)
    if hashing is None:
        with open(f"{place}/out", "rb") as written:
            assert hashlib.file_digest(written, "sha256").hexdigest() == bulk[1]
    else:
        hashing.join(PATIENCE_S)
        assert (hashing.size, hashing.sha256.hexdigest()) == (BULK_BYTES, bulk[1])


@pytest.mark.parametrize("make", [pipe, fifo, stream_socket])
def test_answer_comes_out_of_connect_byte_for_byte(
    user: User, place: str, bulk: tuple[str, str], make: Callable[[str], tuple[int, int | None]]
) -> None:
    def send(connection: socket.socket) -> None:
        with open(bulk[0], "rb") as source:
            connection.sendfile(source)

    stdout, reader = make(place)
    assert reader is not None
    hashing = Hashing(reader)
    with serving(f"{place}/s", send):
        os.chmod(f"{place}/s", 0o666)
        client = user.start("connect", f"{place}/s", stdin=subprocess.DEVNULL, stdout=stdout)
        assert client.wait(PATIENCE_S * scaled(1, 20)) == 0
    os.close(stdout)
    hashing.join(PATIENCE_S)
    assert (hashing.size, hashing.sha256.hexdigest()) == (BULK_BYTES, bulk[1])


# The flags of what was inherited


def terminal(place: str) -> tuple[int, int | None]:
    controller, terminal = os.openpty()
    return terminal, controller


@pytest.mark.parametrize("make", [pipe, fifo, stream_socket, terminal])
@pytest.mark.parametrize("is_blocking", [True, False])
def test_flags_of_stdout_stay_as_they_were_and_are_no_obstacle(
    user: User, place: str, make: Callable[[str], tuple[int, int | None]], is_blocking: bool
) -> None:
    """They belong to whoever else holds that open file: the shell, the next program."""
    stdout, reader = make(place)
    assert reader is not None
    os.set_blocking(stdout, is_blocking)
    size = 400_000
    with Serve(user, f"{place}/s", stdout=stdout) as serve, connected(f"{place}/s") as client:
        client.sendall(b"first\n")
        assert select.select([reader], [], [], PATIENCE_S)[0]
        assert os.get_blocking(stdout) is is_blocking
        sending = threading.Thread(target=feed, args=(client, size))
        sending.start()
        drain = Drain(reader)
        until(lambda: drain.data.count(b"\n") >= size // 100 + 2, "all lines are out")
        sending.join()
        assert os.get_blocking(stdout) is is_blocking
        serve.stop()
    assert os.get_blocking(stdout) is is_blocking
    os.close(stdout)
    drain.end()


def feed(client: socket.socket, size: int) -> None:
    client.sendall(b"x" * 99 + b"\n")
    for _ in range(size // 10_000):
        client.sendall((b"y" * 99 + b"\n") * 100)


@pytest.mark.parametrize("command", ["serve", "connect"])
def test_flags_of_all_three_stay_also_after_kill_9(user: User, place: str, command: str) -> None:
    pairs = [socket.socketpair() for _ in range(3)]
    theirs = [pair[1] for pair in pairs]

    def standard() -> dict[str, Any]:
        return {"stdin": theirs[0], "stdout": theirs[1], "stderr": theirs[2]}

    with serving(f"{place}/there", read_all):
        os.chmod(f"{place}/there", 0o666)
        process = user.start(command, "-v", f"{place}/{'s' if command == 'serve' else 'there'}", **standard())
        assert pairs[2][0].recv(10)  # it says where it listens, or that it is connected
        assert [each.getblocking() for each in theirs] == [True] * 3
        process.kill()
        process.wait()
        assert [os.get_blocking(each.fileno()) for each in theirs] == [True] * 3
        for pair in pairs:
            pair[0].close()
            pair[1].close()


# L1: whole lines


def test_lines_of_many_clients_that_send_them_in_pieces_stay_whole(user: User, place: str) -> None:
    clients, turns = 8, scaled(20, 400)
    with Serve(user, f"{place}/s") as serve:
        socks = [connected(f"{place}/s") for _ in range(clients)]
        expected = []
        for turn in range(turns):
            lines = [
                b"%d.%d:" % (who, turn) + b"abcdefgh"[who : who + 1] * (turn * 997 % 9000)
                for who in range(clients)
            ]
            expected += lines
            for who, sock in enumerate(socks):
                sock.sendall(lines[who][: len(lines[who]) // 2])
            for who, sock in reversed(list(enumerate(socks))):
                sock.sendall(lines[who][len(lines[who]) // 2 :] + b"\n")
        for sock in socks:
            sock.close()
        end = serve.stop()
    assert sorted(end.out.splitlines()) == sorted(expected)


def test_large_blocks_of_lines_of_two_clients_stay_whole(user: User, place: str) -> None:
    """Large enough to be spliced; both at once, and a reader that is slow to begin."""
    path = f"{place}/s"
    out_read, out_write = os.pipe()
    with Serve(user, path, stdout=out_write) as serve:
        os.close(out_write)
        lines = {
            who: [b"%c%07d" % (who, number) + b"%c" % who * (number % 300) for number in range(40_000)]
            for who in b"ab"
        }
        senders = [threading.Thread(target=send_lines, args=(path, lines[who])) for who in b"ab"]
        for sender in senders:
            sender.start()
        drain = Drain(out_read)
        for sender in senders:
            sender.join()
        assert serve.stop().status == 0
    out = drain.end().splitlines()
    assert [line for line in out if line[:1] == b"a"] == lines[ord("a")]
    assert [line for line in out if line[:1] == b"b"] == lines[ord("b")]
    assert len(out) == 80_000


def send_lines(path: str, lines: list[bytes]) -> None:
    with connected(path) as client:
        client.sendall(b"\n".join(lines) + b"\n")


# 28: clients that are gone by the time they are read


def test_clients_that_die_right_after_send_are_printed(user: User, place: str) -> None:
    count, size = scaled(300, 10_000), 1000
    with Serve(user, f"{place}/s") as serve:
        strangers.act("crowd", user.uid, f"{place}/s", str(count), str(size))
        end = serve.stop()
    assert end.status == 0
    assert sorted(end.out.splitlines()) == [b"%06d" % number + b"." * (size - 7) for number in range(count)]


def test_clients_that_close_with_an_answer_unread_are_printed(user: User, place: str) -> None:
    """What came before a reset comes first, then the reset."""
    with Serve(user, "--json", f"{place}/s") as serve:
        serve.send(signal.SIGSTOP)
        ours = connected(f"{place}/s")
        ours.sendall(b"said\nand half")
        ours.close()
        serve.send(signal.SIGCONT)
        end = serve.stop()
    pieces = [json.loads(line) for line in end.out.splitlines()]
    assert [piece["data"] for piece in pieces] == ["said", "and half"]


# 30, 31: answers that come late, or never


def test_answer_long_after_the_end_of_stdin_is_printed_whole(user: User, place: str) -> None:
    """The client is left waiting longer than others wait (socat: half a second)."""
    answer = b"late " * 100_000
    heard, go_on = threading.Event(), threading.Event()

    def answer_late(connection: socket.socket) -> None:
        assert read_all(connection) == b"question"
        heard.set()
        assert go_on.wait(PATIENCE_S)
        connection.sendall(answer)

    with serving(f"{place}/s", answer_late):
        os.chmod(f"{place}/s", 0o666)
        client = user.start("connect", f"{place}/s", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert client.stdin is not None
        client.stdin.write(b"question")
        client.stdin.close()
        client.stdin = None
        assert heard.wait(PATIENCE_S)
        with pytest.raises(subprocess.TimeoutExpired):
            client.wait(scaled(10, 30) / 10)
        go_on.set()
        end = ended(client)
    assert (end.status, end.out) == (0, answer)


@pytest.mark.parametrize("option", ["--timeout", "--idle-timeout"])
def test_server_that_never_closes_is_left_at_the_deadline_with_its_words_printed(
    user: User, place: str, option: str
) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{place}/s")
        os.chmod(f"{place}/s", 0o666)
        listener.listen()
        before = time.monotonic()
        client = user.start(
            *("connect", option, "500ms", f"{place}/s"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"so far")
            end = ended(client)
    assert (end.status, end.out) == (7, b"so far")
    assert "timed out" in end.err
    assert time.monotonic() - before >= 0.5


@timed
def test_deadline_is_kept_within_half_a_second(user: User, place: str) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{place}/s")
        os.chmod(f"{place}/s", 0o666)
        listener.listen()
        before = time.monotonic()
        client = user.start("connect", "--timeout", "2s", f"{place}/s", stdin=subprocess.DEVNULL)
        assert client.wait(PATIENCE_S) == 7
        assert 2.0 <= time.monotonic() - before <= 2.5


def test_interrupt_while_waiting_for_an_answer_prints_what_came_and_dies_by_it(
    user: User, place: str
) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{place}/s")
        os.chmod(f"{place}/s", 0o666)
        listener.listen()
        client = user.start("connect", f"{place}/s", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"so far")
            assert client.stdout is not None
            assert client.stdout.read(2) == b"so"
            client.send_signal(signal.SIGINT)
            end = ended(client)
    assert (end.status, end.out) == (-signal.SIGINT, b" far")


# 33: a STDOUT that takes no more


LINES = b"".join(b"line %06d\n" % number for number in range(20_000))


def test_file_size_limit_leaves_the_exact_prefix_and_status_1(user: User, place: str) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    stdout, _ = file(place)
    with Serve(user, f"{place}/s", stdout=stdout, preexec_fn=limit) as serve:
        os.close(stdout)
        with connected(f"{place}/s") as client, pytest.raises((BrokenPipeError, ConnectionResetError)):
            while True:
                client.sendall(LINES)
        end = serve.end()
    assert end.status == 1
    assert "EFBIG" in end.err
    assert "lost" in end.err
    with open(f"{place}/out", "rb") as written:
        assert written.read() == (LINES * 2)[:100_000]


@pytest.mark.parametrize("option", [(), ("--raw",), ("--label",)])
def test_full_device_is_status_1_and_never_0(user: User, place: str, option: tuple[str, ...]) -> None:
    stdout = os.open("/dev/full", os.O_WRONLY)
    with Serve(user, *option, f"{place}/s", stdout=stdout) as serve:
        os.close(stdout)
        say_until_refused(f"{place}/s", b"hello\n")
        end = serve.end()
    assert end.status == 1
    assert "ENOSPC" in end.err
    assert os.listdir(place) == []


def say_until_refused(path: str, data: bytes) -> None:
    try:
        say(path, data)
    except (BrokenPipeError, ConnectionResetError):
        pass


def test_full_device_is_status_1_for_one_client_too(user: User, place: str) -> None:
    stdout = os.open("/dev/full", os.O_WRONLY)
    with Serve(user, "--once", f"{place}/s", stdout=stdout) as serve:
        os.close(stdout)
        say_until_refused(f"{place}/s", b"hello")
        assert serve.end().status == 1


def test_full_file_system_leaves_the_exact_prefix_and_status_1(user: User, place: str) -> None:
    """The output is in a small tmpfs that only this run sees; it is copied out at the end."""
    os.mkdir(f"{place}/small")
    keep = f'"$@" >{place}/small/out; status=$?; cat {place}/small/out; exit $status'
    prefix = [*mounted(user, f"{place}/small", "size=64k,mode=777"), "/bin/sh", "-c", keep, "sh"]
    with Serve(user, f"{place}/s", prefix=prefix, privileged=True, must_start=False) as serve:
        if not serve.is_ready:
            pytest.skip(f"mounting is not allowed here: {serve.end().err}")
        with connected(f"{place}/s") as client, pytest.raises((BrokenPipeError, ConnectionResetError)):
            while True:
                client.sendall(LINES)
        end = serve.end()
    assert end.status == 1
    assert "ENOSPC" in end.err
    assert end.out == (LINES * 2)[:65536]


# 35-37: out-of-band bytes and records


@pytest.mark.parametrize("size", [0, 200_000])
def test_out_of_band_byte_stays_in_its_place_and_nothing_spins(user: User, place: str, size: int) -> None:
    with Serve(user, f"{place}/s") as serve, connected(f"{place}/s") as client:
        before, after = b"b" * size + b"ab", b"def" + b"a" * size + b"\n"
        client.sendall(before)
        client.send(b"c", socket.MSG_OOB)
        client.sendall(after)
        assert becomes_quiet(serve.pid)
        out = serve.wait_for_out(lambda out: out.endswith(b"\n"))
        assert out == before + b"c" + after
        client.send(b"!", socket.MSG_OOB)
        assert becomes_quiet(serve.pid)
        assert serve.stop().out == before + b"c" + after + b"!"


def test_out_of_band_byte_does_not_disturb_connect(user: User, place: str) -> None:
    def send(connection: socket.socket) -> None:
        connection.sendall(b"ab")
        connection.send(b"c", socket.MSG_OOB)
        connection.sendall(b"def")

    with serving(f"{place}/s", send):
        os.chmod(f"{place}/s", 0o666)
        client = user.start("connect", f"{place}/s", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        end = ended(client)
    assert (end.status, end.out) == (0, b"abcdef")


RECORDS = [b"", b"1", b"two\nlines\n", b"", b"L" * 70_000, b"", b"end"]


def test_seqpacket_records_keep_their_boundaries_and_an_empty_one_is_no_end(user: User, place: str) -> None:
    with Serve(user, "--type", "seqpacket", "--json", f"{place}/s") as serve:
        with connected(f"{place}/s", socket.SOCK_SEQPACKET) as client:
            for record in RECORDS:
                client.send(record)
        end = serve.stop()
    pieces = [json.loads(line) for line in end.out.splitlines()]
    assert [piece["data"].encode() for piece in pieces if piece["end"] == "record"] == RECORDS
    assert end.status == 0


def test_seqpacket_records_come_out_of_connect_whole(user: User, place: str) -> None:
    def send(connection: socket.socket) -> None:
        for record in RECORDS:
            connection.send(record)

    with serving(f"{place}/s", send, socket.SOCK_SEQPACKET):
        os.chmod(f"{place}/s", 0o666)
        client = user.start(
            "connect", "--null", f"{place}/s", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        )
        end = ended(client)
    assert (end.status, end.out) == (0, b"".join(record + b"\0" for record in RECORDS))


def test_flood_of_datagrams_and_the_largest_one_come_out_exactly(user: User, place: str) -> None:
    count = scaled(2000, 10_000)
    with Serve(user, "--type", "dgram", "--null", f"{place}/s") as serve:
        with connected(f"{place}/s", socket.SOCK_DGRAM) as client:
            largest = b"L" * (client.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) - 32)
            records = [b"%06d" % number + b"." * 1018 for number in range(count)]
            for record in records:
                client.send(record)
            client.send(largest)
            with pytest.raises(OSError, match="too long"):
                client.send(largest + b"L")
        end = serve.stop()
    assert end.out == b"".join(record + b"\0" for record in [*records, largest])


def test_datagram_that_is_too_large_is_a_clean_error_of_the_sender(user: User, place: str) -> None:
    with Serve(user, "--type", "dgram", f"{place}/s") as serve:
        client = user.start("connect", "--raw", f"{place}/s", stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        end = ended(client, b"x" * 10_000_000)
        assert end.status != 0
        assert "EMSGSIZE" in end.err
        assert serve.stop().out == b""
