"""The table of contents: every command with its one line, in the order in which a person meets them.

A command's file `cli/NAME.py` has the words (`command`, a click command that returns its exit status) and is
imported when that command is used; the work behind it is in `tools/NAME.py`.
"""

from __future__ import annotations

from importlib import import_module

import click

from .. import __version__
from . import lean, messages

COMMANDS = {
    "serve": "Take clients on a socket; what they send goes to STDOUT.",
    "connect": "Connect to a socket: STDIN goes there, replies to STDOUT.",
    "relay": "Pass every connection to one address on to another.",
    "tap": "Show what is said on a live socket, and record it.",
    "activate": "Open sockets, and start a command with them when somebody comes.",
    "ls": "List the Unix sockets there are, with both ends of each connection.",
    "check": "Tell why a socket can or cannot be connected to.",
    "fd": "Pass open descriptors on to another process, and take them.",
    "demo": "Show what happens between sockets, drawn from real calls.",
    "completion": "Print the completion script of a shell.",
    "man": "Show the manual page.",
}


_ON_ASYNCIO = ("serve", "relay", "tap", "activate")


class _Contents(click.Group):
    """A group whose commands are imported only when they are used: start-up costs what one command costs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        if cmd_name in _ON_ASYNCIO:
            lean.import_asyncio()
        command = import_module(f".{cmd_name}", __package__).command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> object:
        """Like every group's, but for errors: click takes any EPIPE for its own output's, and exits without a
        word.
        """
        try:
            return super().invoke(ctx)
        except OSError as error:
            return messages.explain(error)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            raise UnknownCommand(args[0], ctx)
        return super().resolve_command(ctx, args)


class UnknownCommand(click.UsageError):
    """A first word that is no command; `suggestion` is what may have been meant."""

    def __init__(self, word: str, ctx: click.Context) -> None:
        super().__init__(f"there is no command '{word}'", ctx)
        self.word = word
        self.suggestion = self._suggest()

    def _suggest(self) -> str:
        from difflib import get_close_matches

        similar = get_close_matches(self.word, COMMANDS, n=1)
        if similar:
            return f"did you mean 'afunix {similar[0]}'?"
        if "/" in self.word or self.word.startswith("@"):
            return f"the command comes first: afunix connect {self.word}"
        return f"the commands are {', '.join(COMMANDS)}"


@click.group(
    cls=_Contents,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, "-V", "--version", message="%(prog)s %(version)s")
@click.pass_context
def afunix(ctx: click.Context) -> None:
    """Unix domain sockets for the shell.

    \b
      afunix serve ./hello.sock      in one terminal: what clients send, on STDOUT
      afunix connect ./hello.sock    in another: what you type goes there

    An address is a path, @NAME for an abstract name, or fd:N for an inherited socket; for relay also
    tcp:HOST:PORT, ssh:HOST:/PATH, or - for STDIN and STDOUT.
    'afunix COMMAND --help' tells about a command.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
