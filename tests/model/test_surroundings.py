"""The facts are values; the little that they compute."""

from __future__ import annotations

from afunix.model.address import Address
from afunix.model.permission import Person
from afunix.model.surroundings import Component, Facts, Mount


def test_a_mount_whose_source_was_removed_says_so() -> None:
    assert Mount(b"/run/app.sock", root=b"/run/app.sock//deleted").is_deleted
    assert not Mount(b"/run/app.sock", root=b"/run/app.sock").is_deleted


def test_the_last_step_is_where_the_way_ends() -> None:
    facts = Facts(Address.pathname("/s"), Person(0, 0), way=(Component(b"/"), Component(b"/s")))
    assert facts.last == Component(b"/s")
    assert Facts(Address.abstract("s"), Person(0, 0)).last is None
