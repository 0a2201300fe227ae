"""How bytes become output: each framing in a collector, in front of a real pipe."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.collecting import Piped, collecting_to_a_pipe

from afunix.formats.jsonl import read_piece, render_piece
from afunix.formats.label import Sender
from afunix.kernel.names import comm_of, user_name
from afunix.model.framing import LineRules, PieceEnd, PieceRules
from afunix.sinks.collector import Client
from afunix.sinks.framings import Lines, Pieces, Raw, Terminal, sender_of

steady = settings(derandomize=True, database=None, deadline=None, max_examples=50)


def show(sender: Sender, data: bytes, end: PieceEnd, now: float) -> bytes:
    """A piece, in a form that a test can read."""
    return b"%d[%s]%s@%d\n" % (sender.connection or 0, data, end.value.encode(), now)


def keep_pieces(
    piped: Piped, *, max_line: int = 1 << 20, max_held: int = 1 << 26, render: object = show
) -> list[tuple[int, int]]:
    opened: list[tuple[int, int]] = []
    piped.collector.framing = Pieces(
        PieceRules(max_line, max_held),
        render,  # type: ignore[arg-type]
        piped.collector.put,
        on_open=lambda client, size: opened.append((client.channel.connection, size)),
        now=lambda: 7.0,
    )
    return opened


def keep_escaped(piped: Piped, make: Callable[[Callable[[Client, bytes], None]], Lines | Raw]) -> None:
    terminal = Terminal(piped.collector.put)
    piped.collector.framing = terminal.wrap(make(terminal.put))


def lines(put: Callable[[Client, bytes], None]) -> Lines:
    return Lines(LineRules(), put)


# Pieces


def test_each_line_is_a_piece_with_its_sender_and_its_end() -> None:
    with collecting_to_a_pipe() as piped:
        keep_pieces(piped)
        ana, bo = piped.join(), piped.join()
        ana.say(b"one\n\ntw")
        piped.settle()
        bo.say(b"bo\n")
        piped.settle()
        ana.say(b"o")
        ana.sock.close()
        piped.settle()
        assert piped.out == b"1[one]newline@7\n1[]newline@7\n2[bo]newline@7\n1[two]eof@7\n"


def test_piece_that_a_reset_ended_says_so() -> None:
    with collecting_to_a_pipe() as piped:
        keep_pieces(piped)
        ana = piped.join()
        ana.say(b"unfinished")
        ana.channel.socket.send(b"never read")
        ana.sock.close()
        piped.settle()
        assert piped.out == b"1[unfinished]reset@7\n"


def test_long_line_becomes_pieces_of_the_limit_and_is_told() -> None:
    with collecting_to_a_pipe() as piped:
        opened = keep_pieces(piped, max_line=4)
        ana = piped.join()
        ana.say(b"123456789\n12")
        ana.sock.close()
        piped.settle()
        assert piped.out == b"1[1234]max-line@7\n1[5678]max-line@7\n1[9]newline@7\n1[12]eof@7\n"
        assert opened == [(1, 4)] * 2


def test_client_without_a_word_is_no_piece() -> None:
    with collecting_to_a_pipe() as piped:
        keep_pieces(piped)
        piped.join().sock.close()
        piped.settle()
        assert piped.out == b""


def test_pieces_are_never_spliced_and_bulk_comes_out_whole() -> None:
    with collecting_to_a_pipe() as piped:
        keep_pieces(piped, render=lambda sender, data, end, now: data + b"\n")
        ana = piped.join()
        data = b"".join(b"%099d\n" % number for number in range(3000))
        ana.say(data)
        piped.settle()
        assert piped.out == data


@steady
@given(
    data=st.binary(max_size=60).map(lambda data: data.replace(b"a", b"\n")),
    cuts=st.lists(st.integers(1, 60), max_size=6),
    max_line=st.integers(1, 20),
)
def test_json_gives_the_bytes_back_however_they_arrived(data: bytes, cuts: list[int], max_line: int) -> None:
    outs = []
    for chunk in ([], cuts):
        with collecting_to_a_pipe() as piped:
            keep_pieces(piped, max_line=max_line, render=render_piece)
            ana, left = piped.join(), data
            for cut in chunk:
                ana.say(left[:cut])
                piped.settle()
                left = left[cut:]
            ana.say(left)
            ana.sock.close()
            piped.settle()
            outs.append(bytes(piped.out))
    assert b"".join(map(read_piece, outs[0].splitlines())) == data
    assert outs[0] == outs[1], "a piece depends on how its bytes arrived"


@steady
@given(
    steps=st.lists(st.tuples(st.integers(0, 2), st.binary(min_size=1, max_size=8)), max_size=20),
    max_held=st.integers(0, 12),
)
def test_pieces_together_hold_no_more_than_the_limit_and_lose_nothing(
    steps: list[tuple[int, bytes]], max_held: int
) -> None:
    with collecting_to_a_pipe() as piped:
        keep_pieces(piped, max_held=max_held, render=render_piece)
        guests = [piped.join() for _ in range(3)]
        sent = {1: b"", 2: b"", 3: b""}
        for index, data in steps:
            guests[index].say(data)
            sent[index + 1] += data
            piped.settle()
            assert sum(len(client.held or b"") for client in piped.collector.clients.values()) <= max_held
        for guest in guests:
            guest.sock.close()
        piped.settle()
        pieces = [
            (json.loads(line)["connection"], read_piece(line)) for line in bytes(piped.out).splitlines()
        ]
        assert {n: b"".join(piece for who, piece in pieces if who == n) for n in sent} == sent


# Terminals


def test_terminal_is_shown_control_characters_and_not_given_them() -> None:
    with collecting_to_a_pipe() as piped:
        keep_escaped(piped, lines)
        piped.join().say("a\tb\x1b[31m\x7f\u202e\n".encode())
        piped.settle()
        assert piped.out == rb"a	b^[[31m^?\u202e" + b"\n"


def test_character_may_arrive_in_two_pieces_each_client_with_its_own_halves() -> None:
    with collecting_to_a_pipe() as piped:
        keep_escaped(piped, Raw)
        ana, bo = piped.join(), piped.join()
        ana.say("é".encode()[:1])
        piped.settle()
        bo.say("ü\n".encode())
        piped.settle()
        ana.say("é".encode()[1:] + b"\n")
        piped.settle()
        assert piped.out.decode() == "ü\né\n"


def test_character_that_is_never_finished_is_shown_as_its_bytes_at_the_end() -> None:
    with collecting_to_a_pipe() as piped:
        keep_escaped(piped, lines)
        ana = piped.join()
        ana.say(b"x\xe2\x82")
        ana.sock.close()
        piped.settle()
        assert piped.out == rb"x\xe2\x82"


def test_escaping_comes_after_framing() -> None:
    with collecting_to_a_pipe() as piped:
        keep_escaped(piped, lambda put: Lines(LineRules(max_line=4), put))
        ana = piped.join()
        ana.say(b"\0\0\0")
        piped.settle()
        assert piped.out == b""  # three bytes are held, not six
        ana.say(b"\0")
        piped.settle()
        assert piped.out == b"^@" * 4


def test_terminal_is_never_spliced_to() -> None:
    with collecting_to_a_pipe() as piped:
        keep_escaped(piped, Raw)
        piped.join().say(b"\x1b\n" * 150_000)
        piped.settle()
        assert piped.out == b"^[\n" * 150_000


# Senders


def test_sender_is_who_the_kernel_says() -> None:
    with collecting_to_a_pipe() as piped:
        keep_pieces(piped)
        ana = piped.join()
        assert sender_of(ana.channel) == Sender(
            connection=1,
            pid=os.getpid(),
            uid=os.getuid(),
            gid=os.getgid(),
            user=user_name(os.getuid()),
            comm=comm_of(os.getpid()),
        )
