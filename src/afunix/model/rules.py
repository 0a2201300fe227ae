"""Who may connect: allow and deny rules, and the decision with its reason. Pure.

    user:NAME  user:1000   the peer's uid           root   uid 0
    group:NAME group:27    its gid or one of its supplementary groups
    me                     the uid that runs the server        any   everybody

Refused if any deny matches; else admitted if there is no allow, or one matches. Names become numbers when the
rules are read, by a look-up that is passed in: nothing is looked up while a client waits.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from .credentials import UNKNOWN_ID, PeerCredentials
from .errors import AddressError
from .escaping import quote

_EXPECTED = "expected user:NAME, group:NAME, root, me or any"


class Subject(Enum):
    """What a rule looks at."""

    UID = "uid"
    GROUP = "group"
    ANY = "any"


class Names(Protocol):
    """How names become numbers; `kernel.names` has the system's. Both raise KeyError for a name nobody has."""

    def uid_of(self, name: str) -> int: ...

    def gid_of(self, name: str) -> int: ...

    def own_uid(self) -> int: ...


class RuleError(AddressError):
    """A rule that cannot be meant: unknown word, unknown name, a number that is no id."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of `Rules`: does it allow or deny, whom, and as it was written."""

    allows: bool
    subject: Subject
    number: int
    written: str

    @classmethod
    def parse(cls, written: str, *, allows: bool, names: Names) -> Rule:
        """Read `user:app`, `group:27`, `root`, `me` or `any`.

        Raises:
            RuleError: if it is none of these, or the name is unknown.
        """
        kind, colon, name = written.partition(":")
        if not colon:
            fixed = {"root": (Subject.UID, 0), "me": (Subject.UID, names.own_uid()), "any": (Subject.ANY, 0)}
            if kind not in fixed:
                raise RuleError(f"{quote(written)} is no rule: {_EXPECTED}")
            subject, number = fixed[kind]
            return cls(allows, subject, number, written)
        look_ups: dict[str, tuple[Subject, Callable[[str], int]]] = {
            "user": (Subject.UID, names.uid_of),
            "group": (Subject.GROUP, names.gid_of),
        }
        if kind not in look_ups or not name:
            raise RuleError(f"{quote(written)} is no rule: {_EXPECTED}")
        subject, look_up = look_ups[kind]
        return cls(allows, subject, parse_id(name, kind, look_up), written)

    def matches(self, peer: PeerCredentials, groups: Collection[int]) -> bool:
        if self.subject is Subject.ANY:
            return True
        if not peer.is_known:
            return False
        if self.subject is Subject.UID:
            return peer.uid == self.number
        return peer.gid == self.number or self.number in groups


@dataclass(frozen=True, slots=True)
class Decision:
    """Admitted or not, and the words why."""

    admitted: bool
    reason: str


class Rules:
    """Rules together; their order does not matter. Empty, they admit everybody."""

    __slots__ = ("needs_groups", "rules")

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        self.rules = tuple(rules)
        self.needs_groups = any(rule.subject is Subject.GROUP for rule in self.rules)

    def __bool__(self) -> bool:
        return bool(self.rules)

    def decide(self, peer: PeerCredentials, groups: Collection[int] = ()) -> Decision:
        """Admit `peer` or not. `groups` are its supplementary gids; only `needs_groups` rules look at them."""
        for rule in self.rules:
            if not rule.allows and rule.matches(peer, groups):
                return Decision(False, f"denied by {quote(rule.written)}")
        allows = [rule for rule in self.rules if rule.allows]
        if not allows:
            return Decision(True, "no rule against it")
        for rule in allows:
            if rule.matches(peer, groups):
                return Decision(True, f"allowed by {quote(rule.written)}")
        return Decision(False, "no rule allows it")


def parse_id(written: str, kind: str, look_up: Callable[[str], int]) -> int:
    """A name or a decimal number to a uid or gid below 2³²−1 (which means "nobody known" to the kernel).

    Raises:
        RuleError: for a number that is no id and for a name that `look_up` does not know.
    """
    if written.isascii() and written.isdigit() and len(written) < 12:
        number = int(written)
        if number < UNKNOWN_ID:
            return number
    elif not written.lstrip("+-").isdigit():
        try:
            return look_up(written)
        except KeyError:
            database = {"user": "passwd", "group": "group"}[kind]
            raise RuleError(
                f"there is no {kind} {quote(written)} on this system",
                hint=f"'getent {database}' lists them; a number works too",
            ) from None
    raise RuleError(
        f"{quote(written)} is no {kind} id: expected a name or a number from 0 to {UNKNOWN_ID - 1}"
    )
