"""`afunix completion SHELL`: the script that makes a shell complete our commands, options and addresses.

The scripts are click's; they ask the program itself (`_AFUNIX_COMPLETE`), so they never grow old.
"""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from .commands import afunix
from .standard import require_stdout

_WHERE = {
    "bash": "~/.bashrc",
    "zsh": "~/.zshrc",
    "fish": "~/.config/fish/completions/afunix.fish",
}


@click.command("completion")
@click.argument("shell", type=click.Choice(list(_WHERE)))
def command(shell: str) -> int:
    """Print the completion script of SHELL, to be read by its start-up file.

    \b
      eval "$(afunix completion bash)"       in ~/.bashrc
      eval "$(afunix completion zsh)"        in ~/.zshrc, after compinit
      afunix completion fish > ~/.config/fish/completions/afunix.fish
    """
    require_stdout("the script")
    made_by = get_completion_class(shell)
    assert made_by is not None
    complete = made_by(afunix, {}, "afunix", "_AFUNIX_COMPLETE")
    click.echo(complete.source_template % complete.source_vars())
    return 0
