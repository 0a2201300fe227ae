"""Options that several commands share: one spelling, one meaning, one message for a wrong value.

    SIZE      64K 1M 2G 4096          bytes, K is 1024
    DURATION  500ms 2s 5m 1h 1.5      seconds if no unit is given
    ADDRESS   as in `model.address`; what only `relay` can reach is an END, and else refused
    TYPE      stream dgram seqpacket

No option takes an optional value: it would swallow the argument after it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from ..kernel.socket_types import TYPE_NUMBERS
from ..model.address import Address, AddressKind
from ..model.errors import AddressError
from ..model.escaping import quote

_Command = TypeVar("_Command", bound=Callable[..., Any])

_SIZE_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_DURATION_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_MAX_SECONDS = 10 * 365 * 86400.0
"""What is longer than ten years is a slip of the hand, and overflows some clock."""


class SizeType(click.ParamType):  # type: ignore[type-arg]  # generic in newer clicks only
    """`64K` to 65536."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        number, unit = _split_unit(value)
        factor = _SIZE_UNITS.get(unit.removesuffix("ib") if len(unit) == 3 else unit)
        if not number.isdigit() or factor is None:
            self.fail(
                f"{quote(value)} is no size: expected a number of bytes such as 4096, 64K or 1M", param, ctx
            )
        return int(number) * factor


class DurationType(click.ParamType):  # type: ignore[type-arg]  # generic in newer clicks only
    """`500ms` to 0.5 seconds. As a limit of time it may not be 0."""

    name = "duration"

    def __init__(self, *, is_limit: bool = False) -> None:
        self._is_limit = is_limit

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        number, unit = _split_unit(value)
        factor = _DURATION_UNITS.get(unit)
        try:
            seconds = float(number) * factor if factor is not None else math.nan
        except ValueError:
            seconds = math.nan
        if not 0 <= seconds <= _MAX_SECONDS:
            self.fail(f"{quote(value)} is no duration: expected one such as 500ms, 2s or 5m", param, ctx)
        if seconds == 0 and self._is_limit:
            self.fail(f"{quote(value)} leaves no time at all; for no limit leave the option away", param, ctx)
        return seconds


def _split_unit(written: str) -> tuple[str, str]:
    number = written.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    plain = number.isascii() and number.replace(".", "", 1).isdigit()  # no sign, no 1e9, no 1_000
    return (number, written[len(number) :].lower()) if plain else ("", "")


class AddressType(click.ParamType):  # type: ignore[type-arg]  # generic in newer clicks only
    """A Unix socket's address: pathname, abstract or inherited; with `is_relays` also what only `relay` reaches."""

    name = "address"

    def __init__(self, *, is_relays: bool = False) -> None:
        self._is_relays = is_relays

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Address:
        address = value if isinstance(value, Address) else Address.parse(value)
        if not self._is_relays and not address.is_unix and address.kind is not AddressKind.INHERITED:
            raise AddressError(
                f"{quote(str(address))} is no Unix socket: expected a path, @NAME or fd:N",
                hint=f"for a file of that name write ./{address}",
            )
        return address

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return [CompletionItem(incomplete, type="file")]


SIZE = SizeType()
DURATION = DurationType()
LIMIT = DurationType(is_limit=True)
ADDRESS = AddressType()
END = AddressType(is_relays=True)
TYPE = click.Choice(list(TYPE_NUMBERS))


def talk_options(command: _Command) -> _Command:
    """-q, -v and --trace: `quiet`, `verbose`, `trace`."""
    trace = click.option(
        "--trace", is_flag=True, help="Show every call on a socket with its result, on STDERR."
    )
    return loudness_options(trace(command))


def loudness_options(command: _Command) -> _Command:
    """-q and -v: `quiet`, `verbose`."""
    for option in (
        click.option("-v", "--verbose", is_flag=True, help="Say what goes on, on STDERR."),
        click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors."),
    ):
        command = option(command)
    return command


def time_options(command: _Command) -> _Command:
    """--idle-timeout and --timeout: `idle_timeout`, `timeout`, seconds or None."""
    for option in (
        click.option("--timeout", type=LIMIT, metavar="T", help="End the whole run after T (status 7)."),
        click.option(
            "--idle-timeout", type=LIMIT, metavar="T", help="End a connection that moves no byte for T."
        ),
    ):
        command = option(command)
    return command


def type_option(help_text: str) -> Callable[[_Command], _Command]:
    """--type: `socket_type`, a word of `kernel.socket_types` or None."""
    return click.option("--type", "socket_type", type=TYPE, help=help_text)


escape_option = click.option(
    "--escape",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    show_default=True,
    help="Show control characters instead of passing them on; auto: if STDOUT is a terminal.",
)


def exclude(*pairs: tuple[str, bool]) -> None:
    """Refuse options that contradict each other: `exclude(("--raw", raw), ("--null", null))`.

    Raises:
        click.UsageError: if more than one of them is set, naming those.
    """
    given = [name for name, is_given in pairs if is_given]
    if len(given) > 1:
        raise click.UsageError(f"{' and '.join(given)} exclude each other")
