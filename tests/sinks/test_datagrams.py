"""Datagrams to the output, each whole, or back to their senders; by real sockets."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from tests.loops import HandTurned
from tests.rival import Rival

from afunix.formats.label import Sender
from afunix.kernel.listener import Listener
from afunix.kernel.output import Output
from afunix.model.address import Address
from afunix.model.events import BytesRead, Event, Refused
from afunix.model.rules import Rule, Rules, Subject
from afunix.sinks import datagrams as module
from afunix.sinks.datagrams import INHERITED_MAX, DatagramCollector, accept_credentials

DENY_ALL = Rules([Rule(False, Subject.ANY, 0, "any")])


def show(sender: Sender | None, record: bytes, now: float) -> bytes:
    return b"[%s]" % record


def show_sender(sender: Sender | None, record: bytes, now: float) -> bytes:
    assert sender is not None
    return f"{sender.connection} {sender.pid} {sender.uid} ".encode() + record + b"\n"


class Box:
    """A DatagramCollector on one bound socket, its output a pipe."""

    def __init__(self, directory: str, stack: ExitStack) -> None:
        self.loop = HandTurned()
        stack.callback(self.loop.close)
        self.path = f"{directory}/d"
        self.listener = Listener.open(Address.pathname(self.path), "dgram", configure=accept_credentials)
        stack.callback(self.listener.close)
        self.reader, writer = os.pipe()
        stack.callback(os.close, self.reader)
        stack.callback(os.close, writer)
        os.set_blocking(self.reader, False)
        self.output = Output(writer)
        stack.callback(self.output.close)
        self.events: list[Event] = []
        self.alerts: list[Event] = []
        self.failures: list[OSError] = []
        self._directory = directory
        self._stack = stack

    def collect(self, frame: Any = show, **options: Any) -> DatagramCollector:
        settings = {"needs_sender": False, "escapes": False, "echo": False, "rules": Rules(), **options}
        collector = DatagramCollector(
            [self.listener],
            self.output,
            self.loop,
            frame,
            on_failure=self.failures.append,
            observer=self.events.append,
            alerts=self.alerts.append,
            **settings,
        )
        self._stack.callback(collector.close)
        collector.start()
        return collector

    def sender(self, name: str = "") -> socket.socket:
        sock = self._stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        if name:
            sock.bind(f"{self._directory}/{name}")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        sock.setblocking(False)
        sock.connect(self.path)
        return sock

    def read(self) -> bytes:
        self.loop.turn(3)
        try:
            return os.read(self.reader, 1 << 20)
        except BlockingIOError:
            return b""


@pytest.fixture
def box(sock_dir: str) -> Iterator[Box]:
    with ExitStack() as stack:
        yield Box(sock_dir, stack)


def test_datagrams_come_out_each_whole_and_empty_ones_too(box: Box) -> None:
    collector = box.collect()
    ana = box.sender()
    for record in (b"one", b"", b"x" * 200_000):
        ana.send(record)
    assert box.read() == b"[one][][" + b"x" * 200_000 + b"]"
    assert collector.received == 3


def test_a_datagram_is_whole_though_another_process_takes_some_of_them(box: Box) -> None:
    box.listener.socket = Rival.of(box.listener.socket)
    box.collect()
    ana = box.sender()
    for record in (b"one", b"x" * 5000):
        ana.send(record)
    assert box.read() == b"[one][" + b"x" * 5000 + b"]"


def test_kernel_says_who_sent_a_datagram(box: Box) -> None:
    box.collect(show_sender, needs_sender=True)
    box.sender().send(b"hi")
    assert box.read() == f"None {os.getpid()} {os.getuid()} hi\n".encode()


def test_rule_refuses_a_datagram_and_tells(box: Box) -> None:
    box.collect(rules=DENY_ALL)
    box.sender().send(b"hi")
    assert box.read() == b""
    (refused,) = box.alerts
    assert isinstance(refused, Refused)
    assert (refused.reason, refused.peer.pid) == ("denied by 'any'", os.getpid())


def test_observer_is_told_of_each(box: Box) -> None:
    box.collect()
    box.sender().send(b"hi")
    box.read()
    assert box.events == [BytesRead(box.listener.fd, 2)]


def test_echo_goes_to_the_sender_and_not_to_the_output(box: Box) -> None:
    collector = box.collect(echo=True)
    ana = box.sender("ana")
    for record in (b"one", b""):
        ana.send(record)
        assert box.read() == b""
        assert ana.recv(99) == record
    assert collector.echoes_lost == 0


def test_echo_to_one_without_a_name_goes_nowhere(box: Box) -> None:
    collector = box.collect(echo=True)
    box.sender().send(b"hi")
    assert box.read() == b""
    assert collector.received == 1


@pytest.mark.parametrize("trouble", ["gone", "closed", "too long", "a stream now"])
def test_echo_that_cannot_be_delivered_is_counted_and_the_next_one_served(
    box: Box, sock_dir: str, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "make_room_for", lambda sock, record_bytes: False)
    collector = box.collect(echo=True)
    ana, bo = box.sender("ana"), box.sender("bo")
    ana.send(b"x" * 300_000 if trouble == "too long" else b"hi")
    if trouble in ("gone", "closed", "a stream now"):
        ana.close()
    if trouble in ("gone", "a stream now"):
        os.unlink(f"{sock_dir}/ana")
    stream = socket.socket(socket.AF_UNIX)
    if trouble == "a stream now":
        stream.bind(f"{sock_dir}/ana")
    with stream:
        bo.send(b"bo")
        box.read()
        assert bo.recv(9) == b"bo"
        assert collector.echoes_lost == 1
        assert collector.bytes_unwritten() == (300_000 if trouble == "too long" else 0)


def test_echo_that_needs_a_larger_buffer_than_ours_gets_one(box: Box) -> None:
    collector = box.collect(echo=True)
    record = b"x" * (box.listener.socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) + 1)
    ana = box.sender("ana")
    ana.send(record)
    box.read()
    assert ana.recv(len(record) + 1) == record
    assert collector.echoes_lost == 0


def test_echo_to_one_who_does_not_read_is_dropped_and_counted(box: Box) -> None:
    collector = box.collect(echo=True)
    ana = box.sender("ana")
    sent = 0
    while not collector.echoes_lost:
        ana.send(b"x")
        sent += 1
        box.read()
    assert collector.bytes_unwritten() == 1
    for _ in range(sent - 1):
        assert ana.recv(9) == b"x"
    ana.send(b"again")
    box.read()
    assert ana.recv(9) == b"again"


def test_senders_wait_while_nobody_reads_the_output(box: Box) -> None:
    collector = box.collect()
    ana = box.sender()
    sent = 0
    with pytest.raises(BlockingIOError):
        while True:
            ana.send(b"x" * 50_000)
            sent += 50_002
            box.loop.turn()
    assert collector.outflow.is_blocked
    assert sent < 8 << 20
    assert not collector.drain()
    came = 0
    while piece := box.read():
        came += len(piece)
    assert came == sent
    assert collector.drain()
    assert collector.bytes_unwritten() == 0


def test_stop_takes_what_is_queued(box: Box) -> None:
    collector = box.collect()
    ana = box.sender()
    for number in range(10):
        ana.send(b"%d" % number)
    collector.receive_queued()
    assert os.read(box.reader, 999) == b"".join(b"[%d]" % number for number in range(10))


def test_datagrams_that_nobody_received_are_counted_as_lost(box: Box) -> None:
    collector = box.collect()
    ana = box.sender()
    for record in (b"", b"12", b"", b"345", b""):
        ana.send(record)
    assert collector.bytes_unwritten() == 5
    assert box.read() == b"[][12][][345][]"
    assert collector.bytes_unwritten() == 0


def test_stop_of_an_inherited_socket_comes_to_an_end_though_somebody_goes_on_sending(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    box.listener.is_inherited = True
    collector = box.collect(lambda sender, record, now: b"")
    ana = box.sender()
    ana.send(b"x")

    def receive(listener: Listener) -> bool:
        ana.send(b"x")
        return take(listener)

    take = collector._receive
    monkeypatch.setattr(collector, "_receive", receive)
    assert [collector.drain(), collector.drain()] == [True, True]
    assert collector.received == INHERITED_MAX
    assert collector.bytes_unwritten() == 0, "what is left is there for whoever holds the socket"


def test_reader_that_is_gone_is_told(box: Box) -> None:
    box.collect()
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, box.reader)
    os.close(null)
    box.sender().send(b"hi")
    box.loop.turn(3)
    assert [type(failure) for failure in box.failures] == [BrokenPipeError]


def test_descriptors_that_come_with_a_datagram_do_not_stay(box: Box) -> None:
    box.collect()
    before = len(os.listdir("/proc/self/fd"))
    ana = box.sender()
    try:
        socket.send_fds(ana, [b"hi"], [0, 1, 2])
    except OSError:
        pass  # the kernel refuses them at once where it can (Linux 6.16)
    box.read()
    assert len(os.listdir("/proc/self/fd")) == before + 1
