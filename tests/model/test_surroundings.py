"""The facts are values; the little that they compute."""

from __future__ import annotations

import pytest

from afunix.model.address import Address
from afunix.model.permission import Person
from afunix.model.surroundings import Component, Facts, Mount


@pytest.mark.parametrize(
    ("target", "file_system", "leads"),
    [
        (b"socket:[12]", "proc", True),
        (b"socket:[12]", "ext4", False),
        (b"/run/s", "proc", False),
        (None, "proc", False),
    ],
)
def test_a_link_of_proc_to_a_socket_leads_to_a_descriptor(
    target: bytes | None, file_system: str, leads: bool
) -> None:
    step = Component(b"/proc/self/fd/3", target=target, mount=Mount(b"/proc", file_system=file_system))
    assert step.leads_to_a_descriptor is leads


def test_the_last_step_is_where_the_way_ends() -> None:
    facts = Facts(Address.pathname("/s"), Person(0, 0), way=(Component(b"/"), Component(b"/s")))
    assert facts.last == Component(b"/s")
    assert Facts(Address.abstract("s"), Person(0, 0)).last is None
