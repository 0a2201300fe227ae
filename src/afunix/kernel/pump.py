"""A Pump moves the bytes of one direction: from a source to a sink, a step at a time, and never waits.

`step()` moves what can be moved now and says what the rest waits for; waiting is the driver's business (poll
in `blocking`, an event loop in `streams`), so one pump serves both. What was taken from the source and not
yet taken by the sink is held, counted, and offered first in the next step: nothing is lost, doubled or
reordered.

    copying      source.try_receive, then sink.try_send: always possible, and best for little bytes
    a mover      bytes go from descriptor to descriptor (`movers`): tried while they come in bulk

An error ends the pump and is kept with the side it came from; what it means is not judged here.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Protocol

CHUNK_BYTES = 64 * 1024
"""What one copying step takes at most. A chunk that comes full means bulk, and then a mover is better."""

SHARE_BYTES = 4 * 1024 * 1024
"""What one step moves at most, so that the other direction and the clock get their turn."""

NOTHING_HELD = memoryview(b"")
"""Not the empty rest of a chunk: that would keep the chunk's memory for as long as its pump is idle."""


class Wants(Enum):
    """What a pump waits for."""

    SOURCE = "the source to be readable"
    SINK = "the sink to be writable"
    TURN = "another turn: it has moved its share"
    NOTHING = "nothing: it has finished"


class Mover(Protocol):
    """A way past our own memory. `is_usable` turns False once the kernel, or the file, does not allow it (any more)."""

    is_usable: bool
    min_bytes: int
    """Moves smaller than this are better done by copying, until bytes come in bulk again."""

    @property
    def held(self) -> int:
        """Bytes that have left the source and not reached the sink: they go before all others."""

    def try_move(self, max_bytes: int) -> int | None:
        """How many bytes were moved; 0 at the source's end, None: not now, or not this way (`is_usable`)."""

    def obstacle(self) -> Wants:
        """After None: is it the source or the sink? TURN: neither, it is the mover, so the next bytes are copied."""

    def is_sources_fault(self, error: OSError) -> bool:
        """Did what `try_move` raised come from the source?"""

    def close(self) -> None:
        """Give back what the mover holds (a mapping, not the descriptors)."""


class Direction:
    """The source's side of a pump, whatever becomes of the bytes, and how far it has come. Owns neither end.

    `receive` is that of a Channel or an Input: None means "not now". `at_end` is called once, when the source's
    last byte is through.
    """

    def __init__(self, receive: Callable[[int], bytes | None], at_end: Callable[[], None]) -> None:
        self._receive = receive
        self._at_end = at_end
        self.taken = 0
        """Bytes that left the source."""
        self.moved = 0
        """Bytes that the sink took; differs from `taken` by what is held, and by what was added or left out."""
        self.source_ended = False
        self.source_error: OSError | None = None
        self.sink_error: OSError | None = None
        self.is_finished = False

    def _take(self) -> bytes | Wants:
        """The next bytes, b"" at the end; or what to wait for if there are none."""
        try:
            data = self._receive(CHUNK_BYTES)
        except OSError as error:
            self.source_error = error
            return self._finish()
        if data is None:
            return Wants.SOURCE
        self.taken += len(data)
        self.source_ended = not data
        return data

    def _finish(self) -> Wants:
        self.is_finished = True
        return Wants.NOTHING

    def close(self) -> None:
        """Finish, wherever it stands; idempotent."""
        self._finish()


class Pump(Direction):
    """One direction, bytes to bytes. `close()` gives back what a mover holds.

    `send` is that of a Channel or an Output: 0 means "not now". `transform(data, final)` changes what is passed
    on, and may hold some back until `final`. `is_flushed` says whether the sink has passed on what it took. One that
    `rests` waits for the source after a few bytes, without a look whether there are more: for drivers that are told.
    """

    too_long = 0
    max_record_bytes = 0  # bytes have no limit; records do (`record_pump`)

    def __init__(
        self,
        receive: Callable[[int], bytes | None],
        send: Callable[[memoryview], int],
        *,
        mover: Mover | None = None,
        moves_at_once: bool = False,
        rests: bool = False,
        transform: Callable[[bytes, bool], bytes] | None = None,
        is_flushed: Callable[[], bool] = lambda: True,
        at_end: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(receive, at_end)
        self._rests = rests
        self._is_plain = rests and transform is None
        self._send = send
        self._mover = mover
        self._is_bulk = moves_at_once
        self._transform = transform
        self._is_flushed = is_flushed
        self._held = NOTHING_HELD
        self._stranded = 0

    @property
    def held(self) -> int:
        """Bytes taken from the source that the sink has not taken; after an error they are lost."""
        return len(self._held) + (self._mover.held if self._mover is not None else self._stranded)

    def release(self) -> bytes:
        """What is held, to be put back where it came from; it counts as not taken."""
        held, self._held = bytes(self._held), NOTHING_HELD
        self.taken -= len(held)
        return held

    def step(self) -> Wants:
        """Move what can be moved now, at most about SHARE_BYTES. After NOTHING look at the two errors."""
        limit = self.moved + SHARE_BYTES
        wants = Wants.NOTHING if self.is_finished else None
        while wants is None:
            wants = self._advance() if self.moved < limit else Wants.TURN
        return wants

    def pass_on(self) -> bool:
        """One `step` of a pump that rests, with less on the way, where all is as usual with small messages: what has come
        is taken at once, and the source is waited for again. False: it is not; `step` goes on from here.
        """
        if self._held or self._is_bulk or not self._is_plain or self.source_ended or self.is_finished:
            return False
        data = self._take()
        if isinstance(data, Wants):
            return data is Wants.SOURCE
        self._is_bulk = len(data) == CHUNK_BYTES
        self._held = memoryview(data)
        if not data or self._is_bulk:
            return False
        return self._push() is Wants.SOURCE

    def _advance(self) -> Wants | None:
        if self._held:
            return self._push()
        if self._mover is not None and self._mover.held:
            return self._move(self._mover)
        if self.source_ended:
            return self._end()
        if self._is_bulk and self._mover is not None:
            return self._move(self._mover)
        return self._pull()

    def _pull(self) -> Wants | None:
        data = self._take()
        if isinstance(data, Wants):
            return data
        self._is_bulk = len(data) >= CHUNK_BYTES
        if self._transform is not None:
            data = self._transform(data, self.source_ended)
        self._held = memoryview(data)
        return None

    def _push(self) -> Wants | None:
        try:
            sent = self._send(self._held)
        except OSError as error:
            self.sink_error = error
            return self._finish()
        self.moved += sent
        if sent < len(self._held):
            self._held = self._held[sent:]
            return Wants.SINK
        self._held = NOTHING_HELD
        return Wants.SOURCE if self._rests and not self._is_bulk and not self.source_ended else None

    def _move(self, mover: Mover) -> Wants | None:
        try:
            moved = mover.try_move(SHARE_BYTES)
        except OSError as error:
            if mover.is_sources_fault(error):
                self.source_error = error
            else:
                self.sink_error = error
            return self._finish()
        if moved is None and mover.is_usable:
            wants = mover.obstacle()
            return self._pull() if wants is Wants.TURN else wants
        if moved is None:
            self._drop_mover()
            return None
        self.moved += moved
        self.taken = self.moved + mover.held
        self.source_ended = self.source_ended or moved == 0
        self._is_bulk = moved >= mover.min_bytes
        return None

    def _end(self) -> Wants:
        """The source has ended and nothing is held: let the sink finish, then say so."""
        try:
            if not self._is_flushed():
                return Wants.SINK
        except OSError as error:
            self.sink_error = error
            return self._finish()
        self._at_end()
        return self._finish()

    def _finish(self) -> Wants:
        self._drop_mover()
        return super()._finish()

    def _drop_mover(self) -> None:
        mover, self._mover = self._mover, None
        if mover is not None:
            self._stranded += mover.held
            mover.close()
