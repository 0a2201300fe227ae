"""docs/benchmarks.md has two parts, each written by a program of its own that must not lose the other.

The library's part stands between two comments at the end; all before it is the command's.
"""

from __future__ import annotations

_BEGIN, _END = "<!-- library: begin -->", "<!-- library: end -->"


def write_command_part(path: str, text: str) -> None:
    """Replaces everything but the library's part."""
    kept = _split(path)[1]
    _write(path, text, kept)


def write_library_part(path: str, text: str) -> None:
    """Replaces the library's part alone, or adds it."""
    kept = _split(path)[0]
    _write(path, kept, text)


def _split(path: str) -> tuple[str, str]:
    """The command's part and the library's, without the comments; nothing for what is not there."""
    try:
        with open(path) as file:
            text = file.read()
    except FileNotFoundError:
        return "", ""
    command, _, rest = text.partition(_BEGIN)
    return command, rest.partition(_END)[0]


def _write(path: str, command: str, library: str) -> None:
    parts = [command.strip("\n")] if command.strip() else []
    if library.strip():
        parts.append("\n".join((_BEGIN, library.strip("\n"), _END)))
    with open(path, "w") as file:
        file.write("\n\n".join(parts) + "\n")
