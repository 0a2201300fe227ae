"""How a run of `serve` or `relay` ended, in words and as an exit status: never 0 when bytes were lost.

A table from cause to status for what both have in common; `serve` adds its own causes.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Protocol

from ..model.counting import counted
from ..model.errors import errno_name
from ..tools.settings import Cause, TurnedAway
from .messages import DESCRIPTORS_HINT, explain, plain, say_error


class Result(Protocol):
    """What the tools' results have in common."""

    cause: Cause
    signal_number: int
    is_forced: bool
    error: OSError | None
    fault: Exception | None
    bytes_lost: int
    commands_cut: int
    commands_left: tuple[int, ...]
    turned_away: TurnedAway | None
    connected: int

    @property
    def has_losses(self) -> bool: ...


def after_signal(result: Result, hint: str) -> int:
    if result.is_forced:
        if result.bytes_lost:
            say_error(_unmoved(result.bytes_lost))
        return -result.signal_number
    return say_lost(result, hint) if result.has_losses else 0


def after_timeout(result: Result, hint: str) -> int:
    if result.has_losses:
        return say_lost(result, hint)
    say_error(f"timed out (--timeout): {_connected(result.connected)}")
    return 7


def after_accept_failed(result: Result, hint: str) -> int:
    assert result.error is not None
    return explain(result.error)


def after_fault(result: Result, hint: str) -> int:
    assert result.fault is not None
    explain(result.fault)
    return 1


_CUT_HINT = "--drain gives them longer"
_LEFT_HINT = "who they are now may end them, or root"
_SHOWN_PIDS = 10

STATUS_AFTER: dict[Cause, Callable[[Result, str], int]] = {
    Cause.SIGNAL: after_signal,
    Cause.TIMEOUT: after_timeout,
    Cause.ACCEPT_FAILED: after_accept_failed,
    Cause.FAULT: after_fault,
}
"""The second argument is the hint where bytes were lost: who may have stopped taking them."""


def say_lost(result: Result, hint: str) -> int:
    """Tell what was lost; the status that goes with it."""
    if result.bytes_lost:
        say_error(_unmoved(result.bytes_lost), hint)
    if result.commands_cut:
        say_error(_cut(result.commands_cut), _CUT_HINT)
    if result.commands_left:
        say_error(_left(result.commands_left), _LEFT_HINT)
    if result.turned_away is not None:
        say_error(
            _turned_away(result.turned_away),
            DESCRIPTORS_HINT if result.turned_away.errno == errno.EMFILE else None,
        )
    return 8


def _unmoved(count: int) -> str:
    return f"{counted(count, 'byte')} could not be handed on before the end"


def _cut(count: int) -> str:
    return (
        f"{counted(count, 'command')} did not end by themselves and {_was(count)} ended by a signal:"
        " what their clients had sent may be lost"
        if count != 1
        else "1 command did not end by itself and was ended by a signal: what its client had sent may be lost"
    )


def _left(pids: tuple[int, ...]) -> str:
    """`2 processes (pid 4121, 4130) could not be ended, …`."""
    shown = ", ".join(map(str, pids[:_SHOWN_PIDS])) + (", …" if len(pids) > _SHOWN_PIDS else "")
    one = len(pids) == 1
    return (
        f"{'1 process' if one else f'{len(pids)} processes'} (pid {shown}) could not be ended, since"
        f" {'it is' if one else 'they are'} another user's (EPERM), and {'is' if one else 'are'} left behind:"
        f" what {'its client' if one else 'their clients'} had sent may be lost"
    )


def _is(count: int) -> str:
    return "is" if count == 1 else "are"


def _was(count: int) -> str:
    return "was" if count == 1 else "were"


def _connected(count: int) -> str:
    if not count:
        return "nobody was connected"
    return f"{counted(count, 'client')} {_was(count)} still connected"


def _turned_away(those: TurnedAway) -> str:
    """`at least 2 clients were left in the backlog unaccepted, and 12 bytes …: too many open files (EMFILE)`."""
    if not those.clients:
        who = "clients may have been"
    else:
        count = f"{counted(those.clients, 'client')} {_was(those.clients)}"
        who = count if those.is_certain else f"at least {count}"
    sent = ""
    if those.sent:
        sent = f", and {counted(those.sent, 'byte')} that they had sent {_is(those.sent)} lost"
    why = f"{plain(os.strerror(those.errno))} ({errno_name(those.errno)})"
    return f"{who} left in the backlog unaccepted{sent}: {why}"
