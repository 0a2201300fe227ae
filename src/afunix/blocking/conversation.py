"""Two pumps and everything that can end them: the loop of `afunix connect`.

Each turn steps both directions, asks whether there is a reason to stop, and else polls for what they wait
for. What an ending means, and whether anything was lost, is `model.conversation`'s to say.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..kernel.channel import Channel
from ..kernel.descriptor_kind import DescriptorKind
from ..kernel.output import Output
from ..kernel.pump import Pump, Wants
from ..model.patience import Ending, Patience, milliseconds

if TYPE_CHECKING:
    from ..kernel.input import Input
    from ..kernel.interrupts import Interrupts
    from ..kernel.record_pump import RecordPump

_FLUSH_PATIENCE_S = 5.0
"""After a signal: how long a STDOUT that nobody reads is waited for."""

_BROKEN = select.POLLHUP | select.POLLERR | select.POLLNVAL


class Conversation:
    """Both directions of one channel, and everything that can end them.

    `outward` is None if nothing is to be sent. `source` and `output` are what the pumps read and write, None
    if there is nothing to wait for there (replies are discarded). `ends_with_source`: the end of what is to
    be sent is the end of all (datagrams have no other). Borrows everything.
    """

    def __init__(
        self,
        channel: Channel,
        inward: Pump,
        outward: Pump | RecordPump | None,
        *,
        source: Input | None,
        output: Output | None,
        interrupts: Interrupts | None = None,
        idle_timeout: float | None = None,
        deadline: float | None = None,
        ends_with_source: bool = False,
        has_end: bool = True,
        is_shared: bool = False,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.channel = channel
        self.inward = inward
        self.outward = outward
        self.source = source
        self.output = output
        self.hung_up = False
        """The peer has closed both directions."""
        self.output_gone = False
        """The reader of the output went away while there was nothing to write."""
        self._interrupts = interrupts
        self._patience = (
            None
            if idle_timeout is None and deadline is None
            else Patience(now(), idle=idle_timeout, deadline=deadline)
        )
        self._ends_with_source = ends_with_source
        self.has_end = has_end
        self._is_shared = is_shared
        self._now = now
        self._in_wants = Wants.TURN
        self._out_wants = Wants.NOTHING if outward is None else Wants.TURN
        self._in_ready = self._out_ready = True
        self._poll = select.poll()
        self._polled: dict[int, int] = {}

    @property
    def is_clean(self) -> bool:
        """After the end: no error on either side, nothing held, and nothing more to be sent."""
        if self.inward.source_error is not None:
            return False
        outward = self.outward
        return outward is None or (
            outward.is_finished and outward.sink_error is None and outward.source_ended
        )

    def run(self) -> Ending:
        """Move bytes until there is a reason to stop. After a signal, what has been received is written first."""
        while True:
            self._step()
            ending = self._ending()
            if ending is None:
                self._wait()
                continue
            if ending is Ending.SIGNAL:
                self._flush()
            return ending

    def _step(self) -> None:
        """Step the pumps that have something to do; a step in vain costs a system call and an exception."""
        before = self._progress()
        if self._out_ready and self.outward is not None:
            self._out_wants = self.outward.step()
        if self._in_ready:
            self._in_wants = self.inward.step()
        self._out_ready = self._needs_no_poll(self._out_wants, Wants.SOURCE, self.source)
        self._in_ready = self._needs_no_poll(self._in_wants, Wants.SINK, self.output)
        if self._patience is not None:
            is_paused = self._in_wants is Wants.SINK
            self._patience.note(self._now(), moved=self._progress() != before, paused=is_paused)

    def _progress(self) -> tuple[int, int, int]:
        sent = self.outward.moved if self.outward is not None else 0
        return self.inward.taken, self.inward.moved, sent

    @staticmethod
    def _needs_no_poll(wants: Wants, of_end: Wants, end: Input | Output | None) -> bool:
        """Can it be stepped again at once? The channel can always be polled, the other `end` not always."""
        return wants is Wants.TURN or (wants is of_end and (end is None or end.wait_fd is None))

    def _ending(self) -> Ending | None:
        if self._interrupts is not None and self._interrupts.number:
            return Ending.SIGNAL
        if self.output_gone or self.inward.sink_error is not None:
            return Ending.OUTPUT
        if self.inward.is_finished and self._out_wants is Wants.NOTHING:
            return Ending.ENDED
        is_quiet = self._out_wants is Wants.NOTHING and self._in_wants is Wants.SOURCE
        if is_quiet and self._must_not_wait_for_more():
            return Ending.ENDED
        return None if self._patience is None else self._patience.expiry(self._now())

    def _must_not_wait_for_more(self) -> bool:
        """Sending is over, and all that has come is written: is there no point in waiting for the peer's end?"""
        outward = self.outward
        if outward is None:
            return False
        if outward.source_error is not None or outward.too_long:
            return True
        return self._ends_with_source or (not self.has_end and outward.sink_error is not None)

    def _wait(self) -> None:
        masks = self._masks()
        if masks != self._polled:
            self._poll = select.poll()
            self._polled = masks
            for fd, mask in masks.items():
                self._poll.register(fd, mask)
        for fd, events in self._poll.poll(self._poll_timeout()):
            self._note(fd, events)

    def _masks(self) -> dict[int, int]:
        masks: dict[int, int] = {}
        if not self.hung_up:
            self._add_channel(masks)
            self._add_source(masks)
        if self.output is not None:
            if self.output.kind in (DescriptorKind.PIPE, DescriptorKind.SOCKET, DescriptorKind.TERMINAL):
                masks.setdefault(self.output.fd, 0)
            if self._in_wants is Wants.SINK and self.output.wait_fd is not None:
                masks[self.output.wait_fd] = masks.get(self.output.wait_fd, 0) | select.POLLOUT
        if self._interrupts is not None:
            masks[self._interrupts.fd] = select.POLLIN
        return masks

    def _add_channel(self, masks: dict[int, int]) -> None:
        mask = select.POLLIN if self._in_wants is Wants.SOURCE else 0
        if self._out_wants is Wants.SINK:
            mask |= select.POLLOUT
        if mask or self.has_end:  # without a bit: to hear of the end; a datagram socket has none
            masks[self.channel.fd] = mask

    def _add_source(self, masks: dict[int, int]) -> None:
        source = self.source
        if self._out_wants is Wants.SOURCE and source is not None and source.wait_fd is not None:
            masks[source.wait_fd] = select.POLLIN

    def _poll_timeout(self) -> int | None:
        if self._in_ready or self._out_ready:
            return 0
        left = None if self._patience is None else self._patience.left(self._now())
        return None if left is None else milliseconds(left)

    def _note(self, fd: int, events: int) -> None:
        """What poll said of `fd`; one descriptor can be several of these."""
        if fd == self.channel.fd:
            self._in_ready |= bool(events & ~select.POLLOUT)
            self._out_ready |= bool(events & ~select.POLLIN)
            if events & _BROKEN and self.has_end:
                self._hang_up()
        if self.source is not None and fd == self.source.wait_fd:
            self._out_ready = not self.hung_up
        if self.output is not None:
            self._in_ready |= fd == self.output.wait_fd
            self.output_gone |= fd == self.output.fd and bool(events & _BROKEN)

    def _hang_up(self) -> None:
        """The peer takes no more, so nothing is sent any more; what it sent before can still be received. Whether it has
        thrown away what was sent before, receiving tells; or, where that has ended already, only the socket.
        """
        self.hung_up = True
        self._out_ready = False
        self._out_wants = Wants.NOTHING
        outward = self.outward
        if self.inward.is_finished and outward is not None and outward.sink_error is None:
            outward.sink_error = self.channel.take_error()

    def _flush(self) -> None:
        """Write what was received so far, and what waits in the socket; the peer can send no more meanwhile."""
        if self.has_end and not self._is_shared:
            self.channel.end_receiving()
        deadline = self._now() + _FLUSH_PATIENCE_S
        while self._now() < deadline and not self.output_gone:
            self._in_wants = self.inward.step()
            if self._in_wants in (Wants.SOURCE, Wants.NOTHING):
                return
            if self._in_wants is Wants.SINK and self.output is not None:
                poll = select.poll()
                poll.register(
                    self.output.fd if self.output.wait_fd is None else self.output.wait_fd, select.POLLOUT
                )
                poll.poll(milliseconds(deadline - self._now()))
