"""Options of the commands that listen, `serve` and `relay`: who may come, how many, and what the socket file is like.

`listening_options` hands them to the command as one value, `listening`; what they mean is made from it when it is
asked for. One spelling, one meaning; what contradicts itself is refused here. `tap` has some of them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeVar

import click

from ..kernel import names
from ..kernel.listener import Ownership
from ..model.address import Address, AddressKind
from ..model.errors import AddressError
from ..model.escaping import quote
from ..model.rules import Rule, Rules, parse_id
from .options import DURATION

_Command = TypeVar("_Command", bound=Callable[..., Any])

_USUAL_MODE = 0o600
_LARGEST_BACKLOG = (1 << 31) - 1
"""listen(2) takes an int."""


class ModeType(click.ParamType):  # type: ignore[type-arg]  # generic in newer clicks only
    """`0660` or `660` to the number."""

    name = "mode"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        written = str(value)
        if not written or len(written) > 5 or set(written) - set("01234567") or int(written, 8) > 0o777:
            self.fail(
                f"{quote(written)} is no mode: expected octal digits such as 0660, at most 0777", param, ctx
            )
        return int(written, 8)


def at_least_one(ctx: click.Context, param: click.Parameter, value: int | None) -> int | None:
    if value is not None and value < 1:
        raise click.BadParameter(f"{value} is too few: expected at least 1", ctx, param)
    return value


class Listening(NamedTuple):
    """The options as they were given."""

    max_clients: int | None = None
    max_per_user: int | None = None
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    mode: int | None = None
    owner: str | None = None
    group: str | None = None
    replace: bool = False
    keep: bool = False
    backlog: int | None = None
    drain: float | None = None

    def rules(self) -> Rules:
        """Raises RuleError: a rule that is none, or names nobody."""
        return Rules(
            [
                *(Rule.parse(written, allows=True, names=names) for written in self.allow),
                *(Rule.parse(written, allows=False, names=names) for written in self.deny),
            ]
        )

    def ownership(self) -> Ownership:
        """Raises RuleError: an owner or a group that nobody has."""
        return Ownership(
            mode=_USUAL_MODE if self.mode is None else self.mode,
            uid=None if self.owner is None else parse_id(self.owner, "user", names.uid_of),
            gid=None if self.group is None else parse_id(self.group, "group", names.gid_of),
            replace=self.replace,
            keep=self.keep,
        )

    def given(self) -> tuple[str, ...]:
        """The names of those that were given, as they are written."""
        usual = Listening()
        return tuple(
            f"--{name.replace('_', '-')}"
            for name in self._fields
            if getattr(self, name) != getattr(usual, name)
        )

    def check(self, addresses: Iterable[Address]) -> None:
        """Refuse what cannot be: a backlog out of range, a file's options where no file is made.

        Raises:
            click.UsageError, AddressError: so it is.
        """
        if self.backlog is not None and not 0 <= self.backlog <= _LARGEST_BACKLOG:
            raise click.UsageError(f"--backlog {self.backlog} is out of range: expected 0 or more")
        given = [name for name in self.given() if name in _ABOUT_FILES]
        # Abstract names have no file, and an inherited socket's is its owner's.
        if given and not any(address.kind is AddressKind.PATHNAME for address in addresses):
            raise AddressError(
                f"{given[0]} is about a socket file, and none is made here",
                hint="name a path for the socket, or leave the option away",
            )


_ABOUT_FILES = ("--mode", "--owner", "--group", "--replace", "--keep")

_OPTIONS = {
    "max_clients": click.option(
        "--max-clients", type=int, metavar="N", callback=at_least_one, help="Others wait in the backlog."
    ),
    "max_per_user": click.option(
        "--max-per-user",
        type=int,
        metavar="N",
        callback=at_least_one,
        help="Others of that user are refused.",
    ),
    "allow": click.option(
        "--allow", multiple=True, metavar="RULE", help="Admit only: user:NAME group:NAME root me any."
    ),
    "deny": click.option("--deny", multiple=True, metavar="RULE", help="Refuse, whatever is allowed."),
    "mode": click.option(
        "--mode", type=ModeType(), metavar="MODE", help="Of the socket file. [default: 0600]"
    ),
    "owner": click.option("--owner", metavar="USER", help="Of the socket file."),
    "group": click.option("--group", metavar="GROUP", help="Of the socket file."),
    "replace": click.option("--replace", is_flag=True, help="Take over the path of a live socket."),
    "keep": click.option("--keep", is_flag=True, help="Leave the socket file at the end."),
    "backlog": click.option(
        "--backlog", type=int, metavar="N", help="Clients that may wait. [default: the kernel's maximum]"
    ),
    "drain": click.option(
        "--drain", type=DURATION, metavar="T", help="At a stop, let conversations go on for up to T."
    ),
}


def some_listening_options(*fields: str) -> Callable[[_Command], _Command]:
    """The options of those fields of `Listening`, which the command gets as its argument `listening`."""

    def add(command: _Command) -> _Command:
        @functools.wraps(command)
        def with_listening(*args: Any, **kwargs: Any) -> Any:
            given = {name: kwargs.pop(name) for name in fields}
            return command(*args, listening=Listening(**given), **kwargs)

        for name, option in reversed(_OPTIONS.items()):
            if name in fields:
                with_listening = option(with_listening)
        return with_listening  # type: ignore[return-value]

    return add


def listening_options(command: _Command) -> _Command:
    """All the options of `Listening`, which the command gets as its argument `listening`."""
    return some_listening_options(*Listening._fields)(command)
