"""A pcapng file: TCP that is right in every number, the bytes come back, and comments say what TCP cannot."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.captures import (
    ACK,
    ANA,
    BEGAN_NS,
    FIN,
    PSH,
    RST,
    SYN,
    C,
    Capture,
    S,
    beginning,
    conversation,
    opened,
    read_capture,
)

from afunix.formats.pcapng import CLIENT_PORTS, FIRST_CLIENT_PORT, MAX_SEGMENT, Pcapng, describe_client
from afunix.model.credentials import UNKNOWN_ID, PeerCredentials
from afunix.model.tapped import Opened, Over, Said, SaidAll, Side, TapEvent


def captured(events: Iterable[TapEvent], path: str = "/run/app.sock", port: int | None = None) -> Capture:
    form = Pcapng(beginning(path), port=port)
    return read_capture(form.header() + b"".join(form.render(event) for event in events))


def flags(capture: Capture) -> list[int]:
    return [packet.flags for packet in capture.packets]


def test_file_without_any_event_is_valid_and_says_what_is_tapped() -> None:
    capture = captured([])
    assert capture.packets == []
    assert capture.about[2] == b"/run/app.sock"
    assert b"synthesized" in capture.about[1]
    assert capture.about[9] == b"\x09"


def test_orderly_conversation_has_all_that_tcp_has() -> None:
    capture = captured(conversation((C, b"ping"), (S, b"pong")))
    handshake = [SYN, SYN | ACK, ACK]
    assert flags(capture) == [*handshake, PSH | ACK, PSH | ACK, FIN | ACK, ACK, FIN | ACK, ACK]
    assert capture.streams() == {(1, C): b"ping", (1, S): b"pong"}


def test_first_packet_introduces_the_client() -> None:
    comment = captured([opened()]).packets[0].comment
    assert comment == "connection 1 to '/run/app.sock': curl, pid 4121, user ana (uid 1000, gid 100)"


def test_times_are_dates_in_nanoseconds() -> None:
    packets = captured([opened(), Said(1, 2.25, C, b"x")]).packets
    assert [packets[0].time_ns, packets[3].time_ns] == [BEGAN_NS + 500_000_000, BEGAN_NS + 2_250_000_000]


def test_descriptors_are_named_beside_the_bytes_they_came_with() -> None:
    events: list[TapEvent] = [opened(), Said(1, 1.0, C, b"x", ("/var/log/x", "socket"))]
    events.append(Said(1, 1.0, C, b"y", ("pipe",)))
    comments = [packet.comment for packet in captured(events).packets[3:]]
    assert comments == ["with 2 descriptors: /var/log/x, socket", "with a descriptor: pipe"]


def test_descriptors_without_a_byte_are_there_as_well() -> None:
    packet = captured([opened(), Said(1, 1.0, C, b"", ("pipe",))]).packets[3]
    assert (packet.data, packet.comment) == (b"", "with a descriptor: pipe")


def test_comment_that_is_too_long_is_cut() -> None:
    names = tuple(f"/{'é' * 200}/{number}" for number in range(253))
    comment = captured([opened(), Said(1, 1.0, C, b"x", names)]).packets[3].comment
    assert comment.endswith(" ...")
    assert len(comment.encode()) <= 0xFFFF


def test_names_from_outside_are_escaped() -> None:
    comment = captured([opened(command="\x1b[2J\udcff")], path="/run/\x07").packets[0].comment
    assert "'/run/^G': ^[[2J\\xff" in comment


@pytest.mark.parametrize(
    ("reason", "breaker"), [("reset by the client", C), ("reset by the server", S), ("refused: user:bob", S)]
)
def test_end_that_is_not_orderly_is_a_reset_with_its_reason(reason: str, breaker: Side) -> None:
    last = captured([opened(), Over(1, 2.0, reason)]).packets[-1]
    assert (last.flags, last.comment) == (RST | ACK, reason)
    assert (last.source[1] == FIRST_CLIENT_PORT) == (breaker is C)


def test_half_close_is_the_end_of_one_side_alone() -> None:
    events: list[TapEvent] = [opened(), SaidAll(1, 1.0, C), Said(1, 2.0, S, b"late"), Over(1, 3.0)]
    capture = captured(events)
    assert flags(capture)[3:] == [FIN | ACK, ACK, PSH | ACK, FIN | ACK, ACK]
    assert capture.streams() == {(1, S): b"late"}


def test_long_message_is_cut_into_segments_and_pushed_once() -> None:
    data = bytes(range(256)) * 700
    capture = captured([opened(), Said(1, 1.0, C, data)])
    pieces = [packet for packet in capture.packets[3:] if packet.data]
    assert [len(piece.data) for piece in pieces] == [MAX_SEGMENT, MAX_SEGMENT, len(data) - 2 * MAX_SEGMENT]
    assert [bool(piece.flags & PSH) for piece in pieces] == [False, False, True]
    assert capture.streams() == {(1, C): data}


def test_who_talks_alone_is_acknowledged_now_and_then() -> None:
    capture = captured([opened(), *(Said(1, 1.0, C, b"x") for _ in range(100))])
    assert flags(capture)[3:].count(ACK) == 3


def test_answers_acknowledge_what_they_answer() -> None:
    dialogue = [Said(1, 1.0, side, b"x") for _ in range(100) for side in (C, S)]
    assert flags(captured([opened(), *dialogue]))[3:] == [PSH | ACK] * 200


def test_sequence_numbers_go_round() -> None:
    form = Pcapng(beginning())
    form.render(opened())
    form._clients[1].sequence = 2**32 - 3
    data = form.header() + form.render(Said(1, 1.0, C, b"abcdef")) + form.render(Said(1, 1.0, C, b"g"))
    assert read_capture(data).streams() == {(1, C): b"abcdefg"}


def test_what_was_not_kept_is_a_gap_in_the_sequence_numbers() -> None:
    form = Pcapng(beginning())
    blocks = [form.render(event) for event in conversation((C, b"one"), (C, b"two"), (C, b"three"))]
    with pytest.raises(AssertionError, match="a gap"):
        read_capture(form.header() + b"".join(blocks[:2] + blocks[3:])).streams()


def test_connection_that_was_not_seen_to_open_is_heard() -> None:
    assert captured([Said(7, 1.0, S, b"x")]).streams() == {(7, S): b"x"}
    assert captured([SaidAll(7, 1.0, C), Over(7, 1.0), Over(7, 1.0)]).streams() == {}


@pytest.mark.parametrize("number", [1, CLIENT_PORTS, CLIENT_PORTS + 1, 5_000_000])
def test_each_connection_has_an_end_of_its_own(number: int) -> None:
    assert captured(conversation((C, b"x"), connection=number)).streams() == {(number, C): b"x"}


def test_port_is_guessed_or_said() -> None:
    assert captured([opened()], path="/run/redis.sock").packets[0].target[1] == 6379
    assert captured([opened()], path="/run/redis.sock", port=8080).packets[0].target[1] == 8080


def test_connection_that_is_over_is_forgotten() -> None:
    form = Pcapng(beginning())
    for event in conversation((C, b"x")):
        form.render(event)
    assert (form._clients, form._servers) == ({}, {})


def test_client_is_described_as_far_as_it_is_known() -> None:
    assert describe_client(ANA, "", "") == "pid 4121, uid 1000, gid 100"
    assert describe_client(PeerCredentials(None, UNKNOWN_ID, UNKNOWN_ID), "", "") == "unknown client"
    assert describe_client(PeerCredentials(None, 0, 0), "root", "cron") == "cron, user root (uid 0, gid 0)"


SIZES = st.one_of(st.integers(0, 9), st.sampled_from([8192, 8193, MAX_SEGMENT, MAX_SEGMENT + 1, 200_001]))


@st.composite
def tapped(draw: st.DrawFn) -> list[TapEvent]:
    """Connections that talk at the same time, in any order; each begins before it talks, and may never end."""
    events: list[TapEvent] = []
    open_sides: dict[int, set[Side]] = {}
    for _ in range(draw(st.integers(0, 25))):
        connection = draw(st.integers(1, 4))
        if connection not in open_sides:
            if any(event.connection == connection for event in events):
                continue
            open_sides[connection] = {C, S}
            events.append(Opened(connection, len(events) / 7, ANA, "ana", draw(st.text(max_size=3))))
        elif draw(st.integers(0, 9)) == 0:
            del open_sides[connection]
            events.append(
                Over(connection, len(events) / 7, draw(st.sampled_from(["", "reset by the client"])))
            )
        elif open_sides[connection]:
            side = draw(st.sampled_from(sorted(open_sides[connection], key=lambda side: side.value)))
            if draw(st.integers(0, 7)) == 0:
                open_sides[connection].remove(side)
                events.append(SaidAll(connection, len(events) / 7, side))
            else:
                data = draw(st.binary(min_size=1, max_size=5)) * draw(SIZES)
                names = tuple(draw(st.lists(st.text(max_size=5), max_size=2)))
                events.append(Said(connection, len(events) / 7, side, data, names))
    return events


@given(tapped())
def test_any_conversations_come_back(events: list[TapEvent]) -> None:
    said: dict[tuple[int, Side], bytes] = {}
    for event in events:
        if isinstance(event, Said) and event.data:
            key = event.connection, event.side
            said[key] = said.get(key, b"") + event.data
    assert captured(events).streams() == said


@given(
    st.lists(st.sampled_from([b"\0", b"\xff", b"\0\0", b"\xff\xff\xff"]), max_size=9),
    st.sampled_from([1, 4000]),
)
def test_checksums_of_nothing_but_zeros_or_ones_are_right(pieces: list[bytes], times: int) -> None:
    captured([opened(), Said(1, 1.0, C, b"".join(pieces) * times)])
