"""The code blocks of README.md and docs/, as the tests of this folder read them.

What a block is run as is told by its language, and where that is not enough by a comment right before it, which readers
of the page do not see:

    <!-- file: service.py -->           it is a file of this name, which a session of the same page uses
    <!-- tested by: path.py::test -->   that test reads it from here and does what it shows

Nothing is skipped: a language, or a comment, that is not known is an error.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

SESSION = "console"
PROGRAM = "python"
UNIT = "ini"
TEXT = "text"
LANGUAGES = {SESSION, PROGRAM, UNIT, TEXT}

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})\s*([^\s`]*)")
_COMMENT = re.compile(r"<!--\s*(.*?)\s*-->\s*")
_WORD = re.compile(r"(file|tested by): (\S+)")
_DIRECTIVE = re.compile(r"\{(toctree)\}")
"""What Sphinx makes of itself is no code."""


@dataclass(frozen=True, slots=True)
class Block:
    """One code block: where its fence is, its language, and its text, which ends with a newline."""

    page: str
    line: int
    language: str
    text: str
    file: str | None = None
    tested_by: str | None = None

    @property
    def where(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[str]:
    """README.md and every Markdown file under docs/, relative to the root."""
    found = [
        os.path.relpath(os.path.join(folder, file), ROOT)
        for folder, _, files in os.walk(os.path.join(ROOT, "docs"))
        for file in files
        if file.endswith(".md")
    ]
    return ["README.md", *sorted(found)]


def blocks_of(page: str) -> list[Block]:
    """All code blocks of a page of this project, in their order."""
    with open(os.path.join(ROOT, page), encoding="utf-8") as file:
        return list(read_blocks(page, file.read()))


def block_tested_by(page: str, test: str) -> list[Block]:
    """Those that leave it to `test`, a function's name."""
    found = [block for block in blocks_of(page) if (block.tested_by or "").endswith(f"::{test}")]
    assert found, f"{page} has no block for {test}"
    return found


def read_blocks(page: str, markdown: str) -> Iterator[Block]:
    """The blocks of a Markdown text; an indented one is none, since nobody can tell what it is.

    Raises:
        ValueError: a fence that does not end, or a comment before one that says nothing known.
    """
    lines = iter(enumerate(markdown.splitlines(), 1))
    before = ""
    for number, line in lines:
        fence = _FENCE.match(line)
        if fence is None:
            before = line if line.strip() else before
            continue
        text = []
        for _, inside in lines:
            if inside.strip() == fence[1]:
                break
            text.append(inside + "\n")
        else:
            raise ValueError(f"{page}:{number}: the block does not end")
        if not _DIRECTIVE.fullmatch(fence[2]):
            yield Block(page, number, fence[2], "".join(text), **_said(page, number, before))
        before = ""


def _said(page: str, number: int, before: str) -> dict[str, str]:
    comment = _COMMENT.fullmatch(before)
    if comment is None:
        return {}
    word = _WORD.fullmatch(comment[1])
    if word is None:
        raise ValueError(f"{page}:{number}: nothing is known of {comment[0]!r}")
    return {word[1].replace(" ", "_"): word[2]}
