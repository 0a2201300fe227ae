"""Pumps driven by an event loop: what `blocking` does with poll, for conversations inside a server.

A pump says what it waits for; here that becomes a reader, a writer or another turn of the loop. The descriptors
are their owners'.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from ..kernel.pump import Wants


class Steppable(Protocol):
    """`kernel.pump.Pump` or `kernel.record_pump.RecordPump`."""

    def step(self) -> Wants: ...

    def close(self) -> None: ...


class PumpTask:
    """One pump on the loop, from `start()` to its end, which `on_finished()` tells, or to `close()`.

    `source_fd` and `sink_fd` give what to wait on at that moment; None is a descriptor that is always ready.
    """

    def __init__(
        self,
        pump: Steppable,
        loop: asyncio.AbstractEventLoop,
        *,
        source_fd: Callable[[], int | None],
        sink_fd: Callable[[], int | None],
        on_finished: Callable[[], None],
    ) -> None:
        self._pump = pump
        self._loop = loop
        self._source_fd = source_fd
        self._sink_fd = sink_fd
        self._on_finished = on_finished
        self._reading: int | None = None
        self._writing: int | None = None
        self._turn: asyncio.Handle | None = None

    def start(self) -> None:
        self._turn = self._loop.call_soon(self._step)

    def _step(self) -> None:
        self._turn = None
        wants = self._pump.step()
        self._wait_reading(self._source_fd() if wants is Wants.SOURCE else None)
        self._wait_writing(self._sink_fd() if wants is Wants.SINK else None)
        if wants is Wants.NOTHING:
            self._on_finished()
        elif self._reading is None and self._writing is None:
            self._turn = self._loop.call_soon(self._step)

    def _wait_reading(self, fd: int | None) -> None:
        if fd != self._reading:
            if self._reading is not None:
                self._loop.remove_reader(self._reading)
            if fd is not None:
                self._loop.add_reader(fd, self._step)
            self._reading = fd

    def _wait_writing(self, fd: int | None) -> None:
        if fd != self._writing:
            if self._writing is not None:
                self._loop.remove_writer(self._writing)
            if fd is not None:
                self._loop.add_writer(fd, self._step)
            self._writing = fd

    def close(self) -> None:
        """Wait for nothing any more and end the pump; idempotent."""
        self._wait_reading(None)
        self._wait_writing(None)
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        self._pump.close()
