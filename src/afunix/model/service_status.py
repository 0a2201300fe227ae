"""How a service is, in one line for its manager: what `systemctl status` shows (STATUS= of sd_notify(3)).

Names of sockets are escaped, so that none of them can say anything else to the manager, and there is an end to them:
what is too long is ignored as a whole. Pure; who is told, and when, is `streams.service_manager`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .counting import counted
from .escaping import quote

_ADDRESSES = 3
"""So many are named; of more it is said how many."""

_LONGEST = 1000
"""Characters, each of four bytes at most: within the 4096 that systemd reads."""


class Crowd(NamedTuple):
    """Clients: those who are connected, and how many there have been with them."""

    connected: int
    accepted: int


def describe_listening(addresses: Sequence[str], crowd: Crowd | None = None) -> str:
    """`crowd` is None where nobody is ever connected: of datagrams."""
    named = [quote(address) for address in addresses[:_ADDRESSES]]
    others = len(addresses) - len(named)
    where = ", ".join(named) + (f" and {counted(others, 'other')}" if others else "")
    return f"listening on {where}{_crowd(crowd)}"[:_LONGEST]


def describe_stopping(why: str, crowd: Crowd | None = None) -> str:
    """`why` is a signal's name, or the option's."""
    return f"stopping ({why}){_crowd(crowd)}"[:_LONGEST]


def _crowd(crowd: Crowd | None) -> str:
    if crowd is None:
        return ""
    return f"; {counted(crowd.connected, 'client')} connected, {crowd.accepted} accepted so far"
