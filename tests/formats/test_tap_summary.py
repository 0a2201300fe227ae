"""What a tap saw, in words and as JSON."""

from __future__ import annotations

import json

import pytest

from afunix.formats.tap_summary import render_summary, render_summary_json, show_duration
from afunix.model.tap_summary import Spoken, Stretch, Summary, Talker

WHOLE = Summary(
    seconds=12.34,
    connections=3,
    broken=1,
    still_open=0,
    client=Spoken(12, 1229, 1),
    server=Spoken(30, 34 << 20, 0),
    longest_silence=Stretch(2, 0.512, 5.2),
    slowest_answer=Stretch(1, 0.132, 0.12),
    most_talkative=Talker("ana", 1000, "docker", None, 2, 10, 1100),
)
NOTHING = Summary(61.0, 0, 0, 0, Spoken(), Spoken(), None, None, None)


def test_all_of_it_is_told() -> None:
    assert render_summary(WHOLE) == [
        "12.3 s: 3 connections, 1 of them broken off",
        "  client → server  12 messages, 1.2 KiB, 1 descriptor",
        "  client ← server  30 messages, 34 MiB",
        "  longest silence  5.2 s on [2], from 0.512 s",
        "  slowest answer   120 ms on [1], to what was said at 0.132 s",
        "  most talkative   docker of ana: 1.1 KiB in 10 messages on 2 connections",
    ]


def test_where_nobody_came_that_is_all() -> None:
    assert render_summary(NOTHING) == ["1 min 1 s: 0 connections"]


def test_what_there_was_none_of_is_left_out() -> None:
    silent = Summary(1.0, 1, 0, 1, Spoken(), Spoken(), Stretch(1, 0.0, 1.0), None, None)
    assert render_summary(silent) == [
        "1.0 s: 1 connection, 1 of them still open",
        "  client → server  0 messages, 0 B",
        "  client ← server  0 messages, 0 B",
        "  longest silence  1.0 s on [1], from 0.000 s",
    ]


@pytest.mark.parametrize(
    ("talker", "shown"),
    [
        (Talker("ana", 1000, "sh", 7, 1, 1, 5), "sh[7] of ana: 5 B in 1 message"),
        (Talker("", 1000, "", None, 1, 1, 5), "? of uid 1000: 5 B in 1 message"),
        (Talker("", None, "\x1b", None, 1, 1, 5), "^[ of ?: 5 B in 1 message"),
    ],
)
def test_a_client_is_told_as_far_as_it_is_known(talker: Talker, shown: str) -> None:
    found = Summary(1.0, 1, 0, 0, Spoken(), Spoken(), None, None, talker)
    assert render_summary(found)[-1] == f"  most talkative   {shown}"


def test_as_json_it_is_one_object() -> None:
    line = render_summary_json(WHOLE)
    assert line.isascii() and line.endswith(b"}\n") and line.count(b"\n") == 1
    assert json.loads(line) == {
        "event": "summary",
        "seconds": 12.34,
        "connections": 3,
        "broken": 1,
        "still_open": 0,
        "client": {"messages": 12, "bytes": 1229, "descriptors": 1},
        "server": {"messages": 30, "bytes": 34 << 20, "descriptors": 0},
        "longest_silence": {"connection": 2, "began_s": 0.512, "seconds": 5.2},
        "slowest_answer": {"connection": 1, "began_s": 0.132, "seconds": 0.12},
        "most_talkative": {
            "user": "ana",
            "uid": 1000,
            "comm": "docker",
            "pid": None,
            "connections": 2,
            "messages": 10,
            "bytes": 1100,
        },
    }


def test_in_json_nothing_is_null_and_times_have_microseconds() -> None:
    odd = Summary(
        0.1234567, 1, 0, 0, Spoken(), Spoken(), None, None, Talker("", None, "\udcff", None, 1, 1, 5)
    )
    found = json.loads(render_summary_json(odd))
    assert (found["seconds"], found["slowest_answer"]) == (0.123457, None)
    assert (found["most_talkative"]["user"], found["most_talkative"]["comm"]) == (None, "\\xff")


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.0, "0 µs"),
        (0.00012, "120 µs"),
        (0.0123, "12.3 ms"),
        (0.120, "120 ms"),
        (0.9996, "1.0 s"),
        (5.2, "5.2 s"),
        (59.0, "59.0 s"),
        (125.0, "2 min 5 s"),
        (12_000.0, "3 h 20 min"),
    ],
)
def test_a_duration_has_three_figures_or_two_units(seconds: float, shown: str) -> None:
    assert show_duration(seconds) == shown
