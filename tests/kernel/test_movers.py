"""Bytes from descriptor to descriptor: exact, counted, and given up for copying where the kernel refuses."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from afunix.kernel import fallbacks, movers
from afunix.kernel.channel import Channel
from afunix.kernel.input import Input
from afunix.kernel.movers import MappedFile, SentFile, SplicedPipe, SplicedSocket, choose_into_socket
from afunix.kernel.output import Output
from afunix.kernel.pump import Pump, Wants

BULK = bytes(range(256)) * 1000


@pytest.fixture
def channel() -> Iterator[tuple[Channel, socket.socket]]:
    near, far = socket.socketpair()
    near.setblocking(False)
    with far:
        far.settimeout(10)
        yield Channel(near), far
        near.close()


@pytest.fixture
def file(sock_dir: str) -> Iterator[int]:
    """A file of BULK, at its beginning."""
    fd = os.open(f"{sock_dir}/file", os.O_RDWR | os.O_CREAT)
    os.write(fd, BULK)
    os.lseek(fd, 0, os.SEEK_SET)
    yield fd
    os.close(fd)


def pump_all(pump: Pump, far: socket.socket) -> bytes:
    """Step to the end, reading at the far end whenever the socket is full."""
    got = bytearray()
    while pump.step() is not Wants.NOTHING:
        got += far.recv(1 << 20)
    far.setblocking(False)
    try:
        while piece := far.recv(1 << 20):
            got += piece
    except BlockingIOError:
        pass
    return bytes(got)


Sender = type[MappedFile] | type[SentFile]


@pytest.mark.parametrize("kind", [MappedFile, SentFile])
@pytest.mark.parametrize("start", [0, 1, 4096, 5001])
def test_file_arrives_whole_from_its_position_which_moves_on(
    channel: tuple[Channel, socket.socket], file: int, kind: Sender, start: int
) -> None:
    near, far = channel
    os.lseek(file, start, os.SEEK_SET)
    source = Input(file)
    pump = Pump(source.try_receive, near.try_send, mover=kind(source, near), moves_at_once=True)
    assert pump_all(pump, far) == BULK[start:]
    assert os.lseek(file, 0, os.SEEK_CUR) == len(BULK)
    assert source.bytes_received == near.bytes_sent == pump.moved == len(BULK) - start


def test_bytes_that_were_put_back_are_not_overtaken(
    channel: tuple[Channel, socket.socket], file: int
) -> None:
    near, far = channel
    source = Input(file)
    source.unread(source.try_receive(1000) or b"")
    mover = choose_into_socket(source, near, zero_copy=False)
    pump = Pump(source.try_receive, near.try_send, mover=mover, moves_at_once=mover is not None)
    assert pump_all(pump, far) == BULK
    assert source.bytes_received == len(BULK)


def test_position_is_exactly_what_was_sent_when_the_peer_leaves(
    channel: tuple[Channel, socket.socket], file: int
) -> None:
    near, far = channel
    source = Input(file)
    pump = Pump(source.try_receive, near.try_send, mover=MappedFile(source, near), moves_at_once=True)
    assert pump.step() is Wants.SINK
    sent = near.bytes_sent
    far.close()
    assert pump.step() is Wants.NOTHING
    assert isinstance(pump.sink_error, BrokenPipeError)
    assert os.lseek(file, 0, os.SEEK_CUR) == sent < len(BULK)
    assert (pump.held, source.queued()) == (0, len(BULK) - sent)


def test_windows_follow_each_other_without_a_gap(
    channel: tuple[Channel, socket.socket], file: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(movers, "_WINDOW_BYTES", 10_000)  # not a multiple of a page
    near, far = channel
    source = Input(file)
    pump = Pump(source.try_receive, near.try_send, mover=MappedFile(source, near), moves_at_once=True)
    assert pump_all(pump, far) == BULK


def test_mapped_file_that_shrinks_ends_where_it_ends_now(
    channel: tuple[Channel, socket.socket], file: int
) -> None:
    near, far = channel
    source = Input(file)
    pump = Pump(source.try_receive, near.try_send, mover=MappedFile(source, near), moves_at_once=True)
    assert pump.step() is Wants.SINK
    left = near.bytes_sent + 1000
    os.ftruncate(file, left)
    got = pump_all(pump, far)
    # The rest of the last page reads as zeros through a mapping: at most that, and never a signal.
    assert got.startswith(BULK[:left])
    assert len(got) - left < 4096
    assert (pump.source_error, pump.sink_error) == (None, None)


def test_mapped_file_that_grows_is_sent_to_its_new_end(
    channel: tuple[Channel, socket.socket], file: int
) -> None:
    near, far = channel
    source = Input(file)
    pump = Pump(source.try_receive, near.try_send, mover=MappedFile(source, near), moves_at_once=True)
    assert pump.step() is Wants.SINK
    os.pwrite(file, b"more", len(BULK))
    assert pump_all(pump, far) == BULK + b"more"


def test_mapped_file_is_a_copy(channel: tuple[Channel, socket.socket], file: int) -> None:
    near, far = channel
    mover = MappedFile(Input(file), near)
    sent = mover.try_move(100_000)
    assert sent
    os.pwrite(file, b"\xff" * sent, 0)
    assert far.recv(sent, socket.MSG_WAITALL) == BULK[:sent]
    mover.close()


def test_file_that_cannot_be_mapped_is_left_to_reading(channel: tuple[Channel, socket.socket]) -> None:
    with open("/proc/self/stat", "rb") as proc:
        mover = MappedFile(Input(proc.fileno()), channel[0])
        assert mover.try_move(100) is None
        assert not mover.is_usable


def test_pipe_is_spliced_and_says_which_end_it_waits_for(channel: tuple[Channel, socket.socket]) -> None:
    near, far = channel
    reader, writer = os.pipe()
    source = Input(reader)
    mover = SplicedPipe(source, near)
    assert (mover.try_move(100), mover.obstacle()) == (None, Wants.SOURCE)
    while mover.try_move(1 << 20) is not None or mover.obstacle() is Wants.SOURCE:
        os.write(writer, bytes(4096))
    assert mover.is_usable
    assert near.bytes_sent == source.bytes_received > 0
    far.recv(1 << 20)
    assert mover.try_move(1 << 20)
    os.close(writer)
    while mover.try_move(1 << 20) != 0:
        far.recv(1 << 20)
    source.close()
    os.close(reader)


def test_socket_is_spliced_into_a_pipe_and_says_which_end_it_waits_for(
    channel: tuple[Channel, socket.socket],
) -> None:
    near, far = channel
    reader, writer = os.pipe()
    output = Output(writer)
    mover = SplicedSocket(near, output)
    assert (mover.try_move(100), mover.obstacle()) == (None, Wants.SOURCE)
    far.sendall(b"abc")
    assert (mover.try_move(100), near.bytes_received) == (3, 3)
    while output.try_write([bytes(65536)]):
        pass
    far.sendall(b"more")
    assert (mover.try_move(100), mover.obstacle()) == (None, Wants.SINK)
    assert mover.is_sources_fault(ConnectionResetError(104, ""))
    assert not mover.is_sources_fault(BrokenPipeError(32, ""))
    output.close()
    os.close(reader)
    os.close(writer)


def test_what_is_chosen_depends_on_what_the_source_is(
    channel: tuple[Channel, socket.socket], file: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    near, _ = channel
    reader, writer = os.pipe()
    pipe, bulk = Input(reader), Input(file)
    assert isinstance(choose_into_socket(pipe, near, zero_copy=True), SplicedPipe)
    assert isinstance(choose_into_socket(bulk, near, zero_copy=False), MappedFile)
    assert isinstance(choose_into_socket(bulk, near, zero_copy=True), SentFile)
    os.lseek(file, -10, os.SEEK_END)
    assert choose_into_socket(bulk, near, zero_copy=True) is None
    monkeypatch.setenv(fallbacks.VARIABLE, "splice")
    fallbacks._forced.cache_clear()
    assert choose_into_socket(pipe, near, zero_copy=True) is None
    monkeypatch.undo()
    fallbacks._forced.cache_clear()
    pipe.close()
    os.close(reader)
    os.close(writer)
