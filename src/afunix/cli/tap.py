"""`afunix tap PATH`: the words and options; the work is in `tools.tap`, who is told what goes through in
`tools.tap_audience`, what a person is told on STDERR meanwhile in `tap_narration`, and at the end in `tap_ending`.
"""

from __future__ import annotations

import errno
import math
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from ..kernel import names
from ..model.address import Address, AddressKind
from ..model.errors import AddressError, OutputError
from ..model.escaping import quote
from ..model.rules import parse_id
from ..model.tap_filter import TapFilter
from ..model.tapped import Beginning, Side, TapEvent
from ..sinks.datagram_relay import DatagramRelay
from ..sinks.relay import Relay
from ..tools.relay_settings import RelayResult, RelaySettings
from ..tools.tap import TapSettings, tap
from ..tools.tap_audience import STDOUT, Audience, AudienceSettings, Outlet, View
from . import live, stdout
from .listening import Listening, at_least_one, some_listening_options
from .messages import STATUSES_HELP, Messages, has_colour
from .options import ADDRESS, LIMIT, SIZE, exclude, loudness_options
from .standard import require_stdout
from .tap_ending import conclude
from .tap_narration import TapNarration

HELP = f"""Stand in front of the live socket at PATH, show what its clients and its server say, and step back at the end.

\b
  afunix tap /run/app.sock                        as text, every client with its pid and user
  afunix tap --hex --max-bytes 256 /run/app.sock  the beginning of each message, byte by byte
  afunix tap --write app.pcapng /run/app.sock     for Wireshark and tshark
  afunix tap --write - /run/app.sock | wireshark -k -i -
  afunix tap --command 'docker*' --from client /run/docker.sock
  afunix tap --listen ./tapped.sock /run/app.sock    leave PATH alone; clients come to ./tapped.sock

The two sockets change places at once, so no client ever finds nobody; a guardian process puts PATH back if this one
is killed. At a stop PATH is put back first, and conversations that go through here go on until they end: a second
signal, or --drain, cuts them short.

When the server stops listening, or somebody else changes PATH, the tap leaves all as it is and ends with status 4.

To the server each client is who it is; that takes root, but for clients who are you. Others are refused, unless
--as-me makes everybody you.

Nobody waits for what is shown or recorded. What STDOUT or a disk has no time or no room for is left out, counted and
said, and the status is 1.

{STATUSES_HELP}
"""

_LARGEST_PORT = 0xFFFF

_STOPPERS = (signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)

_LOOKS_BEFORE_A_READER_IS_MISSED = 2
"""The first is at the start, the second a second later."""

_MAX_BYTES_ON_TERMINAL = 4096
"""A page or two: who wants to see more of a message has a pager, or a file."""


def _port(ctx: click.Context, param: click.Parameter, value: int | None) -> int | None:
    if value is not None and not 0 < value <= _LARGEST_PORT:
        raise click.BadParameter(f"{value} is no port: expected 1 to {_LARGEST_PORT}", ctx, param)
    return value


def _all_at_least_one(ctx: click.Context, param: click.Parameter, values: tuple[int, ...]) -> tuple[int, ...]:
    for value in values:
        at_least_one(ctx, param, value)
    return values


@click.command("tap", help=HELP, short_help="Show what is said on a live socket, and record it.")
@click.argument("path", metavar="PATH", type=ADDRESS)
@click.option("--text", is_flag=True, help="Show text, escaped. [default, unless it is recorded]")
@click.option("--hex", "as_hex", is_flag=True, help="Show bytes, as hexdump -C does.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each event.")
@click.option(
    "--max-bytes", type=SIZE, metavar="SIZE", help="Show so much of each message. [default: 4K on a terminal]"
)
@click.option(
    "--connection",
    "connections",
    type=int,
    metavar="N",
    multiple=True,
    callback=_all_at_least_one,
    help="Only this one; like the next four it goes for all that is shown, recorded and counted.",
)
@click.option("--pid", "pids", type=int, metavar="PID", multiple=True, help="Only this client process.")
@click.option("--user", "users", metavar="USER", multiple=True, help="Only clients of this user.")
@click.option(
    "--command",
    "commands",
    metavar="GLOB",
    multiple=True,
    help="Only clients of this name, such as 'redis*'.",
)
@click.option(
    "--from", "side", type=click.Choice([side.value for side in Side]), help="Only what this side says."
)
@click.option("--write", metavar="FILE", help="Record a pcapng file for Wireshark; '-' is STDOUT.")
@click.option(
    "--port", type=int, metavar="N", callback=_port, help="The TCP port in it. [default: as PATH suggests]"
)
@click.option("--record", metavar="DIR", help="Record what each side says in a file of its own.")
@click.option("--strict", is_flag=True, help="End when something cannot be shown or recorded.")
@click.option(
    "--listen",
    type=ADDRESS,
    metavar="NEW",
    help="Take clients there, and leave PATH alone, which may be @NAME then. --mode, --owner and --group are its.",
)
@click.option("--as-me", is_flag=True, help="Connect as you, whoever the client is.")
@click.option("--connect-timeout", type=LIMIT, metavar="T", help="Give up connecting for a client after T.")
@some_listening_options("mode", "owner", "group", "max_clients", "drain")
@loudness_options
def command(
    path: Address,
    text: bool,
    as_hex: bool,
    as_json: bool,
    max_bytes: int | None,
    connections: tuple[int, ...],
    pids: tuple[int, ...],
    users: tuple[str, ...],
    commands: tuple[str, ...],
    side: str | None,
    write: str | None,
    port: int | None,
    record: str | None,
    strict: bool,
    listen: Address | None,
    as_me: bool,
    connect_timeout: float | None,
    quiet: bool,
    verbose: bool,
    listening: Listening,
) -> int:
    exclude(("--text", text), ("--hex", as_hex), ("--json", as_json))
    exclude(("--quiet", quiet), ("--verbose", verbose))
    view = _view(text, as_hex, as_json, is_recorded=bool(write or record))
    _check(path, listen, view, listening, max_bytes=max_bytes, write=write, port=port)
    audience = AudienceSettings(
        view=view,
        max_bytes=_MAX_BYTES_ON_TERMINAL if max_bytes is None and os.isatty(1) else max_bytes,
        colour=view is not View.JSON and has_colour(1),
        width=_columns(),
        shown=TapFilter(
            connections=connections,
            pids=pids,
            uids=[parse_id(user, "user", names.uid_of) for user in users],
            commands=commands,
            side=None if side is None else Side(side),
        ),
        write=write,
        port=port,
        record=record,
    )
    settings = TapSettings(
        path=path,
        listen=listen,
        ownership=listening.ownership(),
        as_me=as_me,
        max_clients=listening.max_clients,
        connect_timeout_s=connect_timeout,
        drain_s=math.inf if listening.drain is None else listening.drain,
    )
    return _Run(settings, audience, Messages(quiet=quiet, verbose=verbose), is_strict=strict).run()


def _view(text: bool, as_hex: bool, as_json: bool, *, is_recorded: bool) -> View | None:
    if as_hex or as_json:
        return View.HEX if as_hex else View.JSON
    return None if is_recorded and not text else View.TEXT


def _columns() -> int | None:
    try:
        return os.get_terminal_size(1).columns or None
    except OSError:
        return None


# What goes together


def _check(
    path: Address,
    listen: Address | None,
    view: View | None,
    listening: Listening,
    *,
    max_bytes: int | None,
    write: str | None,
    port: int | None,
) -> None:
    """Refuse what has no meaning.

    Raises:
        click.UsageError, AddressError: so it is.
    """
    if view is not None or write == STDOUT:
        require_stdout("what is said")
    if write == STDOUT and view is not None:
        exclude((f"--{view.value}", True), ("--write -", True))
    if max_bytes is not None and view is None:
        raise click.UsageError(
            "--max-bytes is about what is shown, and nothing is: add --text, --hex or --json"
        )
    if port is not None and write is None:
        raise click.UsageError("--port is about what --write records")
    if path.kind is AddressKind.INHERITED:
        raise AddressError(f"{quote(str(path))} is an inherited socket: expected the path of a live one")
    if listen is None:
        given = [name for name in listening.given() if name in ("--mode", "--owner", "--group")]
        if given:
            raise click.UsageError(f"{given[0]} goes with --listen: else the socket is as PATH is")
    else:
        listening.check([listen])


# The run


@contextmanager
def _never_stopped() -> Iterator[None]:
    """Clients come here: a tap that is stopped (Ctrl-Z, or written to from the background) would be a server that hangs."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _STOPPERS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


class _Run:
    """From the first word to the exit status."""

    def __init__(
        self, settings: TapSettings, audience: AudienceSettings, messages: Messages, *, is_strict: bool
    ) -> None:
        self._settings = settings
        self._audience_settings = audience
        self._messages = messages
        self._audience: Audience | None = None
        self._fault: Exception | None = None
        self._stop_words = ""
        self._stop: Callable[[str], None] | None = None
        self._line: live.Live | None = None
        self._looks = 0
        self._to_stdout = next(filter(audience.has_stdout, audience.outlets), None)
        ends = RelaySettings(
            () if settings.listen is None else (settings.listen,),
            settings.path,
            as_client=not settings.as_me,
            drain_s=settings.drain_s,
        )
        self._narration = TapNarration(messages, ends, audience, is_strict=is_strict)

    def run(self) -> int:
        try:
            with _never_stopped():
                result = self._tap()
        except BaseException:
            if self._audience is not None:
                self._audience.close()
            raise
        self._narration.finish()
        result.fault = result.fault or self._fault
        assert self._audience is not None
        summary, recorded = self._audience.close()
        return conclude(result, summary, recorded, self._narration, self._audience_settings, self._messages)

    def _tap(self) -> RelayResult:
        if self._audience_settings.view is None and live.is_possible() and self._messages.notes:
            self._line = live.Live()
        try:
            return tap(
                self._settings,
                on_beginning=self._begin,
                alerts=self._narration.notice,
                observer_alerts=self._narration.alert,
                on_unreachable=self._narration.unreachable,
                on_ready=self._ready,
                on_look=self._look,
            )
        finally:
            if self._line is not None:
                self._line.close()

    def _begin(self, beginning: Beginning) -> Callable[[TapEvent], None]:
        self._audience = Audience(self._audience_settings, beginning, self._on_trouble, self._on_fault)
        return self._audience.tell

    def _ready(self, stop: Callable[[str], None]) -> None:
        self._stop = stop
        self._narration.ready()
        if self._settings.listen is not None:
            self._messages.note(f"listening on {quote(str(self._settings.listen))}")
        if self._stop_words:
            stop(self._stop_words)

    def _on_trouble(self, outlet: Outlet, error: OutputError) -> None:
        """Perhaps in the thread that writes, and perhaps before anybody can be stopped."""
        self._narration.trouble(outlet, error)
        if self._narration.ends_with(outlet):
            self._end(error.message)

    def _look(self, relay: Relay | DatagramRelay) -> None:
        """Now and then. A reader of STDOUT that goes while nobody says anything is found out here."""
        if self._line is not None:
            self._line.look(len(relay.pairs.pairs), *relay.pairs.traffic())
        self._looks += 1
        if self._looks == _LOOKS_BEFORE_A_READER_IS_MISSED and self._audience is not None:
            missed = self._audience.waits_for_reader()
            if missed is not None:
                self._on_missed(missed)
        if self._to_stdout is not None and stdout.is_abandoned(0):
            gone, self._to_stdout = self._to_stdout, None
            self._on_trouble(gone, OutputError("nobody reads STDOUT any more (EPIPE)", errno=errno.EPIPE))

    def _on_missed(self, error: OutputError) -> None:
        self._narration.waits_for_reader(error)
        if self._narration.ends_with(Outlet.FILE):
            self._end(error.message)

    def _on_fault(self, fault: Exception) -> None:
        self._fault = fault
        self._end("something failed that should not have")

    def _end(self, words: str) -> None:
        self._stop_words = words
        if self._stop is not None:
            self._stop(words)
