"""`afunix relay LISTEN CONNECT`: the words and options, and which two ends go together; the work is in `tools.relay`,
for `-` in `tools.connect` and `tools.serve`, what a person is told meanwhile in `relay_narration` and `live`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import click

from ..model.address import Address, AddressKind
from ..model.errors import AddressError
from ..model.escaping import quote
from ..model.relay_misuse import Wish, refuse_misuse
from ..tools.relay import RelayResult, RelaySettings, relay
from ..tools.relay_ends import must_be_reachable
from . import live
from .endings import STATUS_AFTER
from .listening import Listening, listening_options
from .messages import STATUSES_HELP, Messages
from .narration import Narration
from .options import DURATION, END, LIMIT, exclude, talk_options, time_options, type_option
from .relay_narration import RelayNarration
from .standard import require_stdout

HELP = f"""Take clients on LISTEN, connect to CONNECT for each of them, and pass on what both say.

\b
  afunix relay ./new.sock /run/app.sock           another path for the same server
  afunix relay tcp:127.0.0.1:8080 /run/app.sock   a TCP port in front of it
  afunix relay ./db.sock tcp:db.example:5432      a socket here for a port elsewhere
  afunix relay ./app.sock ssh:box:/run/app.sock   a socket here for one on another host
  afunix relay - @app                             STDIN and STDOUT as one side
  sudo afunix relay --as-client --mode 666 /run/new.sock /run/db.sock

Each end of file is passed on by itself, the other direction goes on. Nothing is cut off unless a limit of
time is asked for. A client for whom there is no connection is closed, and why is said here.

LISTEN is a path, @NAME, fd:N for an inherited socket, tcp:HOST:PORT, ssh:HOST:/PATH, or '-'; CONNECT is a path,
@NAME, tcp:HOST:PORT, ssh:HOST:/PATH, or '-'. Several LISTEN lead to one CONNECT; with CONNECT alone the sockets that
systemd hands over are used. With '-' as CONNECT one client after another talks to STDIN and STDOUT, until a
signal comes.

{STATUSES_HELP}
"""

_LOST_HINT = "a client or the server took no more, or was cut off"

_WORDS = {
    Wish.DESCRIPTORS: "--pass-fds",
    Wish.EACH_CLIENT: "--as-client",
    Wish.RULES: "--allow or --deny",
    Wish.USER_LIMIT: "--max-per-user",
    Wish.PATIENCE: "--wait",
}


@click.command("relay", help=HELP, short_help="Pass every connection to one address on to another.")
@click.argument("addresses", metavar="LISTEN CONNECT", type=END, nargs=-1, required=True)
@type_option("Of both ends; default stream, or what an inherited socket is.")
@click.option(
    "--wait", type=DURATION, metavar="T", help="Let clients wait up to T for the server to be there."
)
@click.option("--connect-timeout", type=LIMIT, metavar="T", help="Give up connecting for a client after T.")
@click.option("--pass-fds", is_flag=True, help="Pass descriptors on too; without it they are refused.")
@click.option("--as-client", is_flag=True, help="Connect with each client's user and groups (as root).")
@listening_options
@time_options
@talk_options
def command(
    addresses: tuple[Address, ...],
    socket_type: str | None,
    wait: float | None,
    connect_timeout: float | None,
    pass_fds: bool,
    as_client: bool,
    idle_timeout: float | None,
    timeout: float | None,
    quiet: bool,
    verbose: bool,
    trace: bool,
    listening: Listening,
) -> int:
    exclude(("--quiet", quiet), ("--verbose", verbose))
    *listen, connect = addresses
    _check_ends(listen, connect)
    settings = RelaySettings(
        listen=tuple(listen),
        connect=connect,
        socket_type=socket_type or _default_type(listen),
        wait=wait,
        connect_timeout_s=connect_timeout,
        max_clients=listening.max_clients,
        max_per_user=listening.max_per_user,
        rules=listening.rules(),
        ownership=listening.ownership(),
        backlog=listening.backlog,
        idle_timeout_s=idle_timeout,
        timeout_s=timeout,
        drain_s=listening.drain,
        pass_fds=pass_fds,
        as_client=as_client,
        is_traced=trace,
        words={**_WORDS, Wish.RECORDS: f"--type {socket_type}"},
    )
    _check_options(settings, listening)
    messages = Messages(quiet=quiet, verbose=verbose)
    if _is_stdio(listen):
        return _converse(settings, messages, verbose=verbose)
    listening.check(listen)
    if _is_stdio([connect]):
        return _talk(settings, messages)
    return _relay(settings, messages)


# Which ends go together


def _check_ends(listen: Sequence[Address], connect: Address) -> None:
    """Refuse, before anything is opened, what no relay can be made of.

    Raises:
        AddressError: so it is.
    """
    if connect.kind is AddressKind.INHERITED:
        raise AddressError(
            f"{quote(str(connect))} is an inherited socket, and CONNECT is a server to connect to",
            hint="inherited sockets come first: afunix relay fd:3 /run/app.sock",
        )
    if not listen and (connect.kind is AddressKind.STDIO or not os.environ.get("LISTEN_FDS")):
        raise AddressError(
            f"only {quote(str(connect))} is given, and a relay has two ends",
            hint="where to listen comes first: afunix relay ./new.sock /run/app.sock",
        )
    for address in (*listen, connect):
        must_be_reachable(address)
    if _is_stdio(listen) and _is_stdio([connect]):
        raise AddressError("STDIN and STDOUT cannot be both ends", hint="that is what cat does")
    if _is_stdio(listen) and len(listen) > 1:
        raise AddressError("'-' is one client, and nobody else can come beside it", hint="name it alone")


def _is_stdio(addresses: Sequence[Address]) -> bool:
    return any(address.kind is AddressKind.STDIO for address in addresses)


def _default_type(listen: Sequence[Address]) -> str | None:
    """None, where an inherited socket says it."""
    return "stream" if any(address.kind is not AddressKind.INHERITED for address in listen) else None


# What options mean nothing there


def _check_options(settings: RelaySettings, listening: Listening) -> None:
    """Refuse options that the two ends give no meaning.

    Raises:
        AddressError: so it is.
    """
    refuse_misuse(settings.listen, settings.connect, settings.wishes)
    if _is_stdio(settings.listen):
        _refuse_given(listening.given(), "'-' is the client")
    if _is_stdio([settings.connect]):
        given = [name for name in listening.given() if name == "--max-clients"]
        given += ["--wait"] * (settings.wait is not None)
        given += ["--connect-timeout"] * (settings.connect_timeout_s is not None)
        _refuse_given(given, "'-' is the server: it has one client at a time")


def _refuse_given(given: Sequence[str], why: str) -> None:
    if given:
        raise AddressError(f"{given[0]} means nothing where {why}", hint="leave the option away")


# The three ways to run


def _converse(settings: RelaySettings, messages: Messages, *, verbose: bool) -> int:
    """`relay - CONNECT`: as `connect`."""
    require_stdout()
    from ..tools import relay_stdio
    from ..tools.connect import ConnectSettings

    result = relay_stdio.run(
        ConnectSettings(
            address=settings.connect,
            socket_type=settings.socket_type,
            wait=settings.wait,
            connect_timeout=settings.connect_timeout_s,
            idle_timeout=settings.idle_timeout_s,
            timeout=settings.timeout_s,
        ),
        observer=messages.tracer() if settings.is_traced else None,
        alerts=Narration(messages, trace=False).alert,
        note=messages.note if verbose else messages.silence,
    )
    return -result.signal


def _talk(settings: RelaySettings, messages: Messages) -> int:
    """`relay LISTEN -`: as `serve --talk`."""
    require_stdout()
    from ..tools.presentation import Presentation
    from ..tools.serve import ServeSettings, Use
    from . import serve

    return serve.run(
        ServeSettings(
            addresses=settings.listen,
            socket_type=settings.socket_type,
            use=Use.TALK,
            presentation=Presentation(escapes=os.isatty(1)),
            max_per_user=settings.max_per_user,
            rules=settings.rules,
            ownership=settings.ownership,
            backlog=settings.backlog,
            idle_timeout_s=settings.idle_timeout_s,
            timeout_s=settings.timeout_s,
            drain_s=settings.drain_s,
            is_traced=settings.is_traced,
        ),
        messages,
    )


def _relay(settings: RelaySettings, messages: Messages) -> int:
    narration = RelayNarration(messages, settings)
    line = live.Live() if live.is_possible() and messages.notes and not settings.is_traced else None
    try:
        result = relay(
            settings,
            observer=narration.observer,
            alerts=narration.alert,
            on_unreachable=narration.unreachable,
            on_unmatched=narration.unmatched,
            on_pair_over=narration.pair_over,
            on_ready=lambda listeners, relay: narration.ready(),
            on_look=None if line is None else lambda it: line.look(len(it.pairs.pairs), *it.pairs.traffic()),
        )
    finally:
        if line is not None:
            line.close()
    narration.finish()
    for error in result.left_behind:
        messages.warn(error.message, error.hint)
    narration.tell_totals(result)
    return _status_after(result)


def _status_after(result: RelayResult) -> int:
    return STATUS_AFTER[result.cause](result, _LOST_HINT)
