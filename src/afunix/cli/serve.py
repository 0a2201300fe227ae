"""`afunix serve ADDRESS…`: the words and options; the work is in `tools.serve`, what a person is told meanwhile in
`narration`.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import click

from ..formats.label import DEFAULT_LABEL, Label
from ..model.address import Address, AddressKind
from ..model.client_environment import Dialect
from ..model.counting import counted
from ..model.errors import errno_name
from ..model.framing import MAX_LINE_BYTES
from ..tools.presentation import Presentation
from ..tools.serve import Cause, ServeResult, ServeSettings, Use, serve
from .endings import STATUS_AFTER, say_lost
from .listening import Listening, listening_options
from .messages import STATUSES_HELP, Messages, say_error
from .narration import Narration
from .options import ADDRESS, SIZE, escape_option, exclude, talk_options, time_options, type_option
from .standard import require_stdout
from .trailing_command import must_have_words, with_command_after

HELP = f"""Take clients on each ADDRESS, any number at once; what they send goes to STDOUT, in whole lines.

\b
  afunix serve ./hello.sock              collect lines from everybody who connects
  afunix serve --label @log | tee log    say in front of each line who sent it
  afunix serve --json ./events.sock      one JSON object a line
  afunix serve --echo @echo              send everything back
  afunix serve --talk ./chat.sock        talk with one client at a time
  afunix serve --exec ./run.sock -- CMD  start CMD for each client, with the socket as its STDIN and STDOUT

ADDRESS is a path, @NAME for an abstract name, or fd:N for an inherited socket. Without one, the sockets
that systemd hands over are used. A stale socket file is replaced; a live one never is, unless asked.

{STATUSES_HELP}
"""


_ADDRESS_HINT = "--exec runs it for each client; an address that begins with - is ./-…"

_LOST_HINTS = {
    Use.COLLECT: "whoever reads STDOUT has stopped reading",
    Use.ECHO: "the client has stopped reading",
    Use.TALK: "whoever reads STDOUT has stopped reading",
    Use.EXEC: "no command was there to read what its client had sent: see whether it still can be run",
}


@click.command(
    "serve",
    cls=with_command_after("--exec", hint=_ADDRESS_HINT),
    help=HELP,
    short_help="Take clients on a socket; what they send goes to STDOUT.",
)
@click.argument("addresses", metavar="ADDRESS…", type=ADDRESS, nargs=-1)
@type_option("What to create; default stream, or what an inherited socket is.")
@click.option("--raw", is_flag=True, help="Bytes as they come: no line is held, nothing is added.")
@click.option(
    "--max-line", type=SIZE, metavar="SIZE", help="Hold a line up to SIZE before it is let out. [default: 1M]"
)
@click.option("--label", is_flag=True, help=f"Put who sent it before each line: {DEFAULT_LABEL!r}")
@click.option("--label-format", metavar="F", help="The label; fields: connection pid uid gid user comm time.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each line or record.")
@click.option("--null", is_flag=True, help="End each record with NUL (dgram, seqpacket).")
@escape_option
@click.option("--echo", is_flag=True, help="Send everything back to its client instead of to STDOUT.")
@click.option("--talk", is_flag=True, help="One client at a time; STDIN goes to it.")
@click.option("--exec", "executes", is_flag=True, help="Start CMD, which stands after --, for each client.")
@click.option(
    "--env",
    "dialect",
    type=click.Choice([each.value for each in Dialect]),
    help="Tell CMD of its client also in their variables.",
)
@click.option("--once", is_flag=True, help="Serve the first client only, and end with it.")
@click.option("--sequential", is_flag=True, help="One client after another (--max-clients 1).")
@listening_options
@time_options
@talk_options
def command(
    addresses: tuple[Address, ...],
    socket_type: str | None,
    raw: bool,
    max_line: int | None,
    label: bool,
    label_format: str | None,
    as_json: bool,
    null: bool,
    escape: str,
    echo: bool,
    talk: bool,
    executes: bool,
    dialect: str | None,
    once: bool,
    sequential: bool,
    idle_timeout: float | None,
    timeout: float | None,
    quiet: bool,
    verbose: bool,
    trace: bool,
    listening: Listening,
    words: tuple[str, ...] | None,
) -> int:
    has_label = label or label_format is not None
    exclude(("--raw", raw), ("--label", has_label), ("--json", as_json))
    exclude(("--raw", raw), ("--max-line", max_line is not None))
    exclude(("--raw", raw), ("--null", null))
    exclude(("--json", as_json), ("--null", null))
    exclude(("--echo", echo), ("--talk", talk))
    exclude(("--exec", executes), ("--echo", echo))
    exclude(("--exec", executes), ("--talk", talk))
    exclude(("--sequential", sequential), ("--max-clients", listening.max_clients is not None))
    exclude(("--talk", talk), ("--max-clients", listening.max_clients is not None))
    exclude(("--echo", echo), ("--null", null))
    exclude(("--echo", echo), (f"--escape {escape}", escape != "auto"))
    exclude(("--quiet", quiet), ("--verbose", verbose))
    use = Use.EXEC if executes else Use.ECHO if echo else Use.TALK if talk else Use.COLLECT
    _check_command(executes, dialect, idle_timeout is not None, null, escape)
    _check_use(
        use, ("--raw", raw), ("--label", has_label), ("--json", as_json), ("--max-line", max_line is not None)
    )
    if max_line is not None and max_line < 1:
        raise click.UsageError("--max-line must hold at least one byte")
    if use not in (Use.ECHO, Use.EXEC):
        require_stdout()
    listening.check(addresses)
    messages = Messages(quiet=quiet, verbose=verbose)
    bound_here = [address for address in addresses if address.kind is not AddressKind.INHERITED]
    settings = ServeSettings(
        addresses=addresses,
        socket_type=socket_type or ("stream" if bound_here else None),
        use=use,
        command=must_have_words(words, "--exec") if executes else (),
        dialect=None if dialect is None else Dialect(dialect),
        presentation=Presentation(
            raw=raw,
            json=as_json,
            label=Label(DEFAULT_LABEL if label_format is None else label_format) if has_label else None,
            null=null,
            escapes=escape == "always" or (escape == "auto" and os.isatty(1)),
            max_line=MAX_LINE_BYTES if max_line is None else max_line,
        ),
        once=once,
        max_clients=1 if sequential else listening.max_clients,
        max_per_user=listening.max_per_user,
        rules=listening.rules(),
        ownership=listening.ownership(),
        backlog=listening.backlog,
        idle_timeout_s=idle_timeout,
        timeout_s=timeout,
        drain_s=listening.drain,
        stream_only=_given(
            ("--exec", executes),
            ("--once", once),
            ("--sequential", sequential),
            ("--max-clients", listening.max_clients is not None),
            ("--max-per-user", listening.max_per_user is not None),
            ("--backlog", listening.backlog is not None),
            ("--idle-timeout", idle_timeout is not None),
        ),
        is_traced=trace,
    )
    return run(settings, messages)


def run(settings: ServeSettings, messages: Messages) -> int:
    """Serve, tell what goes on, and at the end how it ended; the exit status."""
    narration = Narration(messages, trace=settings.is_traced)
    result = serve(
        settings,
        observer=narration.observer,
        alerts=narration.alert,
        on_unmatched=narration.unmatched,
        on_ready=lambda listeners: narration.warn_of_directories(settings.addresses),
    )
    narration.finish()
    for error in result.left_behind:
        messages.warn(error.message, error.hint)
    return _STATUS_AFTER[result.cause](result, _LOST_HINTS[settings.use])


def _check_use(use: Use, *given: tuple[str, bool]) -> None:
    """--echo, --talk and --exec leave nothing to shape."""
    if use is not Use.COLLECT:
        exclude(
            (f"--{use.value}", True),
            next(((name, True) for name, is_given in given if is_given), ("", False)),
        )


def _check_command(
    executes: bool, dialect: str | None, limits_idleness: bool, null: bool, escape: str
) -> None:
    """What a client says to its command is theirs alone."""
    if not executes:
        if dialect is not None:
            raise click.UsageError("--env is for --exec, and there is no command here")
        return
    exclude(("--exec", True), ("--idle-timeout", limits_idleness))
    exclude(("--exec", True), ("--null", null))
    exclude(("--exec", True), (f"--escape {escape}", escape != "auto"))


def _given(*options: tuple[str, bool]) -> tuple[str, ...]:
    return tuple(name for name, is_given in options if is_given)


def _after_once(result: ServeResult, hint: str) -> int:
    if result.has_losses:
        return say_lost(result, hint)
    if result.idle_s is not None:
        say_error(f"timed out: the client moved no byte for {result.idle_s:g} s (--idle-timeout)")
        return 7
    return 0


def _after_output_failed(result: ServeResult, hint: str) -> int:
    error = result.error
    assert error is not None
    say_error(
        f"cannot write to STDOUT: {(error.strerror or str(error)).lower()} ({errno_name(error.errno)});"
        f" {counted(result.bytes_lost, 'byte')} that clients had sent {'is' if result.bytes_lost == 1 else 'are'} lost"
    )
    return 1


_STATUS_AFTER: dict[Cause, Callable[[ServeResult, str], int]] = {
    **STATUS_AFTER,
    Cause.ONCE: _after_once,
    Cause.OUTPUT_GONE: lambda result, hint: -signal.SIGPIPE,
    Cause.OUTPUT_FAILED: _after_output_failed,
}
