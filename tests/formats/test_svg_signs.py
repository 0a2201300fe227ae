"""The signs of a picture: each outcome has a form of its own, and the key has what is not plain."""

from __future__ import annotations

import re

from tests.stories import TWO_CLIENTS, WAITING

from afunix.formats.svg_signs import key_of, number, sign_of
from afunix.model.sequence import Outcome, Story


def test_outcomes_differ_in_form() -> None:
    forms = {re.sub(r'class="[^"]*"', "", sign_of(outcome, "a0", 5, 5)) for outcome in Outcome}
    assert len(forms) == len(Outcome)


def test_a_plain_call_has_the_colour_of_its_line() -> None:
    assert "a7" in sign_of(Outcome.DONE, "a7", 0, 0)


def test_key_names_what_occurs() -> None:
    assert [word for _, word in key_of(TWO_CLIENTS)] == ["waited", "failed", "what the kernel holds"]
    assert [word for _, word in key_of(WAITING)] == ["waited", "what the kernel holds"]
    assert key_of(Story("", ())) == []


def test_numbers_are_short() -> None:
    assert [number(value) for value in (1.0, 1.25, 10)] == ["1", "1.2", "10"]
