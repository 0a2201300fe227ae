"""The one accept path: batches, rules, limits, shortage, pauses. Whoever takes clients stands on it.

`on_channel(channel)` is called for each admitted client in the same turn of the loop in which it was accepted, so
that what it has sent already can be read at once. The descriptor belongs to the acceptor until that call returns,
then to whom it was given; who must say `release(channel)` once it is closed, for the limits to hold.

Above `max_clients` nobody is accepted: they wait in the backlog, where they cost us nothing. Above `max_per_user`,
or refused by a rule: accepted, and closed unread.
"""

from __future__ import annotations

import asyncio
import errno
import select
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from socket import SO_OOBINLINE, SOL_SOCKET, SocketType

from ..kernel.channel import Channel
from ..kernel.listener import Listener
from ..kernel.peercred import peer_credentials, peer_groups
from ..model.acceptance import AcceptFailure, classify, next_pause
from ..model.address import Address, AddressKind
from ..model.errors import errno_name
from ..model.events import Accepted, AcceptPaused, AcceptResumed, Observer, Refused
from ..model.rules import Rules

_BEYOND = (AddressKind.TCP, AddressKind.SSH)
"""Where clients come from without credentials; what accept_named calls them is an address."""

BATCH = 64
"""Clients accepted from one listener in one turn of the loop."""


class Acceptor:
    """Accepts on `listeners`, which stay their owner's. Counters: `accepted`, `refused`, `live`."""

    def __init__(
        self,
        listeners: Iterable[Listener],
        on_channel: Callable[[Channel], None],
        loop: asyncio.AbstractEventLoop,
        *,
        rules: Rules | None = None,
        max_clients: int | None = None,
        max_per_user: int | None = None,
        make_channel: Callable[[SocketType, int], Channel] = Channel,
        on_fault: Callable[[OSError], None] | None = None,
        on_shortage: Callable[[OSError], None] | None = None,
        observer: Observer | None = None,
        alerts: Observer | None = None,
    ) -> None:
        """`observer` is told of every client, `alerts` only of what a person should know: refusals and pauses.

        `on_fault` is told that accept(2) fails for good, `on_shortage` once for each time that descriptors or memory
        run out.
        """
        self._listeners = list(listeners)
        self.on_channel = on_channel
        self._loop = loop
        self._rules = rules or Rules()
        self._max_clients = sys.maxsize if max_clients is None else max_clients
        self._max_per_user = max_per_user
        self._checks = bool(self._rules) or max_per_user is not None
        self._make_channel = make_channel
        self._on_fault = on_fault
        self._on_shortage = on_shortage
        self._observer = observer
        self._alerts = alerts
        self._per_user: Counter[int] = Counter()
        self._epolls: dict[Listener, select.epoll] = {}
        self._polls = {listener: _poll_of(listener) for listener in self._listeners}
        self._watching = False
        self._watched: list[int] = []
        self._running = False
        self._short = False
        self._full = False
        self._is_held = False
        self._pause_s = 0.0
        self.shortage = 0
        """The errno of the last shortage (EMFILE, …); 0 if there was none."""
        self._timer: asyncio.TimerHandle | None = None
        self.accepted = 0
        self.refused = 0
        self.live = 0

    def start(self) -> None:
        """Begin, or go on after `pause()`."""
        self._running = True
        self._update()

    def pause(self) -> None:
        """Accept nobody until `start()`; clients wait in the backlog."""
        self._running = False
        self._update()

    def hold(self, error: Exception | None = None) -> None:
        """Accept nobody until `let_go()`: whoever serves the clients has run out of descriptors, or of memory. Without an
        OSError that is not told here.
        """
        if self._is_held:
            return
        self._is_held = True
        if not self._pause_s and isinstance(error, OSError):
            self._tell_shortage(error)
            self._pause_s = next_pause(0.0)
        self._update()

    def let_go(self) -> None:
        """Go on; harmless if nothing was held."""
        self._is_held = False
        if not self._loop.is_closed():
            self._update()

    def release(self, channel: Channel) -> None:
        """A client that was handed over is closed: its place is free, and so is a descriptor."""
        self.live -= 1
        if self._max_per_user is not None:
            self._per_user[channel.peer.uid] -= 1
        if self._short:
            self._try_again()
        if self._full and not self._loop.is_closed():
            self._full = False
            self._tell_resumed()
            self._update()

    def accept_queued(self) -> bool:
        """Take whoever waits on our own listeners, whatever the limits; False if descriptors ran out before the end.

        For the stop: clients whose connect succeeded are not turned away. An inherited listener's queue belongs
        to whoever holds it next, but for a client that its thread has taken already.
        """
        for listener in self._listeners:
            while listener.is_ours or listener.holds_client:
                outcome = self._accept_one(listener)
                if outcome is None or outcome is AcceptFailure.FAULT:
                    break
                if outcome is AcceptFailure.SHORTAGE:
                    return False
        return True

    def _update(self) -> None:
        wanted = self._running and not (self._short or self._full or self._is_held)
        if wanted is self._watching:
            return
        if wanted:
            # All of them first: whoever runs out of descriptors here has changed nothing, and asks for none at the end.
            self._watched = [self._watched_fd(listener) for listener in self._listeners]
            self._watching = True
            for fd, listener in zip(self._watched, self._listeners, strict=True):
                self._loop.add_reader(fd, self._on_readable, listener)
        else:
            self._watching = False
            for fd in self._watched:
                self._loop.remove_reader(fd)

    def _watched_fd(self, listener: Listener) -> int:
        """What the loop may look at: uvloop makes that non-blocking, and the flags of an inherited listener belong to
        everybody who holds it. So an epoll stands before it; where a thread accepts, its own.
        """
        if listener.has_thread or not listener.is_inherited:
            return listener.ready_fd
        epoll = self._epolls.get(listener)
        if epoll is None:
            epoll = select.epoll()
            try:
                epoll.register(listener.fd, select.EPOLLIN)
            except BaseException:
                epoll.close()
                raise
            self._epolls[listener] = epoll
        return epoll.fileno()

    def _on_readable(self, listener: Listener) -> None:
        look_after = 1
        for count in range(1, BATCH + 1):
            if self.live >= self._max_clients:
                self._stop_full()
                return
            if self._accept_one(listener) is not True or not self._watching:
                return
            if count == look_after:
                # accept(2) makes a socket before it sees that nobody waits, which costs ten looks. So one look for a
                # client that came alone, and few in a crowd.
                if not self._polls[listener].poll(0):
                    return
                look_after *= 2

    def _accept_one(self, listener: Listener) -> AcceptFailure | bool | None:
        """True: one was accepted. None: nobody waits. Otherwise what went wrong, dealt with."""
        try:
            sock, name = listener.accept_named()
        except BlockingIOError:
            return None
        except OSError as error:
            return self._failed(error)
        if self._pause_s:
            self._pause_s = 0.0
            self._tell_resumed()
        try:
            if self._checks and not self._may_enter(sock, listener):
                sock.close()
                return True
            if listener.is_stream:
                sock.setsockopt(SOL_SOCKET, SO_OOBINLINE, 1)  # else an out-of-band byte is silently lost
            channel = self._make_channel(sock, self.accepted + 1)
            channel.names = listener.address, name
        except BaseException:
            sock.close()
            raise
        self.accepted += 1
        self.live += 1
        if self._max_per_user is not None:
            self._per_user[channel.peer.uid] += 1
        try:
            if self._observer is not None:
                client = Address.parse(name) if listener.address.kind in _BEYOND else None
                self._observer(Accepted(channel.fd, listener.fd, channel.connection, channel.peer, client))
            self.on_channel(channel)
        except BaseException:
            if not channel.is_closed:
                self.release(channel)
                channel.close()
            raise
        return True

    def _may_enter(self, sock: SocketType, listener: Listener) -> bool:
        peer = peer_credentials(sock)
        groups = peer_groups(sock.fileno()) if self._rules.needs_groups else ()
        decision = self._rules.decide(peer, groups)
        reason = decision.reason
        admitted = decision.admitted
        if admitted and self._max_per_user is not None:
            admitted = self._per_user[peer.uid] < self._max_per_user
            reason = f"uid {peer.uid} has {self._per_user[peer.uid]} connections, the limit is {self._max_per_user}"
        if admitted:
            return True
        self.refused += 1
        if self._alerts is not None:
            self._alerts(Refused(listener.fd, peer, reason))
        return False

    def _failed(self, error: OSError) -> AcceptFailure | None:
        failure = classify(error.errno)
        if failure is AcceptFailure.SHORTAGE:
            self._back_off(error)
        elif failure is AcceptFailure.FAULT:
            if error.errno == errno.EINVAL and not self._running:
                return None  # shut down, and the queue is empty
            self.pause()
            if self._on_fault is not None:
                self._on_fault(error)
        return failure

    def _back_off(self, error: OSError) -> None:
        """Out of descriptors or memory: leave the clients in the queue, look again later. One report an episode."""
        if not self._pause_s:
            self._tell_shortage(error)
        self.shortage = error.errno or 0
        self._pause_s = next_pause(self._pause_s)
        self._short = True
        self._update()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(self._pause_s, self._try_again)

    def _tell_shortage(self, error: OSError) -> None:
        if self._alerts is not None:
            self._alerts(AcceptPaused(-1, error.errno or 0, f"{error.strerror} ({errno_name(error.errno)})"))
        if self._on_shortage is not None:
            self._on_shortage(error)

    def _try_again(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._short = False
        if not self._loop.is_closed():
            self._update()

    def _stop_full(self) -> None:
        self._full = True
        if self._alerts is not None:
            self._alerts(AcceptPaused(-1, 0, f"{self.live} clients are connected, the limit"))
        self._update()

    def _tell_resumed(self) -> None:
        if self._alerts is not None:
            self._alerts(AcceptResumed(-1))

    def close(self) -> None:
        """Stop for good: no reader, no timer left. The listeners stay open."""
        self.pause()
        self._close_epolls()

    def close_copies(self) -> None:
        """The same in a forked child, where the loop's interest is the parent's: it is not asked to end."""
        self._running = self._watching = False
        self._close_epolls()

    def _close_epolls(self) -> None:
        for epoll in self._epolls.values():
            epoll.close()
        self._epolls.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _poll_of(listener: Listener) -> select.poll:
    poll = select.poll()
    poll.register(listener.fd, select.POLLIN)
    return poll
