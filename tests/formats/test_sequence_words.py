"""The words around a drawing: moments, the key, the title and the notes."""

from __future__ import annotations

import pytest
from tests.stories import TWO_CLIENTS, WAITING

from afunix.formats.sequence_words import (
    KEY,
    SIGNS,
    format_moment,
    key_of,
    moments_of,
    note_lines,
    title_lines,
)
from afunix.model.sequence import Outcome, Story


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "+0 µs"),
        (0.00012, "+120 µs"),
        (0.0009994, "+999 µs"),
        (0.0009996, "+1.0 ms"),
        (0.0013, "+1.3 ms"),
        (0.0999, "+99.9 ms"),
        (0.09996, "+100 ms"),
        (0.9994, "+999 ms"),
        (0.9996, "+1.00 s"),
        (2.314, "+2.31 s"),
        (99.994, "+99.99 s"),
        (112.4, "+112 s"),
    ],
)
def test_a_moment_is_in_the_unit_that_reads_best(seconds: float, shown: str) -> None:
    assert format_moment(seconds) == shown


def test_there_are_no_moments_without_times() -> None:
    assert set(moments_of(TWO_CLIENTS, times=False)) == {""}


def test_key_has_the_signs_that_occur_and_are_not_plain() -> None:
    assert key_of(TWO_CLIENTS) == "○ waited   ✗ failed"
    assert key_of(WAITING) == f"{SIGNS[Outcome.WAITED]} {KEY[Outcome.WAITED]}"


def test_no_command_in_a_title_is_torn() -> None:
    *rows, empty = title_lines(WAITING, 50)
    assert [row[0][0] for row in rows][1] == "and 2 times afunix connect hello.sock;"
    assert empty == []


def test_without_notes_there_is_nothing_below() -> None:
    assert note_lines(Story("", ()), 80) == []
