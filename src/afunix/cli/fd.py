"""`afunix fd`: its two commands, each in a file of its own that is imported when it is used."""

from __future__ import annotations

from importlib import import_module

import click

_COMMANDS = {
    "send": "Send open descriptors, or files opened for it.",
    "receive": "Take descriptors, and start a command with them.",
}


class _Pair(click.Group):
    """The commands by their names."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command = import_module(f".fd_{cmd_name}", __package__).command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in _COMMANDS and not args[0].startswith("-"):
            raise click.UsageError(f"there is no command 'fd {args[0]}': expected send or receive", ctx)
        return super().resolve_command(ctx, args)


@click.group("fd", cls=_Pair, invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Pass open descriptors on to another process, over a Unix socket (SCM_RIGHTS, unix(7)).

    \b
      afunix fd receive ./x.sock -- sh -c 'cat <&3'     in one terminal
      afunix fd send ./x.sock ./notes.txt               in another

    Who receives a descriptor can use it as if it had opened it, whatever the permissions of the file say.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
