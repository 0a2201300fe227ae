"""The words that steps are written in: which bytes can be sent, and what is no size."""

from __future__ import annotations

import pytest

from afunix.kernel.steps import as_bytes_view, must_be_positive


def test_bytes_are_seen_in_place() -> None:
    data = bytearray(b"abc")
    with as_bytes_view(data) as view:
        data[0] = 120
        assert bytes(view) == b"xbc"
    with pytest.raises(TypeError, match="expected bytes, found str"):
        as_bytes_view("text")  # type: ignore[arg-type]


def test_a_size_is_a_positive_number() -> None:
    must_be_positive(1, "size")
    for wrong, error in (
        (0, ValueError),
        (-1, ValueError),
        (1.0, TypeError),
        (True, TypeError),
        ("1", TypeError),
    ):
        with pytest.raises(error, match="size is"):
            must_be_positive(wrong, "size")  # type: ignore[arg-type]
