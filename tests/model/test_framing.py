"""The rules L1-L5, against a specification that looks at one byte at a time and knows nothing of the code.

Arrivals are (client, bytes) in the order in which they came, None for a client's end. The alphabet is small so
that lines meet their limits often.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from afunix.model.framing import Line, LineRules, Piece, PieceEnd, PieceRules, Seam, merge

Arrival = tuple[int, bytes | None]

EOF, NEWLINE, MAX_LINE = PieceEnd.EOF, PieceEnd.NEWLINE, PieceEnd.MAX_LINE
PLENTY = 10_000

DATA = st.lists(st.sampled_from([b"a", b"b", b"\n"]), min_size=1, max_size=12).map(b"".join)
ARRIVALS = st.lists(st.tuples(st.integers(0, 3), st.one_of(DATA, DATA, DATA, st.none())), max_size=25)
LIMITS = st.integers(1, 12)


def specified(arrivals: Iterable[Arrival], max_line: int, max_held: int) -> bytes:
    """L1-L5 as DESIGN says them, byte by byte; L2 is looked at when all of an arrival is in."""
    out = bytearray()
    writer: object = None
    connections: dict[int, object] = {}
    held: dict[object, bytearray] = {}
    is_open: set[object] = set()

    def write(who: object, data: bytes | bytearray) -> None:
        nonlocal writer
        if not data:
            return
        if out and not out.endswith(b"\n") and who is not writer:
            out.extend(b"\n")
        out.extend(data)
        writer = who

    for client, data in arrivals:
        who = connections.setdefault(client, object())
        if data is None:
            write(who, held.pop(who, b""))
            del connections[client]
            continue
        for byte in data:
            is_newline = byte == 0x0A
            if who in is_open:
                write(who, bytes([byte]))
                if is_newline:
                    is_open.remove(who)
                continue
            held.setdefault(who, bytearray()).append(byte)
            if is_newline or len(held[who]) == max_line:
                write(who, held.pop(who))
                if not is_newline:
                    is_open.add(who)
        while sum(map(len, held.values())) > max_held:
            longest = max(held, key=lambda each: len(held[each]))
            write(longest, held.pop(longest))
            is_open.add(longest)
    return bytes(out)


def ended(arrivals: list[Arrival]) -> list[Arrival]:
    """The same, and then every client ends."""
    return [*arrivals, *((client, None) for client in range(4))]


def tagged(arrivals: Sequence[Arrival]) -> list[Arrival]:
    """The same with bytes that tell their client: 0-3 send A-D instead of letters, and end once, at the end."""
    return ended(
        [
            (
                client,
                data.replace(b"a", b"ABCD"[client : client + 1]).replace(b"b", b"wxyz"[client : client + 1]),
            )
            for client, data in arrivals
            if data is not None
        ]
    )


def sent_by(arrivals: Iterable[Arrival]) -> dict[int, bytes]:
    sent: defaultdict[int, bytes] = defaultdict(bytes)
    for client, data in arrivals:
        sent[client] += data or b""
    return sent


def letters_of(client: int, output: bytes) -> bytes:
    return bytes(byte for byte in output if byte in (b"ABCD"[client], b"wxyz"[client]))


# L1-L5


@given(ARRIVALS, LIMITS, st.integers(0, 20))
@example([(0, b"aa"), (0, b"a"), (1, b"a")], 9, 2)
def test_the_output_is_what_the_specification_says(
    arrivals: list[Arrival], max_line: int, max_held: int
) -> None:
    assert merge(arrivals, max_line, max_held) == specified(arrivals, max_line, max_held)
    assert merge(ended(arrivals), max_line, max_held) == specified(ended(arrivals), max_line, max_held)


@given(st.lists(DATA), LIMITS, st.integers(0, 20))
def test_one_client_alone_comes_out_byte_for_byte(sent: list[bytes], max_line: int, max_held: int) -> None:
    arrivals: list[Arrival] = [(0, data) for data in sent]
    assert merge([*arrivals, (0, None)], max_line, max_held) == b"".join(sent)


@given(ARRIVALS, LIMITS, st.integers(0, 20))
def test_nothing_is_lost_doubled_or_reordered(arrivals: list[Arrival], max_line: int, max_held: int) -> None:
    arrivals = tagged(arrivals)
    output = merge(arrivals, max_line, max_held)
    for client, data in sent_by(arrivals).items():
        assert letters_of(client, output) == data.replace(b"\n", b"")
    added = output.count(b"\n") - sum(data.count(b"\n") for data in sent_by(arrivals).values())
    assert added >= 0


@given(ARRIVALS, LIMITS)
def test_a_line_within_the_limit_is_never_torn(arrivals: list[Arrival], max_line: int) -> None:
    arrivals = tagged(arrivals)
    came_out = merge(arrivals, max_line, PLENTY).split(b"\n")
    for data in sent_by(arrivals).values():
        for line in data.split(b"\n"):
            if line and len(line) < max_line:
                assert came_out.count(line) >= data.split(b"\n").count(line)


@given(ARRIVALS, LIMITS, st.integers(0, 20))
def test_a_line_of_the_output_is_of_one_client(arrivals: list[Arrival], max_line: int, max_held: int) -> None:
    for line in merge(tagged(arrivals), max_line, max_held).split(b"\n"):
        assert sum(bool(letters_of(client, line)) for client in range(4)) <= 1


@given(ARRIVALS, LIMITS, st.integers(0, 20))
def test_what_is_held_stays_within_both_limits(arrivals: list[Arrival], max_line: int, max_held: int) -> None:
    rules = LineRules(max_line, max_held)
    lines = [Line() for _ in range(4)]
    for client, data in arrivals:
        if data is None:
            rules.release(lines[client])
        else:
            rules.feed(lines[client], data)
        list(rules.overflow())
        held = [len(line.held or b"") for line in lines]
        assert sum(held) == rules.held_total <= max_held
        assert max(held) < max_line


def test_a_line_leaves_when_it_is_complete_and_not_before() -> None:
    rules, line = LineRules(), Line()
    assert rules.feed(line, b"hel") == b""
    assert rules.feed(line, b"lo\nwor") == b"hello\n"
    assert rules.feed(line, b"ld\n\n") == b"world\n\n"
    assert (line.held, rules.held_total) == (None, 0)


def test_only_a_newline_ends_a_line() -> None:
    assert LineRules().feed(Line(), b"a\rb\0c\x0bd\xe2\x80\xa8") == b""


@pytest.mark.parametrize(("data", "leaves"), [(b"abc", b""), (b"abcd", b"abcd"), (b"abc\n", b"abc\n")])
def test_the_limit_counts_the_newline(data: bytes, leaves: bytes) -> None:
    assert LineRules(max_line=4).feed(Line(), data) == leaves


def test_an_open_client_passes_through_its_next_newline_and_then_is_held_again() -> None:
    rules, line = LineRules(max_line=4), Line()
    assert [rules.feed(line, data) for data in (b"abcd", b"e", b"f\ngh", b"i\n")] == [
        b"abcd",
        b"e",
        b"f\n",
        b"ghi\n",
    ]


def test_a_line_that_is_let_out_is_told_once_with_its_size() -> None:
    told: list[tuple[Line, int]] = []
    rules = LineRules(max_line=4, on_open=lambda line, size: told.append((line, size)))
    line = Line()
    for data in (b"abc", b"def", b"ghi\n"):
        rules.feed(line, data)
    assert told == [(line, 6)]


def test_the_longest_line_is_let_out_when_all_together_hold_too_much() -> None:
    told: list[int] = []
    rules = LineRules(max_line=100, max_held=9, on_open=lambda line, size: told.append(size))
    short, long, last = Line(), Line(), Line()
    for line, data in ((short, b"aa"), (long, b"bbbbb"), (last, b"ccc")):
        assert rules.feed(line, data) == b""
    assert list(rules.overflow()) == [(long, b"bbbbb")]
    assert (told, rules.held_total, long.is_open, short.is_open) == ([5], 5, True, False)


def test_of_equally_long_lines_the_one_that_waits_longest_is_let_out() -> None:
    rules = LineRules(max_held=3)
    lines = [Line() for _ in range(3)]
    for line in lines:
        rules.feed(line, b"xx")
    assert [line for line, _ in rules.overflow()] == lines[:2]


def test_at_the_end_the_held_bytes_leave_as_they_are() -> None:
    assert merge([(0, b"a\nbc"), (0, None)]) == b"a\nbc"
    assert merge([(0, b"bc"), (1, b"x\n"), (0, None), (1, b"y\n")]) == b"x\nbc\ny\n"


def test_a_client_that_comes_again_is_another_one() -> None:
    assert merge([(0, b"a"), (0, None), (0, b"b"), (0, None)]) == b"a\nb"


def test_a_line_let_out_for_others_goes_on_without_a_newline_in_it() -> None:
    assert merge([(0, b"aaaa"), (0, b"b\n")], max_held=2) == b"aaaab\n"


# L4


def test_a_newline_is_needed_only_inside_of_another_ones_line() -> None:
    seam, ana, ben = Seam(), object(), object()
    assert not seam.needs_newline(ana)
    seam.wrote(ana, ends_line=False)
    assert (seam.needs_newline(ana), seam.needs_newline(ben)) == (False, True)
    seam.wrote(ana, ends_line=True)
    assert not seam.needs_newline(ben)


# Pieces


def pieces_of(chunks: Iterable[bytes], max_line: int, end: PieceEnd = EOF) -> list[Piece]:
    rules, line = PieceRules(max_line), Line()
    pieces = [piece for chunk in chunks for piece in rules.cut(line, chunk)]
    assert rules.held_total == len(line.held or b"") < max_line
    return [*pieces, *rules.finish(line, end)]


def joined(pieces: Iterable[Piece]) -> bytes:
    return b"".join(data + (b"\n" if end is NEWLINE else b"") for data, end in pieces)


@given(st.lists(DATA), LIMITS)
def test_pieces_do_not_depend_on_how_the_bytes_arrived(chunks: list[bytes], max_line: int) -> None:
    sent = b"".join(chunks)
    assert pieces_of(chunks, max_line) == pieces_of([sent], max_line)
    assert pieces_of(chunks, max_line) == pieces_of([bytes([byte]) for byte in sent], max_line)


@given(st.lists(DATA), LIMITS)
def test_pieces_give_the_bytes_back(chunks: list[bytes], max_line: int) -> None:
    assert joined(pieces_of(chunks, max_line)) == b"".join(chunks)


@given(st.lists(DATA), LIMITS)
def test_only_what_is_too_long_is_cut_and_into_pieces_of_the_limit(
    chunks: list[bytes], max_line: int
) -> None:
    for data, end in pieces_of(chunks, max_line):
        assert b"\n" not in data
        assert len(data) == max_line if end is MAX_LINE else len(data) < max_line


@given(ARRIVALS, LIMITS, st.integers(0, 20))
def test_pieces_of_many_give_each_ones_bytes_back_whatever_the_limits(
    arrivals: list[Arrival], max_line: int, max_held: int
) -> None:
    rules = PieceRules(max_line, max_held)
    lines = [Line() for _ in range(4)]
    got: defaultdict[Line, bytes] = defaultdict(bytes)
    for client, data in arrivals:
        found = rules.finish(lines[client], EOF) if data is None else rules.cut(lines[client], data)
        got[lines[client]] += joined(found)
        for other, piece in rules.overflow():
            got[other] += joined([piece])
        assert rules.held_total <= max_held
    for client, line in enumerate(lines):
        assert got[line] + joined(rules.finish(line, EOF)) == sent_by(arrivals)[client]


def test_a_line_as_long_as_the_limit_without_its_newline_is_a_full_piece_and_an_empty_one() -> None:
    assert pieces_of([b"abc\n"], 4) == [(b"abc", NEWLINE)]
    assert pieces_of([b"abcd\n"], 4) == [(b"abcd", MAX_LINE), (b"", NEWLINE)]
    assert pieces_of([b"abcdefghi\n"], 4) == [(b"abcd", MAX_LINE), (b"efgh", MAX_LINE), (b"i", NEWLINE)]


def test_an_empty_line_is_a_piece_and_an_empty_end_is_none() -> None:
    assert pieces_of([b"\n\n"], 4) == [(b"", NEWLINE), (b"", NEWLINE)]
    assert pieces_of([b"a\n"], 4) == [(b"a", NEWLINE)]


@pytest.mark.parametrize("end", [EOF, PieceEnd.RESET])
def test_the_unfinished_piece_says_how_its_client_ended(end: PieceEnd) -> None:
    assert pieces_of([b"a\nb"], 4, end) == [(b"a", NEWLINE), (b"b", end)]


def test_of_pieces_too_the_longest_is_let_out() -> None:
    rules, short, long = PieceRules(max_held=4), Line(), Line()
    assert [*rules.cut(short, b"aa"), *rules.cut(long, b"bbb")] == []
    assert list(rules.overflow()) == [(long, (b"bbb", MAX_LINE))]
    assert list(rules.cut(long, b"c\n")) == [(b"c", NEWLINE)]


def test_a_big_arrival_of_tiny_pieces_is_cut_without_copying_it_again_and_again() -> None:
    assert len(pieces_of([b"x" * 300_000], 1)) == 300_000
