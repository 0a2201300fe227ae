"""What a connection of packets (SOCK_SEQPACKET) does, as steps: the counterpart of `receive_steps` and `send_steps`.

A packet goes and comes whole or not at all, so there is nothing to put back and no send is broken off in its middle:
whatever interrupts a wait leaves everything as it was.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence

from ..model.errors import MessageTooLongError
from .descriptors import Descriptor, Received, explain_not_open, numbers_of
from .endpoint import Endpoint
from .steps import Data, Need, NoProgressError, Steps, as_bytes_view, must_be_positive


class PacketSteps(Endpoint):
    """The operations of a packet connection as steps; see the faces for what each promises."""

    __slots__ = ()

    _what = "packet stream"

    @property
    def max_packet_bytes(self) -> int:
        """The longest packet that can be sent from here: SO_SNDBUF less the 32 bytes that unix(7) sets aside.

        Raises:
            ClosedError: it is closed.
        """
        self._open_socket()
        return self._channel.max_record_bytes()

    # Receiving

    def _receive_packet_steps(self, max_bytes: int | None) -> Steps[bytes]:
        if max_bytes is not None:
            must_be_positive(max_bytes, "max_bytes")
        packet, _ = yield from self._next_packet(max_bytes, 0)
        return packet

    def _receive_fds_steps(self, max_bytes: int | None, max_fds: int | None) -> Steps[Received]:
        if max_bytes is not None:
            must_be_positive(max_bytes, "max_bytes")
        packet, fds = yield from self._next_packet(max_bytes, self._fds_limit(max_fds))
        return Received(packet, fds)

    def _next_packet(self, max_bytes: int | None, max_fds: int) -> Steps[tuple[bytes, list[int]]]:
        self._begin_receiving()
        try:
            while True:
                taken = self._take_packet(max_bytes, max_fds)
                if taken is not None:
                    return taken
                yield Need.READABLE
        finally:
            self._receiving = False

    def _take_packet(self, max_bytes: int | None, max_fds: int) -> tuple[bytes, list[int]] | None:
        """One attempt: a packet and its descriptors, or None if there is none yet.

        Raises:
            EndOfStream, BrokenStreamError, ClosedError: there will be none.
            TruncatedError: it is longer than was asked for, or has more descriptors; it stays.
        """
        channel = self._channel
        if channel.fd < 0:
            raise self._closed_error()
        if channel.receive_ended:
            raise self._ended_error()
        try:
            taken = channel.try_receive_record_fds(max_fds, max_bytes)
        except OSError as error:
            raise self._receive_failed(error) from None
        if channel.receive_ended:
            raise self._ended_error()
        return taken

    # Sending

    def _send_packet_steps(self, data: Data, descriptors: Sequence[Descriptor] = ()) -> Steps[None]:
        view = as_bytes_view(data)
        fds = numbers_of(descriptors)
        self._begin_sending()
        try:
            while not self._try_send_packet(view, fds):
                yield Need.WRITABLE
        except NoProgressError:
            raise self._no_progress(0, len(view)) from None
        finally:
            self._sending = False

    def _try_send_packet(self, view: memoryview, fds: Sequence[int]) -> bool:
        self._open_socket()
        channel = self._channel
        try:
            return channel.try_send_record_fds(view, fds) if fds else channel.try_send_record(view)
        except OSError as error:
            if error.errno == errno.EMSGSIZE:
                raise message_too_long("packet", len(view), channel.max_record_bytes()) from None
            raise self._send_failed(explain_not_open(error, fds), 0) from None


def message_too_long(what: str, size: int, limit: int) -> MessageTooLongError:
    """The error for a `what` that the kernel does not take because it is longer than `limit`."""
    return MessageTooLongError(
        f"the {what} is {size} bytes long, and at most {limit} can be sent from this socket (EMSGSIZE)",
        hint="send it in parts; or raise SO_SNDBUF, up to what net.core.wmem_max allows",
    )
