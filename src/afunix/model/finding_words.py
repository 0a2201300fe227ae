"""Words that findings share: the problem as `connect` says it, and who has a socket open. Pure."""

from __future__ import annotations

import errno
from dataclasses import replace

from .errors import DeniedError
from .findings import Code, Finding, Severity
from .ownership import FileKind
from .refusal import Obstacle, describe_user, refusal
from .shell_words import address_word
from .socket_table import Owner
from .surroundings import Component, Elsewhere, Facts

MAX_NAMED = 3
"""Processes, and neighbours, that are named; the first few tell what it is."""


def refused(
    facts: Facts,
    code: Code,
    number: int,
    *,
    obstructed: bytes | None = None,
    found: Component | None = None,
    is_bound: bool = False,
    found_type: str | None = None,
) -> Finding:
    """The problem in `connect`'s own words."""
    error = refusal(
        Obstacle(
            facts.address,
            number,
            kind=found.kind if found is not None else _kind(facts),
            obstructed=obstructed,
            is_bound=is_bound,
            wanted_type=facts.wanted_type or "stream",
            found_type=found_type,
        )
    )
    return Finding(code, Severity.PROBLEM, error.message, hint=error.hint, error=type(error), errno=number)


def _kind(facts: Facts) -> FileKind:
    return facts.last.kind if facts.last is not None else FileKind.NOTHING


def altered(finding: Finding, **changes: str | None) -> Finding:
    return replace(finding, **changes)  # type: ignore[arg-type]


def denied_otherwise(what: str) -> Finding:
    return Finding(
        Code.DENIED_OTHERWISE,
        Severity.PROBLEM,
        f"{what}; modes, owners and access control lists allow it (EACCES)",
        why="another rule forbids it: a security module (SELinux, AppArmor, Landlock), or the file system's own",
        hint="look for the refusal in the system's log: 'journalctl -k' or 'ausearch -m avc'",
        error=DeniedError,
        errno=errno.EACCES,
    )


def waiting_for(facts: Facts) -> str:
    kind = f" --type {facts.wanted_type}" if facts.wanted_type else ""
    return f"afunix check --wait 10s{kind} {address_word(facts.address)}"


def user_shown(facts: Facts, uid: int) -> str:
    return describe_user(uid, facts.known.users.get(uid))


def bearer(other: Elsewhere) -> str:
    return other.owner.describe() if other.owner is not None else "a process"


def named(owners: tuple[Owner, ...]) -> str:
    """`pid 412 (nginx), pid 413 (nginx) and 4 more`; each process once."""
    names = list(dict.fromkeys(owner.describe() for owner in owners))
    shown = names[:MAX_NAMED]
    if len(names) > MAX_NAMED:
        shown.append(f"{len(names) - MAX_NAMED} more")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def counted(processes: int) -> str:
    return "1 process" if processes == 1 else f"{processes} processes"


def are_one(owners: tuple[Owner, ...]) -> bool:
    return len({owner.pid for owner in owners}) == 1


def holders(owners: tuple[Owner, ...]) -> str:
    if not owners:
        return "its process is not visible from here"
    return f"{named(owners)} {'has' if are_one(owners) else 'have'} it open"


def clients(clients: tuple[Owner, ...]) -> str:
    """`3 of pid 77 (client)`: who fills the backlog."""
    counts: dict[str, int] = {}
    for client in clients:
        counts[client.describe()] = counts.get(client.describe(), 0) + 1
    ranked = sorted(counts.items(), key=lambda one: -one[1])[:MAX_NAMED]
    return ", ".join(f"{count} of {name}" for name, count in ranked)
