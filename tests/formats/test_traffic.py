"""How much goes through, in words."""

from __future__ import annotations

import pytest

from afunix.formats.traffic import Sample, show_bytes, show_live, show_totals


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (812, "812 B"),
        (999, "999 B"),
        (1000, "1.0 KiB"),
        (1229, "1.2 KiB"),
        (34 << 20, "34 MiB"),
        (1000 << 20, "1.0 GiB"),
        (1 << 60, "1024 PiB"),
    ],
)
def test_bytes_have_a_unit_and_three_figures_at_most(count: int, shown: str) -> None:
    assert show_bytes(count) == shown


def test_line_has_rates_since_the_last_look_and_totals() -> None:
    line = show_live(Sample(1.0, 1, 0, 500), Sample(3.0, 2, 2048, 500))
    assert line == "2 connected   up 1.0 KiB/s (2.0 KiB)   down 0 B/s (500 B)"


def test_first_look_has_no_rate_yet() -> None:
    first = Sample(1.0, 0, 0, 0)
    assert show_live(first, first) == "0 connected   up 0 B/s (0 B)   down 0 B/s (0 B)"


def test_totals_count_clients() -> None:
    assert show_totals(1, 5, 0) == "1 client: 5 B up, 0 B down"
    assert show_totals(3, 0, 1 << 20) == "3 clients: 0 B up, 1.0 MiB down"
