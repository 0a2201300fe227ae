"""Rules as a program writes them: `Rules("allow user:app", "deny group:guests")`, with the system's names.

What they mean is `model.rules`; here they are only read, with the look-ups of `names`. Counterpart: the
command line has a list for `--allow` and one for `--deny`, and reads them itself.
"""

from __future__ import annotations

from ..model import rules
from ..model.escaping import quote
from ..model.rules import Rule, RuleError
from . import names

__all__ = ["Rules"]

_VERBS = {"allow": True, "deny": False}


class Rules(rules.Rules):
    """Who may connect: each rule is `allow` or `deny`, a space, and user:NAME, group:NAME, root, me or any.

    A peer is refused if any deny matches; else admitted if there is no allow or one matches. So the order does
    not matter, and no rules at all admit everybody. Names and numbers are looked up now, once: users and groups
    that are made later are not known, and nothing is looked up while a client waits. `me` is the effective
    uid of this process.

    Immutable, and equal to Rules that decide the same by the same numbers.

    Raises:
        RuleError: a rule that is not written so, or a name that nobody on this system has; it is a ValueError.
    """

    __slots__ = ()

    def __init__(self, *written: str) -> None:
        super().__init__(_read(each) for each in written)

    def __eq__(self, other: object) -> bool:
        return self._meaning() == other._meaning() if isinstance(other, Rules) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._meaning())

    def __repr__(self) -> str:
        shown = (f"{'allow' if rule.allows else 'deny'} {rule.written}" for rule in self.rules)
        return f"Rules({', '.join(map(repr, shown))})"

    def _meaning(self) -> frozenset[tuple[bool, rules.Subject, int]]:
        return frozenset((rule.allows, rule.subject, rule.number) for rule in self.rules)


def _read(written: str) -> Rule:
    if not isinstance(written, str):
        raise RuleError(
            f"a rule is {_kind_of(written)}, expected a string such as 'allow user:app'",
            hint="several rules are several arguments: Rules('allow user:app', 'allow root')",
        )
    verb, _, subject = written.strip().partition(" ")
    if verb not in _VERBS:
        raise RuleError(
            f"{quote(written)} starts with {quote(verb)}, expected 'allow' or 'deny'",
            hint=f"write 'allow {verb}' or 'deny {verb}'" if not subject and verb else None,
        )
    return Rule.parse(subject.strip(), allows=_VERBS[verb], names=names)


def _kind_of(value: object) -> str:
    return f"of the type {quote(type(value).__name__)}"
