"""What is said in place of messages that were not shown."""

from __future__ import annotations

import json

from tests.captures import beginning

from afunix.formats.tap_gap import render_gap_json, show_gap


def test_line_begins_as_no_message_does_and_says_how_much_is_missing() -> None:
    line = show_gap(beginning(), 12.345678, 1234, 5 << 20)
    assert line.decode() == "[…]  12.345678  1234 messages (5.0 MiB) not shown: STDOUT took no more\n"


def test_object_has_the_same() -> None:
    line = render_gap_json(beginning(), 0.5, 1, 7)
    assert line.endswith(b"}\n")
    assert json.loads(line) == {
        "event": "not-shown",
        "time": "2023-11-14T22:13:20.623457Z",
        "at": 0.5,
        "messages": 1,
        "bytes": 7,
    }
