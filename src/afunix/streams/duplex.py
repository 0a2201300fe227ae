"""Two connected sockets and the two pumps between them: one pair of a relay, and what becomes of each of its ends.

Each direction ends alone: the source's end of file becomes a half-close at the sink, and the other direction goes on
for as long as it likes. An end that takes no more is told of by what comes next: whoever writes to it through us fails
with EPIPE as he would without us, and what it has sent itself is still passed on. An end that is gone for good ends the
pair once its last bytes are through. Nothing is read that the other end has no room for.

How bytes or records get from one to the other, and with what beside them, is the pumps' business; when a pair is served,
and that it is closed, is `duplex_set`'s.
"""

from __future__ import annotations

import select
from typing import Protocol

from ..kernel.bridged_socket import refuse_more
from ..kernel.channel import Channel
from ..kernel.pump import Pump, Wants
from ..kernel.tcp import is_tcp
from .readiness import READABLE, WRITABLE

UNWATCHED = -1
"""The interest of an end that is no entry of the epoll."""

_ON_ITS_WAY_BYTES = 4 * 1024 * 1024
"""What a TCP peer has sent and its kernel still keeps, at most, by default (net.ipv4.tcp_wmem)."""


class OneWay(Protocol):
    """A pump as a pair needs it: `kernel.pump.Pump`, `descriptor_pump`, `record_relay`."""

    is_finished: bool
    source_error: OSError | None
    sink_error: OSError | None
    moved: int

    @property
    def held(self) -> int: ...

    def pass_on(self) -> bool: ...

    def step(self) -> Wants: ...

    def close(self) -> None: ...


class End:
    """One end of a pair, as an entry of the epoll: its socket, and the pump that reads it."""

    __slots__ = ("channel", "discards", "duplex", "interest", "is_gone", "last", "other", "reads", "wants")

    other: End

    def __init__(self, duplex: Duplex, channel: Channel, reads: OneWay) -> None:
        self.duplex = duplex
        self.channel = channel
        self.reads = reads
        self.wants = Wants.TURN
        self.interest = UNWATCHED
        self.is_gone = False
        self.last: int | None = None
        """How many bytes are passed on from here before it counts as ended; None: as many as come."""
        self.discards = False
        """Does what comes from now on go nowhere?"""

    def pass_on(self) -> bool:
        """Pass on what has come, where that is all there is to do: it waited for more, and does so again."""
        is_usual = self.wants is Wants.SOURCE and self.last is None and not (self.is_gone or self.discards)
        return is_usual and self.reads.pass_on()

    def step(self) -> None:
        """Move what can be moved. One that is gone and has something left is not waited for: nobody would tell."""
        self.wants = self.reads.step()
        if self.last is not None:
            self._end_in_time(self.last)
        if self.is_gone and self.wants is Wants.SOURCE:
            self.wants = Wants.TURN

    def end_taking(self) -> None:
        """What has been sent here is still passed on. A Unix peer is told that nobody takes more. TCP has no word for it,
        and answers what comes after SHUT_RD and our FIN by a reset, which throws away what the peer has not yet got of
        ours: so that is read, and thrown away, as long as there is something on its way to him.
        """
        if not refuse_more(self.channel) and not self.reads.is_finished:
            self.last = self.reads.moved + self.reads.held + self.channel.queued()
            self._end_in_time(self.last)

    def _end_in_time(self, last: int) -> None:
        """Ended is a source that is empty, when all has come that had by the stop, or that does not get empty."""
        beyond = self.reads.moved + self.reads.held - last
        is_last = beyond >= _ON_ITS_WAY_BYTES or (beyond >= 0 and not self.channel.queued())
        if is_last and isinstance(self.reads, Pump):  # records never come from TCP
            self.last = None
            self.reads.source_ended = True
            self.wants = self.reads.step()
            self.discards = True

    def discard(self) -> int:
        """How much there was to be thrown away."""
        discarded = self.channel.discard_queued()
        self.discards = not self.channel.receive_ended
        return discarded

    @property
    def wanted(self) -> int:
        """What to wait for here."""
        readable = READABLE if self.wants is Wants.SOURCE or self.discards else 0
        return readable | WRITABLE if self.other.wants is Wants.SINK else readable

    def look(self) -> None:
        """Is it gone: shut both ways, or broken? poll(2) tells it unasked."""
        poll = select.poll()
        poll.register(self.channel.fd, 0)
        self.is_gone = bool(poll.poll(0))

    @property
    def unmoved(self) -> int:
        """Bytes that were taken from here and not passed on, and those that wait to be taken, if anybody would."""
        pump = self.reads
        if pump.is_finished and (pump.sink_error is None or isinstance(pump.sink_error, ConnectionError)):
            return 0
        return pump.held + self.channel.queued()


class Duplex:
    """One pair. `near` is the client's end, `far` the upstream's; both are owned. `touched` is for the idle watch."""

    __slots__ = (
        "_dropped",
        "_is_cut",
        "down",
        "ends",
        "far",
        "is_ending",
        "is_over",
        "near",
        "touched",
        "up",
    )

    def __init__(self, near: Channel, far: Channel, up: OneWay, down: OneWay) -> None:
        self.near = near
        self.far = far
        self.up = up
        self.down = down
        self.touched = 0.0
        self.is_over = False
        self.is_ending = False
        one, other = End(self, near, up), End(self, far, down)
        one.other, other.other = other, one
        self.ends: tuple[End, ...] = (one, other)
        self._is_cut = False
        self._dropped = 0

    def step(self, *ends: End) -> None:
        """Move what can be moved from these ends; what breaks there is passed on."""
        for end in ends:
            end.step()
            if end.discards:
                self._dropped += end.discard()
            if end.wants is Wants.NOTHING:
                self._pass_on(end)

    def _pass_on(self, end: End) -> None:
        """A source that breaks is gone whole: there is nobody left to write to. A sink that takes no more has perhaps
        said something before. What it does not take for another reason (EPERM, EMSGSIZE) ends all.
        """
        error = end.reads.sink_error
        if end.reads.source_error is not None:
            if not isinstance(end.reads.source_error, ConnectionError):
                self._dropped += end.reads.held + end.channel.queued()  # it is we who will not have it
            self._stop_reading(end.other)
        elif isinstance(error, ConnectionError):
            self._cut(end)
        elif error is not None:
            if not end.other.reads.is_finished:
                self._dropped += end.other.unmoved
            self._stop_reading(end.other)

    def note_hang_ups(self) -> None:
        """Nothing reaches an end that is gone: what is on its way there goes nowhere, and its source is told.

        The kernel is asked: a descriptor that was closed in this turn may have another owner by now.
        """
        for end in self.ends:
            end.look()
            if end.is_gone and not end.other.reads.is_finished:
                if self.is_ending:
                    self._dropped += end.other.unmoved  # it was taken in time, and waited for a while only
                self._stop_reading(end.other)
                self._cut(end.other)

    def _stop_reading(self, end: End) -> None:
        end.reads.close()
        end.wants = Wants.NOTHING

    def _cut(self, end: End) -> None:
        """Whoever writes here is told that nobody takes it. Once: of two ends that are cut the pair is over."""
        if not self._is_cut:
            self._is_cut = True
            if not is_tcp(end.channel.socket):
                # TCP tells its peer nothing by it, and then resets the connection for what comes after our FIN: what
                # the peer has not yet got of ours would be thrown away.
                end.channel.end_receiving()
            end.channel.discard_queued()

    @property
    def near_error(self) -> OSError | None:
        """What the client's end broke with, if it did."""
        return self.up.source_error or self.down.sink_error

    @property
    def far_error(self) -> OSError | None:
        """What the upstream's end broke with."""
        return self.down.source_error or self.up.sink_error

    @property
    def error(self) -> OSError | None:
        """What broke one of the ends."""
        return self.near_error or self.far_error

    @property
    def has_ended(self) -> bool:
        return self.up.is_finished and self.down.is_finished

    @property
    def unmoved(self) -> int:
        """Bytes that were sent to somebody who is there, as far as we know, and have not reached him."""
        return self._dropped + sum(end.unmoved for end in self.ends)
