"""How bytes and records get from one end of a relay to the other, and what goes with them: the pumps of a pair.

splicing      no copy, where nobody watches and the kernel keeps descriptors away
copying       where somebody watches, or splice(2) is not to be had
refusing      copying, where descriptors can come that nobody wants: they end the pair
descriptor    descriptors go on with the byte that they came with
record        records go on whole
watched       descriptors and records go on as they came, and somebody is told what went through
"""

from __future__ import annotations

from functools import partial
from typing import Protocol

from .channel import Channel
from .descriptor_pump import DescriptorPump
from .descriptor_refusal import refusing
from .pipes import PipePool
from .pump import Pump
from .record_channel import make_room_for
from .record_relay import RecordRelay
from .spliced_stream import SplicedStream

OneWay = Pump | DescriptorPump | RecordRelay

Pumps = tuple[OneWay, OneWay]
"""From the client to the server, and back."""


def copying_pumps(near: Channel, far: Channel) -> Pumps:
    return (
        Pump(near.try_receive, far.try_send, rests=True, at_end=far.end_sending),
        Pump(far.try_receive, near.try_send, rests=True, at_end=near.end_sending),
    )


def refusing_pumps(near: Channel, far: Channel) -> Pumps:
    return (
        Pump(refusing(near), far.try_send, at_end=far.end_sending),
        Pump(refusing(far), near.try_send, at_end=near.end_sending),
    )


def splicing_pumps(pool: PipePool, near: Channel, far: Channel) -> Pumps:
    return _splicing(near, far, pool), _splicing(far, near, pool)


def _splicing(source: Channel, sink: Channel, pool: PipePool) -> Pump:
    mover = SplicedStream(source, sink, pool)
    return Pump(source.try_receive, sink.try_send, mover=mover, rests=True, at_end=sink.end_sending)


def descriptor_pumps(near: Channel, far: Channel) -> Pumps:
    return DescriptorPump(near, far, far.end_sending), DescriptorPump(far, near, near.end_sending)


def record_pumps(passes_fds: bool, near: Channel, far: Channel) -> Pumps:
    return (
        RecordRelay(near, far, far.end_sending, passes_fds=passes_fds, make_room=_make_room),
        RecordRelay(far, near, near.end_sending, passes_fds=passes_fds, make_room=_make_room),
    )


class Watch(Protocol):
    """Who is told of one pair: what the sinks have taken, and which side sends no more."""

    def passed(self, is_clients: bool, data: bytes | memoryview, fds: list[int]) -> None: ...

    def ended(self, is_clients: bool) -> None: ...


def watched_pumps(watch: Watch, is_stream: bool, near: Channel, far: Channel) -> Pumps:
    def one_way(source: Channel, sink: Channel, is_clients: bool) -> OneWay:
        def at_end() -> None:
            sink.end_sending()
            watch.ended(is_clients)

        passed = partial(watch.passed, is_clients)
        if is_stream:
            return DescriptorPump(source, sink, at_end, passed)
        return RecordRelay(source, sink, at_end, passes_fds=True, make_room=_make_room, passed=passed)

    return one_way(near, far, True), one_way(far, near, False)


def _make_room(sink: Channel, size: int) -> bool:
    return make_room_for(sink.socket, size)
