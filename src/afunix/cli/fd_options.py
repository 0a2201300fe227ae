"""What `fd send` and `fd receive` have in common: which options are for those who connect, and which for who listens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from ..model.address import Address, AddressKind
from ..model.errors import AddressError
from ..tools.one_peer import Meeting, Watchers
from .listening import Listening, some_listening_options
from .messages import Messages
from .narration import Narration
from .options import DURATION, LIMIT

_Command = TypeVar("_Command", bound=Callable[..., Any])

for_listeners = some_listening_options("allow", "deny", "mode", "owner", "group", "replace", "backlog")


def for_clients(command: _Command) -> _Command:
    """--wait, --connect-timeout and --require: `wait`, `connect_timeout`, `require`."""
    for option in (
        click.option("--require", metavar="user:NAME", help="Who the server must be: who called listen."),
        click.option(
            "--connect-timeout", type=LIMIT, metavar="T", help="Give up connecting after T (status 7)."
        ),
        click.option("--wait", type=DURATION, metavar="T", help="Wait up to T for the server to be there."),
    ):
        command = option(command)
    return command


def timeout_option(command: _Command) -> _Command:
    """--timeout: `timeout`."""
    return click.option("--timeout", type=LIMIT, metavar="T", help="End the whole run after T (status 7).")(
        command
    )


def meeting_for(
    address: Address,
    socket_type: str | None,
    listening: Listening,
    *,
    connects: bool,
    takes_descriptors: bool,
    wait: float | None,
    connect_timeout: float | None,
    require: str | None,
) -> Meeting:
    """Where, and how, if the options do not contradict each other.

    Raises:
        click.UsageError, AddressError: they do.
    """
    given = (("--wait", wait), ("--connect-timeout", connect_timeout), ("--require", require))
    clients = [name for name, value in given if value is not None]
    if connects and listening.given():
        raise click.UsageError(f"{listening.given()[0]} is for who listens, and this connects")
    if not connects and clients:
        raise click.UsageError(f"{clients[0]} is for who connects, and this listens")
    if not connects:
        listening.check([address])
    if not connects and not takes_descriptors and socket_type == "dgram":
        raise AddressError(
            "nobody connects to a dgram socket, so --listen would wait for ever",
            hint="without --listen datagrams go to whoever is bound there",
        )
    if not connects and listening.backlog is not None and socket_type == "dgram":
        raise AddressError("--backlog means nothing for a dgram socket: datagrams come without connections")
    _must_not_be_standard(address)
    return Meeting(
        address,
        connects,
        takes_descriptors,
        socket_type=socket_type,
        wait=wait,
        connect_timeout=connect_timeout,
        require=require,
        rules=listening.rules(),
        ownership=listening.ownership(),
        backlog=listening.backlog,
    )


def _must_not_be_standard(address: Address) -> None:
    """0 to 2 are for the command that comes after us, or for our words."""
    number = address.descriptor if address.kind is AddressKind.INHERITED else None
    if number is not None and number < 3:
        raise AddressError(
            f"'{address}' is a standard descriptor: expected fd:3 or more",
            hint="pass the socket as another one, such as 3<>…",
        )


def watchers_for(narration: Narration, address: Address, *, connects: bool) -> Watchers:
    """Who tells a person what goes on."""
    return Watchers(
        observer=narration.observer,
        alerts=narration.alert,
        on_unmatched=narration.unmatched,
        on_ready=(lambda: None) if connects else (lambda: narration.warn_of_directories([address])),
    )


def narration_for(*, quiet: bool, verbose: bool, trace: bool) -> tuple[Messages, Narration]:
    """As loud as was asked for."""
    messages = Messages(quiet=quiet, verbose=verbose)
    return messages, Narration(messages, trace=trace)
