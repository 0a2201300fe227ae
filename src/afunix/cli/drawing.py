"""Where `demo` shows things: a screen, which takes drawings, sentences and tables, or pictures, which take drawings alone.

Everything becomes lines of spans (text and style word), as `formats.sequence` draws them. On a terminal rich makes
colours of the style words, elsewhere it is plain text of 80 columns, or of COLUMNS. Whatever is shown is shown whole:
a drawing that is wider than the terminal would be torn, so it is a list, and a sentence says how wide the drawing is.
Where the encoding of the locale (LC_ALL, LC_CTYPE, LANG) is UTF-8, so is the drawing; elsewhere it is ASCII.
"""

from __future__ import annotations

import locale
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

import click

from ..formats.ascii_form import exchange, spell, spell_story
from ..formats.wrapping import wrap
from ..model.escaping import escape, quote
from . import stdout
from .looks import is_terminal, terminal_size
from .messages import Messages

if TYPE_CHECKING:
    from ..formats.canvas import Line
    from ..model.sequence import Story

_PLAIN_WIDTH = 80
_LONGEST_SENTENCE = 100
"""Longer lines are hard to read, however wide the terminal is."""

_NARROWEST = 20

_STYLES = {
    "title": "bold",
    "head": "bold",
    "detail": "dim",
    "lifeline": "dim",
    "waited": "yellow",
    "failed": "bold red",
    "note": "italic",
    "arrow": "cyan",
    "inside": "blue",
    "time": "dim",
    "same": "green",
}
"""Style words as rich knows them; what is not here is shown as it is."""

_VERDICTS = {"the same": "same", "DIFFERENT": "failed"}
"""What a column without a title says, and its style word."""


class NotShown(Exception):
    """STDOUT took no more, and why has been said; `status` is what the command has to return."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Show(Protocol):
    """What a Screen and Pictures have in common."""

    def story(self, story: Story, *, times: bool) -> None: ...

    def text(self, *lines: str, style: str = "", indent: int = 0) -> None: ...

    def table(self, titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None: ...


class Screen:
    """STDOUT. Raises NotShown when it takes no more."""

    def __init__(self) -> None:
        size = terminal_size()
        self._is_terminal = size is not None
        wished = _columns_wished()
        self.width = max(_NARROWEST, (wished or _PLAIN_WIDTH) if size is None else size.columns)
        self._has_bounds = size is not None or wished is not None
        self._is_ascii = not _has_utf8()
        self._has_shown = False

    def story(self, story: Story, *, times: bool) -> None:
        """Its drawing, after an empty line; a list if the terminal (or COLUMNS) is too narrow for it."""
        from ..formats import sequence

        story = spell_story(story) if self._is_ascii else story
        needed = sequence.needed_width(story, times=times)
        width = self.width if self._has_bounds else max(self.width, needed)
        self._show(sequence.render(story, width=width, times=times))
        if needed > width:
            self.text(
                f"Drawn side by side this is {needed} columns wide, and the terminal has {width}:"
                " make it wider, or draw with --svg FILE.",
                style="note",
            )

    def text(self, *lines: str, style: str = "", indent: int = 0) -> None:
        """Lines, wrapped and escaped, after an empty line."""
        room = min(self.width, _LONGEST_SENTENCE) - indent
        wrapped = [part for line in lines for part in wrap(self._shown(line), room)]
        self._show([[(" " * indent + line, style)] for line in wrapped])

    def table(self, titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Columns under their titles, escaped and whole, after an empty line."""
        from ..formats.whole_table import render

        self._show(
            render(
                list(map(self._shown, titles)),
                [list(map(self._shown, row)) for row in rows],
                width=self.width if self._has_bounds else None,
                style_of=lambda title, cell: "" if title else _VERDICTS.get(cell, ""),
            )
        )

    def _shown(self, text: str) -> str:
        return spell(text) if self._is_ascii else escape(text)

    def _show(self, lines: list[Line]) -> None:
        lines = exchange(lines) if self._is_ascii else lines
        text = _coloured(lines, self.width) if is_terminal() else _plain(lines)
        status = stdout.write(("\n" if self._has_shown else "") + text)
        self._has_shown = True
        if status:
            raise NotShown(status)


class Pictures:
    """SVG files instead of a screen: `name` itself, or with `is_several` one for each drawing; `-` is STDOUT."""

    def __init__(self, name: str, *, is_several: bool) -> None:
        self._name = name
        self._is_several = is_several
        self._stories: list[tuple[Story, bool]] = []

    def story(self, story: Story, *, times: bool) -> None:
        """To be drawn by `finish`."""
        self._stories.append((story, times))

    def text(self, *lines: str, style: str = "", indent: int = 0) -> None:
        """Pictures have no place for it."""

    def table(self, titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Nor for that."""

    def finish(self) -> None:
        """Draw all of them.

        Raises:
            click.UsageError: several were to go to STDOUT. OSError: a file cannot be written. NotShown: nor STDOUT.
        """
        from ..formats import sequence_svg

        is_several = self._is_several or len(self._stories) > 1
        if is_several and self._name == "-":
            raise click.UsageError(
                f"{len(self._stories)} pictures cannot go to STDOUT together: name a file after --svg"
            )
        for number, (story, times) in enumerate(self._stories, 1):
            self._write(
                numbered(self._name, number) if is_several else self._name,
                sequence_svg.render(story, times=times),
            )

    def _write(self, name: str, picture: str) -> None:
        if name == "-":
            if status := stdout.write(picture):
                raise NotShown(status)
            return
        try:
            with open(name, "w", encoding="utf-8") as file:
                file.write(picture)
        except OSError as error:
            error.filename = name  # a write that fails does not know it
            raise
        Messages().note(f"drew {quote(name)}")


def numbered(name: str, number: int) -> str:
    """`story.svg` to `story-2.svg`."""
    stem, ending = os.path.splitext(name)
    return f"{stem}-{number}{ending}"


def _columns_wished() -> int | None:
    written = os.environ.get("COLUMNS", "")
    return int(written) if written.isascii() and written.isdigit() and len(written) < 5 else None


def _has_utf8() -> bool:
    """Is that the locale's encoding? `getencoding` says so even where Python itself goes on in UTF-8 (PEP 540)."""
    return locale.getencoding().upper().replace("-", "") == "UTF8"


def _plain(lines: Iterable[Line]) -> str:
    return "".join("".join(text for text, _ in line).rstrip(" ") + "\n" for line in lines)


def _coloured(lines: Iterable[Line], width: int) -> str:
    from io import StringIO

    from rich.console import Console
    from rich.text import Text

    console = Console(file=StringIO(), force_terminal=True, width=width, highlight=False, emoji=False)
    with console.capture() as captured:
        for line in lines:
            spans = [(text, _STYLES.get(style, "")) for text, style in line]
            console.print(Text.assemble(*spans, no_wrap=True), soft_wrap=True)
    return captured.get()
