"""The events of a tap: what each has to have for a view, and that a time is a date with its beginning."""

from __future__ import annotations

import datetime
from typing import get_args

import pytest

from afunix.model.tapped import Beginning, Said, Side, TapEvent


@pytest.mark.parametrize("kind", get_args(TapEvent))
def test_each_event_is_of_a_connection_and_has_a_time(kind: type) -> None:
    assert [*kind.__annotations__][:2] == ["connection", "at_s"]


def test_a_time_and_the_beginning_are_a_date() -> None:
    beginning = Beginning("/run/x", "stream", 1_700_000_000_000_000_000)
    said = Said(1, 1.5, Side.CLIENT, b"x")
    date = datetime.datetime.fromtimestamp((beginning.began_ns + said.at_s * 1e9) / 1e9, datetime.UTC)
    assert date.isoformat() == "2023-11-14T22:13:21.500000+00:00"


def test_an_event_does_not_change() -> None:
    said = Said(1, 1.5, Side.CLIENT, b"x")
    with pytest.raises(AttributeError):
        said.data = b"y"  # type: ignore[misc]
