"""The work of `afunix fd receive`: one message with descriptors, from the first who may send one; then a command has them.

Values in, a `Handover` out, which owns what came until it is closed, or `become` makes this process the command.
"""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Sequence
from typing import NamedTuple, NoReturn

from ..blocking import dialling
from ..blocking.interruptible import DeadlinePassed, Interruptible
from ..kernel.ancillary import MAX_FDS
from ..kernel.becoming import become
from ..kernel.channel import Channel
from ..kernel.descriptor_report import DescriptorReport
from ..kernel.descriptors import Received
from ..kernel.interrupts import Interrupted, Interrupts
from ..kernel.names import comm_of, user_name
from ..kernel.peercred import peer_credentials
from ..kernel.spawning import Command
from ..model.address import Address, AddressKind
from ..model.client_environment import Caller, Host
from ..model.credentials import PeerCredentials
from ..model.descriptor_names import names_in
from ..model.errors import AfunixError, BrokenStreamError, TimedOutError, TruncatedError, errno_name
from ..model.escaping import escape, quote
from ..model.handover import environment, misfit
from ..model.patience import show_seconds
from .one_peer import (
    NOBODY,
    UNWATCHED,
    Meeting,
    Watchers,
    connected,
    first_client,
    first_datagram,
    listening,
    must_have_clients,
)

MAX_BYTES = 1 << 16
"""So many bytes of a stream are taken with the descriptors at most; records come whole."""


class ReceiveSettings(NamedTuple):
    """From whom, and how many descriptors `most` at most. Seconds; None: no limit."""

    meeting: Meeting
    most: int = MAX_FDS
    timeout: float | None = None


class Handover(NamedTuple):
    """What came: data, descriptors and their names, and who sent it. Use `received` with `with`."""

    received: Received
    names: list[str]
    peer: PeerCredentials
    local: str
    peer_address: str

    @property
    def sender(self) -> str:
        """Who it is, for a sentence."""
        return _describe(self.peer)

    @property
    def reports(self) -> list[DescriptorReport]:
        """What each of them is."""
        return [DescriptorReport.of(fd.fileno()) for fd in self.received.fds]


class _Message(NamedTuple):
    """As it came; `received` is None if the sender ended without one."""

    received: Received | None
    peer: PeerCredentials
    local: Address
    remote: Address


def receive(settings: ReceiveSettings, watchers: Watchers = UNWATCHED) -> Handover | int:
    """Wait for the message; the caller owns what came. Or the number of the signal that ended it. Main thread only.

    Raises:
        AfunixError: nobody came, or not what is asked for; whatever came is closed.
    """
    try:
        with Interrupts() as interrupts:
            message = _message(settings, Interruptible(interrupts, settings.timeout), watchers)
    except Interrupted as interrupted:
        return interrupted.number
    received = message.received
    if interrupts.number:  # it came when nothing had to be waited for any more
        if received is not None:
            received.close()
        return interrupts.number
    data, count = (None, 0) if received is None else (received.data, len(received.fds))
    error = misfit(_describe(message.peer), data, count, settings.most)
    if error is not None:
        if received is not None:
            received.close()
        raise error
    assert received is not None
    names = names_in(received.data, count)
    return Handover(received, names, message.peer, _written(message.local), _written(message.remote))


def _written(address: Address) -> str:
    """As in AFUNIX_PEER_ADDRESS: nothing for a socket without a name."""
    return "" if address.kind is AddressKind.UNNAMED else str(address)


def _message(settings: ReceiveSettings, waits: Interruptible, watchers: Watchers) -> _Message:
    meeting = settings.meeting
    if meeting.connects:
        channel = connected(meeting, waits, watchers)
        return _take_and_close(channel, peer_credentials(channel.socket), meeting, waits, watchers)
    with listening(meeting, watchers) as listener:
        if listener.type == socket.SOCK_DGRAM:
            datagram = first_datagram(listener, meeting, waits, watchers, MAX_FDS)
            return _Message(datagram, datagram.peer or NOBODY, listener.address, datagram.sender)
        channel, peer = first_client(listener, meeting, waits, watchers)
    return _take_and_close(channel, peer, meeting, waits, watchers)


def _take_and_close(
    channel: Channel, peer: PeerCredentials, meeting: Meeting, waits: Interruptible, watchers: Watchers
) -> _Message:
    try:
        must_have_clients(channel, meeting.address)
        local = Address.from_kernel(channel.socket.getsockname())
        remote = Address.from_kernel(channel.socket.getpeername())
        return _Message(_take(channel, peer, waits), peer, local, remote)
    finally:
        dialling.close(channel, watchers.observer)


def _take(channel: Channel, peer: PeerCredentials, waits: Interruptible) -> Received | None:
    """The next message, or None at the end."""
    is_stream = channel.socket.type == socket.SOCK_STREAM

    def attempt() -> tuple[bytes, list[int]] | None:
        if is_stream:
            return channel.try_receive_fds(MAX_BYTES, MAX_FDS)
        return channel.try_receive_record_fds(MAX_FDS)

    try:
        data, fds = waits.until_done(attempt, channel.fd, select.POLLIN)
    except DeadlinePassed:
        limit = show_seconds(waits.seconds or 0.0)
        raise TimedOutError(f"{_describe(peer)} has sent nothing within {limit} (--timeout)") from None
    except TruncatedError:
        raise AfunixError(
            f"not all of the descriptors that {_describe(peer)} sent could be opened (MSG_CTRUNC, EMFILE): all are"
            " closed",
            hint="'ulimit -n' sets how many descriptors a process may have",
        ) from None
    except ConnectionError as error:
        raise BrokenStreamError(
            f"{_describe(peer)} broke off without sending a descriptor ({errno_name(error.errno)})"
        ) from None
    return None if channel.receive_ended and not fds else Received(data, fds)


def _describe(peer: PeerCredentials) -> str:
    """`pid 4121 (afunix) uid 1000 (ana)`, as far as it is known."""
    if not peer.is_known:
        return "the sender"
    comm = comm_of(peer.pid) if peer.pid else None
    who = "a process" if peer.pid is None else f"pid {peer.pid}"
    user = user_name(peer.uid)
    called = f" ({escape(comm)})" if comm else ""
    return f"{who}{called} uid {peer.uid}{f' ({escape(user)})' if user else ''}"


def hand_over(handover: Handover, command: Command, words: Sequence[str]) -> NoReturn:
    """Become the command, as this process; it has the descriptors from 3 on.

    Raises:
        AfunixError: it cannot be run after all.
    """
    peer = handover.peer
    caller = Caller(
        1,
        handover.local,
        handover.peer_address,
        peer,
        (user_name(peer.uid) or "") if peer.is_known else "",
    )
    host = Host(os.getpid(), os.getuid(), os.getgid())
    told = environment(os.environb, caller, host, handover.names, handover.received.data)
    fds = [fd.take() for fd in handover.received.fds]
    try:
        become(command.path, words, told, fds)
    except OSError as error:
        raise AfunixError(
            f"{quote(words[0])} cannot be run: {os.strerror(error.errno or 0).lower()} ({errno_name(error.errno)})",
            errno=error.errno,
        ) from None
