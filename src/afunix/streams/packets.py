"""`PacketStream`: a connection that keeps boundaries (SOCK_SEQPACKET), in an asyncio task.

What is done is `kernel.packet_steps`'s, how a task waits and how a connection ends is `waiting`'s. `packet_opening`
makes them, and the Listener and the Server of such a socket.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence

from ..kernel.descriptors import Descriptor, Received
from ..kernel.packet_steps import PacketSteps
from ..kernel.steps import Data
from ..model.errors import BusyError, EndOfStream
from .connection import Connection


class PacketStream(Connection, PacketSteps):
    """One connection of packets, both ways: what is sent in one call is received in one call, b"" included.

    As with a Stream, it belongs to the event loop in which it was made, until `detach`; at most one task receives and
    one sends at a time; every call can be bounded by `asyncio.timeout`. A receive that is cancelled loses nothing. A
    packet goes whole or not at all: a send that is cancelled while it waits for room has sent nothing.

    Several processes may receive from one inherited socket: every packet goes to one of them, whole, with its own
    descriptors. What is refused (TruncatedError) may then be kept here instead of in the queue, until it is received
    or the stream closed; only descriptors for which there is no room in our table (EMFILE) can be lost that way.

    Owns its descriptor until `close` or `detach`; use it with `async with`. One that is forgotten warns
    (ResourceWarning).
    """

    __slots__ = ()

    _moved_by = "detach() it there, and attach_packets() it here"

    async def receive(self, max_bytes: int | None = None) -> bytes:
        """The next packet, whole; b"" is a packet that is empty, and not the end. Waits for it.

        Raises:
            EndOfStream: the peer sends no more, and every packet was received.
            TruncatedError: the packet is longer than `max_bytes`. It stays: a receive that asks for more gets it.
            BrokenStreamError: the peer closed without reading all that we sent (ECONNRESET); what it sent came first.
            BusyError: another task is receiving; it goes on.
            ClosedError: closed here, before or meanwhile.
        """
        return await self._run(self._receive_packet_steps(max_bytes))

    def __aiter__(self) -> PacketStream:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await self.receive()
        except EndOfStream:
            raise StopAsyncIteration from None

    async def receive_fds(self, *, max_fds: int | None = None, max_bytes: int | None = None) -> Received:
        """The next packet, which may be empty, and the descriptors that came with it, at most `max_fds` (by default
        as many as the `accept_fds` that it was opened with).

        The `Received` owns them, close-on-exec; what nobody takes from it is closed when its `with` is left. A plain
        `receive` closes the descriptors that come with its packet.

        Raises:
            TruncatedError: more came, or the packet is longer than `max_bytes`. It stays, with all its descriptors.
            AfunixError: it was opened without `accept_fds`. Otherwise as `receive`.
        """
        return await self._run(self._receive_fds_steps(max_bytes, max_fds))

    async def send(self, data: Data) -> None:
        """`data` as one packet, which may be empty; waits for room as long as it takes, or `send_timeout`.

        When it returns the kernel has all of it. Interrupted while it waits, it has sent nothing.

        Raises:
            MessageTooLongError: it is longer than `max_packet_bytes` (EMSGSIZE). Nothing went; the connection is as it
                was.
            BrokenStreamError: the peer receives no more (EPIPE).
            TimedOutError: there was no room for `send_timeout`; nothing went.
            BusyError: another task is sending; it goes on.
            ClosedError: closed here, or `send_eof` was called.
        """
        await self._run(self._send_packet_steps(data))

    async def send_fds(self, data: Data, fds: Sequence[Descriptor]) -> None:
        """`data`, which may be empty, and `fds`, at most 253, as one packet. They are borrowed until it returns.

        Raises:
            DescriptorsNotAcceptedError: the peer takes none (EPERM, Linux 6.16). Before that its kernel drops them.
            OSError: EBADF (one is closed), ETOOMANYREFS (too many are under way). Otherwise as `send`.
        """
        await self._run(self._send_packet_steps(data, fds))

    def detach(self) -> socket.socket:
        """Give the socket away: the caller owns it from now on. No packet is lost, for none is read ahead.

        `attach_packets(sock)` takes it up again, in another loop, thread or process. A socket that we made
        comes as a new one does: it blocks, without a timeout. Of one that was given to us O_NONBLOCK is as it was.

        Raises:
            BusyError: a task is using it; or a packet waits here that a receive refused after another process had
                taken the one before it.
            ClosedError: it is closed.
        """
        if self._channel.holds_record:
            raise BusyError(
                "a packet waits here that was more than a receive asked for",
                hint="receive it, then detach",
            )
        return self._detach()[0]
