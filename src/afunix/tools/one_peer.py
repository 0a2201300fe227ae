"""Whom `afunix fd` talks with: the server at an address, or the first client that may enter. One, and then no more.

A listener is closed, and its path removed, as soon as the one is there; of a datagram socket, which has no clients, once
a datagram has come from somebody who may send. Nobody is waited for without the run's deadline.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from ..blocking import dialling
from ..blocking.interruptible import DeadlinePassed, Interruptible
from ..kernel.channel import Channel
from ..kernel.datagram_channel import Datagram, DatagramChannel, ask_for_credentials
from ..kernel.dialling import Dialling
from ..kernel.listener import Listener, Ownership
from ..kernel.requirement import Requirement, decide
from ..kernel.socket_types import type_word
from ..model.acceptance import AcceptFailure, classify
from ..model.address import Address, AddressKind
from ..model.credentials import UNKNOWN_ID, PeerCredentials
from ..model.errors import TimedOutError, WrongTypeError
from ..model.escaping import quote
from ..model.events import Accepted, Observer, Refused
from ..model.patience import show_seconds
from ..model.rules import Rules
from .listeners import open_listeners

NOBODY = PeerCredentials(None, UNKNOWN_ID, UNKNOWN_ID)


class Meeting(NamedTuple):
    """Where, and how. `connects`: to a server; else somebody is waited for. Times in seconds, None: no limit.

    `rules` are for those who come, `require` (`user:NAME`) is for a server.
    """

    address: Address
    connects: bool
    takes_descriptors: bool
    socket_type: str | None = None
    wait: float | None = None
    connect_timeout: float | None = None
    require: str | None = None
    rules: Rules = Rules()
    ownership: Ownership = Ownership()
    backlog: int | None = None


class Watchers(NamedTuple):
    """Who is told: of every call, of what somebody should know, of inherited sockets that do not match."""

    observer: Observer | None = None
    alerts: Observer = lambda event: None
    on_unmatched: Callable[[Address, int], None] = lambda address, count: None
    on_ready: Callable[[], None] = lambda: None


UNWATCHED = Watchers()


def connected(meeting: Meeting, waits: Interruptible, watchers: Watchers) -> Channel:
    """A channel to the server; the caller owns it.

    Raises:
        AfunixError: as `Dialling.steps`, or PeerMismatchError. Interrupted: a signal came. Nothing is left open then.
    """
    limits = [seconds for seconds in (meeting.connect_timeout, waits.left()) if seconds is not None]
    requirement = None if meeting.require is None else Requirement.of(meeting.require)
    sock = dialling.wait_through(
        Dialling(
            meeting.address,
            meeting.socket_type,
            timeout=min(limits, default=None),
            wait=meeting.wait,
            takes_descriptors=meeting.takes_descriptors,
            observer=watchers.observer,
        ),
        waits.interrupts,
    )
    owned = meeting.address.kind is not AddressKind.INHERITED
    channel = dialling.make_channel(sock, watchers.observer, owned=owned)
    try:
        if requirement is not None:
            requirement.check(sock, meeting.address)
    except BaseException:
        dialling.close(channel, watchers.observer)
        raise
    return channel


@contextmanager
def listening(meeting: Meeting, watchers: Watchers) -> Iterator[Listener]:
    """The socket that others come to; when this is left it is closed, and its path removed.

    Raises:
        AfunixError: as `open_listeners`; WrongTypeError: a dgram socket, where somebody is to be sent something.
    """
    (listener,) = open_listeners(
        [meeting.address],
        socket_type=meeting.socket_type,
        ownership=meeting.ownership,
        backlog=meeting.backlog,
        configure=ask_for_credentials if meeting.socket_type == "dgram" else lambda sock: None,
        accepts_fds=meeting.takes_descriptors,
        on_unmatched=watchers.on_unmatched,
        observer=watchers.observer,
    )
    try:
        if meeting.takes_descriptors:
            listener.let_descriptors_in()
            if listener.type == socket.SOCK_DGRAM:
                ask_for_credentials(listener.socket)
        elif listener.type == socket.SOCK_DGRAM:
            raise WrongTypeError(
                f"{quote(str(meeting.address))} is to be a dgram socket, and nobody connects to one",
                hint="--listen is for stream and seqpacket; without it datagrams go to whoever is bound there",
            )
        watchers.on_ready()
        yield listener
    finally:
        listener.close()


def first_client(
    listener: Listener, meeting: Meeting, waits: Interruptible, watchers: Watchers
) -> tuple[Channel, PeerCredentials]:
    """The first that may enter; the caller owns the channel. Others are closed unread, and told of.

    Raises:
        TimedOutError: nobody came. Interrupted: a signal did. OSError: as accept(2): out of descriptors.
    """
    while True:
        try:
            sock = waits.until_done(lambda: _try_accept(listener), listener.ready_fd, select.POLLIN)
        except DeadlinePassed:
            raise _nobody_came(meeting, waits, "connected to") from None
        peer, decision = decide(meeting.rules, sock)
        if not decision.admitted:
            watchers.alerts(Refused(listener.fd, peer, decision.reason))
            sock.close()
            continue
        sock.setblocking(False)
        channel = dialling.make_channel(sock, watchers.observer, owned=False)
        channel.connection = 1
        if watchers.observer is not None:
            watchers.observer(Accepted(channel.fd, listener.fd, 1, peer))
        return channel, peer


def _try_accept(listener: Listener) -> socket.SocketType | None:
    while True:
        try:
            return listener.accept()
        except BlockingIOError:
            return None
        except OSError as error:
            if classify(error.errno) is not AcceptFailure.TRANSIENT:
                raise


def first_datagram(
    listener: Listener, meeting: Meeting, waits: Interruptible, watchers: Watchers, max_fds: int
) -> Datagram:
    """The first from somebody who may send, with its descriptors, which are the caller's.

    Raises:
        TimedOutError: none came. Interrupted: a signal did. TruncatedError: its descriptors cannot all be opened.
    """
    channel = DatagramChannel(listener.socket, credentials=True, observer=watchers.observer)
    while True:
        try:
            datagram = waits.until_done(
                lambda: channel.try_receive_datagram(None, max_fds), listener.fd, select.POLLIN
            )
        except DeadlinePassed:
            raise _nobody_came(meeting, waits, "sent anything to") from None
        peer = datagram.peer or NOBODY
        decision = meeting.rules.decide(peer, ())  # a datagram brings no supplementary groups (unix(7))
        if decision.admitted:
            return datagram
        datagram.close()
        watchers.alerts(Refused(listener.fd, peer, decision.reason))


def _nobody_came(meeting: Meeting, waits: Interruptible, what: str) -> TimedOutError:
    limit = show_seconds(waits.seconds or 0.0)
    who = "nobody who may has" if meeting.rules else "nobody has"
    return TimedOutError(f"{who} {what} {quote(str(meeting.address))} within {limit} (--timeout)")


def must_have_clients(channel: Channel, address: Address) -> None:
    """For whoever connects in order to receive.

    Raises:
        WrongTypeError: a dgram socket sends nothing to those who connect to it.
    """
    if channel.socket.type == socket.SOCK_DGRAM:
        raise WrongTypeError(
            f"{quote(str(address))} is a {type_word(socket.SOCK_DGRAM)} socket, and sends nothing to who connects",
            hint="without --connect datagrams are waited for, at an address of our own",
        )
