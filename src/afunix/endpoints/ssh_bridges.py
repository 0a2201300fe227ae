"""All bridges of one login, on its loop: those that are there, how they stop, and that what they hold gets through.

A stop is theirs together: what is on its way is settled by questions that sshd answers in order. What one of them does is
`ssh_bridge`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from socket import SocketType

from ..streams.readiness import Readiness
from .ssh_bridge import Bridge

_LOOK_EVERY_S = 0.01
_QUIET_ROUNDS = 2
_ON_ITS_WAY_BYTES = 4 * 1024 * 1024
"""What a window, sshd's buffer and that of its client hold, at most and about."""

_PATIENCE_S = 5.0
"""A host that takes nothing for so long is not waited for when all is over."""


class Bridges:
    """The bridges of one loop, and the epoll that they share. `settle()`: until all has come that the host had sent."""

    def __init__(self, loop: asyncio.AbstractEventLoop, settle: Callable[[], Awaitable[None]]) -> None:
        self._loop = loop
        self._readiness: Readiness[Bridge] = Readiness(loop, Bridge.on_ready)
        self._settle = settle
        self._all: set[Bridge] = set()
        self._stopping: set[Bridge] = set()
        self._stop: asyncio.Task[None] | None = None
        self._lost = 0  # by those that are over

    @property
    def bytes_lost(self) -> int:
        return self._lost + sum(bridge.bytes_lost for bridge in self._all)

    def make(self, sock: SocketType) -> Bridge:
        """One that owns `sock`."""
        over = {bridge for bridge in self._all if bridge.is_closed and bridge.is_over}
        self._lost += sum(bridge.bytes_lost for bridge in over)
        self._all -= over
        bridge = Bridge(sock, self._readiness)
        self._all.add(bridge)
        return bridge

    def stop(self, bridge: Bridge) -> None:
        """What has come from its channel by now, and what is on its way, is the last that its pair gets."""
        if bridge.begin_stop():
            self._stopping.add(bridge)
            if self._stop is None:
                self._stop = self._loop.create_task(self._stop_all())

    async def _stop_all(self) -> None:
        """All of them in the same rounds: nothing has come in two of them, or so much that it would go on for ever.

        sshd answers before it sends what it has read meanwhile, so that one round says nothing.
        """
        states: dict[Bridge, _LastBytes] = {}
        while self._stopping:
            for bridge in self._stopping - states.keys():
                states[bridge] = _LastBytes(bridge.bytes_received + _ON_ITS_WAY_BYTES, bridge.bytes_received)
            await self._settle()
            for bridge in tuple(self._stopping):
                if bridge.may_bring_more and not states[bridge].are_all(bridge):
                    continue
                self._stopping.discard(bridge)
                bridge.stop()
            if all(bridge.is_full for bridge in self._stopping):
                await asyncio.sleep(_LOOK_EVERY_S)
        self._stop = None

    async def wait_closed(self) -> None:
        """Until the far end has everything that was sent to it, or takes no more. Their other ends are closed."""
        clock = asyncio.get_running_loop().time
        before, since = -1, clock()
        try:
            while not all(bridge.is_over for bridge in self._all):
                now = sum(bridge.note_unconfirmed() for bridge in self._all)
                if now != before:
                    before, since = now, clock()
                elif clock() - since > _PATIENCE_S:
                    return
                await asyncio.sleep(_LOOK_EVERY_S)
        finally:
            for bridge in self._all:
                bridge.give_up()

    def close(self) -> None:
        if self._stop is not None:
            self._stop.cancel()
        for bridge in self._all:
            bridge.close()
        self._readiness.close()


@dataclass(slots=True)
class _LastBytes:
    """How a bridge that is to stop was in the last round. More than `most` is not waited for."""

    most: int
    seen: int
    quiet_rounds: int = 0

    def are_all(self, bridge: Bridge) -> bool:
        if bridge.is_full:
            self.quiet_rounds = 0
        elif bridge.bytes_received == self.seen:
            self.quiet_rounds += 1
        else:
            self.seen, self.quiet_rounds = bridge.bytes_received, 0
        return self.quiet_rounds == _QUIET_ROUNDS or self.seen >= self.most
