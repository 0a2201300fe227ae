"""Connected sockets for a test: the first is the one under test, with its faults and its observer; the second is plain.

Counterpart of `afunix.pair`, which is for programs: that one has no faults.
"""

from __future__ import annotations

import asyncio
from socket import SO_SNDBUF, SOL_SOCKET, SocketType
from typing import TypeVar

from ..blocking.stream import Stream as BlockingStream
from ..kernel.adopting import channel_for, open_pair
from ..kernel.ancillary import accept_fds_within
from ..kernel.channel import Channel
from ..kernel.origin import caller
from ..model.events import Observer
from ..streams.packets import PacketStream
from ..streams.stream import Stream
from .faults import Faults
from .peer import Peer

AsyncEnd = TypeVar("AsyncEnd", Stream, PacketStream)

PATIENCE_S = 5.0
"""How long a call of a blocking stream may last: a test that would hang fails."""


def pair(
    *,
    faults: Faults | None = None,
    observer: Observer | None = None,
    accept_fds: int = 0,
    send_timeout: float | None = None,
) -> tuple[Stream, Stream]:
    """Two Streams, connected with each other, in the running loop; the caller owns both.

    `faults`, `observer` and `send_timeout` are the first one's, `accept_fds` is for both.

    Raises:
        RuntimeError: no event loop is running here.
    """
    return _async_pair(Stream, "stream", faults, observer, accept_fds, send_timeout)


def packet_pair(
    *,
    faults: Faults | None = None,
    observer: Observer | None = None,
    accept_fds: int = 0,
    send_timeout: float | None = None,
) -> tuple[PacketStream, PacketStream]:
    """Two PacketStreams. As `pair`."""
    return _async_pair(PacketStream, "seqpacket", faults, observer, accept_fds, send_timeout)


def _async_pair(
    make: type[AsyncEnd],
    type_word: str,
    faults: Faults | None,
    observer: Observer | None,
    accept_fds: int,
    send_timeout: float | None,
) -> tuple[AsyncEnd, AsyncEnd]:
    loop = asyncio.get_running_loop()
    opened_at = caller()
    one, other = _channels(type_word, accept_fds, faults, observer)
    return (
        make(
            one,
            loop=loop,
            accept_fds=accept_fds,
            send_timeout=send_timeout,
            observer=observer,
            opened_at=opened_at,
        ),
        make(other, loop=loop, accept_fds=accept_fds, opened_at=opened_at),
    )


def blocking_pair(
    *,
    faults: Faults | None = None,
    timeout: float | None = PATIENCE_S,
    accept_fds: int = 0,
    send_timeout: float | None = None,
) -> tuple[BlockingStream, BlockingStream]:
    """Two blocking Streams, connected with each other; the caller owns both.

    `faults` and `send_timeout` are the first one's, `accept_fds` and `timeout` (seconds a call) are for both.
    """
    opened_at = caller()
    one, other = _channels("stream", accept_fds, faults)
    return (
        BlockingStream(
            one, timeout=timeout, accept_fds=accept_fds, send_timeout=send_timeout, opened_at=opened_at
        ),
        BlockingStream(other, timeout=timeout, accept_fds=accept_fds, opened_at=opened_at),
    )


def stream_and_peer(
    *,
    faults: Faults | None = None,
    observer: Observer | None = None,
    accept_fds: int = 0,
    send_timeout: float | None = None,
    buffer_bytes: int | None = None,
) -> tuple[Stream, Peer]:
    """A Stream, and a Peer that reads and writes only when it is told; the caller owns both.

    `buffer_bytes` is how much the stream can send that nobody reads (SO_SNDBUF: the kernel counts its own overhead,
    and allows no less than 4608); None: as usual.

    Raises:
        RuntimeError: no event loop is running here.
    """
    loop = asyncio.get_running_loop()
    accept_fds_within(accept_fds)
    ours, theirs = open_pair(takes_descriptors=accept_fds > 0)
    if buffer_bytes is not None:
        ours.setsockopt(SOL_SOCKET, SO_SNDBUF, buffer_bytes)
    stream = Stream(
        _channel(ours, accept_fds, faults, observer),
        loop=loop,
        accept_fds=accept_fds,
        send_timeout=send_timeout,
        observer=observer,
        opened_at=caller(),
    )
    return stream, Peer(theirs)


def _channels(
    type_word: str, accept_fds: int, faults: Faults | None = None, observer: Observer | None = None
) -> tuple[Channel, Channel]:
    accept_fds_within(accept_fds)
    one, other = open_pair(type_word, takes_descriptors=accept_fds > 0)
    return _channel(one, accept_fds, faults, observer), _channel(other, accept_fds)


def _channel(
    sock: SocketType, accept_fds: int, faults: Faults | None = None, observer: Observer | None = None
) -> Channel:
    faulty = sock if faults is None else faults.apply_to(sock)
    return channel_for(faulty, accept_fds, is_ours=True, observer=observer)
