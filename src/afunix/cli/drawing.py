"""Where `demo` shows things: a screen, which takes drawings, sentences and tables, or pictures, which take drawings alone.

Everything becomes lines of spans (text and style word), as `formats.sequence` draws them. On a terminal rich makes
colours of the style words, elsewhere it is plain text of 80 columns, or of COLUMNS. Whatever is shown is shown whole:
a drawing that is wider than the terminal would be torn, so a sentence says how wide it is.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

import click

from ..formats import columns
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
        self.width = max(_NARROWEST, _columns_wished() if size is None else size.columns)
        self._has_shown = False

    def story(self, story: Story, *, times: bool) -> None:
        """Its drawing, after an empty line."""
        from ..formats import sequence

        lines = sequence.render(story, width=self.width, times=times)
        needed = max(sum(columns.display_width(text) for text, _ in line) for line in lines)
        if self._is_terminal and needed > self.width:
            self.text(
                f"The drawing of '{story.title}' is {needed} columns wide, and the terminal has {self.width}:"
                " make it wider, or draw with --svg FILE.",
                style="note",
            )
        else:
            self._show(lines)

    def text(self, *lines: str, style: str = "", indent: int = 0) -> None:
        """Lines, wrapped and escaped, after an empty line."""
        room = min(self.width, _LONGEST_SENTENCE) - indent
        wrapped = [part for line in lines for part in wrap(escape(line), room)]
        self._show([[(" " * indent + line, style)] for line in wrapped])

    def table(self, titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Columns under their titles, escaped, after an empty line."""
        made = [columns.Line(tuple(map(escape, row))) for row in rows]
        heads = [columns.Column(title, max(4, len(title))) for title in titles]
        first, *others = columns.render(heads, made, width=self.width if self._is_terminal else None)
        self._show([[(first, "title")], *([(line, "")] for line in others)])

    def _show(self, lines: Sequence[Line]) -> None:
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
                _numbered(self._name, number) if is_several else self._name,
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


def _numbered(name: str, number: int) -> str:
    """`story.svg` to `story-2.svg`."""
    stem, ending = os.path.splitext(name)
    return f"{stem}-{number}{ending}"


def _columns_wished() -> int:
    written = os.environ.get("COLUMNS", "")
    return int(written) if written.isascii() and written.isdigit() and len(written) < 5 else _PLAIN_WIDTH


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
