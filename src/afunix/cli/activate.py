"""`afunix activate ADDRESS… -- CMD`: the words and options; the work is in `tools.activate`, with --accept in `tools.serve`.
What a person is told meanwhile is in `activate_narration` and `narration`.
"""

from __future__ import annotations

import signal
from collections.abc import Callable

import click

from ..kernel.exit_code import words_of
from ..kernel.unanswered import Unanswered
from ..model.address import Address, AddressKind
from ..model.counting import counted
from ..model.escaping import quote
from ..tools.activate import ActivateResult, ActivateSettings, activate, name_for_each
from ..tools.settings import Cause, ServeSettings, Use
from .activate_narration import ActivateNarration
from .listening import Listening, listening_options
from .messages import STATUSES_HELP, Messages, explain, say_error
from .narration import Narration
from .options import ADDRESS, exclude, talk_options, type_option
from .serve import run as run_serve
from .trailing_command import WithCommand, must_have_words

HELP = f"""Open each ADDRESS, and start CMD with the sockets when somebody connects, as systemd does it.

\b
  afunix activate ./app.sock -- python app.py        start app.py for the first client
  afunix activate --now @app -- ./app                start it at once, and again when it has failed
  afunix activate --name web ./web.sock -- ./server  a name for the socket (LISTEN_FDNAMES)
  afunix activate --accept ./echo.sock -- ./one      a process for each client, which has it as descriptor 3

CMD finds the listening sockets as descriptors 3 and so on, their number in LISTEN_FDS, its own pid in LISTEN_PID. It
accepts. When it has ended it is started again for whoever waits, or comes; meanwhile nobody is refused. STDIN is
/dev/null for it. It has to stay in the foreground.

SIGTERM and SIGINT are passed on, and the end is waited for, also that of what CMD has left behind; so are SIGHUP, SIGUSR1,
SIGUSR2, SIGWINCH and SIGCONT, and CMD goes on. With --accept a stop is that of serve --exec, and no signal is passed on.
Without ADDRESS, the sockets that systemd hands over are handed on.

{STATUSES_HELP}
"""

_RULES_HINT = "--accept makes us accept; or let --mode and --group say who may connect, or CMD's own rules"
_ABOUT_CLIENTS = ("--allow", "--deny", "--max-clients", "--max-per-user")


@click.command(
    "activate",
    cls=WithCommand,
    help=HELP,
    short_help="Open sockets, and start a command with them when somebody comes.",
)
@click.argument("addresses", metavar="ADDRESS…", type=ADDRESS, nargs=-1)
@type_option("What to create; default stream, or what an inherited socket is.")
@click.option("--accept", "accepts", is_flag=True, help="Accept here, and start CMD once for each client.")
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="NAME",
    help="Of the socket, in LISTEN_FDNAMES; one for all, or one for each ADDRESS.",
)
@click.option("--now", "is_eager", is_flag=True, help="Start CMD at once, and again whenever it has failed.")
@listening_options
@talk_options
def command(
    addresses: tuple[Address, ...],
    socket_type: str | None,
    accepts: bool,
    names: tuple[str, ...],
    is_eager: bool,
    quiet: bool,
    verbose: bool,
    trace: bool,
    listening: Listening,
    words: tuple[str, ...] | None,
) -> int:
    exclude(("--quiet", quiet), ("--verbose", verbose))
    exclude(("--accept", accepts), ("--now", is_eager))
    command_words = must_have_words(words, "activate")
    listening.check(addresses)
    if socket_type is None and any(address.kind is not AddressKind.INHERITED for address in addresses):
        socket_type = "stream"
    messages = Messages(quiet=quiet, verbose=verbose)
    if accepts:
        return run_serve(
            _for_each(addresses, socket_type, command_words, names, listening, is_traced=trace), messages
        )
    _refuse_rules(listening)
    settings = ActivateSettings(
        addresses=addresses,
        command=command_words,
        socket_type=socket_type,
        names=names,
        is_eager=is_eager,
        ownership=listening.ownership(),
        backlog=listening.backlog,
        drain_s=listening.drain,
        stream_only=_backlog_of(listening),
    )
    return _run(settings, messages, is_traced=trace)


def _for_each(
    addresses: tuple[Address, ...],
    socket_type: str | None,
    words: tuple[str, ...],
    names: tuple[str, ...],
    listening: Listening,
    *,
    is_traced: bool,
) -> ServeSettings:
    """A process for each client is what `serve --exec` has, too: only the way the socket is handed over is another."""
    return ServeSettings(
        addresses=addresses,
        socket_type=socket_type,
        use=Use.EXEC,
        command=words,
        handed_over_as=name_for_each(names),
        max_clients=listening.max_clients,
        max_per_user=listening.max_per_user,
        rules=listening.rules(),
        ownership=listening.ownership(),
        backlog=listening.backlog,
        drain_s=listening.drain,
        stream_only=("--accept", *_backlog_of(listening)),
        is_traced=is_traced,
    )


def _backlog_of(listening: Listening) -> tuple[str, ...]:
    return () if listening.backlog is None else ("--backlog",)


def _refuse_rules(listening: Listening) -> None:
    """Who is not accepted by us cannot be refused by us either.

    Raises:
        UsageError: such an option is given.
    """
    given = [name for name in listening.given() if name in _ABOUT_CLIENTS]
    if given:
        raise _Unenforceable(given[0])


class _Unenforceable(click.UsageError):
    """An option that is about clients, where CMD accepts them; `suggestion` is what may help."""

    def __init__(self, option: str) -> None:
        super().__init__(f"{option} cannot be enforced: without --accept it is CMD that accepts the clients")
        self.suggestion = _RULES_HINT


def _run(settings: ActivateSettings, messages: Messages, *, is_traced: bool) -> int:
    narration = Narration(messages, trace=is_traced)
    of_command = ActivateNarration(messages, settings.command[0])
    result = activate(
        settings,
        observer=narration.observer,
        tell=of_command.tell,
        on_unmatched=narration.unmatched,
        on_ready=lambda listeners: narration.warn_of_directories(settings.addresses),
    )
    of_command.finish()
    for error in result.left_behind:
        messages.warn(error.message, error.hint)
    status = _STATUS_AFTER[result.cause](result, settings, messages)
    if result.left:
        _tell_left(result.left, quote(settings.command[0]))
        return status or 8
    return status


# How it ended


def _after_signal(result: ActivateResult, settings: ActivateSettings, messages: Messages) -> int:
    name = quote(settings.command[0])
    if result.is_forced:
        return -result.signal_number
    if result.is_cut and not result.left:
        say_error(
            f"{name} had not ended {settings.drain_s:g} s after {signal.Signals(result.signal_number).name} and was killed:"
            " what its clients had sent may be lost",
            "--drain gives it longer",
        )
        _tell_unanswered(result.unanswered, messages)
        return 8
    return _tell_unanswered(result.unanswered, messages)


def _tell_left(pids: tuple[int, ...], name: str) -> None:
    numbers = " ".join(map(str, pids))
    say_error(
        f"{name}, or what it had started, may not be killed (EPERM) and was left behind: pid {numbers}",
        f"whoever may: kill -KILL {numbers}",
    )


def _after_own_end(result: ActivateResult, settings: ActivateSettings, messages: Messages) -> int:
    status = _tell_unanswered(result.unanswered, messages)
    if result.code:
        say_error(
            f"{quote(settings.command[0])} has shut down what it was given to listen on, and failed:"
            f" {words_of(result.code)}"
        )
        return status or 1
    return status


def _after_fault(result: ActivateResult, settings: ActivateSettings, messages: Messages) -> int:
    assert result.fault is not None
    explain(result.fault)
    return 1


_STATUS_AFTER: dict[Cause, Callable[[ActivateResult, ActivateSettings, Messages], int]] = {
    Cause.SIGNAL: _after_signal,
    Cause.OWN_REASON: _after_own_end,
    Cause.FAULT: _after_fault,
}


def _tell_unanswered(those: Unanswered, messages: Messages) -> int:
    """Those whom no command served any more; 8 if they had sent something, or may have."""
    least = "" if those.is_certain else "at least "
    lost = (
        f", and {counted(those.sent, 'byte')} that they had sent {_is(those.sent)} lost" if those.sent else ""
    )
    if those.datagrams:
        what = f"{counted(those.datagrams, 'datagram')} of {counted(those.sent, 'byte')}"
        say_error(f"{what} came too late and {_is(those.datagrams)} lost")
        return 8
    if those.sent or not those.is_certain:
        say_error(f"{least}{counted(those.clients, 'client')} waited when the end came{lost}")
        return 8
    if those.clients:
        messages.warn(f"{counted(those.clients, 'client')} waited when the end came, and had sent nothing")
    return 0


def _is(count: int) -> str:
    return "is" if count == 1 else "are"
