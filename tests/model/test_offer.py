"""What a person wants to have sent, read from the command line."""

from __future__ import annotations

import pytest

from afunix.model.errors import AddressError
from afunix.model.offer import Offer


@pytest.mark.parametrize(
    ("written", "offer"),
    [
        ("3", Offer("unknown", 3)),
        ("in=3", Offer("in", 3)),
        ("./3", Offer("unknown", None, "./3")),
        ("log=app.log", Offer("log", None, "app.log")),
        ("./a=b", Offer("unknown", None, "./a=b")),
        ("log=./a=b", Offer("log", None, "./a=b")),
        ("-", Offer("unknown", None, "-")),
        ("٣", Offer("unknown", None, "٣")),
    ],
)
def test_numbers_are_descriptors_and_everything_else_is_a_path(written: str, offer: Offer) -> None:
    assert Offer.parse(written) == offer


@pytest.mark.parametrize("written", ["", "a=", "=3", "a:b=3", "9999999999"])
def test_what_cannot_be_meant_is_refused_with_a_hint(written: str) -> None:
    with pytest.raises(AddressError) as caught:
        Offer.parse(written)
    assert caught.value.hint
