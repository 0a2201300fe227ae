"""`afunix serve ADDRESS…`: the words and options; the work is in `tools.serve`, what a person is told meanwhile in
`narration`.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable

import click

from ..formats.label import DEFAULT_LABEL, Label
from ..kernel import names
from ..kernel.listener import Ownership
from ..model.address import Address, AddressKind
from ..model.errors import AddressError, errno_name
from ..model.escaping import quote
from ..model.framing import MAX_LINE_BYTES
from ..model.rules import Rule, Rules, parse_id
from ..tools.presentation import Presentation
from ..tools.serve import Cause, ServeResult, ServeSettings, TurnedAway, Use, serve
from .messages import STATUSES_HELP, Messages, explain, plain, say_error
from .narration import DESCRIPTORS_HINT, Narration
from .options import ADDRESS, DURATION, SIZE, escape_option, exclude, talk_options, time_options, type_option
from .standard import require_stdout

HELP = f"""Take clients on each ADDRESS, any number at once; what they send goes to STDOUT, in whole lines.

\b
  afunix serve ./hello.sock              collect lines from everybody who connects
  afunix serve --label @log | tee log    say in front of each line who sent it
  afunix serve --json ./events.sock      one JSON object a line
  afunix serve --echo @echo              send everything back
  afunix serve --talk ./chat.sock        talk with one client at a time

ADDRESS is a path, @NAME for an abstract name, or fd:N for an inherited socket. Without one, the sockets
that systemd hands over are used. A stale socket file is replaced; a live one never is, unless asked.

{STATUSES_HELP}
"""


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


def _at_least_one(ctx: click.Context, param: click.Parameter, value: int | None) -> int | None:
    if value is not None and value < 1:
        raise click.BadParameter(f"{value} is too few: expected at least 1", ctx, param)
    return value


@click.command("serve", help=HELP, short_help="Take clients on a socket; what they send goes to STDOUT.")
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
@click.option("--once", is_flag=True, help="Serve the first client only, and end with it.")
@click.option("--sequential", is_flag=True, help="One client after another (--max-clients 1).")
@click.option(
    "--max-clients", type=int, metavar="N", callback=_at_least_one, help="Others wait in the backlog."
)
@click.option(
    "--max-per-user", type=int, metavar="N", callback=_at_least_one, help="Others of that user are refused."
)
@click.option("--allow", multiple=True, metavar="RULE", help="Admit only: user:NAME group:NAME root me any.")
@click.option("--deny", multiple=True, metavar="RULE", help="Refuse, whatever is allowed.")
@click.option("--mode", type=ModeType(), metavar="MODE", help="Of the socket file. [default: 0600]")
@click.option("--owner", metavar="USER", help="Of the socket file.")
@click.option("--group", metavar="GROUP", help="Of the socket file.")
@click.option("--replace", is_flag=True, help="Take over the path of a live socket.")
@click.option("--keep", is_flag=True, help="Leave the socket file at the end.")
@click.option(
    "--backlog", type=int, metavar="N", help="Clients that may wait. [default: the kernel's maximum]"
)
@click.option("--drain", type=DURATION, metavar="T", help="At a stop, let conversations go on for up to T.")
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
    once: bool,
    sequential: bool,
    max_clients: int | None,
    max_per_user: int | None,
    allow: tuple[str, ...],
    deny: tuple[str, ...],
    mode: int | None,
    owner: str | None,
    group: str | None,
    replace: bool,
    keep: bool,
    backlog: int | None,
    drain: float | None,
    idle_timeout: float | None,
    timeout: float | None,
    quiet: bool,
    verbose: bool,
    trace: bool,
) -> int:
    has_label = label or label_format is not None
    exclude(("--raw", raw), ("--label", has_label), ("--json", as_json))
    exclude(("--raw", raw), ("--max-line", max_line is not None))
    exclude(("--raw", raw), ("--null", null))
    exclude(("--json", as_json), ("--null", null))
    exclude(("--echo", echo), ("--talk", talk))
    exclude(("--sequential", sequential), ("--max-clients", max_clients is not None))
    exclude(("--talk", talk), ("--max-clients", max_clients is not None))
    exclude(("--echo", echo), ("--null", null))
    exclude(("--echo", echo), (f"--escape {escape}", escape != "auto"))
    exclude(("--quiet", quiet), ("--verbose", verbose))
    use = Use.ECHO if echo else Use.TALK if talk else Use.COLLECT
    _check_use(
        use, ("--raw", raw), ("--label", has_label), ("--json", as_json), ("--max-line", max_line is not None)
    )
    if max_line is not None and max_line < 1:
        raise click.UsageError("--max-line must hold at least one byte")
    if backlog is not None and not 0 <= backlog < 1 << 31:
        raise click.UsageError(f"--backlog {backlog} is out of range: expected 0 or more")
    if use is not Use.ECHO:
        require_stdout()
    _check_file_options(
        addresses,
        ("--mode", mode is not None),
        ("--owner", owner is not None),
        ("--group", group is not None),
        ("--replace", replace),
        ("--keep", keep),
    )
    messages = Messages(quiet=quiet, verbose=verbose)
    bound_here = [address for address in addresses if address.kind is not AddressKind.INHERITED]
    settings = ServeSettings(
        addresses=addresses,
        socket_type=socket_type or ("stream" if bound_here else None),
        use=use,
        presentation=Presentation(
            raw=raw,
            json=as_json,
            label=Label(DEFAULT_LABEL if label_format is None else label_format) if has_label else None,
            null=null,
            escapes=escape == "always" or (escape == "auto" and os.isatty(1)),
            max_line=MAX_LINE_BYTES if max_line is None else max_line,
        ),
        once=once,
        max_clients=1 if sequential else max_clients,
        max_per_user=max_per_user,
        rules=_rules(allow, deny),
        ownership=Ownership(
            mode=0o600 if mode is None else mode,
            uid=None if owner is None else parse_id(owner, "user", names.uid_of),
            gid=None if group is None else parse_id(group, "group", names.gid_of),
            replace=replace,
            keep=keep,
        ),
        backlog=backlog,
        idle_timeout_s=idle_timeout,
        timeout_s=timeout,
        drain_s=drain,
        stream_only=_given(
            ("--once", once),
            ("--sequential", sequential),
            ("--max-clients", max_clients is not None),
            ("--max-per-user", max_per_user is not None),
            ("--backlog", backlog is not None),
            ("--idle-timeout", idle_timeout is not None),
        ),
        is_traced=trace,
    )
    narration = Narration(messages, trace=trace)
    result = serve(
        settings,
        observer=narration.observer,
        alerts=narration.alert,
        on_unmatched=narration.unmatched,
        on_ready=lambda listeners: narration.warn_of_directories(addresses),
    )
    narration.finish()
    for error in result.left_behind:
        messages.warn(error.message, error.hint)
    return _STATUS_AFTER[result.cause](result)


def _check_use(use: Use, *given: tuple[str, bool]) -> None:
    """--echo and --talk leave nothing to shape."""
    if use is not Use.COLLECT:
        exclude(
            (f"--{use.value}", True),
            next(((name, True) for name, is_given in given if is_given), ("", False)),
        )


def _check_file_options(addresses: tuple[Address, ...], *options: tuple[str, bool]) -> None:
    """Abstract names have no file, and an inherited socket's is its owner's."""
    given = _given(*options)
    if given and not any(address.kind is AddressKind.PATHNAME for address in addresses):
        raise AddressError(
            f"{given[0]} is about a socket file, and none is made here",
            hint="name a path for the socket, or leave the option away",
        )


def _rules(allow: tuple[str, ...], deny: tuple[str, ...]) -> Rules:
    return Rules(
        [
            *(Rule.parse(written, allows=True, names=names) for written in allow),
            *(Rule.parse(written, allows=False, names=names) for written in deny),
        ]
    )


def _given(*options: tuple[str, bool]) -> tuple[str, ...]:
    return tuple(name for name, is_given in options if is_given)


def _after_signal(result: ServeResult) -> int:
    if result.is_forced:
        return -result.signal_number
    return _lost(result) if result.has_losses else 0


def _after_once(result: ServeResult) -> int:
    if result.has_losses:
        return _lost(result)
    if result.idle_s is not None:
        say_error(f"timed out: the client moved no byte for {result.idle_s:g} s (--idle-timeout)")
        return 7
    return 0


def _after_timeout(result: ServeResult) -> int:
    if result.has_losses:
        return _lost(result)
    say_error(f"timed out (--timeout): {_connected(result.connected)}")
    return 7


def _connected(count: int) -> str:
    if not count:
        return "nobody was connected"
    return "1 client was still connected" if count == 1 else f"{count} clients were still connected"


def _after_output_failed(result: ServeResult) -> int:
    error = result.error
    assert error is not None
    say_error(
        f"cannot write to STDOUT: {(error.strerror or str(error)).lower()} ({errno_name(error.errno)});"
        f" {result.bytes_lost} bytes that clients had sent are lost"
    )
    return 1


def _after_accept_failed(result: ServeResult) -> int:
    assert result.error is not None
    return explain(result.error)


def _after_fault(result: ServeResult) -> int:
    assert result.fault is not None
    explain(result.fault)
    return 1


def _lost(result: ServeResult) -> int:
    if result.bytes_lost:
        say_error(
            f"{result.bytes_lost} bytes could not be handed on before the end",
            "whoever reads STDOUT (or, with --echo, the client) has stopped reading",
        )
    if result.turned_away is not None:
        say_error(
            _turned_away(result.turned_away),
            DESCRIPTORS_HINT if result.turned_away.errno == errno.EMFILE else None,
        )
    return 8


def _turned_away(those: TurnedAway) -> str:
    """`at least 2 clients were left in the backlog unaccepted, and 12 bytes …: too many open files (EMFILE)`."""
    if not those.clients:
        who = "clients may have been"
    else:
        count = "1 client was" if those.clients == 1 else f"{those.clients} clients were"
        who = count if those.is_certain else f"at least {count}"
    sent = f", and {those.sent} bytes that they had sent are lost" if those.sent else ""
    why = f"{plain(os.strerror(those.errno))} ({errno_name(those.errno)})"
    return f"{who} left in the backlog unaccepted{sent}: {why}"


_STATUS_AFTER: dict[Cause, Callable[[ServeResult], int]] = {
    Cause.SIGNAL: _after_signal,
    Cause.ONCE: _after_once,
    Cause.TIMEOUT: _after_timeout,
    Cause.OUTPUT_GONE: lambda result: -signal.SIGPIPE,
    Cause.OUTPUT_FAILED: _after_output_failed,
    Cause.ACCEPT_FAILED: _after_accept_failed,
    Cause.FAULT: _after_fault,
}
