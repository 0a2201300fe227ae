"""A socket in an event loop that has a peer: half-close, hang-up, abort, and giving it away, for streams and packets.

How a task waits for it is `waiting`'s.
"""

from __future__ import annotations

import select
import socket

from ..kernel.endpoint import Endpoint
from ..kernel.origin import caller as caller
from ..kernel.steps import Need, Steps
from ..model.errors import BusyError
from .waiter import Waiter, is_waiting
from .waiting import Waiting


class Connection(Waiting, Endpoint):
    """A socket in an event loop that has a peer: its end, from either side."""

    __slots__ = ()

    async def wait_hangup(self) -> None:
        """Return once the peer has closed, or both directions have ended: whoever works for it may stop.

        Takes no byte; a half-close by the peer is not a hang-up. May run beside a receive and a send.

        Raises:
            BusyError: another task waits for it already. ClosedError: closed here meanwhile.
        """
        self._must_fit()
        watch = self._watch or self._join_hub()
        waiter = watch.hangup = watch.hangup or Waiter(self._loop)
        if is_waiting(waiter):
            raise BusyError(f"another task is waiting for this {self._what}'s hang-up")
        while not self._is_hung_up():
            if not watch.mask:
                self._arm(watch, 0)
            await waiter

    def _is_hung_up(self) -> bool:
        self._open_socket()
        poll = select.poll()
        poll.register(self._channel.fd, 0)
        return bool(poll.poll(0))

    async def send_eof(self) -> None:
        """Half-close: the peer reads what was sent, then the end. Receiving goes on. Harmless if repeated.

        Raises:
            BusyError: another task is sending.
        """
        self._must_fit()
        self._end_sending()
        await self._run(_turn())

    def _end_sending(self) -> None:
        if self._channel.send_ended:
            return
        self._open_socket()
        if self._sending:
            raise BusyError(
                f"another task is sending on this {self._what}", hint="one at a time in each direction"
            )
        self._channel.end_sending()

    def end_receiving(self) -> None:
        """Take no more from the peer (SHUT_RD): what it has sent can be received, then comes the end; what it sends
        from now on fails with EPIPE. Harmless if repeated, or if it is closed.

        Raises:
            WrongLoopError: from another thread than the loop's.
        """
        self._must_be_here()
        super().end_receiving()

    def abort(self) -> None:
        """End both directions for everybody who holds the socket, and close; idempotent."""
        if not self._channel.is_closed:
            self._must_be_here()
            try:
                self._channel.socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # ENOTCONN: the peer was first
            self.close()

    def _detach(self) -> tuple[socket.socket, bytes]:
        self._must_be_here()
        self._open_socket()
        if self._is_used():
            raise BusyError(f"a task is using this {self._what}", hint="cancel it first, then detach")
        self._leave_hub()
        return self._detach_socket()


def _turn() -> Steps[None]:
    yield Need.TURN
