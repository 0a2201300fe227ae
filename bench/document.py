"""docs/benchmarks.md has parts, each measured in a run of its own that must not lose the others.

A part stands between two comments with its name; what is outside of all is the command's. Parts keep their order.
"""

from __future__ import annotations

import re

_PART = re.compile(r"<!-- (\w+): begin -->\n(.*?)<!-- \1: end -->\n*", re.DOTALL)


def write_command_part(path: str, text: str) -> None:
    """Replaces everything but the named parts."""
    _write(path, text, _read(path)[1])


def write_part(path: str, name: str, text: str) -> None:
    """Replaces the part `name` alone, or adds it at the end."""
    command, parts = _read(path)
    _write(path, command, {**parts, name: text})


def _read(path: str) -> tuple[str, dict[str, str]]:
    """The command's part and the named ones; nothing for what is not there."""
    try:
        with open(path) as file:
            text = file.read()
    except FileNotFoundError:
        return "", {}
    return _PART.sub("", text), {found[1]: found[2] for found in _PART.finditer(text)}


def _write(path: str, command: str, parts: dict[str, str]) -> None:
    pieces = [command.strip("\n")] if command.strip() else []
    for name, text in parts.items():
        pieces.append("\n".join((f"<!-- {name}: begin -->", text.strip("\n"), f"<!-- {name}: end -->")))
    with open(path, "w") as file:
        file.write("\n\n".join(pieces) + "\n")
