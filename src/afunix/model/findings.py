"""What `check` says: findings in the order in which connecting runs into them, and the report that holds them. Values.

A finding has the words of an error (`what`, with the thing quoted and the errno), the reason behind it (`why`), the next
step in prose (`hint`) and, where one exists, as a command to paste. `model.reachability` makes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from .errors import AfunixError
from .surroundings import Facts


class Severity(Enum):
    """A problem stands in the way; a warning tells what helps or may go wrong; a fact is good to know."""

    PROBLEM = "problem"
    WARNING = "warning"
    FACT = "fact"


class Code(Enum):
    """One word for each thing that can be found: for scripts, which must not read sentences."""

    TOO_LONG = "too-long"
    MISSING_PARENT = "missing-parent"
    NOT_A_DIRECTORY = "not-a-directory"
    DANGLING_LINK = "dangling-link"
    LINK_LOOP = "link-loop"
    DENIED_SEARCH = "denied-search"
    DENIED_LINK = "denied-link"
    DENIED_OTHERWISE = "denied-otherwise"
    UNSEEN = "unseen"
    MISSING = "missing"
    NEAR_MISS = "near-miss"
    REMOVED = "removed"
    OTHER_MOUNT_NAMESPACE = "other-mount-namespace"
    OTHER_NETWORK_NAMESPACE = "other-network-namespace"
    NOT_A_SOCKET = "not-a-socket"
    IS_A_DIRECTORY = "is-a-directory"
    DENIED_WRITE = "denied-write"
    STALE = "stale"
    DESCRIPTOR = "descriptor"
    NOT_LISTENING = "not-listening"
    WRONG_TYPE = "wrong-type"
    HAS_ITS_PEER = "has-its-peer"
    BACKLOG_FULL = "backlog-full"
    QUEUE_FULL = "queue-full"
    UNREAD = "unread"
    STOPPED = "stopped"
    READ_ONLY = "read-only"
    LONG_PATH = "long-path"
    REFUSED = "refused"
    TIMED_OUT = "timed-out"
    LIVE = "live"
    LIVE_UNSEEN = "live-unseen"
    ANSWERED = "answered"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found. `error` and `errno`, of a problem, are what connecting would end with.

    `command` is one line for a POSIX shell, quoted for it and safe to show; every other text is escaped.
    """

    code: Code
    severity: Severity
    what: str
    why: str | None = None
    command: str | None = None
    hint: str | None = None
    error: type[AfunixError] | None = None
    errno: int | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """The facts and what they mean. `waited`: seconds that were waited for a server in vain, None if nobody waited."""

    facts: Facts
    findings: tuple[Finding, ...]
    waited: float | None = None

    @property
    def problems(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.severity is Severity.PROBLEM)

    @property
    def is_reachable(self) -> bool:
        """Nothing that is known stands in the way."""
        return not self.problems

    @property
    def is_certain(self) -> bool:
        """False: nothing is known to stand in the way, but whether anybody listens cannot be told either."""
        return not self.is_reachable or self.verdict.code is not Code.UNSEEN

    @property
    def verdict(self) -> Finding:
        """What comes first: the first problem, else whether it is live."""
        return self.findings[0]

    def error(self) -> AfunixError | None:
        """What `connect` would raise, with these words; None if it is reachable. After waiting a TimedOutError.

        A plain AfunixError where it cannot be told.
        """
        if not self.is_certain:
            return AfunixError(self.verdict.what, hint=self.verdict.hint)
        if self.is_reachable:
            return None
        first = self.problems[0]
        if self.waited is not None:
            from .errors import TimedOutError
            from .patience import show_seconds

            return TimedOutError(
                f"not reachable within {show_seconds(self.waited)}: {first.what}", hint=first.hint
            )
        return (first.error or AfunixError)(first.what, hint=first.hint, errno=first.errno)
