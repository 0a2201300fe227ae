"""Between a channel of ssh, which is no descriptor, and the socket that a relay wants: one end of a pair is its Channel,
the other is moved from and to here.

Each end of file is passed on alone. Who takes no more is waited for: an ssh channel by its window, the pair by its
buffer; what is held meanwhile is a window at most. A pair whose other end is closed closes the channel, once what it
held is on its way; a channel that is closed closes the pair. ssh has no word for "reads no more": what comes for an end
that does not read is dropped.

`bytes_lost` is what came from the channel and was not handed on because of our stop, and what the pair gave and the far
end has not confirmed when it is given up, or breaks after the pair has ended. sshd confirms by its window, which it opens
again for what it has written out, and at last by its close.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..kernel.channel import Channel
from ..streams.readiness import HUNG_UP, READABLE, WRITABLE, Readiness

if TYPE_CHECKING:
    from socket import SocketType

_PIECE_BYTES = 128 * 1024


class Bridge:
    """A session, as asyncssh calls it, for bytes. Owns `sock`. All on one loop, whose `readiness` is shared."""

    def __init__(self, sock: SocketType, readiness: Readiness[Bridge]) -> None:
        self._local = Channel(sock)
        self._readiness = readiness
        self._channel: Any = None
        self._unsent = bytearray()
        self._is_watched = False
        self._is_held = False
        self._far_ended = False
        self._is_lost = False
        self._drops = False
        self._is_stopping = False
        self._is_stopped = False
        self._whole_window = 0
        self._unconfirmed = 0
        self.bytes_received = 0
        self.bytes_lost = 0

    # What ssh calls

    def connection_made(self, channel: Any) -> None:
        self._channel = channel

    def session_started(self) -> None:
        self._is_watched = True
        self._whole_window = _window_of(self._channel)
        self._readiness.add(self._local.fd, self, READABLE)

    def data_received(self, data: bytes, datatype: object = None) -> None:
        self.bytes_received += len(data)
        if self._is_stopped or self._drops or self._local.is_closed:
            self._drop(len(data))
            return
        if not self._unsent:
            data = data[self._send(data) :]
        if data and not self._drops:
            self._unsent += data
            self._channel.pause_reading()
            self._watch()

    def eof_received(self) -> bool:
        self._far_ended = True
        if not self._unsent:
            self._end_sending()
        return True  # our direction goes on

    def pause_writing(self) -> None:
        self._is_held = True
        self._watch()

    def resume_writing(self) -> None:
        self._is_held = False
        self._watch()

    def connection_lost(self, error: Exception | None) -> None:
        """Nothing comes or goes any more; what has come is still handed on."""
        self._is_lost = True
        if self._local.is_closed:
            self.bytes_lost += self._unconfirmed if error is not None else 0
            return
        self._unsent += _held_by(self._channel)
        if self._unsent:
            self._watch()
        else:
            self.close()

    # What the pair tells

    def on_ready(self, events: int) -> None:
        if events & WRITABLE and self._unsent:
            self._send_rest()
        if self._local.is_closed:
            return
        if events & HUNG_UP:
            self._hang_up()
        elif events & READABLE:
            self._pass_on()

    def _send(self, data: bytes | bytearray) -> int:
        """How much of it the pair took; all, where nobody reads."""
        try:
            with memoryview(data) as view:
                return self._local.try_send(view)
        except OSError:
            self._drops = True
            self._drop(len(data))
            return len(data)

    def _send_rest(self) -> None:
        sent = self._send(self._unsent)
        del self._unsent[:sent]
        if self._unsent:
            return
        if self._is_lost:
            self.close()
            return
        self._watch()
        if self._far_ended or self._is_stopped:
            self._end_sending()
        self._channel.resume_reading()

    def _drop(self, count: int) -> None:
        """Nobody gets so many bytes: his own doing, unless it is ours."""
        self.bytes_lost += count if self._is_stopping else 0

    def _end_sending(self) -> None:
        if not self._local.is_closed:
            self._local.end_sending()

    def _pass_on(self) -> bool:
        """One piece to the far end. False: there is none, and that is the end."""
        try:
            data = self._local.try_receive(_PIECE_BYTES)
        except OSError:
            return False
        if data is None:
            return True
        if self._is_lost or self._channel.is_closing():
            return bool(data)
        if data:
            self._channel.write(data)
            return True
        self._channel.write_eof()
        self._watch()
        return False

    def _hang_up(self) -> None:
        """The relay has closed its end, or both directions have ended: what it sent before that goes first."""
        while not self._local.receive_ended and self._pass_on():
            pass
        self.close()
        if not self._is_lost:
            self._channel.close()
            self.note_unconfirmed()

    def _watch(self) -> None:
        if not self._is_watched:
            return
        reads = not (self._is_held or self._is_lost or self._local.receive_ended)
        events = (READABLE if reads else 0) | (WRITABLE if self._unsent else 0)
        self._readiness.modify(self._local.fd, events)

    @property
    def is_over(self) -> bool:
        """Has the far end everything that came from the pair, whose end is closed? Or is there none."""
        return self._channel is None or (self._local.is_closed and self._is_lost)

    @property
    def is_closed(self) -> bool:
        return self._local.is_closed

    def note_unconfirmed(self) -> int:
        """How much the pair gave, and the far end is not known to have."""
        if self._channel is None or self._is_lost:
            return 0
        queued = 0 if self._local.is_closed else self._local.queued()
        under_way = max(0, self._whole_window - _window_of(self._channel))
        self._unconfirmed = queued + int(self._channel.get_write_buffer_size()) + under_way
        return self._unconfirmed

    def give_up(self) -> None:
        """What is not confirmed by now is lost. Once."""
        if not self.is_over:
            self.bytes_lost += self.note_unconfirmed()
            self._unconfirmed = 0

    def close(self) -> None:
        """Close the pair's end; idempotent."""
        if self._local.is_closed:
            return
        if self._is_watched:
            self._is_watched = False
            self._readiness.remove(self._local.fd)
        self._drop(len(self._unsent) + (0 if self._is_lost else len(_held_by(self._channel))))
        self._unsent.clear()
        self._local.close()

    # The last bytes

    def begin_stop(self) -> bool:
        """From now on it is our doing if what comes is not handed on. False: it is so already."""
        if self._is_stopping:
            return False
        self._is_stopping = True
        return True

    @property
    def is_full(self) -> bool:
        """Does the pair take no more for the time being?"""
        return bool(self._unsent)

    @property
    def may_bring_more(self) -> bool:
        return not (self._far_ended or self._is_lost or self._is_stopped or self._local.is_closed)

    def stop(self) -> None:
        """What has come is the last; more is thrown away. Idempotent."""
        self._is_stopped = True
        if not self._unsent:
            self._end_sending()


def _window_of(channel: Any) -> int:
    """How much the far end has room for. asyncssh has no public word for it; unknown is 0."""
    return int(getattr(channel, "_send_window", 0))


def _held_by(channel: Any) -> bytes:
    """What asyncssh has and would hand over once we read again: it keeps that for itself when the login breaks."""
    return b"".join(data for data, _ in getattr(channel, "_recv_buf", ()))
