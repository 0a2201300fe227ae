"""Whoever does not read gets a part of the buffer; whoever reads gets as much as it likes."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from afunix.kernel import fallbacks
from afunix.kernel.datagram_queue import send_buffer, unread_of_all
from afunix.model.address import Address
from afunix.sinks.answer_share import AnswerShare, make_room


class Reader:
    """One that is connected to the socket that answers it, so that nothing else bounds its queue."""

    def __init__(self, answering: socket.socket, path: str) -> None:
        self.answering = answering
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(path)
        self.sock.connect(answering.getsockname())
        self.path = path
        self.share = AnswerShare(answering, Address.parse(path))

    def answer(self, most: int = 10_000) -> int:
        """Until it may have no more, or there is no room for all; how many."""
        for count in range(most):
            if not self.share.has_room:
                return count
            self.answering.sendto(bytes(100), socket.MSG_DONTWAIT, self.path)
            self.share.on_answer(100)
        return most

    def read_all(self) -> None:
        while unread_of_all(self.answering):
            self.sock.recv(100)


@pytest.fixture
def answering(sock_dir: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(f"{sock_dir}/answering")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 100_000)
        yield sock


@pytest.fixture
def readers(answering: socket.socket, sock_dir: str) -> Iterator[list[Reader]]:
    with ExitStack() as stack:
        readers = [Reader(answering, f"{sock_dir}/{number}") for number in range(10)]
        for reader in readers:
            stack.enter_context(reader.sock)
        yield readers


def test_ten_who_read_nothing_leave_room_for_others(answering: socket.socket, readers: list[Reader]) -> None:
    counts = [reader.answer() for reader in readers]
    assert counts == sorted(counts, reverse=True) and counts[-1] > 0
    assert send_buffer(answering) - unread_of_all(answering) > 50_000


def test_one_who_reads_alone_gets_as_much_as_it_likes(readers: list[Reader]) -> None:
    reader = readers[0]
    for _ in range(10):
        assert reader.answer() > 10
        reader.read_all()


def test_beside_one_who_does_not_read_another_is_seen_to_read(readers: list[Reader]) -> None:
    deaf, reader = readers[:2]
    deaf.answer()
    for _ in range(500):
        assert reader.answer(1) == 1
        reader.sock.recv(100)
    assert deaf.answer() == 0


def test_of_one_whose_queue_nobody_sees_a_question_is_taken_for_reading(
    answering: socket.socket, readers: list[Reader], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fallbacks, "_forced", lambda: frozenset({"sock_diag"}))
    deaf, reader = readers[:2]
    deaf.answer()
    assert 0 < send_buffer(answering) - unread_of_all(answering) < 110_000
    for _ in range(500):
        reader.share.on_question()
        assert reader.answer(1) == 1
        reader.sock.recv(100)
    assert deaf.answer() == 0


def test_the_buffer_is_made_larger_and_never_smaller(answering: socket.socket) -> None:
    before = send_buffer(answering)
    make_room(answering)
    larger = send_buffer(answering)
    make_room(answering)
    assert before < larger == send_buffer(answering)
