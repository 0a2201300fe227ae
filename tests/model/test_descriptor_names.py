"""Names of descriptors: what is one, and that a line of them is read as it was written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afunix.model.descriptor_names import NAMELESS, is_name, must_be_name, names_in, names_line
from afunix.model.errors import AddressError

NAMES = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters=":"), min_size=1)


@given(st.lists(NAMES, min_size=1, max_size=253))
def test_names_are_read_as_they_were_sent(names: list[str]) -> None:
    assert names_in(names_line(names), len(names)) == names


@pytest.mark.parametrize("text", ["", "a:b", "a\nb", "é", "x" * 256, "\x7f"])
def test_what_systemd_does_not_take_is_no_name(text: str) -> None:
    assert not is_name(text)
    with pytest.raises(AddressError, match="is no name for a descriptor"):
        must_be_name(text)


@pytest.mark.parametrize("data", [b"", b"\0", b"log", b"log:b\n", b"\n", b"\xff\n", b"a\nb\n"])
def test_what_other_programs_send_is_no_name(data: bytes) -> None:
    assert names_in(data, 1) == [NAMELESS]
