"""What is taken for a whole number, and what is refused by its name."""

from __future__ import annotations

import pytest

from afunix.kernel.numbers import must_be_int


def test_whole_number_is_taken() -> None:
    must_be_int(-1, "mode", "a number")


@pytest.mark.parametrize(
    ("value", "found"), [("1", "str"), (1.0, "float"), (None, "NoneType"), (True, "bool")]
)
def test_anything_else_is_refused_by_name(value: object, found: str) -> None:
    with pytest.raises(TypeError, match=f"mode is {found}, expected a number such as 0o600"):
        must_be_int(value, "mode", "a number such as 0o600")
