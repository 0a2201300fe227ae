"""The two directions of a connection of `connect`: which pumps move them, and whether the fast ways are open to them.

    what                                     inward (to the output)      outward (from the source)
    a stream, nothing in between             spliced                     spliced, or as `movers` chooses
    a stream, traced or shown escaped        copied                      copied if traced
    a socket of records                      framed, then copied         split, one send a record

Nothing is waited for and nothing judged here: `blocking.conversation` steps what this makes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from ..kernel.pump import Pump

if TYPE_CHECKING:
    from ..kernel.channel import Channel
    from ..kernel.input import Input
    from ..kernel.movers import SplicedSocket
    from ..kernel.output import Output
    from ..kernel.record_pump import RecordPump


class Directions(NamedTuple):
    """What lies at the ends. Without `source` nothing is sent, without `output` what comes is discarded.

    `is_traced`: every call is the plain one. `is_borrowed`: others hold the socket too. `escapes`: a terminal is
    shown escaped text. `half_closes`: the end of the source is passed on. `record_format` as in `formats.records`.
    """

    source: Input | None
    output: Output | None
    is_traced: bool = False
    is_borrowed: bool = False
    escapes: bool = False
    zero_copy: bool = False
    half_closes: bool = True
    record_format: str = "lines"

    def byte_pumps(self, channel: Channel) -> tuple[Pump, Pump | None]:
        """Inward and outward for a stream socket."""
        from ..kernel import movers

        is_plain = not self.is_traced and not self.escapes
        output = self.output
        spliced = movers.SplicedSocket(channel, output) if is_plain and output and output.can_splice else None
        inward = self._inward(channel.try_receive, spliced)
        if self.source is None:
            return inward, None
        mover = None
        if not self.is_traced and not self.is_borrowed:
            mover = movers.choose_into_socket(self.source, channel, zero_copy=self.zero_copy)
        return inward, Pump(
            self.source.try_receive,
            channel.try_send,
            mover=mover,
            moves_at_once=mover is not None and mover.min_bytes == 0,
            at_end=channel.end_sending if self.half_closes else _nothing,
        )

    def record_pumps(self, channel: Channel, *, has_end: bool) -> tuple[Pump, RecordPump | None]:
        """The same for a socket that keeps records; `has_end` is False for datagrams, which know no end of file."""
        from ..formats.records import RecordFormat, RecordSplitter, frame
        from ..kernel.record_pump import FramedRecords, RecordPump

        written = RecordFormat[self.record_format.upper()]
        records = FramedRecords(channel, lambda record: frame(record, written))
        inward = self._inward(records.try_receive, None)
        if self.source is None:
            return inward, None
        at_end = channel.end_sending if has_end and self.half_closes else _nothing
        return inward, RecordPump(self.source.try_receive, channel, RecordSplitter(written), at_end=at_end)

    def _inward(self, receive: Callable[[int], bytes | None], mover: SplicedSocket | None) -> Pump:
        output = self.output
        if output is None:
            return Pump(receive, len)
        transform = None
        if self.escapes:
            from ..formats.text import TerminalText

            transform = TerminalText().show
        return Pump(
            receive,
            lambda view: output.try_write((view,)),
            mover=mover,
            transform=transform,
            is_flushed=output.is_flushed,
        )


def _nothing() -> None:
    pass
