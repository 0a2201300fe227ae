"""Who a tap tells: a view on STDOUT, a pcapng file, a directory of raw streams, and the count of it all.

Each has a buffer and a thread of its own (`sinks.recording`), so nobody here holds up a conversation; what one of them
did not get is in its `Recorded`. What the filter hides none of them gets, nor is it counted.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Any

from ..formats.pcapng import Pcapng
from ..formats.tap_gap import render_gap_json, show_gap
from ..formats.tap_hex import TapHex
from ..formats.tap_json import TapJson
from ..formats.tap_text import TapText
from ..model.errors import OutputError
from ..model.tap_filter import TapFilter
from ..model.tap_summary import Summary, TapSummary
from ..model.tapped import Beginning, TapEvent
from ..sinks.recording import Keeper, Recorded, Recording, nobody_reads
from ..sinks.recording_directory import RecordingDirectory
from ..sinks.recording_file import RecordingFile
from ..sinks.tap_view import TapView

STDOUT = "-"
_PATIENCE_S = 5.0
"""How long at the end somebody is waited for who takes nothing."""


class View(Enum):
    """How events are shown."""

    TEXT = "text"
    HEX = "hex"
    JSON = "json"


_RENDERINGS: dict[View, Callable[..., TapText | TapHex | TapJson]] = {
    View.TEXT: TapText,
    View.HEX: TapHex,
    View.JSON: TapJson,
}


class Outlet(Enum):
    """Where events go."""

    VIEW = "view"
    FILE = "file"
    DIRECTORY = "directory"


@dataclass(frozen=True, slots=True)
class AudienceSettings:
    """`write` is a pcapng file, "-" for STDOUT; `record` a directory; None: none of that. `port` is `Pcapng`'s,
    `max_bytes`, `colour` and `width` are the view's.
    """

    view: View | None = View.TEXT
    max_bytes: int | None = None
    colour: bool = False
    width: int | None = None
    shown: TapFilter = field(default_factory=TapFilter)
    write: str | None = None
    port: int | None = None
    record: str | None = None

    @property
    def outlets(self) -> list[Outlet]:
        """Those that there are."""
        targets = {Outlet.VIEW: self.view, Outlet.FILE: self.write, Outlet.DIRECTORY: self.record}
        return [outlet for outlet, target in targets.items() if target is not None]

    def has_stdout(self, outlet: Outlet) -> bool:
        """Does `outlet` write to STDOUT?"""
        return outlet is Outlet.VIEW or (outlet is Outlet.FILE and self.write == STDOUT)


class Audience:
    """All who are told. `on_trouble(outlet, error)` as `Recording`'s: once each, and perhaps in another thread.
    `on_fault(error)` of what none of this expects: nobody is told anything from then on.
    """

    def __init__(
        self,
        settings: AudienceSettings,
        beginning: Beginning,
        on_trouble: Callable[[Outlet, OutputError], None],
        on_fault: Callable[[Exception], None],
    ) -> None:
        """
        Raises:
            OutputError: one of them cannot even begin; then none does.
        """
        self.summary = TapSummary()
        self._settings = settings
        self._shows = settings.shown.shows if settings.shown else None
        self._on_fault = on_fault
        self._began_s = time.monotonic()
        self._recordings: dict[Outlet, Recording[Any]] = {}
        self._file: RecordingFile | None = None
        with ExitStack() as opened:
            for outlet, keeper in _keepers(settings, beginning):
                if isinstance(keeper, RecordingFile) and outlet is Outlet.FILE:
                    self._file = keeper
                recording = Recording(keeper, on_trouble=partial(on_trouble, outlet))
                opened.callback(recording.close)
                self._recordings[outlet] = recording
            opened.pop_all()
        self._takers = [self.summary.note, *(recording.record for recording in self._recordings.values())]

    def tell(self, event: TapEvent) -> None:
        """Neither waits nor raises: whoever calls it has a conversation to go on with."""
        try:
            if self._shows is None or self._shows(event):
                for take in self._takers:
                    take(event)
        except Exception as fault:
            self._takers = []
            self._on_fault(fault)

    def waits_for_reader(self) -> OutputError | None:
        """That the file is a FIFO which nobody has read so far, if it is so."""
        if self._file is None or not self._file.waits_for_reader:
            return None
        return nobody_reads(self._file.name)

    def close(self) -> tuple[Summary, dict[Outlet, Recorded]]:
        """Write what waits; what became of it all. Blocks while somebody is slow, for some seconds each."""
        self._takers = []
        summary = self.summary.finish(time.monotonic() - self._began_s)
        return summary, {
            outlet: recording.close(_PATIENCE_S) for outlet, recording in self._recordings.items()
        }


def _keepers(settings: AudienceSettings, beginning: Beginning) -> list[tuple[Outlet, Keeper[Any]]]:
    """Raises OutputError, and leaves none of them open."""
    keepers: list[tuple[Outlet, Keeper[Any]]] = []
    try:
        if settings.view is not None:
            keepers.append((Outlet.VIEW, _open_view(settings, settings.view, beginning)))
        if settings.write is not None:
            keepers.append((Outlet.FILE, _open_file(settings.write, Pcapng(beginning, port=settings.port))))
        if settings.record is not None:
            keepers.append((Outlet.DIRECTORY, RecordingDirectory(settings.record, beginning)))
    except OutputError:
        for _, keeper in keepers:
            keeper.close()
        raise
    return keepers


def _open_view(settings: AudienceSettings, view: View, beginning: Beginning) -> TapView:
    rendering = _RENDERINGS[view](
        beginning, max_bytes=settings.max_bytes, colour=settings.colour, width=settings.width
    )
    gap = render_gap_json if view is View.JSON else show_gap
    return TapView(os.dup(1), "STDOUT", rendering, partial(gap, beginning))


def _open_file(path: str, form: Pcapng) -> RecordingFile:
    return RecordingFile(os.dup(1), "STDOUT", form) if path == STDOUT else RecordingFile.open(path, form)
