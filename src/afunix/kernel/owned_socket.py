"""A socket that is ours, as its user sees it: names, state, counters, who may use it now, and what its errors mean.

Connected or not: a datagram socket has all of this, and no peer. `endpoint` adds who is there. Nothing here waits.
"""

from __future__ import annotations

from errno import ECONNRESET, EPERM
from socket import SocketType

from ..model.address import Address
from ..model.errors import (
    AfunixError,
    BrokenStreamError,
    BusyError,
    ClosedError,
    DescriptorsNotAcceptedError,
    EndOfStream,
    TimedOutError,
    errno_name,
)
from ..model.patience import must_be_limit, show_seconds
from ..model.stream_state import State, Stats
from .ancillary import MAX_FDS
from .channel import Channel

Name = Address | str | bytes
"""An address, or as the kernel returned it; made an Address when somebody asks."""


class OwnedSocket:
    """A socket as its user sees it. Owns the Channel, and so the descriptor, until close or detach.

    Not thread-safe: one thread at a time.
    """

    __slots__ = (
        "__weakref__",
        "_broken",
        "_channel",
        "_cut",
        "_fate",
        "_is_detached",
        "_is_drained",
        "_is_refused",
        "_local",
        "_receiving",
        "_remote",
        "_send_timeout",
        "_sending",
        "accept_fds",
    )

    _what = "stream"
    _user = "task"

    def __init__(
        self,
        channel: Channel,
        local: Name | None = None,
        remote: Name | None = None,
        *,
        accept_fds: int = 0,
        send_timeout: float | None = None,
    ) -> None:
        """`local` and `remote` are what the socket and its peer are bound to; None: ask the kernel now."""
        self._local = channel.socket.getsockname() if local is None else local
        self._remote = channel.socket.getpeername() if remote is None else remote
        self._channel = channel  # last: what failed before owns nothing
        self.accept_fds = accept_fds
        self._send_timeout = send_timeout  # which was checked by whoever opens it
        self._receiving = False
        self._sending = False
        self._is_detached = False
        self._is_drained = False  # the last receive got less than it asked for: expect nothing at once
        self._is_refused = False  # the peer receives no more
        self._broken: BrokenStreamError | None = None  # a reset by the peer
        self._cut: BrokenStreamError | None = None  # a send of ours that ended in its middle
        self._fate: AfunixError | None = None  # why a server closed it; its user's calls raise it

    # Where

    @property
    def local_address(self) -> Address:
        """What this end is bound to; unnamed for most clients. Valid after close."""
        if not isinstance(self._local, Address):
            self._local = Address.from_kernel(self._local)
        return self._local

    @property
    def peer_address(self) -> Address:
        """What the other end is bound to; unnamed for most clients. Valid after close."""
        if not isinstance(self._remote, Address):
            self._remote = Address.from_kernel(self._remote)
        return self._remote

    def fileno(self) -> int:
        """The descriptor, borrowed: it is ours to read, write and close.

        Raises:
            ClosedError: it was closed or detached.
        """
        self._open_socket()
        return self._channel.fd

    # How it stands

    @property
    def send_timeout(self) -> float | None:
        """How many seconds a send may wait while no byte goes and the peer reads none; None: for ever. It can be set
        at any time.

        The kernel shows the peer's reading in pieces of up to 36 KiB, each when it was read to its end: who reads less
        than that in `send_timeout` may be taken for one who has stopped.

        Raises:
            TypeError, ValueError: set to what is no number of seconds, to 0 or less, or to infinity.
        """
        return self._send_timeout

    @send_timeout.setter
    def send_timeout(self, seconds: float | None) -> None:
        must_be_limit(seconds, "send_timeout")
        self._send_timeout = seconds

    @property
    def state(self) -> State:
        """Where the stream stands now, as far as receiving and sending have shown."""
        channel = self._channel
        if channel.is_closed:
            return State.DETACHED if self._is_detached else State.CLOSED
        if self._broken is not None or self._cut is not None:
            return State.BROKEN
        has_send_ended = channel.send_ended or self._is_refused
        if channel.receive_ended:
            return State.ENDED if has_send_ended else State.RECEIVE_ENDED
        return State.SEND_ENDED if has_send_ended else State.OPEN

    @property
    def stats(self) -> Stats:
        """Counters since it was opened."""
        channel = self._channel
        queued = 0 if channel.is_closed else channel.queued()
        return Stats(channel.bytes_received, channel.bytes_sent, queued, channel.descriptors_closed)

    @property
    def is_closed(self) -> bool:
        """Closed here, or detached."""
        return self._channel.is_closed

    @property
    def _bytes_moved(self) -> int:
        """Both ways, since it was opened."""
        return self._channel.bytes_received + self._channel.bytes_sent

    @property
    def _unread_by_peer(self) -> int:
        return self._channel.unread_by_peer()

    # What each operation begins with

    def _open_socket(self) -> SocketType:
        if self._channel.is_closed:
            raise self._closed_error()
        return self._channel.socket

    def _closed_error(self) -> AfunixError:
        if self._fate is not None:
            return self._fate.with_traceback(None)  # or it would grow each time
        how = "was detached" if self._is_detached else "is closed"
        return ClosedError(f"this {self._what} {how}", hint="its counters and addresses can still be read")

    def _begin_receiving(self) -> None:
        self._must_be_receivable()
        self._receiving = True

    def _must_be_receivable(self) -> None:
        self._open_socket()
        if self._receiving:
            raise self._busy_receiving()

    def _busy_receiving(self) -> BusyError:
        return BusyError(
            f"another {self._user} is receiving from this {self._what}",
            hint="one at a time in each direction",
        )

    def _fds_limit(self, max_fds: int | None) -> int:
        if not self.accept_fds:
            raise AfunixError(
                f"this {self._what} was opened without accept_fds, so no descriptor can come",
                hint="open it with accept_fds=1 or more",
            )
        limit = self.accept_fds if max_fds is None else max_fds
        if not 0 < limit <= MAX_FDS:
            raise ValueError(f"max_fds is {limit}, expected 1 to {MAX_FDS}")
        return limit

    def _begin_sending(self) -> None:
        self._must_be_sendable()
        self._sending = True

    def _must_be_sendable(self) -> None:
        if self._sending:
            raise BusyError(
                f"another {self._user} is sending on this {self._what}",
                hint="one at a time in each direction",
            )
        channel = self._channel
        if channel.is_closed:
            raise self._closed_error()
        if channel.send_ended:
            raise ClosedError(f"this {self._what} sends no more: send_eof() was called")
        if self._cut is not None:
            raise again(self._cut)

    # What the kernel's errors mean

    def _receive_failed(self, error: OSError) -> Exception:
        if error.errno != ECONNRESET:
            return error
        self._channel.receive_ended = True
        return self._note_reset()

    def _note_reset(self) -> BrokenStreamError:
        self._broken = BrokenStreamError(
            f"the peer of this {self._what} closed it without reading all that was sent (ECONNRESET)",
            errno=ECONNRESET,
            bytes_sent=self._channel.bytes_sent,
        )
        return self._broken

    def _send_failed(self, error: OSError, sent: int) -> Exception:
        if error.errno == EPERM:
            return DescriptorsNotAcceptedError(
                f"the peer of this {self._what} does not take descriptors (EPERM)",
                hint="it has to ask for them: accept_fds",
                errno=error.errno,
            )
        if not isinstance(error, ConnectionError):
            return error
        if (
            error.errno == ECONNRESET
        ):  # the kernel says it once; whoever receives must not take it for the end
            self._note_reset()
        return BrokenStreamError(
            f"the peer of this {self._what} receives no more ({errno_name(error.errno)}); {sent} bytes of this"
            " send had gone",
            errno=error.errno,
            bytes_sent=sent,
        )

    def _no_progress(self, sent: int, size: int | None) -> TimedOutError:
        gone = sent if size is None else f"{sent} of {size}"
        return TimedOutError(
            f"the peer of this {self._what} made no room for {show_seconds(self._send_timeout or 0.0)};"
            f" {gone} bytes had gone",
            bytes_sent=sent,
        )

    def _ended_error(self) -> Exception:
        if self._broken is not None:
            return again(self._broken)
        return EndOfStream(f"the peer of this {self._what} sends no more")

    def _cut_at(self, sent: int, size: int | None) -> None:
        """A send ended in its middle: what came next would be taken for its rest, so nothing may come."""
        gone = sent if size is None else f"{sent} of {size}"
        self._cut = BrokenStreamError(
            f"a send on this {self._what} was broken off after {gone} bytes",
            hint="nothing can be sent after half a message; receiving goes on",
            bytes_sent=sent,
        )

    # Ends

    def close(self) -> None:
        """Close, now; idempotent."""
        raise NotImplementedError

    def _end_by(self, error: AfunixError) -> None:
        """Close, and let every later call raise `error`: for whoever serves the stream."""
        if not self._channel.is_closed:
            self._fate = error
            self.close()


def again(error: BrokenStreamError) -> BrokenStreamError:
    """The same error once more, without the traceback of the first time."""
    return BrokenStreamError(error.message, hint=error.hint, errno=error.errno, bytes_sent=error.bytes_sent)
