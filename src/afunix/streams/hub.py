"""The streams of one event loop and what they wait for: one epoll inside the loop's own, as in `readiness`.

Here tasks wait, again and again, so the order is another: interest is registered with the first wait and stays, for
the next one will come; it is taken back when an event finds nobody waiting. So a stream that is always read costs no
epoll_ctl(2), and one that nobody reads (back-pressure) costs one.

A hub holds a stream's waiters, not the stream: one that is forgotten open can be collected, and warns.
"""

from __future__ import annotations

import asyncio
import errno
import os
import select

from ..model.errors import errno_name
from .waiter import Waiter

BATCH = 256
"""Descriptors served in one turn, so that accepting and signals get theirs."""

READABLE = select.EPOLLIN
WRITABLE = select.EPOLLOUT
HUNG_UP = select.EPOLLHUP | select.EPOLLERR
"""Always reported, whatever was asked for (epoll_ctl(2))."""

_REGISTERED = 1 << 30
"""In a mask of ours, never in the kernel's."""


class Watch:
    """One descriptor and who waits on it. `mask` is what epoll reports of it; before a wait it must hold its event."""

    __slots__ = ("fd", "hangup", "mask", "reader", "writer")

    def __init__(self, fd: int, loop: asyncio.AbstractEventLoop) -> None:
        self.fd = fd
        self.mask = 0
        self.reader = Waiter(loop)
        self.writer: Waiter | None = None
        self.hangup: Waiter | None = None

    def waiters(self) -> list[Waiter]:
        return [waiter for waiter in (self.reader, self.writer, self.hangup) if waiter is not None]


class Hub:
    """Wakes whom an event concerns. One for each loop, from `Hub.of`; `join` it, and the last who leaves closes it."""

    __slots__ = ("_epoll", "_generation", "_has_strays", "_loop", "_members", "_watches")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._epoll = _open_epoll()
        self._generation = forks
        self._watches: dict[int, Watch] = {}
        self._members = 0
        self._has_strays = False
        try:
            loop.add_reader(self._epoll.fileno(), self._turn)
        except BaseException:
            self._epoll.close()
            raise

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> Hub:
        """The hub of `loop`, opened if need be."""
        hub = _HUBS.get(loop)
        if hub is None:
            hub = _HUBS[loop] = cls(loop)
        return hub

    @property
    def is_ours(self) -> bool:
        """False in a forked child: its epoll is the parent's, too."""
        return self._generation == forks

    def join(self) -> None:
        """Stay open: who says so will say `leave`, too."""
        self._members += 1

    def leave(self) -> None:
        """The last who leaves closes the hub."""
        self._members -= 1
        if not self._members:
            self.close()

    def arm(self, watch: Watch, events: int) -> None:
        """Report `events`, too (HUNG_UP always): somebody is about to wait for them.

        Raises:
            OSError: as epoll_ctl(2), e.g. ENOSPC; nothing has changed.
        """
        mask = watch.mask | events
        if watch.mask:
            self._epoll.modify(watch.fd, mask & ~_REGISTERED)
        else:
            self._epoll.register(watch.fd, mask)
            self._watches[watch.fd] = watch
        watch.mask = mask | _REGISTERED

    def forget(self, watch: Watch) -> None:
        """The descriptor is about to be closed, or is somebody else's from now on. Idempotent."""
        if watch.mask:
            watch.mask = 0
            if self._watches.get(watch.fd) is not watch:
                self._has_strays = True
                return  # somebody closed it without asking us, and the number is another's by now
            del self._watches[watch.fd]
            if self.is_ours:  # in a forked child it would be the parent's interest that ends
                try:
                    self._epoll.unregister(watch.fd)
                except OSError:  # somebody closed it without asking us
                    self._has_strays = True

    def _turn(self) -> None:
        watches = self._watches
        for fd, events in self._epoll.poll(0, BATCH):
            watch = watches.get(fd)
            if watch is None:  # somebody who was served before it in this turn closed it
                if self._has_strays:
                    self._shed_strays()
                continue
            reader = watch.reader
            callback = reader.callback
            if callback is None or not events & ~WRITABLE:
                self._tell(watch, events, events)
                continue
            reader.callback = None  # `wake`, written out: this is where every conversation comes by
            reader.context.run(callback, reader)
            if events & ~READABLE:
                self._tell(watch, events, events & WRITABLE)

    def _tell(self, watch: Watch, events: int, unclaimed: int) -> None:
        """Wake the others, and report no more of what nobody waits for."""
        writer, hangup = watch.writer, watch.hangup
        if writer is not None and writer.callback is not None and events & ~READABLE:
            unclaimed &= ~(WRITABLE | HUNG_UP)
            writer.wake()
        if hangup is not None and hangup.callback is not None and events & HUNG_UP:
            unclaimed &= ~HUNG_UP
            hangup.wake()
        # Who was woken here may wait for more by now, without having armed anew: the mask held it already.
        if watch.reader.callback is not None:
            unclaimed &= ~(READABLE | HUNG_UP)
        if watch.writer is not None and watch.writer.callback is not None:
            unclaimed &= ~(WRITABLE | HUNG_UP)
        if not unclaimed or not watch.mask:
            return
        if unclaimed & HUNG_UP:  # which cannot be left out
            self.forget(watch)
        else:
            watch.mask &= ~unclaimed
            try:
                self._epoll.modify(watch.fd, watch.mask & ~_REGISTERED)
            except OSError:
                self._give_up(watch)

    def _give_up(self, watch: Watch) -> None:
        """It cannot be watched, somebody closed it without asking us: whoever waits learns that by trying."""
        self.forget(watch)
        for waiter in watch.waiters():
            waiter.wake()

    def _shed_strays(self) -> None:
        """Watch with a new epoll. While a copy of a closed descriptor lives the old one reports it, in every turn, and
        there is no number left by which that could be taken back (epoll(7)).
        """
        try:
            fresh = select.epoll()
        except OSError:
            return  # out of descriptors: the next turn tries again
        self._has_strays = False
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()
        self._epoll = fresh
        self._loop.add_reader(fresh.fileno(), self._turn)
        lost = []
        for watch in self._watches.values():
            try:
                fresh.register(watch.fd, watch.mask & ~_REGISTERED)
            except OSError:
                lost.append(watch)
        for watch in lost:  # last: who is woken may arm, and forget
            self._give_up(watch)

    def close(self) -> None:
        """Watch nothing any more; idempotent."""
        if self._epoll.closed:
            return
        if _HUBS.get(self._loop) is self:
            del _HUBS[self._loop]
        if self.is_ours and not self._loop.is_closed():
            self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()


def _open_epoll() -> select.epoll:
    try:
        return select.epoll()
    except OSError as error:
        if error.errno == errno.ENOMEM:
            raise
        raise OSError(
            error.errno,
            f"no descriptor is left to wait with ({errno_name(error.errno)}), expected one for all streams of this"
            " loop: close some, or raise RLIMIT_NOFILE ('ulimit -n')",
        ) from None


_HUBS: dict[asyncio.AbstractEventLoop, Hub] = {}

forks = 0
"""How often this process was forked since this file was loaded: a hub or a stream that is older is the parent's."""


def _note_fork() -> None:
    global forks
    forks += 1
    _HUBS.clear()


os.register_at_fork(after_in_child=_note_fork)
