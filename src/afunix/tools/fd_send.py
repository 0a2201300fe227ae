"""The work of `afunix fd send`: open what is to be sent, find the one that is to have it, and send it in one message.

Values in, a result or an error out. When `send` returns the kernel has the message; the descriptors in it stay open
until somebody takes them, or nobody can any more.
"""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable, Collection
from contextlib import closing
from functools import partial
from typing import NamedTuple

from ..blocking import dialling
from ..blocking.interruptible import DeadlinePassed, Interruptible
from ..blocking.slow_files import open_file, read_to_end
from ..kernel.ancillary import MAX_FDS
from ..kernel.channel import Channel
from ..kernel.interrupts import Interrupted, Interrupts
from ..kernel.offered import Offered
from ..kernel.send_refusal import explain
from ..model.address import AddressKind
from ..model.descriptor_names import names_line
from ..model.errors import AddressError, AfunixError, TimedOutError, errno_name
from ..model.escaping import quote
from ..model.offer import Access, Offer
from ..model.patience import show_seconds
from .one_peer import UNWATCHED, Meeting, Watchers, connected, first_client, listening

_DISCARD_BYTES = 1 << 16
_MOST_DATA = 1 << 20
_STDIN = "-"


class SendSettings(NamedTuple):
    """What is sent to whom. `data` None: what is in the file `data_from` (`-`: STDIN), or without one the names.

    `timeout`: seconds for all of it, a FIFO's other end and the end of `data_from` included. `closed_at_start`: numbers of
    ours that nobody has opened.
    """

    meeting: Meeting
    offers: tuple[Offer, ...]
    access: Access = Access.READ
    data: bytes | None = None
    data_from: str | None = None
    timeout: float | None = None
    closed_at_start: Collection[int] = ()


def send(settings: SendSettings, watchers: Watchers = UNWATCHED) -> int:
    """Send; 0, or the number of the signal that ended it before. Main thread only.

    Raises:
        AfunixError: nothing was sent; of a stream's data perhaps some (BrokenStreamError, TimedOutError).
    """
    if len(settings.offers) > MAX_FDS:
        raise AddressError(
            f"{len(settings.offers)} descriptors are too many: one message carries at most {MAX_FDS} (SCM_MAX_FD)",
            hint="send the others with another one",
        )
    with closing(Offered(settings.offers, settings.access, settings.closed_at_start)) as offered:
        try:
            with Interrupts() as interrupts:
                _send(settings, offered, Interruptible(interrupts, settings.timeout), watchers)
        except Interrupted as interrupted:
            return interrupted.number
    return 0


def _send(settings: SendSettings, offered: Offered, waits: Interruptible, watchers: Watchers) -> None:
    message = _message(settings, waits)
    offered.open(partial(_open, waits=waits))
    channel = _peer(settings.meeting, waits, watchers)
    try:
        offered.empty_files()
        _Sending(channel, str(settings.meeting.address), offered.fds, waits).send(message)
        if settings.meeting.address.kind is not AddressKind.INHERITED:
            _discard_answers(channel)
    finally:
        dialling.close(channel, watchers.observer)


def _message(settings: SendSettings, waits: Interruptible) -> bytes:
    if settings.data is not None:
        return settings.data
    if settings.data_from is not None:
        return _read(settings.data_from, waits)
    return names_line([offer.name for offer in settings.offers])


def _read(path: str, waits: Interruptible) -> bytes:
    """What is to go along.

    Raises:
        AfunixError: it cannot be read, or is more than a message should have.
        TimedOutError: it has not come to its end in time.
    """
    what = f"--data-from {quote(path)}"
    try:
        fd = 0 if path == _STDIN else _open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY, 0, waits=waits)
        try:
            data = read_to_end(fd, _MOST_DATA, waits)
        finally:
            if fd:
                os.close(fd)
    except DeadlinePassed:
        raise TimedOutError(f"{what} has not come to its end within {_limit(waits)} (--timeout)") from None
    except TimedOutError:
        raise
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        raise AfunixError(f"{what} cannot be read: {reason} ({errno_name(error.errno)})") from None
    if len(data) > _MOST_DATA:
        raise AfunixError(f"{what} has more than 1 MiB, expected what fits into a message")
    return data


def _open(path: str, flags: int, mode: int, *, waits: Interruptible) -> int:
    try:
        return open_file(path, flags, mode, waits)
    except DeadlinePassed:
        raise TimedOutError(
            f"{quote(path)} could not be opened within {_limit(waits)} (--timeout): nobody has its other end open",
            hint="a FIFO is opened when somebody reads it and somebody writes it",
        ) from None


def _limit(waits: Interruptible) -> str:
    return show_seconds(waits.seconds or 0.0)


def _peer(meeting: Meeting, waits: Interruptible, watchers: Watchers) -> Channel:
    if meeting.connects:
        return connected(meeting, waits, watchers)
    with listening(meeting, watchers) as listener:
        return first_client(listener, meeting, waits, watchers)[0]


class _Sending:
    """One message on its way, waiting as long as it has to for room."""

    def __init__(self, channel: Channel, name: str, fds: list[int], waits: Interruptible) -> None:
        self._channel = channel
        self._name = name
        self._fds = fds
        self._waits = waits

    def send(self, data: bytes) -> None:
        try:
            if self._channel.socket.type == socket.SOCK_STREAM:
                self._send_bytes(data)
            else:
                self._send_record(data)
        except DeadlinePassed:
            raise TimedOutError(
                f"{quote(self._name)} has made no room for the message within {_limit(self._waits)} (--timeout)"
            ) from None
        except OSError as error:
            sent, most = self._channel.bytes_sent, self._channel.max_record_bytes()
            raise explain(error, self._name, self._fds, len(data), sent=sent, most=most) from None

    def _send_bytes(self, data: bytes) -> None:
        if not data:
            raise AddressError(
                "a stream carries descriptors with at least one byte, and --data is empty",
                hint="a dgram or seqpacket socket takes an empty message",
            )
        sent = self._when_there_is_room(partial(self._channel.try_send_fds, data, self._fds))
        while sent < len(data):
            sent += self._when_there_is_room(partial(self._channel.try_send, memoryview(data)[sent:]))

    def _send_record(self, data: bytes) -> None:
        self._when_there_is_room(partial(self._channel.try_send_record_fds, data, self._fds))

    def _when_there_is_room(self, attempt: Callable[[], int]) -> int:
        """What `attempt` gives once it is more than 0: bytes, or that it was sent."""
        return self._waits.until_done(lambda: attempt() or None, self._channel.fd, select.POLLOUT)


def _discard_answers(channel: Channel) -> None:
    """What the receiver has said so far: a close with that unread would be a reset to it (unix(7))."""
    try:
        while channel.try_receive(_DISCARD_BYTES):
            pass
    except OSError:
        pass  # it is gone, and may have taken the message before
