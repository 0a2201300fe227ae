"""Names that somebody may have meant: what is spelled nearly alike among those that exist. Pure."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence

from .address import Address, AddressKind

_MOST_COMPARED = 100
"""Names that are compared letter by letter, which takes its time: those that look the likeliest at a glance."""

_ALIKE = 0.72
"""Of difflib's ratio: one letter missing or two swapped in a short name, another ending of a long one."""


def nearest(wanted: Address, there: Sequence[Address]) -> list[Address]:
    """Those of `there` that `wanted` may stand for, the likeliest first; the name of the other kind comes before all."""
    matcher = difflib.SequenceMatcher(None, b=_base(wanted))
    glanced = [(_at_a_glance(wanted, one, matcher), at, one) for at, one in enumerate(there) if one != wanted]
    likely = sorted((it for it in glanced if it[0] >= _ALIKE), key=lambda it: (-it[0], it[1]))
    scored = [(_likeness(score, one, matcher), at, one) for score, at, one in likely[:_MOST_COMPARED]]
    return [one for score, _, one in sorted(scored, key=lambda it: (-it[0], it[1])) if score >= _ALIKE]


def _at_a_glance(wanted: Address, other: Address, matcher: difflib.SequenceMatcher[str]) -> float:
    """No less than the likeness; more than 1 for what is meant in any case."""
    if wanted.kind is not other.kind:
        return 3.0 if _text(wanted) in _spellings(other) else 0.0
    mine, theirs = _base(wanted), _base(other)
    if mine.lower() == theirs.lower() or _stem(mine) == _stem(theirs):
        return 2.0
    matcher.set_seq1(theirs)
    return matcher.quick_ratio() if matcher.real_quick_ratio() >= _ALIKE else 0.0


def _likeness(glance: float, other: Address, matcher: difflib.SequenceMatcher[str]) -> float:
    if glance > 1:
        return glance
    matcher.set_seq1(_base(other))
    return matcher.ratio()


def _text(address: Address) -> bytes:
    return address.name.removeprefix(b"./").removeprefix(b"@")


def _spellings(address: Address) -> set[bytes]:
    return {_text(address), address.name}


def _base(address: Address) -> str:
    name = address.name if address.kind is AddressKind.ABSTRACT else address.name.rpartition(b"/")[2]
    return os.fsdecode(name)


def _stem(name: str) -> str:
    """`app` for app.sock, app.socket and app."""
    return name.rpartition(".")[0] or name
