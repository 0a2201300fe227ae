"""The line of each event of a tap."""

from __future__ import annotations

import pytest

from afunix.formats.tap_lines import TapLines, ink_of, show_count
from afunix.model.credentials import UNKNOWN_ID, PeerCredentials
from afunix.model.tapped import Opened, Over, Said, SaidAll, Side, TapEvent

ANA = PeerCredentials(4121, 1000, 1000)


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (Opened(1, 0.0, ANA, "ana", "docker"), "[1]   0.000000  opened by pid 4121 (docker) uid 1000 (ana)"),
        (Opened(12, 0.5, ANA), "[12]   0.500000  opened by pid 4121 uid 1000"),
        (
            Opened(1, 0.0, PeerCredentials(None, 0, 0), "root"),
            "[1]   0.000000  opened by pid ? uid 0 (root)",
        ),
        (
            Opened(1, 0.0, PeerCredentials(None, UNKNOWN_ID, UNKNOWN_ID)),
            "[1]   0.000000  opened by somebody unknown",
        ),
        (Said(1, 0.000132, Side.CLIENT, b"x" * 1234), "[1]   0.000132  client → server  1,234 bytes"),
        (
            Said(1, 12.0, Side.SERVER, b"x", ("socket", "/var/log/x")),
            "[1]  12.000000  client ← server  1 byte, 2 descriptors: socket, /var/log/x",
        ),
        (SaidAll(1, 0.1, Side.SERVER), "[1]   0.100000  client ← server  half-closed"),
        (Over(1, 0.1), "[1]   0.100000  closed"),
        (Over(1, 0.1, "reset by the server"), "[1]   0.100000  closed: reset by the server"),
    ],
)
def test_each_event_has_its_line(event: TapEvent, line: str) -> None:
    assert TapLines().event(event).decode() == line + "\n"


def test_names_of_others_are_escaped() -> None:
    opened = TapLines().event(Opened(1, 0.0, ANA, "a\nb", "\x1b[2J\udcff"))
    said = TapLines().event(Said(1, 0.0, Side.CLIENT, b"", ("/tmp/\n[2] closed",)))
    assert opened.endswith(b"(^[[2J\\xff) uid 1000 (a^Jb)\n")
    assert said.endswith(b"1 descriptor: /tmp/^J[2] closed\n")


def test_of_many_descriptors_the_first_are_named() -> None:
    line = TapLines().event(Said(1, 0.0, Side.CLIENT, b"", tuple(map(str, range(11)))))
    assert line.endswith(b"11 descriptors: 0, 1, 2, 3, 4, 5, 6, 7, \xe2\x80\xa6 3 more\n")


def test_a_line_that_is_too_wide_is_continued_behind_spaces() -> None:
    path = "/tmp/" + "a" * 30 + "[2]   0.000000  closed"
    lines = TapLines(width=40).event(Said(1, 0.0, Side.CLIENT, b"", (path,))).decode().splitlines()
    assert len(lines) > 1 and max(map(len, lines)) <= 40
    assert [line[0] for line in lines] == ["["] + [" "] * (len(lines) - 1)


@pytest.mark.parametrize("width", [1, 5, 19, 20, 33])
def test_no_width_lets_a_line_begin_like_an_event(width: int) -> None:
    shown = TapLines(width=width).event(Over(1, 0.0, "[2]   0.000000 " * 9))
    assert all(line.startswith(b" ") for line in shown.splitlines()[1:])


def test_each_connection_has_its_colour_and_trouble_is_red() -> None:
    lines = TapLines(colour=True)
    assert lines.event(Over(1, 0.0)) == b"\x1b[36m[1]   0.000000  closed\x1b[m\n"
    assert lines.event(Over(2, 0.0)).startswith(b"\x1b[33m[2] ")
    assert lines.event(Over(2, 0.0, "reset")).startswith(b"\x1b[31m[2] ")
    assert lines.mark(Said(1, 0.0, Side.SERVER, b"")) == b"\x1b[36m < \x1b[m"


def test_colours_have_two_digits_and_begin_again() -> None:
    inks = [ink_of(number) for number in range(1, 100)]
    assert {len(ink) for ink in inks} == {2} and len({*inks}) < 20 and "31" not in inks


def test_what_is_left_out_is_counted() -> None:
    said = Said(1, 0.0, Side.SERVER, b"")
    assert TapLines().omitted(said, 1234).decode() == " < … 1,234 more bytes\n"
    assert TapLines().omitted(said, 1).decode() == " < … 1 more byte\n"
    assert TapLines(colour=True).omitted(said, 1).endswith("\x1b[2m… 1 more byte\x1b[m\n".encode())


def test_counts_have_their_plural_and_thousands() -> None:
    assert [show_count(count) for count in (0, 1, 2048)] == ["0 bytes", "1 byte", "2,048 bytes"]
