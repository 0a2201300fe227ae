"""`afunix man`: the manual page that comes with the package, on a terminal shown by man(1), else as roff."""

from __future__ import annotations

import os
import shutil
import subprocess

import click

from . import manpage
from .standard import require_stdout


@click.command("man")
def command() -> int:
    """Show the manual page; where STDOUT is no terminal, print it as roff.

    \b
      afunix man
      afunix man > ~/.local/share/man/man1/afunix.1
    """
    require_stdout("the page")
    page = manpage.render()
    viewer = shutil.which("man")
    if viewer is None or not os.isatty(1):
        click.echo(page, nl=False)
        return 0
    return subprocess.run([viewer, "-l", "-"], input=page.encode(), check=False).returncode
