"""Which call was on which socket, and which call caused which: what several processes reported, understood. Pure.

Causes are found along each connection: connect and the accept that took it, bytes written and the read that got the
first of them, the end of sending and the read that returned 0. `lifecycle` is the judge of each socket's calls: one
that its table does not know is marked. `storytelling` makes steps of them, and an order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from . import events
from .lifecycle import Call, OutOfOrder, State, advance

Words = Callable[[events.Event], str | None]
"""How an event is written, None for what is no call."""


@dataclass(frozen=True, slots=True)
class Process:
    """Who reports: the name of the life line, and the pid as the others see it."""

    name: str
    pid: int


@dataclass(frozen=True, slots=True)
class Report:
    """`event` happened in `processes[process]` by `at` (seconds on the clock that all share); `inside` as in a Step."""

    process: int
    at: float
    event: events.Event
    inside: tuple[str, ...] = ()


@dataclass(eq=False, slots=True)
class SocketLife:
    """One socket from its first to its last call: a descriptor's number may come again. `calls` are those on it."""

    state: State = State.ABSENT
    is_listener: bool = False
    calls: list[ReportedCall] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class ReportedCall:
    """One reported call: where, by when, on which socket. For accept(2) `socket` is the new one."""

    line: int
    at: float
    event: events.Event
    text: str
    inside: tuple[str, ...]
    socket: SocketLife
    listener: SocketLife | None = None
    is_out_of_order: bool = False


@dataclass(frozen=True, slots=True)
class Cause:
    """`of` caused `to`; `label` is what went from one to the other."""

    of: ReportedCall
    to: ReportedCall
    label: str = ""


# ---- which call was on which socket


def follow(reports: Iterable[Report], words: Words) -> Iterator[ReportedCall | None]:
    """Each report as a call on its socket, or None for what is no call."""
    open_now: dict[tuple[int, int], SocketLife] = {}
    for report in reports:
        text = words(report.event)
        yield None if text is None else _take(report, text, open_now)


def _take(report: Report, text: str, open_now: dict[tuple[int, int], SocketLife]) -> ReportedCall:
    event, key = report.event, (report.process, report.event.fd)
    if isinstance(event, events.Created | events.Accepted):
        open_now[key] = SocketLife()
    socket = open_now.setdefault(key, SocketLife())
    call = ReportedCall(report.process, report.at, event, text, report.inside, socket)
    if isinstance(event, events.Accepted):
        call.listener = open_now.setdefault((report.process, event.listener), SocketLife())
        _advance(call, call.listener)
    _advance(call, socket)
    socket.calls.append(call)
    socket.is_listener |= isinstance(event, events.Listening)
    return call


CALLS: dict[type[events.Event], Call] = {
    events.Created: Call.SOCKET,
    events.Bound: Call.BIND,
    events.Listening: Call.LISTEN,
    events.Accepted: Call.ACCEPT,
    events.Connected: Call.CONNECT,
    events.BytesRead: Call.READ,
    events.DescriptorsReceived: Call.READ,
    events.BytesWritten: Call.WRITE,
    events.DescriptorsSent: Call.WRITE,
    events.HalfClosed: Call.SHUTDOWN,
    events.Closed: Call.CLOSE,
}


def _advance(call: ReportedCall, socket: SocketLife) -> None:
    """Take the socket along the table of `lifecycle`; calls that failed leave it where it is."""
    made = CALLS.get(type(call.event))
    if made is None:
        return
    if isinstance(call.event, events.Listening) and call.event.inherited:
        socket.state = State.LISTENING
        return
    try:
        socket.state = advance(socket.state, made)
    except OutOfOrder as error:
        call.is_out_of_order = True
        call.text += f"  (out of order: {error})"


# ---- what caused what


def find_causes(calls: Sequence[ReportedCall], processes: Sequence[Process]) -> list[Cause]:
    """Connections first, then what went along each."""
    causes = list(_accepted(calls, processes))
    for one, other in [(cause.of.socket, cause.to.socket) for cause in causes]:
        causes += [*_bytes_on_the_way(one, other), *_bytes_on_the_way(other, one)]
    return causes


def _accepted(calls: Sequence[ReportedCall], processes: Sequence[Process]) -> Iterator[Cause]:
    """Each accept with the connect that it took: by the peer's pid, where that is not known by order of time."""
    lines = {process.pid: line for line, process in enumerate(processes)}
    waiting: dict[int, list[ReportedCall]] = defaultdict(list)
    for call in calls:
        if isinstance(call.event, events.Connected):
            waiting[call.line].append(call)
    for call in calls:
        if isinstance(call.event, events.Accepted):
            pid = call.event.peer.pid
            candidates = list(waiting.values()) if pid is None else [waiting[lines.get(pid, -1)]]
            found = min(filter(None, candidates), key=lambda connects: connects[0].at, default=None)
            if found:
                yield Cause(found.pop(0), call)


def _bytes_on_the_way(sender: SocketLife, receiver: SocketLife) -> Iterator[Cause]:
    """One direction of a connection: bytes by their place in it, then its end."""
    reads = [call for call in receiver.calls if isinstance(call.event, events.BytesRead)]
    arrivals = [(bytes_moved(call), call) for call in reads if bytes_moved(call)]
    sent = received = 0
    at = -1
    for call in sender.calls:
        if isinstance(call.event, events.BytesWritten) and bytes_moved(call):
            while received <= sent and at + 1 < len(arrivals):
                at += 1
                received += arrivals[at][0]
            if received > sent:
                yield Cause(call, arrivals[at][1], count_of_bytes(bytes_moved(call)))
            sent += bytes_moved(call)
    end = next((call for call in sender.calls if _ends_sending(call.event)), None)
    last = next((call for call in reads if not bytes_moved(call)), None)
    if end is not None and last is not None and not _ended_itself(receiver, last):
        yield Cause(end, last, "end of file")


def bytes_moved(call: ReportedCall) -> int:
    """Of a read or a write."""
    assert isinstance(call.event, events.BytesRead | events.BytesWritten)
    return call.event.count


def _ends_sending(event: events.Event) -> bool:
    if isinstance(event, events.HalfClosed):
        return event.direction is events.Direction.SENDING
    return isinstance(event, events.Closed)


def _ended_itself(receiver: SocketLife, end: ReportedCall) -> bool:
    """Whether the read of nothing came after a shutdown(SHUT_RD) of its own: then the peer did not cause it."""
    for call in receiver.calls:
        if call is end:
            return False
        if isinstance(call.event, events.HalfClosed) and call.event.direction is events.Direction.RECEIVING:
            return True
    return False


def count_of_bytes(count: int) -> str:
    """`1 byte`, `6 bytes`, `1,234,567 bytes`."""
    return "1 byte" if count == 1 else f"{count:,} bytes"
