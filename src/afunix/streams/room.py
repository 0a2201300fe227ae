"""Waiting until somebody's queue of datagrams may have room again.

A full queue answers send(2) with EAGAIN. Of a connected socket poll(2) tells when there is room; of one that sends to
many it tells nothing about any of them (unix_dgram_poll). So another socket, which sends nothing, is connected to the
one that is waited for. What is full may also be our own send buffer: the datagrams in all queues count against it, and
poll says "writable" only when three quarters of it are free. Where no event tells, a timer does: 1 ms at first, then
ten times a second, which costs nothing.

The counterpart of `hub`'s Watch for those who have no connection. Any number of tasks may wait for room at once.
"""

from __future__ import annotations

import asyncio
import os
import select
from socket import SocketType

from .hub import WRITABLE, Hub, Watch
from .waiter import Waiter

_FIRST_PAUSE_S = 0.001
_LONGEST_PAUSE_S = 0.1


class Room:
    """One task that waits for room, for one datagram. Owns `probe` and a descriptor of its own, until `close`."""

    __slots__ = ("_hub", "_is_closed", "_loop", "_own", "_pause", "_probe", "_waiter", "_watches")

    def __init__(
        self, hub: Hub, loop: asyncio.AbstractEventLoop, own_fd: int, probe: SocketType | None
    ) -> None:
        self._hub = hub
        self._loop = loop
        self._waiter = Waiter(loop)
        self._probe = probe
        self._own: int | None = _copy_of(own_fd)
        fds = [] if self._own is None else [self._own]
        if probe is not None:
            fds.append(probe.fileno())
        self._watches = [self._watch(fd) for fd in fds]
        self._pause = _FIRST_PAUSE_S
        self._is_closed = False

    def _watch(self, fd: int) -> Watch:
        watch = Watch(fd, self._loop)
        watch.writer = self._waiter
        return watch

    def prepare(self) -> None:
        """Watch what is not writable now; try to send after it, and only then `wait`: so no room is missed."""
        if self._is_closed:
            return
        writable = _writable_of([watch.fd for watch in self._watches])
        for watch in self._watches:
            if watch.fd in writable:  # it is not what stands in the way, and would wake us for nothing
                self._hub.forget(watch)
            elif not watch.mask & WRITABLE:
                self._hub.arm(watch, WRITABLE)

    async def wait(self, seconds: float | None = None) -> None:
        """Until there may be room, or `seconds` have passed."""
        pause, self._pause = self._pause, min(self._pause * 2, _LONGEST_PAUSE_S)
        timer = self._loop.call_later(pause if seconds is None else min(pause, seconds), self._waiter.wake)
        try:
            await self._waiter
        finally:
            timer.cancel()

    def close(self) -> None:
        """Watch nothing any more; idempotent. Whoever waits goes on."""
        if self._is_closed:
            return
        self._is_closed = True
        for watch in self._watches:
            self._hub.forget(watch)
        if self._own is not None:
            os.close(self._own)
        if self._probe is not None:
            self._probe.close()
        self._waiter.wake_soon()


def _copy_of(fd: int) -> int | None:
    """Another number for the same socket, for epoll tells the tasks that wait apart by it; None if none is left."""
    try:
        return os.dup(fd)
    except OSError:
        return None


def _writable_of(fds: list[int]) -> set[int]:
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLOUT)
    return {fd for fd, _ in poll.poll(0)}
