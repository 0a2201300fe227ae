"""A pump for streams in which descriptors travel: they leave with the byte that they came with. See `pump`.

Bytes that come before a message with descriptors are taken by themselves (`descriptor_boundary`); the message is sent
with its descriptors on its first byte, and their copies here are closed as soon as the kernel has taken them. Nobody
looks at them.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from ..model.errors import TruncatedError
from .ancillary import MAX_FDS
from .channel import Channel
from .descriptor_boundary import Looks
from .descriptor_refusal import explain_refused
from .peercred import ask_for_nothing_beside
from .pump import CHUNK_BYTES, NOTHING_HELD, SHARE_BYTES, Wants

_looks = Looks(CHUNK_BYTES)

Passed = Callable[[bytes | memoryview, list[int]], None]


class DescriptorPump:
    """One direction from `source` to `sink`, which stay their owners'; `descriptors` counts those that went through.

    Nobody else may receive from `source`. Its socket is told to bring no credentials with the bytes. `passed(data, fds)`
    is told what the sink has taken, while the descriptors are open.
    """

    def __init__(
        self, source: Channel, sink: Channel, at_end: Callable[[], None], passed: Passed | None = None
    ) -> None:
        self._passed = passed
        self._source = source
        self._sink = sink
        self._at_end = at_end
        self._held = NOTHING_HELD
        self._fds: list[int] = []
        self.moved = 0
        self.descriptors = 0
        self.source_error: OSError | None = None
        self.sink_error: OSError | None = None
        self.source_ended = False
        self.is_finished = False
        ask_for_nothing_beside(source.socket)

    @property
    def held(self) -> int:
        """Bytes taken and not passed on."""
        return len(self._held)

    def pass_on(self) -> bool:
        """As `Pump.pass_on`, for bytes that come without descriptors."""
        if self._held or self.source_ended or self.is_finished:
            return False
        wants = self._pull()
        if wants is not None:
            return wants is Wants.SOURCE
        if self.source_ended or self._fds or len(self._held) == CHUNK_BYTES:
            return False
        return self._push() is None and not self._held

    def step(self) -> Wants:
        """Move what can be moved now. After NOTHING look at the two errors."""
        limit = self.moved + SHARE_BYTES
        wants = Wants.NOTHING if self.is_finished else None
        while wants is None:
            wants = self._advance() if self.moved < limit else Wants.TURN
        return wants

    def _advance(self) -> Wants | None:
        if self._held:
            return self._push()
        if self.source_ended:
            self._at_end()
            return self._finish()
        return self._pull()

    def _pull(self) -> Wants | None:
        try:
            received = self._receive()
        except OSError as error:
            self.source_error = error
            return self._finish()
        if received is None:
            return Wants.SOURCE
        data, self._fds = received
        self._held = memoryview(data)
        self.source_ended = not data
        return None

    def _receive(self) -> tuple[bytes, list[int]] | None:
        """Plain bytes, or one message with its descriptors, or as much of it as one step takes."""
        try:
            plain = _looks.plain_bytes(self._source.socket)
            if plain == 0:
                return self._source.try_receive_fds(CHUNK_BYTES, MAX_FDS)
            data = self._source.try_receive(plain or 1)
            return None if data is None else (data, [])
        except BlockingIOError:
            return None
        except TruncatedError as error:
            raise OSError(errno.EMFILE, str(error)) from None

    def _push(self) -> Wants | None:
        try:
            sent = self._send(self._held, self._fds)
        except OSError as error:
            self.sink_error = explain_refused(error, len(self._fds))
            return self._finish()
        if not sent:
            return Wants.SINK
        if self._passed is not None:
            self._passed(self._held if sent == len(self._held) else self._held[:sent], self._fds)
        self.descriptors += len(self._fds)
        self._close_descriptors()
        self.moved += sent
        self._held = self._held[sent:] if sent < len(self._held) else NOTHING_HELD
        return None

    def _send(self, data: memoryview, fds: list[int]) -> int:
        return self._sink.try_send_fds(data, fds) if fds else self._sink.try_send(data)

    def _close_descriptors(self) -> None:
        while self._fds:
            os.close(self._fds.pop())

    def _finish(self) -> Wants:
        self.is_finished = True
        self._close_descriptors()
        return Wants.NOTHING

    def close(self) -> None:
        """Finish, wherever it stands; descriptors that were not passed on are closed. Idempotent."""
        self._finish()
