"""`afunix check ADDRESS`: its options and their words, and the report on STDOUT, which is data here.

The work is `tools.check`, the judgement `model.reachability`, the looks are `formats.findings` and, for --json,
`formats.findings_json`. The status is what `connect` would end with (`messages.STATUS`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ..model.address import Address
from . import options
from .messages import has_colour, status_of
from .standard import require_stdout
from .stdout import write

if TYPE_CHECKING:
    from ..model.findings import Report

STATUSES_HELP = """\b
Exit status:
  0  reachable: a server listens, and nothing known stands in the way
  1  whether anybody listens cannot be told from here
  2  wrong use, or a name that is too long
  3  no such socket
  4  nobody listens (a stale socket file)
  5  permission denied
  6  not a socket, or a socket of another type
  7  the backlog is full, or --wait ran out"""

_WIDEST = 100
"""Longer lines of prose are hard to read, however wide the terminal is."""

_PAINT = {
    "good": "1;32",
    "bad": "1;31",
    "unsure": "1;33",
    "label": "2",
    "command": "1",
    "problem": "31",
}
"""Style-words of `formats.findings` as parameters of SGR."""


@click.command("check", epilog=STATUSES_HELP, context_settings={"max_content_width": 100})
@click.argument("address", type=options.ADDRESS)
@click.option("--as", "as_user", metavar="USER", help="Judge for that user (name or number), not for you.")
@options.type_option("What the server must be; without it any type will do.")
@click.option("--wait", type=options.DURATION, metavar="T", help="Wait up to T until it is reachable.")
@click.option("--probe", is_flag=True, help="Connect really, and close at once: the server sees a client.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object with all the facts.")
@click.option("-v", "--verbose", is_flag=True, help="Show every fact that was looked at.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing: the status tells.")
def command(
    address: Address,
    as_user: str | None,
    socket_type: str | None,
    wait: float | None,
    probe: bool,
    as_json: bool,
    verbose: bool,
    quiet: bool,
) -> int:
    """Tell why ADDRESS can or cannot be connected to, and what to do about it.

    \b
      afunix check /run/app.sock
      afunix check --as www-data /run/app.sock     for somebody else, without becoming them
      afunix check -q --wait 30s /run/app.sock     in a script: go on as soon as it listens
      afunix check --json @app | jq -r '.findings[].code'

    Looks at each directory on the way, links, modes, owners and access control lists, at the kernel's table of
    sockets and at who has this one open. The first finding is what connect would run into, further ones are what
    comes after it. The server notices nothing, unless --probe asks for a real connection.
    """
    options.exclude(("--quiet", quiet), ("--verbose", verbose), ("--json", as_json))
    if probe and as_user is not None:
        raise click.UsageError("--probe connects as you are, and --as asks for somebody else")
    if not quiet:
        require_stdout("the answer")
    from ..tools import check

    if wait is None:
        report = check.check(
            address, as_user=as_user, wanted_type=socket_type, probe=probe, thorough=not quiet
        )
    else:
        report = check.wait_until_ready(
            address, wait, as_user=as_user, wanted_type=socket_type, probe=probe, thorough=not quiet
        )
    error = report.error()
    status = 0 if error is None else status_of(error)
    if quiet:
        return status
    return write(_show(report, status, as_json=as_json, verbose=verbose)) or status


def _show(report: Report, status: int, *, as_json: bool, verbose: bool) -> str:
    if as_json:
        from ..formats.findings_json import render as render_json

        return render_json(report, status) + "\n"
    from ..formats.findings import render
    from .looks import terminal_size

    size = terminal_size()
    width = min(size.columns, _WIDEST) if size is not None else None
    paint = _PAINT if has_colour(1) else {}
    lines = render(report, width=width, verbose=verbose)
    return "".join("".join(_painted(text, paint.get(style)) for text, style in line) + "\n" for line in lines)


def _painted(text: str, colour: str | None) -> str:
    return f"\x1b[{colour}m{text}\x1b[0m" if colour and text.strip() else text
