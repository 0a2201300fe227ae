"""More clients than descriptors, than places, than anybody reads: wait, never spin, never grow, lose nothing.
Rows 38, 40, 42, 44, 46.
"""

from __future__ import annotations

import os
import re
import resource
import signal
import socket
import subprocess
import threading
import time
from contextlib import ExitStack

import pytest
from tests.faults import strangers
from tests.faults.running import (
    Serve,
    becomes_quiet,
    connected,
    cpu_s,
    descriptors,
    resident_bytes,
    say,
    until,
)
from tests.faults.scale import scaled, timed
from tests.faults.users import User
from tests.program import PATIENCE_S, ended

# 38: out of descriptors

FEW_DESCRIPTORS = 64


def limit_descriptors() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (FEW_DESCRIPTORS, FEW_DESCRIPTORS))


@pytest.mark.parametrize("option", [(), ("--max-clients", "1000")])
def test_more_clients_than_descriptors_wait_and_none_is_lost(
    user: User, place: str, option: tuple[str, ...]
) -> None:
    """With --max-clients accept(2) really fails; without, the limit keeps below."""
    path = f"{place}/s"
    with Serve(user, *option, path, preexec_fn=limit_descriptors) as serve, ExitStack() as stack:
        clients = [stack.enter_context(connected(path)) for _ in range(200)]
        for number, client in enumerate(clients):
            client.sendall(b"first %d\n" % number)
        served = serve.wait_for_out(lambda out: out.count(b"\n") >= FEW_DESCRIPTORS // 2).count(b"\n")
        assert becomes_quiet(serve.pid)
        assert served < FEW_DESCRIPTORS
        clients[0].sendall(b"still heard\n")
        serve.wait_for_out(lambda out: b"still heard\n" in out)
        for client in clients[:190]:
            client.close()
        serve.wait_for_out(lambda out: out.count(b"first ") == 200)
        clients[199].sendall(b"last\n")
        serve.wait_for_out(lambda out: b"last\n" in out)
        assert serve.err().count("\n") <= 8
        end = serve.stop()
    assert end.status == 0
    assert set(end.out.splitlines()) == {b"still heard", b"last", *(b"first %d" % n for n in range(200))}


def test_descriptors_that_others_hold_are_waited_for_without_spinning(user: User, place: str) -> None:
    """Nobody leaves, so nothing tells when there is one again: the limit is raised from outside."""
    path = f"{place}/s"
    with Serve(user, "--max-clients", "1000", path) as serve, ExitStack() as stack:
        assert becomes_quiet(serve.pid)  # else a file that it is reading is counted, too
        used = descriptors(serve.pid)
        enough = strangers.act("limit", user.uid, str(serve.pid), str(used))
        client = stack.enter_context(connected(path))
        client.sendall(b"waited\n")
        until(lambda: "EMFILE" in serve.err(), "it says why it accepts nobody")
        assert becomes_quiet(serve.pid)
        strangers.act("limit", user.uid, str(serve.pid), str(enough))
        serve.wait_for_out(lambda out: out == b"waited\n")
        assert serve.err().count("EMFILE") == 1


def test_every_byte_is_accounted_for_when_a_stop_finds_neither_descriptors_nor_a_reader(
    user: User, place: str
) -> None:
    """Who was accepted is lost with his bytes, who still waits in the backlog with his."""
    path = f"{place}/s"
    out_read, out_write = os.pipe()
    line = b"x" * 0xFFFF + b"\n"
    with (
        Serve(user, "--max-clients", "1000", path, stdout=out_write, preexec_fn=limit_descriptors) as serve,
        ExitStack() as stack,
    ):
        os.close(out_write)
        for _ in range(100):
            stack.enter_context(connected(path)).sendall(line)
        until(lambda: "EMFILE" in serve.err(), "it accepts nobody any more")
        end = serve.stop()
        with open(out_read, "rb") as reader:
            written = len(reader.read())
    lost = re.search(r"error: (\d+) bytes could not be handed on", end.err)
    left = re.search(
        r"error: (\d+) clients were left .* and (\d+) bytes that they had sent are lost", end.err
    )
    assert end.status == 8
    assert lost is not None
    assert left is not None
    assert int(left[2]) == int(left[1]) * len(line)
    assert written + int(lost[1]) + int(left[2]) == 100 * len(line)


@timed
def test_out_of_descriptors_costs_little_time_and_few_lines(user: User, place: str) -> None:
    path = f"{place}/s"
    with (
        Serve(user, "--max-clients", "1000", path, preexec_fn=limit_descriptors) as serve,
        ExitStack() as stack,
    ):
        clients = [stack.enter_context(connected(path)) for _ in range(200)]
        for client in clients:
            client.sendall(b"x\n")
        assert becomes_quiet(serve.pid)
        before, lines = cpu_s(serve.pid), serve.err().count("\n")
        time.sleep(5)
        assert cpu_s(serve.pid) - before < 5 * 0.05
        assert serve.err().count("\n") - lines <= 5
        for client in clients[:100]:
            client.close()
        start = time.monotonic()
        serve.wait_for_out(lambda out: out.count(b"\n") >= 140)
        assert time.monotonic() - start < 1.0


# 40: a server that is stopped, and its backlog full


def test_full_backlog_is_waited_for_and_then_everything_arrives(user: User, place: str) -> None:
    path = f"{place}/s"
    with Serve(user, "--backlog", "0", path) as serve:
        serve.send(signal.SIGSTOP)
        with connected(path):
            client = user.start(
                "connect",
                "--trace",
                path,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            assert client.stderr is not None
            assert client.stderr.read(7) == b"socket("
            with pytest.raises(subprocess.TimeoutExpired):
                client.wait(0.2)
            serve.send(signal.SIGCONT)
            end = ended(client, b"patient\n")
        assert (end.status, end.out) == (0, b"")
        assert serve.stop().out == b"patient\n"


@pytest.mark.parametrize("option", ["--connect-timeout", "--timeout"])
def test_full_backlog_at_the_deadline_is_status_7_and_names_it(user: User, place: str, option: str) -> None:
    path = f"{place}/s"
    with Serve(user, "--backlog", "0", path) as serve:
        serve.send(signal.SIGSTOP)
        with connected(path):
            before = time.monotonic()
            client = user.start(
                *("connect", option, f"{scaled(500, 2000)}ms", path),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            end = ended(client, b"never\n")
            took = time.monotonic() - before
        serve.send(signal.SIGCONT)
        assert serve.stop().out == b""
    assert (end.status, end.out) == (7, b"")
    assert "backlog" in end.err
    assert "EAGAIN" in end.err
    assert took >= scaled(500, 2000) / 1000


# 42: one user who takes all places


def test_silent_clients_of_one_user_leave_room_for_another(user: User, place: str, stranger: int) -> None:
    path = f"{place}/s"
    with (
        Serve(user, "--mode", "0666", "--max-per-user", "20", path) as serve,
        ExitStack() as stack,
    ):
        clients = [stack.enter_context(connected(path)) for _ in range(scaled(200, 1000))]
        assert strangers.act("say", stranger, path, "served\n") == {"answer": ""}
        serve.wait_for_out(lambda out: out == b"served\n")
        until(lambda: descriptors(serve.pid) < 60, "the others are closed")
        for client in clients[:20]:
            client.sendall(b"admitted\n")
        serve.wait_for_out(lambda out: out.count(b"admitted\n") == 20)
        for client in clients[20:]:
            assert client.recv(1) == b""
        for client in clients[:20]:
            client.close()
        until(lambda: descriptors(serve.pid) < 30, "their places are free")
        say(path, b"again\n")
        serve.wait_for_out(lambda out: out.endswith(b"again\n"))


def test_idle_timeout_frees_the_place_of_a_silent_client(user: User, place: str) -> None:
    path = f"{place}/s"
    with (
        Serve(user, "--sequential", "--idle-timeout", "200ms", path) as serve,
        connected(path) as silent,
        connected(path) as waiting,
    ):
        waiting.sendall(b"at last\n")
        assert silent.recv(1) == b""
        serve.wait_for_out(lambda out: out == b"at last\n")


# 44, 46: very many very small things


def test_one_byte_sends_come_out_exactly(user: User, place: str) -> None:
    count = scaled(50_000, 1_000_000)
    with Serve(user, f"{place}/s") as serve:
        with connected(f"{place}/s") as client:
            send = client.send
            for number in range(count):
                send(b"%d" % (number % 10) if number % 50 else b"\n")
        end = serve.stop()
    assert end.out == b"".join(b"%d" % (number % 10) if number % 50 else b"\n" for number in range(count))


@timed
def test_one_byte_sends_cost_no_more_than_three_times_a_read_loop(user: User, place: str) -> None:
    def send(sock: socket.socket) -> None:
        with sock:
            for _ in range(200_000):
                sock.send(b"x")

    with Serve(user, f"{place}/s") as serve:
        before = cpu_s(serve.pid)
        send(connected(f"{place}/s"))
        serve.wait_for_out(lambda out: len(out) == 200_000)
        ours = cpu_s(serve.pid) - before
    reader, writer = socket.socketpair()
    with reader:
        sending = threading.Thread(target=send, args=(writer,))
        sending.start()
        before = time.clock_gettime(time.CLOCK_THREAD_CPUTIME_ID)
        while reader.recv(65536):
            pass
        simple = time.clock_gettime(time.CLOCK_THREAD_CPUTIME_ID) - before
        sending.join()
    assert ours <= 3 * simple + 0.05, (ours, simple)


def test_clients_that_come_and_go_leave_nothing_behind(user: User, place: str) -> None:
    path = f"{place}/s"

    def come_and_go(count: int) -> tuple[int, int]:
        for _ in range(count):
            connected(path).close()
        say(path, b"all of them\n")
        serve.wait_for_out(lambda out: out.endswith(b"all of them\n"))
        serve.out.data.clear()  # type: ignore[union-attr]
        until(lambda: descriptors(serve.pid) <= at_rest, "all are closed")
        return descriptors(serve.pid), resident_bytes(serve.pid)

    with Serve(user, path) as serve:
        at_rest = descriptors(serve.pid)
        before = come_and_go(scaled(1000, 5000))
        after = come_and_go(scaled(3000, 100_000))
        assert after[0] == before[0]
        assert after[1] - before[1] <= 1 << 20


# Memory while nobody reads STDOUT


def test_memory_and_clients_stand_still_while_nobody_reads_stdout(user: User, place: str) -> None:
    path = f"{place}/s"
    read_end, write_end = socket.socketpair()
    count = scaled(30, 1000)
    with read_end, Serve(user, path, stdout=write_end.fileno()) as serve, ExitStack() as stack:
        write_end.close()
        before = resident_bytes(serve.pid)
        clients = [stack.enter_context(connected(path)) for _ in range(count)]
        sent = [0] * count
        for number, client in enumerate(clients):
            client.setblocking(False)
            sent[number] = push(client, b"%07d" % number + b"." * 92 + b"\n")
        assert becomes_quiet(serve.pid)
        assert resident_bytes(serve.pid) - before <= 32 << 20
        for client in clients:
            client.close()
        read_end.settimeout(PATIENCE_S)
        serve.send(signal.SIGTERM)
        got = bytearray()
        while piece := read_end.recv(1 << 20):
            got += piece
        assert serve.end().status == 0
    lines = bytes(got).splitlines()
    assert len(got) == sum(sent)
    assert all(lines.count(b"%07d" % n + b"." * 92) * 100 == sent[n] for n in range(scaled(30, 30)))


def push(client: socket.socket, line: bytes) -> int:
    """Whole lines until it would block; how many bytes."""
    sent = 0
    block = line * 64
    try:
        while sent < 1 << 20:
            sent += client.send(block[sent % len(block) :])
    except BlockingIOError:
        pass
    rest = -sent % len(line)
    if rest:
        client.settimeout(None)
        raise AssertionError("a send was cut in the middle of a line")
    return sent


def test_endless_line_is_let_out_and_memory_stays(user: User, place: str) -> None:
    size = scaled(64 << 20, 4 << 30)
    out_read, out_write = socket.socketpair()
    counted = [0]

    def count() -> None:
        while piece := out_read.recv(1 << 20):
            counted[0] += len(piece)

    counting = threading.Thread(target=count)
    with out_read, Serve(user, "--max-line", "64K", f"{place}/s", stdout=out_write.fileno()) as serve:
        out_write.close()
        counting.start()
        with connected(f"{place}/s") as client:
            before = resident_bytes(serve.pid)
            block = b"x" * (1 << 20)
            for _ in range(size >> 20):
                client.sendall(block)
            assert resident_bytes(serve.pid) - before <= 16 << 20
        end = serve.stop()
        counting.join()
    assert (end.status, counted[0]) == (0, size)
    assert end.err.count("warning: client 1 sent a line longer than 65536 bytes") == 1
