"""Where `demo --svg` is to put its pictures: refused before any work is done, if nothing can be written there.

Asked of the kernel by opening the file, as it will be opened at the end; nothing that is there is changed by it.
"""

from __future__ import annotations

import os
import stat

import click

from ..model.escaping import quote
from .drawing import numbered


def check_destination(name: str, *, is_several: bool) -> None:
    """`name` as after --svg: a file, `-` for STDOUT, or with `is_several` the pattern of several files' names.

    Raises:
        click.UsageError: it names no file, or several pictures were to go to STDOUT.
        OSError: as open(2), with the name: a directory, no permission, no such directory.
    """
    if name == "-":
        if is_several:
            raise click.UsageError("several pictures cannot go to STDOUT together: name a file after --svg")
        return
    if os.path.basename(name) in ("", ".svg"):
        raise click.UsageError(
            f"{quote(name)} after --svg is not the name of a file: expected one as 'story.svg'"
        )
    _try_to_open(numbered(name, 1) if is_several else name)


def _try_to_open(name: str) -> None:
    """As for writing; what was not there is not there afterwards. A FIFO is left alone: its reader would see an end."""
    try:
        mode = os.stat(name).st_mode
    except FileNotFoundError:
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666))
        os.unlink(os.path.realpath(name))  # through a link that led nowhere
        return
    if not stat.S_ISFIFO(mode):
        os.close(os.open(name, os.O_WRONLY | os.O_CLOEXEC))
