"""What `serve` tells while it runs: where it listens, who comes and goes, and what somebody should know about.
`relay` tells the same, and more (`relay_narration`).

Notes go out on a terminal or with -v; alerts always, but with -q; a trace when asked for. Refusals, of which a
client can cause any number, are one line at first and then one a second at most, with a count.
"""

from __future__ import annotations

import errno
import shlex
import time
from collections.abc import Callable, Iterable

from ..formats.trace import TraceFormat
from ..kernel import names
from ..kernel.socket_file import is_parent_world_writable
from ..model import events
from ..model.address import Address
from ..model.counting import counted
from ..model.errors import errno_name
from ..model.escaping import quote
from ..model.framing import MAX_HELD_BYTES
from .messages import DESCRIPTORS_HINT, PROCESSES_HINT, Messages, plain

REFUSALS_EVERY_S = 1.0


class Narration:
    """`observer` is what the tool is given for all events, None if nobody wants them; `alert` for the important."""

    def __init__(
        self, messages: Messages, *, trace: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._messages = messages
        self._clock = clock
        self._format = TraceFormat(names.comm_of, names.user_name)
        self._tracer = messages.tracer() if trace else None
        self._refused = 0
        self._refused_at = float("-inf")
        self._failed = 0
        self._failed_at = float("-inf")
        self.observer = self._observe if trace or messages.notes else None
        self._notes: dict[type[events.Event], Callable[..., str]] = {
            events.Listening: self._listening,
            events.Accepted: self._came,
            events.Closed: self._closed,
            events.CommandEnded: lambda e: f"client {e.connection} left: its command (pid {e.pid}), {e.how}",
            events.PeerReset: lambda e: f"client {e.connection} broke off (ECONNRESET)",
            events.WentIdle: lambda e: f"client {e.connection} was silent for {e.seconds:g} s and is closed",
            events.StaleRemoved: lambda e: f"removed the stale socket file {quote(str(e.address))}",
            events.LiveReplaced: lambda e: f"took over the path {quote(str(e.address))} from a live socket",
            events.Unlinked: self._unlinked,
            events.Stopping: lambda e: f"stopping: {e.cause}",
        }

    def _observe(self, event: events.Event) -> None:
        if self._tracer is not None and self._format.is_call(event):
            self._tracer(event)
            return
        words = self._notes.get(type(event))
        note = words(event) if words is not None else ""
        if note:
            self._messages.note(note)

    def alert(self, event: events.Event) -> None:
        """A refusal, a pause, a line that was let out: on STDERR unless -q."""
        if isinstance(event, events.Refused):
            self._refuse(event)
        elif isinstance(event, events.LineOpened):
            self._open_line(event)
        elif isinstance(event, events.AcceptPaused):
            self._pause(event)
        elif isinstance(event, events.AcceptResumed):
            self._messages.note("accepting clients again")
        elif isinstance(event, events.PairFailed):
            hint = "--pass-fds passes descriptors on" if event.errno == errno.EOPNOTSUPP else None
            what = f"client {event.connection} was cut off" if event.connection else "a datagram was left out"
            self._cut_off(f"{what}: {plain(event.reason)}", hint)
        elif isinstance(event, events.CommandFailed):
            what = f"client {event.connection} was closed, for its command cannot be run"
            self._cut_off(f"{what}: {plain(event.reason)} ({errno_name(event.errno)})", None)
        elif isinstance(event, events.LinkLost):
            self._messages.warn(
                f"{quote(str(event.address))}: the ssh connection broke: {plain(event.reason)}"
            )
        elif isinstance(event, events.LinkRestored):
            self._messages.note(f"{quote(str(event.address))}: the ssh connection is back")
        elif isinstance(event, events.HostTrusted):
            self._messages.warn(*words_of_trust(event))
        elif isinstance(event, events.StdinFailed):
            reason = event.reason[:1].lower() + event.reason[1:]
            self._messages.warn(
                f"STDIN goes no further to client {event.connection}: {reason} ({errno_name(event.errno)})"
            )

    def _cut_off(self, words: str, hint: str | None) -> None:
        now = self._clock()
        if now - self._failed_at < REFUSALS_EVERY_S:
            self._failed += 1
            return
        others = f" (and {self._failed} others before)" if self._failed else ""
        self._failed = 0
        self._failed_at = now
        self._messages.warn(f"{words}{others}", hint)

    def _open_line(self, event: events.LineOpened) -> None:
        if event.held < event.limit:
            self._messages.warn(
                f"client {event.connection} sent {counted(event.held, 'byte')} of a line that pass as they come:"
                f" all clients' unfinished lines together were more than {MAX_HELD_BYTES >> 20} MiB",
                "a smaller --max-line leaves room for more clients",
            )
        else:
            self._messages.warn(
                f"client {event.connection} sent a line longer than {counted(event.limit, 'byte')}: it passes as it comes",
                "--max-line sets how much of a line is held",
            )

    def _refuse(self, event: events.Refused) -> None:
        now = self._clock()
        if now - self._refused_at < REFUSALS_EVERY_S:
            self._refused += 1
            return
        others = f" (and {self._refused} others before)" if self._refused else ""
        self._refused = 0
        self._refused_at = now
        self._messages.warn(f"refused {self._format.describe(event.peer)}: {event.reason}{others}")

    def _pause(self, event: events.AcceptPaused) -> None:
        if event.errno:
            self._messages.warn(
                f"accepting no clients for now: {plain(event.reason)}; they wait in the backlog",
                PROCESSES_HINT if event.errno == errno.EAGAIN else DESCRIPTORS_HINT,
            )
        else:
            self._messages.note(f"new clients wait: {event.reason}")

    def finish(self) -> None:
        """Tell what was only counted."""
        if self._refused:
            self._messages.warn(f"refused {self._refused} more")
        if self._failed:
            self._messages.warn(f"{self._failed} more were cut off, or left out")

    def unmatched(self, address: Address, count: int) -> None:
        """Sockets were inherited, and none of them is bound to `address`."""
        self._messages.warn(
            f"none of the {count} inherited sockets is bound to {quote(str(address))}: it is bound here"
        )

    def warn_of_directories(self, addresses: Iterable[Address]) -> None:
        for address in addresses:
            if is_parent_world_writable(address):
                self._messages.warn(
                    f"everybody can write in the directory of {quote(str(address))}, and take that name while"
                    " nobody serves it",
                    "$XDG_RUNTIME_DIR or /run is a better place",
                )

    def _listening(self, event: events.Listening) -> str:
        how = ", inherited" if event.inherited else ""
        return f"listening on {quote(str(event.address))} (descriptor {event.fd}{how})"

    def _came(self, event: events.Accepted) -> str:
        who = self._format.describe(event.peer) if event.client is None else f"from {event.client}"
        return f"client {event.connection} came: {who}"

    def _closed(self, event: events.Closed) -> str:
        if not event.connection:
            return ""
        sent = f", {event.bytes_sent} sent" if event.bytes_sent else ""
        return f"client {event.connection} left: {counted(event.bytes_received, 'byte')} received{sent}"

    def _unlinked(self, event: events.Unlinked) -> str:
        shown = quote(str(event.address))
        return f"removed {shown}" if event.was_ours else f"{shown} is no longer ours and was left alone"


def words_of_trust(event: events.HostTrusted) -> tuple[str, str]:
    """A host that was believed: the warning and its hint."""
    host = quote(event.known_as)
    if event.is_changed:
        what = f"THE HOST KEY OF {host} HAS CHANGED ({event.fingerprint}), and the host is used all the same"
        hint = f"if the change was meant: ssh-keygen -R {shlex.quote(event.known_as)}"
    else:
        what = f"the host key of {host} is not known ({event.fingerprint}), and the host is used all the same"
        hint = "compare the fingerprint"
        if event.saved_in:
            what += f"; {quote(event.saved_in)} has the key from now on"
        elif event.reason:
            what += f"; the key could not be written down: {plain(event.reason)}"
    return f"{what}: ssh's StrictHostKeyChecking says so", hint
