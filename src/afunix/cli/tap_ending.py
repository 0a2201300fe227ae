"""How a run of `tap` ended: the summary, what was not shown or recorded, and the exit status.

In the order of what matters to a script: an error of our own, a reader of STDOUT that has gone, words that were lost,
and then what ended it. What is incomplete is never 0.
"""

from __future__ import annotations

import errno
import signal
from collections.abc import Mapping

from ..formats.tap_summary import render_summary, render_summary_json
from ..formats.traffic import show_bytes
from ..model.counting import counted
from ..model.escaping import quote
from ..model.tap_summary import Summary
from ..sinks.recording import Recorded
from ..tools.relay_settings import RelayResult
from ..tools.settings import Cause
from ..tools.tap_audience import STDOUT, AudienceSettings, Outlet, View
from . import stdout
from .endings import STATUS_AFTER, say_lost
from .messages import Messages, explain, say_error
from .tap_narration import TapNarration

_LOST_HINT = "a client or the server took no more, or was cut off"


def conclude(
    result: RelayResult,
    summary: Summary,
    recorded: Mapping[Outlet, Recorded],
    narration: TapNarration,
    audience: AudienceSettings,
    messages: Messages,
) -> int:
    """Tell it all; the exit status."""
    status_left = max(map(explain, result.left_behind), default=0)
    summary_status = _tell_summary(summary, recorded.get(Outlet.VIEW), audience, messages)
    of_outlets = [_after_outlet(outlet, it, narration, audience) for outlet, it in recorded.items()]
    for outlet, it in recorded.items():
        if it.is_complete and outlet is not Outlet.VIEW:
            messages.note(f"{_messages(it.messages, it.bytes)} {_done(outlet, audience)}")
    statuses = [_after_run(result, narration), summary_status, *of_outlets, status_left]
    if result.fault is not None:
        return 1
    return min(statuses) if min(statuses) < 0 else next(filter(None, statuses), 0)


def _tell_summary(
    summary: Summary, view: Recorded | None, audience: AudienceSettings, messages: Messages
) -> int:
    """With --json it is the last object, if whoever reads has taken all the others."""
    if audience.view is not View.JSON:
        for line in render_summary(summary):
            messages.tell(line)
    elif view is not None and view.is_complete:
        return stdout.write(render_summary_json(summary).decode("ascii"))
    return 0


def _after_run(result: RelayResult, narration: TapNarration) -> int:
    if result.cause is not Cause.OWN_REASON:
        return STATUS_AFTER[result.cause](result, _LOST_HINT)
    if result.fault is not None:
        return STATUS_AFTER[Cause.FAULT](result, _LOST_HINT)
    status = say_lost(result, _LOST_HINT) if result.has_losses else 0
    if narration.end is not None:
        if not narration.is_end_told:
            say_error(narration.end.words, narration.end.hint)
        return status or narration.end.status
    if not any(map(narration.ends_with, Outlet)):
        say_error(
            "no process can be started that puts the path back if this one is killed, so this one has ended"
        )
        return 1
    return status


def _after_outlet(
    outlet: Outlet, recorded: Recorded, narration: TapNarration, audience: AudienceSettings
) -> int:
    trouble = narration.troubles.get(outlet)
    has_stdout = audience.has_stdout(outlet)
    if has_stdout and trouble is not None and trouble.errno == errno.EPIPE:
        return -signal.SIGPIPE
    if recorded.is_complete:
        return 0
    missing = _messages(recorded.lost_messages, recorded.lost_bytes)
    words = f"{missing} {_was(recorded.lost_messages)} not {_done(outlet, audience)}"
    hint = None if trouble is None or has_stdout else trouble.hint
    is_told = narration.ends_with(outlet) and narration.is_end_told
    if is_told and not recorded.lost_messages:
        return 1
    if trouble is None or is_told:
        hint = None
    elif not recorded.lost_messages:
        words = narration.why(outlet)
    elif narration.ends_with(outlet) or trouble.errno == errno.ENXIO:
        words = f"{narration.why(outlet)}; {words}"
    say_error(words, hint)
    return 1


def _messages(count: int, size: int) -> str:
    return f"{counted(count, 'message')} ({show_bytes(size)})"


def _was(count: int) -> str:
    return "was" if count == 1 else "were"


def _done(outlet: Outlet, audience: AudienceSettings) -> str:
    if outlet is Outlet.VIEW:
        return "shown"
    name = audience.record if outlet is Outlet.DIRECTORY else audience.write
    return f"recorded in {'STDOUT' if name == STDOUT else quote(name or '')}"
