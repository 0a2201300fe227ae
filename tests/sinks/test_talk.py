"""Talk: STDIN to one client at a time, and what it says to STDOUT; here both are pipes."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from tests.collecting import Guest, roomy_pair
from tests.loops import HandTurned

from afunix.formats.records import RecordFormat
from afunix.kernel import fallbacks
from afunix.kernel.channel import Channel
from afunix.kernel.input import Input
from afunix.kernel.output import Output
from afunix.kernel.pump import Wants
from afunix.model.framing import PieceEnd
from afunix.sinks.talk import Talk


class Table:
    """A Talk on a hand-turned loop: `type_in` is what the person does, `screen()` what is shown."""

    def __init__(self, stack: ExitStack, *, stdin_from: str | None = None, **options: Any) -> None:
        self.loop = HandTurned()
        stack.callback(self.loop.close)
        stdin, self.keyboard = os.pipe()
        if stdin_from is not None:
            os.close(stdin)
            stdin = os.open(stdin_from, os.O_WRONLY)
        self.shown, stdout = os.pipe()
        self._fds = {stdin, self.keyboard, self.shown, stdout}
        stack.callback(self._close_fds)
        os.set_blocking(self.shown, False)
        self.finished: list[tuple[int, PieceEnd]] = []
        self.failures: list[OSError] = []
        self.stdin_failures: list[tuple[int, OSError]] = []
        self.now = 1.0
        self._input, self._output = Input(stdin), Output(stdout)
        stack.callback(self._input.close)
        stack.callback(self._output.close)
        settings = {"records": None, "escapes": False, **options}
        self.talk = Talk(
            self._input,
            self._output,
            self.loop,
            on_finished=lambda channel, end: self.finished.append((channel.connection, end)),
            on_failure=self.failures.append,
            on_stdin_failure=lambda channel, error: self.stdin_failures.append((channel.connection, error)),
            clock=lambda: self.now,
            **settings,
        )
        stack.callback(self.talk.close)
        self._stack = stack
        self._count = 0

    def _close_fds(self) -> None:
        for fd in self._fds:
            os.close(fd)

    def join(self, kind: int = socket.SOCK_STREAM) -> Guest:
        ours, theirs = roomy_pair(kind)
        self._stack.callback(theirs.close)
        self._count += 1
        guest = Guest(theirs, Channel(ours, self._count))
        self.talk.on_channel(guest.channel)
        return guest

    def type_in(self, data: bytes) -> None:
        os.write(self.keyboard, data)
        self.loop.turn(4)

    def close_fd(self, fd: int) -> None:
        os.close(fd)
        self._fds.remove(fd)
        self.loop.turn(4)

    def screen(self) -> bytes:
        self.loop.turn(4)
        try:
            return os.read(self.shown, 1 << 20)
        except BlockingIOError:
            return b""


@contextmanager
def laid_table(**options: Any) -> Iterator[Table]:
    with ExitStack() as stack:
        yield Table(stack, **options)


@pytest.fixture
def table() -> Iterator[Table]:
    with laid_table() as table:
        yield table


def heard(guest: Guest) -> bytes | None:
    try:
        return guest.sock.recv(1 << 20)
    except BlockingIOError:
        return None


def test_both_directions_go_at_once(table: Table) -> None:
    ana = table.join()
    table.type_in(b"hello\n")
    ana.say(b"hi\n")
    assert (heard(ana), table.screen()) == (b"hello\n", b"hi\n")


def test_stdin_is_not_read_before_a_client_is_there(table: Table) -> None:
    table.type_in(b"waiting\n")
    ana = table.join()
    table.loop.turn(4)
    assert heard(ana) == b"waiting\n"


def test_end_of_stdin_is_passed_on_and_the_client_still_heard(table: Table) -> None:
    ana = table.join()
    table.close_fd(table.keyboard)
    assert heard(ana) == b""
    ana.say(b"late")
    assert table.screen() == b"late"
    assert table.finished == []
    ana.sock.close()
    table.loop.turn(4)
    assert table.finished == [(1, PieceEnd.EOF)]


def test_client_that_half_closes_still_gets_stdin(table: Table) -> None:
    ana = table.join()
    ana.sock.shutdown(socket.SHUT_WR)
    table.loop.turn(4)
    table.type_in(b"still there?")
    assert heard(ana) == b"still there?"
    assert table.finished == []


def test_client_that_closes_whole_ends_it_without_a_word_from_stdin(table: Table) -> None:
    ana = table.join()
    ana.say(b"bye")
    ana.sock.close()
    assert table.screen() == b"bye"
    assert table.finished == [(1, PieceEnd.EOF)]
    assert ana.channel.is_closed


def test_client_that_half_closes_and_then_goes_is_noticed(table: Table) -> None:
    ana = table.join()
    ana.sock.shutdown(socket.SHUT_WR)
    table.loop.turn(4)
    ana.sock.close()
    table.loop.turn(4)
    assert table.finished == [(1, PieceEnd.EOF)]


def test_reset_is_told(table: Table) -> None:
    ana = table.join()
    table.type_in(b"never read")
    ana.sock.close()
    table.loop.turn(4)
    assert table.finished == [(1, PieceEnd.RESET)]


def test_next_client_goes_on_where_stdin_is(table: Table) -> None:
    ana = table.join()
    table.type_in(b"for ana")
    assert heard(ana) == b"for ana"
    ana.sock.close()
    table.loop.turn(4)
    table.type_in(b"for bo")
    bo = table.join()
    table.loop.turn(4)
    assert heard(bo) == b"for bo"


def test_stdin_taken_for_one_who_left_is_counted_as_lost(table: Table) -> None:
    ana = table.join()
    while ana.channel.try_send(b"x" * 65536):
        pass
    table.type_in(b"held up")
    (talk,) = table.talk.clients.values()
    assert table.talk.bytes_unwritten() == talk.up.held == 7
    ana.sock.close()
    table.loop.turn(4)
    assert table.talk.bytes_lost == 7
    bo = table.join()
    table.loop.turn(4)
    assert heard(bo) is None


def test_reader_of_stdout_that_is_gone_is_told(table: Table) -> None:
    ana = table.join()
    table.close_fd(table.shown)
    ana.say(b"hi")
    table.loop.turn(4)
    assert [type(failure) for failure in table.failures] == [BrokenPipeError]


def test_time_in_which_stdout_takes_nothing_is_known(table: Table) -> None:
    ana = table.join()
    ana.say(b"x" * (2 << 20))
    table.loop.turn(4)
    table.loop.advance(5)
    assert table.talk.stalled_s() == 5
    while table.screen():
        pass
    table.loop.advance(3)
    assert table.talk.stalled_s() == 5


def test_time_in_which_nobody_says_anything_is_no_stall(table: Table) -> None:
    table.join().say(b"x")
    table.loop.advance(5)
    assert table.talk.stalled_s() == 0


def test_what_a_dropped_client_said_and_stdout_did_not_take_is_lost(table: Table) -> None:
    ana = table.join()
    ana.say(b"x" * (2 << 20))
    table.loop.turn(4)
    (talk,) = table.talk.clients.values()
    table.talk.drop(talk, PieceEnd.EOF)
    assert table.talk.bytes_unwritten() == (2 << 20) - len(table.screen()) > 0
    table.loop.advance(5)
    assert table.talk.stalled_s() == 0


def test_stdin_that_cannot_be_read_is_told_and_ends_that_direction_only() -> None:
    with laid_table(stdin_from="/dev/null") as table:
        ana = table.join()
        table.loop.turn(4)
        ((connection, failure),) = table.stdin_failures
        assert (connection, failure.errno) == (1, errno.EBADF)
        assert heard(ana) == b""
        ana.say(b"still heard")
        assert table.screen() == b"still heard"
        assert table.finished == []


def test_record_that_is_too_long_is_told_and_ends_that_direction_only() -> None:
    with laid_table(records=RecordFormat.LINES) as table:
        ana = table.join(socket.SOCK_SEQPACKET)
        too_long = ana.channel.max_record_bytes() + 1
        for _ in range(too_long // 50_000 + 1):
            table.type_in(b"x" * 50_000)
        ((_, failure),) = table.stdin_failures
        assert failure.errno == errno.EMSGSIZE
        assert heard(ana) == b""
        assert table.talk.bytes_unwritten() >= too_long
        ana.say(b"still heard")
        assert table.screen() == b"still heard\n"


@pytest.fixture
def threaded_table(monkeypatch: pytest.MonkeyPatch) -> Iterator[Table]:
    """As where STDOUT can only be written to by a thread of ours."""
    monkeypatch.setattr(fallbacks, "_forced", lambda: frozenset({"reopen", "nowait"}))
    with laid_table() as table:
        yield table


def test_end_waits_for_the_thread_that_writes_for_us(threaded_table: Table) -> None:
    table = threaded_table
    ended: list[bool] = []
    table.talk.on_progress = lambda: ended.append(table.talk.drain())
    fcntl.fcntl(table.shown, fcntl.F_SETPIPE_SZ, 4096)
    table.join().say(b"x" * 65_536)
    table.loop.turn(4)
    (talk,) = table.talk.connected()
    table.talk.drop(talk, PieceEnd.EOF)
    assert not table.talk.drain()
    assert table.talk.bytes_unwritten() > 0
    deadline = time.monotonic() + 10
    while not any(ended) and time.monotonic() < deadline:
        table.screen()
    assert any(ended)


def test_reader_that_the_thread_finds_gone_is_told(threaded_table: Table) -> None:
    table = threaded_table
    ana = table.join()
    table.close_fd(table.shown)
    ana.say(b"hi")
    ana.sock.close()
    deadline = time.monotonic() + 10
    while not table.failures and time.monotonic() < deadline:
        table.loop.turn()
    assert [type(failure) for failure in table.failures] == [BrokenPipeError]


def test_terminal_is_shown_control_characters() -> None:
    with laid_table(escapes=True) as table:
        table.join().say(b"\x1b[2J\n")
        assert table.screen() == b"^[[2J\n"


def test_clock_notes_both_directions(table: Table) -> None:
    ana = table.join()
    (talk,) = table.talk.clients.values()
    table.now = 2.0
    table.type_in(b"x")
    assert talk.touched == 2.0
    table.now = 3.0
    ana.say(b"y")
    table.loop.turn(4)
    assert talk.touched == 3.0


def test_nothing_happens_while_nobody_says_anything(table: Table) -> None:
    table.join()
    table.loop.turn(4)
    (talk,) = table.talk.clients.values()
    steps: list[int] = []

    def step() -> Wants:
        steps.append(1)
        return Wants.NOTHING

    talk.up.step = talk.down.step = step  # type: ignore[method-assign]
    table.loop.turn(50)
    assert steps == []


def test_records_are_lines_of_stdin_and_come_out_as_lines() -> None:
    with laid_table(records=RecordFormat.LINES) as table:
        ana = table.join(socket.SOCK_SEQPACKET)
        table.type_in(b"one\n\ntw")
        assert [heard(ana), heard(ana), heard(ana)] == [b"one", b"", None]
        for record in (b"ein", b"", b"zwei\n"):
            ana.say(record)
        assert table.screen() == b"ein\n\nzwei\n"


def test_dropped_conversation_ends(table: Table) -> None:
    ana = table.join()
    (talk,) = table.talk.clients.values()
    table.talk.drop(talk, PieceEnd.EOF)
    assert heard(ana) == b""
    assert table.talk.clients == {}
    table.type_in(b"x")


def test_close_closes_the_channel(table: Table) -> None:
    ana = table.join()
    table.talk.close()
    table.talk.close()
    assert ana.channel.is_closed
    table.loop.turn(3)
