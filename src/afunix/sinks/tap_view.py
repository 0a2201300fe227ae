"""What a tap shows on STDOUT: a recording that people read, so what is missing in it is said where it is missing.

The buffer, the thread and the counting are `recording`'s, the writing is `recording_file`'s. What an event looks like
is the rendering's matter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ..model.tapped import Said, TapEvent
from .recording_file import Block, RecordingFile

ShowGap = Callable[[float, int, int], bytes]
"""What stands before an event at that time (seconds), in place of so many messages and bytes."""


class Rendering(Protocol):
    """As `formats.tap_text`."""

    def render(self, event: TapEvent) -> bytes:
        """What is shown of `event`."""


class _Headless:
    """A view has nothing before its first event."""

    def __init__(self, rendering: Rendering) -> None:
        self.render = rendering.render

    def header(self) -> bytes:
        return b""


class TapView(RecordingFile):
    """A Keeper (see `recording`) in the open descriptor `fd`, which is closed with it."""

    def __init__(self, fd: int, name: str, rendering: Rendering, show_gap: ShowGap) -> None:
        self._show_gap = show_gap
        self._gap = (0, 0)
        self._told = (0, 0)
        super().__init__(fd, name, _Headless(rendering))

    def prepare(self, event: TapEvent) -> tuple[Block, int]:
        block, size = super().prepare(event)
        self._told, self._gap = self._gap, (0, 0)
        if not self._told[0]:
            return block, size
        gap = self._show_gap(event.at_s, *self._told)
        return (gap + block[0], block[1]), len(gap) + size

    def missed(self, event: Said) -> None:
        """It is told before what comes next, with all that was missing before it."""
        messages, count = self._told
        self._gap = (messages + 1, count + len(event.data))
