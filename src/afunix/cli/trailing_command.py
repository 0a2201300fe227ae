"""`-- CMD…`: a command line whose last words, after `--`, are another program's.

click would give them to the last argument. Here they are cut off before it looks, so that none of CMD's options is taken
for one of ours, and the callback gets them as `words`. What they are started with is not known here.
"""

from __future__ import annotations

from typing import Any

import click

_KEY = "afunix.words"
_SEPARATOR = "--"


class WithCommand(click.Command):
    """Has the parameter `words`: what stands after the first `--`, or None without one.

    `after` are the options with which `--` means that; empty: always. Without one of them it has its usual meaning, that
    what follows are arguments and not options; but with an argument in front of it, too, the option was forgotten. `hint` is
    what helps whoever did mean arguments.
    """

    after: tuple[str, ...] = ()
    hint: str | None = None

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        own, words = self._cut(ctx, args)
        ctx.meta[_KEY] = words
        return super().parse_args(ctx, own)

    def invoke(self, ctx: click.Context) -> Any:
        ctx.params["words"] = ctx.meta[_KEY]
        return super().invoke(ctx)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "[-- CMD…]"]

    def _cut(self, ctx: click.Context, args: list[str]) -> tuple[list[str], tuple[str, ...] | None]:
        if _SEPARATOR not in args:
            return args, None
        at = args.index(_SEPARATOR)
        own, words = args[:at], tuple(args[at + 1 :])
        if self.after and not set(self.after) & set(own):
            if words and not ctx.resilient_parsing and self._has_arguments(ctx, own):
                raise _Forgotten(self.after[0], self.hint)
            return args, None
        return own, words

    def _has_arguments(self, ctx: click.Context, own: list[str]) -> bool:
        """Is one of the words an argument of ours, and no option or what belongs to one?"""
        values, _, _ = self.make_parser(ctx).parse_args(list(own))
        found = (values.get(param.name or "") for param in self.params if isinstance(param, click.Argument))
        return any(isinstance(value, str | tuple) and value for value in found)  # click has a word for "none"


class _Forgotten(click.UsageError):
    """A command without the option that says so; `suggestion` is what else it may be."""

    def __init__(self, option: str, hint: str | None) -> None:
        super().__init__(f"what stands after '--' is a command's, and {option} is missing")
        if hint is not None:
            self.suggestion = hint


def with_command_after(*options: str, hint: str | None = None) -> type[WithCommand]:
    """For `@click.command(cls=…)`: a command that is followed by `-- CMD…` where one of `options` is given."""
    return type("WithCommandAfter", (WithCommand,), {"after": options, "hint": hint})


def must_have_words(words: tuple[str, ...] | None, what: str) -> tuple[str, ...]:
    """The command, which `what` (an option, or a command of ours) cannot do without.

    Raises:
        click.UsageError: there is none, or it is empty.
    """
    if not words or not words[0]:
        raise click.UsageError(f"{what} needs a command: expected '-- CMD…' at the end")
    return words


__all__ = ["WithCommand", "must_have_words", "with_command_after"]
