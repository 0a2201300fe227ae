"""Many clients, one output: the Collector against the pure rules (`model.framing.merge`), by copying and by splicing."""

from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.collecting import Collecting, Guest, Piped, collecting_to, collecting_to_a_pipe

from afunix.kernel import fallbacks
from afunix.kernel.channel import Channel
from afunix.model.framing import PieceEnd, merge
from afunix.sinks.outflow import FLUSH_BYTES

steady = settings(derandomize=True, database=None, deadline=None)

HUNDRED = b"".join(b"%099d\n" % number for number in range(3000))
"""300 KB of 100-byte lines."""

LONG_LINES = b"".join(bytes([65 + number]) * 20_000 + b"\n" for number in range(15))
"""300 KB of lines of 20 KB."""

NO_NEWLINE = b"n" * 300_000


@pytest.fixture
def splices(monkeypatch: pytest.MonkeyPatch) -> Callable[[Collecting], list[int]]:
    """`moved = splices(collecting)`: how many bytes each splice moved, from now on."""

    def watch(collecting: Collecting) -> list[int]:
        moved: list[int] = []
        splice = collecting.output.try_splice

        def spy(source: int, count: int) -> int | None:
            result = splice(source, count)
            if result:
                moved.append(result)
            return result

        monkeypatch.setattr(collecting.output, "try_splice", spy)
        return moved

    return watch


def lines_of(name: str, count: int, length: int) -> bytes:
    """Lines that tell whose they are and which."""
    return b"".join(f"{name}{number:08}".encode().ljust(length - 1, b".") + b"\n" for number in range(count))


def assert_whole_and_in_order(out: bytes, sent: dict[str, bytes]) -> None:
    """Every line of everybody, none torn, each client's in its order."""
    assert len(out) == sum(map(len, sent.values()))
    for name, data in sent.items():
        assert b"".join(line for line in out.splitlines(True) if line.startswith(name.encode())) == data


# Against the oracle

PIECES = st.lists(st.sampled_from([b"a", b"bcd", b"\n", b"\r", b"\0", b"\xff"]), min_size=1, max_size=12).map(
    b"".join
)
BULKS = st.sampled_from(
    [
        HUNDRED[:200_000],
        HUNDRED[50:150_051],
        LONG_LINES[:200_001],
        NO_NEWLINE[:150_000],
        NO_NEWLINE[:100_000] + b"\n" + NO_NEWLINE[:70_000],
        b"\n" + NO_NEWLINE[:99_999],
        NO_NEWLINE[:131_071] + b"\n",
        b"\n" * 100_000,
    ]
)
STEPS = st.lists(st.tuples(st.integers(0, 3), st.one_of(PIECES, st.none())), min_size=1, max_size=30)
BULKY_STEPS = st.lists(
    st.tuples(st.integers(0, 2), st.one_of(PIECES, BULKS, st.none())), min_size=1, max_size=8
)


def play(piped: Piped, steps: list[tuple[int, bytes | None]]) -> list[tuple[object, bytes | None]]:
    """Each step by itself: a client says something, or ends (and another one takes its number). Then all end."""
    present: dict[int, Guest] = {}
    arrivals: list[tuple[object, bytes | None]] = []
    for number, data in [*steps, *((number, None) for number in range(4))]:
        if number not in present and data is not None:
            present[number] = piped.join()
        if data is not None:
            present[number].say(data)
        elif number in present:
            present[number].sock.shutdown(socket.SHUT_WR)
        else:
            continue
        piped.settle()
        arrivals.append((present[number], data))
        if data is None:
            del present[number]
    return arrivals


@steady
@given(steps=STEPS, max_line=st.sampled_from([1, 2, 5, 1 << 20]))
def test_small_pieces_come_out_as_the_rules_say(steps: list[tuple[int, bytes | None]], max_line: int) -> None:
    with collecting_to_a_pipe() as piped:
        piped.keep_lines(max_line=max_line)
        arrivals = play(piped, steps)
        assert piped.out == merge(arrivals, max_line)
        assert piped.collector.clients == {}


@settings(steady, max_examples=60)
@given(
    steps=BULKY_STEPS,
    max_line=st.sampled_from([50, 64 << 10, 100_000, 1 << 20]),
    pipe_bytes=st.sampled_from([4096, 65536, None]),
)
def test_bulk_comes_out_as_the_rules_say_whatever_way_it_takes(
    steps: list[tuple[int, bytes | None]], max_line: int, pipe_bytes: int | None
) -> None:
    with collecting_to_a_pipe(pipe_bytes) as piped:
        piped.keep_lines(max_line=max_line)
        arrivals = play(piped, steps)
        assert piped.out == merge(arrivals, max_line)


@settings(steady, max_examples=40)
@given(
    chunks=st.lists(
        st.tuples(st.integers(0, 2), st.integers(1, 90_000), st.booleans()), min_size=3, max_size=24
    ),
    length=st.sampled_from([2, 17, 100, 20_000]),
    pipe_bytes=st.sampled_from([4096, None]),
    seed=st.integers(0, 1000),
)
def test_no_line_is_torn_however_clients_and_a_slow_reader_interleave(
    chunks: list[tuple[int, int, bool]], length: int, pipe_bytes: int | None, seed: int
) -> None:
    chance = random.Random(seed)
    length = max(length, 17)
    with collecting_to_a_pipe(pipe_bytes) as piped:
        piped.keep_lines()
        sent = {name: lines_of(name, 400_000 // length, length) for name in "abc"}
        left = {name: memoryview(data) for name, data in sent.items()}
        guests = {name: piped.join() for name in "abc"}
        for index, size, turns in chunks:
            name = "abc"[index]
            left[name] = left[name][guests[name].say_what_fits(left[name][:size]) :]
            if turns:
                piped.loop.turn()
                piped.read(chance.randrange(1, 70_000))
        for name, guest in guests.items():
            guest.say(left[name])
            guest.sock.close()
        piped.settle()
        assert_whole_and_in_order(bytes(piped.out), sent)


@steady
@given(steps=STEPS)
def test_raw_bytes_come_out_as_they_arrive(steps: list[tuple[int, bytes | None]]) -> None:
    with collecting_to_a_pipe() as piped:
        piped.keep_raw()
        arrivals = play(piped, steps)
        assert piped.out == b"".join(data for _, data in arrivals if data is not None)


@steady
@given(steps=STEPS, max_held=st.integers(0, 20))
def test_together_they_hold_no_more_than_the_limit(
    steps: list[tuple[int, bytes | None]], max_held: int
) -> None:
    with collecting_to_a_pipe() as piped:
        piped.keep_lines(max_held=max_held)
        arrivals = play(piped, steps)
        assert piped.out == merge(arrivals, max_held=max_held)


# One client, one behaviour


def test_unfinished_line_is_held_until_its_newline_comes() -> None:
    with collecting_to_a_pipe() as piped:
        piped.keep_lines()
        ana = piped.join()
        ana.say(b"hel")
        piped.settle()
        assert piped.out == b""
        assert piped.collector.bytes_unwritten() == 3
        ana.say(b"lo\nwor")
        piped.settle()
        assert piped.out == b"hello\n"


def test_one_client_alone_comes_out_byte_for_byte_without_a_newline_at_the_end() -> None:
    with collecting_to_a_pipe() as piped:
        piped.keep_lines()
        ana = piped.join()
        ana.say(b"one\ntwo")
        ana.sock.close()
        piped.settle()
        assert piped.out == b"one\ntwo"


def test_next_client_begins_a_line_of_its_own() -> None:
    with collecting_to_a_pipe() as piped:
        piped.keep_lines()
        for word in (b"one", b"two", b"three\n", b"four"):
            guest = piped.join()
            guest.say(word)
            guest.sock.close()
            piped.settle()
        assert piped.out == b"one\ntwo\nthree\nfour"


def test_short_client_is_over_before_the_loop_turns() -> None:
    with collecting_to_a_pipe() as piped:
        piped.keep_lines()
        ours, theirs = socket.socketpair()
        theirs.send(b"hi\n")
        theirs.close()
        channel = Channel(ours, 7)
        piped.collector.on_channel(channel)
        assert piped.finished == [(7, PieceEnd.EOF)]
        assert channel.is_closed
        piped.settle()
        assert piped.out == b"hi\n"


def test_line_that_reaches_the_limit_is_let_out_and_told_with_its_size() -> None:
    with collecting_to_a_pipe() as piped:
        piped.keep_lines(max_line=10)
        ana, bo = piped.join(), piped.join()
        ana.say(b"0123456789ab")
        piped.settle()
        bo.say(b"bo\n")
        piped.settle()
        ana.say(b"cd\nef\n")
        piped.settle()
        assert piped.out == b"0123456789ab\nbo\ncd\nef\n"
        assert piped.opened == [(1, 12)]


def test_held_bytes_come_out_when_the_client_resets() -> None:
    with collecting_to_a_pipe() as piped:
        piped.keep_lines()
        ana = piped.join()
        ana.say(b"unfinished")
        ana.channel.socket.send(b"never read")
        ana.sock.close()
        piped.settle()
        assert piped.out == b"unfinished"
        assert piped.finished == [(1, PieceEnd.RESET)]


def test_dropped_client_leaves_what_it_said() -> None:
    with collecting_to_a_pipe() as piped:
        piped.keep_lines()
        ana = piped.join()
        ana.say(b"unfinished")
        piped.settle()
        (client,) = piped.collector.clients.values()
        piped.collector.drop(client, PieceEnd.EOF)
        piped.settle()
        assert piped.out == b"unfinished"
        assert piped.finished == [(1, PieceEnd.EOF)]
        assert ana.channel.is_closed


def test_channel_is_open_when_its_end_is_told() -> None:
    with collecting_to_a_pipe() as piped:
        piped.keep_lines()
        told: list[bool] = []
        piped.collector._on_finished = lambda channel, end: told.append(channel.is_closed)
        piped.join().sock.close()
        piped.settle()
        assert told == [False]


def test_clock_notes_when_each_client_was_last_heard() -> None:
    now = [1.0]
    with collecting_to_a_pipe(clock=lambda: now[0]) as piped:
        piped.keep_lines()
        ana, _ = piped.join(), piped.join()
        now[0] = 2.0
        ana.say(b"x")
        piped.settle()
        assert sorted(client.touched for client in piped.collector.clients.values()) == [1.0, 2.0]


def test_clock_notes_bulk_too(splices: Callable[[Collecting], list[int]]) -> None:
    now = [1.0]
    with collecting_to_a_pipe(clock=lambda: now[0]) as piped:
        piped.keep_lines()
        moved = splices(piped)
        ana = piped.join()
        ana.say(HUNDRED)
        piped.settle()
        now[0] = 2.0
        ana.say(HUNDRED)
        piped.settle()
        (client,) = piped.collector.clients.values()
        assert moved
        assert client.touched == 2.0


@pytest.mark.parametrize("keeps_lines", [True, False])
def test_out_of_band_byte_comes_out_in_its_place(keeps_lines: bool) -> None:
    with collecting_to_a_pipe() as piped:
        piped.keep_lines() if keeps_lines else piped.keep_raw()
        ana = piped.join()
        ana.say(b"ab")
        ana.sock.send(b"!", socket.MSG_OOB)
        ana.say(b"cd\n")
        piped.settle()
        assert piped.out == b"ab!cd\n"


@pytest.mark.parametrize("keeps_lines", [True, False])
def test_out_of_band_byte_within_bulk_comes_out_in_its_place(
    keeps_lines: bool, splices: Callable[[Collecting], list[int]]
) -> None:
    with collecting_to_a_pipe() as piped:
        piped.keep_lines() if keeps_lines else piped.keep_raw()
        moved = splices(piped)
        ana = piped.join()
        ana.say(HUNDRED[:200_050])
        ana.sock.send(b"!", socket.MSG_OOB)
        ana.say(HUNDRED[200_050:])
        ana.sock.close()
        piped.settle()
        assert piped.out == HUNDRED[:200_050] + b"!" + HUNDRED[200_050:]
        assert moved


# Splicing


@pytest.mark.parametrize("data", [HUNDRED, LONG_LINES], ids=["100 bytes", "20 KB"])
def test_bulk_of_lines_is_spliced_and_no_byte_changes(
    data: bytes, splices: Callable[[Collecting], list[int]]
) -> None:
    with collecting_to_a_pipe() as piped:
        piped.keep_lines()
        moved = splices(piped)
        ana = piped.join()
        ana.say(data)
        piped.settle()
        assert piped.out == data
        assert ana.channel.bytes_received == len(data)
        assert sum(moved) > len(data) // 3


def test_bulk_without_a_newline_is_held_and_then_open_and_spliced(
    splices: Callable[[Collecting], list[int]],
) -> None:
    with collecting_to_a_pipe() as piped:
        piped.keep_lines(max_line=200_000)
        moved = splices(piped)
        ana = piped.join()
        ana.say(NO_NEWLINE[:150_000])
        piped.settle()
        assert piped.out == b""
        assert (moved, piped.opened) == ([], [])
        ana.say(NO_NEWLINE)
        piped.settle()
        ana.say(NO_NEWLINE)
        piped.settle()
        assert piped.out == NO_NEWLINE[:150_000] + NO_NEWLINE * 2
        assert moved
        assert len(piped.opened) == 1


def test_open_line_ends_at_its_newline_and_what_follows_is_held_again() -> None:
    with collecting_to_a_pipe() as piped:
        piped.keep_lines(max_line=1000)
        ana, bo = piped.join(), piped.join()
        ana.say(NO_NEWLINE)
        piped.settle()
        ana.say(NO_NEWLINE[:100_000] + b"\nheld")
        piped.settle()
        bo.say(b"bo\n")
        piped.settle()
        assert piped.out == NO_NEWLINE + NO_NEWLINE[:100_000] + b"\nbo\n"


def test_carry_and_the_block_behind_it_are_one_line() -> None:
    with collecting_to_a_pipe() as piped:
        piped.keep_lines()
        ana, bo = piped.join(), piped.join()
        ana.say(HUNDRED[:250_050])
        piped.settle()
        bo.say(b"bo\n")
        piped.settle()
        ana.say(HUNDRED[250_050:] + HUNDRED)
        piped.settle()
        assert piped.out == HUNDRED[:250_000] + b"bo\n" + HUNDRED[250_000:] + HUNDRED


def test_block_begins_a_line_of_its_own_after_somebodys_unfinished_one(
    splices: Callable[[Collecting], list[int]],
) -> None:
    with collecting_to_a_pipe() as piped:
        piped.keep_lines()
        moved = splices(piped)
        ana, bo = piped.join(), piped.join()
        bo.say(b"unfinished")
        piped.settle()
        ana.say(HUNDRED)
        piped.loop.turn()  # ana's first bytes, by copying: the next turn splices
        copied = ana.channel.bytes_received // 100 * 100
        assert 0 < copied < len(HUNDRED)
        assert moved == []
        piped.collector.drop(piped.collector.clients[bo.channel.fd], PieceEnd.EOF)
        piped.settle()
        assert moved
        assert piped.out == HUNDRED[:copied] + b"unfinished\n" + HUNDRED[copied:]


def test_block_that_a_full_pipe_interrupts_is_finished_before_anybody_else_writes(
    splices: Callable[[Collecting], list[int]],
) -> None:
    with collecting_to_a_pipe(pipe_bytes=131072) as piped:
        piped.keep_lines()
        moved = splices(piped)
        ana, bo = piped.join(), piped.join()
        ana.say(HUNDRED)
        piped.reads = False
        piped.settle()
        assert moved
        bo.say(lines_of("bo", 10, 100))
        piped.settle()
        piped.reads = True
        piped.settle()
        out = bytes(piped.out)
        assert out.replace(lines_of("bo", 10, 100), b"") == HUNDRED
        assert out.index(b"bo") % 100 == 0


def test_client_dropped_while_another_ones_block_is_under_way_does_not_get_in_between() -> None:
    with collecting_to_a_pipe(pipe_bytes=131072) as piped:
        piped.keep_lines()
        ana, bo = piped.join(), piped.join()
        bo.say(b"unfinished")
        piped.settle()
        piped.reads = False
        ana.say(LONG_LINES)
        piped.settle()
        client = piped.collector.clients[bo.channel.fd]
        piped.collector.drop(client, PieceEnd.EOF)
        piped.reads = True
        piped.settle()
        assert bytes(piped.out) == LONG_LINES + b"unfinished"


def test_client_dropped_within_its_own_block_does_not_break_the_output() -> None:
    with collecting_to_a_pipe(pipe_bytes=131072) as piped:
        piped.keep_lines()
        ana, bo = piped.join(), piped.join()
        piped.reads = False
        ana.say(LONG_LINES)
        piped.settle()
        piped.collector.drop(piped.collector.clients[ana.channel.fd], PieceEnd.EOF)
        piped.reads = True
        piped.settle()
        bo.say(b"bo\n")
        piped.settle()
        assert piped.failures == []
        assert bytes(piped.out).endswith(b"\nbo\n")


@pytest.mark.parametrize("pipe_bytes", [65536, None])
def test_client_that_rewrites_its_pages_cannot_make_a_line_seem_whole(
    sock_dir: str, pipe_bytes: int | None
) -> None:
    with open(f"{sock_dir}/file", "wb+") as file, collecting_to_a_pipe(pipe_bytes) as piped:
        piped.keep_lines()
        file.write(HUNDRED)
        file.flush()
        ana, bo = piped.join(), piped.join()
        piped.reads = False
        sent = os.sendfile(ana.sock.fileno(), file.fileno(), 0, len(HUNDRED))
        assert sent > 200_000
        piped.settle()
        os.pwrite(file.fileno(), b"X" * len(HUNDRED), 0)
        piped.reads = True
        piped.settle()
        bo.say(b"bo\n")
        piped.settle()
        assert piped.out.endswith(b"\nbo\n")
        assert b"XXXX" in piped.out, "nothing was spliced: this shows nothing"


def test_unfinished_rest_of_a_block_is_not_left_in_the_queue() -> None:
    with collecting_to_a_pipe() as piped:
        piped.keep_lines()
        ana = piped.join()
        ana.say(HUNDRED + b"rest")
        piped.settle()
        assert ana.channel.queued() == 0
        assert piped.out == HUNDRED


def test_bulk_from_many_at_once_stays_whole(splices: Callable[[Collecting], list[int]]) -> None:
    with collecting_to_a_pipe() as piped:
        piped.keep_lines()
        moved = splices(piped)
        sent = {name: lines_of(name, 5000, 100) for name in "abcdefgh"}
        for data in sent.values():
            piped.join().say(data)
        piped.settle()
        assert moved
        assert_whole_and_in_order(bytes(piped.out), sent)


# An output that takes nothing


def test_clients_wait_and_memory_does_not_grow_while_nobody_reads() -> None:
    with collecting_to_a_pipe() as piped:
        piped.keep_lines()
        ana, bo = piped.join(), piped.join()
        piped.reads = False
        data, sent = lines_of("a", 400, 1000), 0
        while taken := ana.say_what_fits(data[sent % len(data) :]):
            sent += taken
            piped.settle()
        bo.say(b"b" * 1000)
        piped.settle()
        assert piped.collector.outflow.is_blocked
        assert piped.collector.outflow.queued <= 4 * FLUSH_BYTES
        assert bo.channel.queued() == 1000
        assert sent < 16 << 20
        piped.reads = True
        piped.settle()
        assert len(piped.out) == sent // 1000 * 1000


@pytest.mark.parametrize("size", [10, 1000, 100_000])
def test_bytes_taken_while_nobody_reads_are_bounded_whatever_the_size_of_a_write(size: int) -> None:
    with collecting_to_a_pipe(pipe_bytes=4096) as piped:
        piped.keep_lines()
        guests = [piped.join() for _ in range(20)]
        piped.reads = False
        for _ in range(20):
            for guest in guests:
                guest.say_what_fits(b"x" * (size - 1) + b"\n")
            piped.loop.turn()
        assert sum(guest.channel.bytes_received for guest in guests) < 4 << 20


def test_turns_cost_nothing_while_nobody_reads() -> None:
    with collecting_to_a_pipe(pipe_bytes=4096) as piped:
        piped.keep_lines()
        ana = piped.join()
        piped.reads = False
        ana.say(HUNDRED)
        piped.settle()
        writes: list[int] = []

        def spy(buffers: Sequence[bytes | memoryview]) -> int:
            writes.append(len(buffers))
            return 0

        piped.output.try_write = spy
        piped.loop.turn(200)
        assert writes == []


def test_progress_is_told_once_a_stall_is_over() -> None:
    with collecting_to_a_pipe(pipe_bytes=4096) as piped:
        piped.keep_lines()
        told: list[int] = []
        piped.collector.on_progress = lambda: told.append(len(piped.out))
        ana = piped.join()
        piped.reads = False
        ana.say(HUNDRED[:20_000])
        piped.settle()
        assert told == []
        assert not piped.collector.drain()
        piped.reads = True
        piped.settle()
        assert told
        assert not piped.collector.drain(), "a client is still there"
        assert piped.collector.bytes_unwritten() == 0


def test_bytes_unwritten_counts_what_is_held_queued_and_still_unread() -> None:
    with collecting_to_a_pipe(pipe_bytes=4096) as piped:
        piped.keep_lines()
        ana, bo = piped.join(), piped.join()
        bo.say(b"held")
        piped.settle()
        piped.reads = False
        ana.say(HUNDRED)
        piped.settle()
        in_the_pipe = piped.read(1 << 20)
        assert in_the_pipe == 4096
        assert piped.collector.bytes_unwritten() == len(HUNDRED) + 4 - in_the_pipe


def test_reader_that_is_gone_is_told_once_and_nobody_is_read_any_more() -> None:
    with collecting_to_a_pipe() as piped:
        piped.keep_lines()
        ana = piped.join()
        null = os.open("/dev/null", os.O_RDONLY)
        os.dup2(null, piped._reader)
        os.close(null)
        ana.say(b"one\n")
        piped.loop.turn(3)
        ana.say(b"two\n")
        piped.loop.turn(3)
        (failure,) = piped.failures
        assert isinstance(failure, BrokenPipeError)
        assert piped.collector.bytes_unwritten() == 8


def test_reader_that_goes_within_a_block_is_told(splices: Callable[[Collecting], list[int]]) -> None:
    with collecting_to_a_pipe(pipe_bytes=131072) as piped:
        piped.keep_lines()
        moved = splices(piped)
        ana = piped.join()
        piped.reads = False
        ana.say(HUNDRED)
        piped.settle()
        null = os.open("/dev/null", os.O_RDONLY)
        os.dup2(null, piped._reader)
        os.close(null)
        piped.loop.turn(5)
        assert moved
        assert [type(failure) for failure in piped.failures] == [BrokenPipeError]


# Other outputs

SAID = [b"one\n", b"unfinished", HUNDRED, LONG_LINES, b"end"]


def say_all(collecting: Collecting) -> bytes:
    """One client says everything, and another one line after it; what must have come out."""
    ana = collecting.join()
    for data in SAID:
        ana.say(data)
        collecting.settle()
    ana.sock.close()
    collecting.settle()
    collecting.join().say(b"bo\n")
    collecting.settle()
    return b"".join(SAID) + b"\nbo\n"


@pytest.mark.parametrize("flags", [os.O_WRONLY, os.O_WRONLY | os.O_APPEND, os.O_RDWR])
def test_file_gets_every_byte_from_its_position_on(sock_dir: str, flags: int) -> None:
    fd = os.open(f"{sock_dir}/out", flags | os.O_CREAT)
    try:
        os.write(fd, b"before\n")
        with collecting_to(fd) as collecting:
            collecting.keep_lines()
            expected = say_all(collecting)
        with open(f"{sock_dir}/out", "rb") as file:
            assert file.read() == b"before\n" + expected
    finally:
        os.close(fd)


def test_file_is_spliced_to_and_one_that_appends_is_not(
    sock_dir: str, splices: Callable[[Collecting], list[int]]
) -> None:
    for flags, is_spliced in ((0, True), (os.O_APPEND, False)):
        fd = os.open(f"{sock_dir}/out{flags}", flags | os.O_CREAT | os.O_WRONLY)
        with collecting_to(fd) as collecting:
            collecting.keep_lines()
            moved = splices(collecting)
            say_all(collecting)
            assert bool(moved) is is_spliced
        os.close(fd)


def test_dev_null_takes_everything(splices: Callable[[Collecting], list[int]]) -> None:
    fd = os.open("/dev/null", os.O_WRONLY)
    with collecting_to(fd) as collecting:
        collecting.keep_lines()
        moved = splices(collecting)
        expected = say_all(collecting)
        assert collecting.collector.outflow.written == len(expected)
        assert moved
    os.close(fd)


@pytest.mark.parametrize("data", [b"small\n", HUNDRED])
def test_full_device_is_told_once_with_the_bytes_that_are_lost(data: bytes) -> None:
    fd = os.open("/dev/full", os.O_WRONLY)
    with collecting_to(fd) as collecting:
        collecting.keep_lines()
        ana = collecting.join()
        ana.say(data)
        collecting.settle()
        (failure,) = collecting.failures
        assert failure.errno == 28
        assert collecting.collector.bytes_unwritten() == len(data)
    os.close(fd)


def test_socket_as_output_gets_every_byte() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, collecting_to(ours.fileno()) as collecting:
        theirs.setblocking(False)
        collecting.keep_lines()
        out = bytearray()

        def drain() -> int:
            try:
                out.extend(theirs.recv(1 << 20))
            except BlockingIOError:
                pass
            return len(out)

        ana = collecting.join()
        for data in SAID:
            ana.say(data)
            collecting.loop.until_still(drain)
        assert out == b"".join(SAID)[: -len(b"end")]
        assert not os.get_blocking(theirs.fileno())
        assert os.get_blocking(ours.fileno()), "the flags of an output are its owner's"


def test_end_waits_for_the_thread_that_writes_for_us(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fallbacks, "_forced", lambda: frozenset({"reopen", "nowait"}))
    with collecting_to_a_pipe(4096) as piped:
        piped.keep_raw()
        ended: list[bool] = []
        piped.collector.on_progress = lambda: ended.append(piped.collector.drain())
        piped.join().say(b"x" * 10_000)
        piped.loop.turn(2)
        piped.guests[0].sock.close()
        piped.loop.turn(2)
        assert not piped.collector.drain()
        assert piped.collector.bytes_unwritten() > 0
        deadline = time.monotonic() + 10
        while not any(ended) and time.monotonic() < deadline:
            piped.read()
            piped.loop.turn()
        assert any(ended)
        piped.read()
        assert len(piped.out) == 10_000


def test_output_does_not_depend_on_how_many_others_are_there() -> None:
    outs = []
    for others in (0, 1, 30):
        with collecting_to_a_pipe() as piped:
            piped.keep_lines()
            for _ in range(others):
                piped.join()
            ana = piped.join()
            for data in SAID:
                ana.say(data)
                piped.settle()
            outs.append(bytes(piped.out))
    assert all(one == another for one, another in pairwise(outs))


def test_close_closes_every_channel_and_watches_nothing() -> None:
    with collecting_to_a_pipe() as piped:
        piped.keep_lines()
        ana, bo = piped.join(), piped.join()
        piped.collector.close()
        piped.collector.close()
        assert ana.channel.is_closed
        assert bo.channel.is_closed
        piped.loop.turn(2)


def test_queue_that_grows_while_it_is_looked_at_is_no_harm() -> None:
    """Between FIONREAD and the peek a fast sender goes on; what came then belongs to the next block."""
    with collecting_to_a_pipe() as piped:
        piped.keep_lines()
        ana = piped.join()
        ana.say(b"x" * 30_000)
        client = piped.collector.clients[ana.channel.fd]
        queued = client.channel.queued()
        ana.say(b"y\n")
        assert piped.collector._cut(client, queued) == (0, 0)
