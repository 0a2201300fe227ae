"""`afunix connect ADDRESS`: its options and their words. The work is `tools.connect`."""

from __future__ import annotations

import click

from ..model.address import Address
from . import options
from .messages import STATUSES_HELP, Messages
from .standard import require_stdout


@click.command(
    epilog=STATUSES_HELP,
    context_settings={"max_content_width": 100},
)
@click.argument("address", type=options.ADDRESS)
@options.type_option("What the server must be; without it the type is found out.")
@click.option("--wait", type=options.DURATION, metavar="T", help="Wait up to T for the server to be there.")
@click.option(
    "--keep-open", is_flag=True, help="At the end of STDIN go on receiving, without telling the server."
)
@click.option("--receive-only", is_flag=True, help="Do not read STDIN; end when the server ends.")
@click.option("--send-only", is_flag=True, help="Throw replies away; STDOUT is not used.")
@click.option(
    "--reconnect", is_flag=True, help="When the server ends, connect again (with one of these two)."
)
@click.option("--require", metavar="user:NAME", help="Who the server must be: the user that called listen.")
@click.option(
    "--zero-copy", is_flag=True, help="Send a file's own pages: it must not change until it is read."
)
@options.escape_option
@click.option("--raw", is_flag=True, help="Records: all of STDIN is one; nothing is added to those received.")
@click.option("--null", is_flag=True, help="Records: separated by NUL bytes, both ways.")
@click.option(
    "--connect-timeout", type=options.LIMIT, metavar="T", help="Give up connecting after T (status 7)."
)
@options.time_options
@options.talk_options
def command(
    address: Address,
    socket_type: str | None,
    wait: float | None,
    keep_open: bool,
    receive_only: bool,
    send_only: bool,
    reconnect: bool,
    require: str | None,
    zero_copy: bool,
    escape: str,
    raw: bool,
    null: bool,
    connect_timeout: float | None,
    idle_timeout: float | None,
    timeout: float | None,
    trace: bool,
    verbose: bool,
    quiet: bool,
) -> int:
    """Connect to ADDRESS: STDIN goes to the socket, what comes back to STDOUT.

    At the end of STDIN the server is told so (a half-close), and replies are read to their end, however late
    they come. Ends when both directions have ended, or at once when the server closes.

    \b
      echo status | afunix connect /run/app.sock
      afunix connect --wait 10s ./new.sock < request
      afunix connect --receive-only --reconnect @events >> log
      printf '%s\\n' one two | afunix connect --idle-timeout 1s /run/dgram.sock

    On a dgram or seqpacket socket each line is one record, both ways. Datagrams have no end of their own: a
    conversation ends with STDIN, or, to wait for answers, when none came for the --idle-timeout.
    """
    options.exclude(("--receive-only", receive_only), ("--send-only", send_only))
    options.exclude(("--raw", raw), ("--null", null))
    options.exclude(("--quiet", quiet), ("--verbose", verbose))
    if reconnect and not (receive_only or send_only):
        raise click.UsageError(
            "--reconnect needs --receive-only or --send-only: a conversation cannot be resumed"
        )
    if not send_only:
        require_stdout()
    from ..tools import connect

    settings = connect.ConnectSettings(
        address=address,
        socket_type=socket_type,
        wait=wait,
        connect_timeout=connect_timeout,
        idle_timeout=idle_timeout,
        timeout=timeout,
        keep_open=keep_open,
        receive_only=receive_only,
        send_only=send_only,
        reconnect=reconnect,
        require_user=require,
        zero_copy=zero_copy,
        escape=escape,
        record_format="null" if null else "raw" if raw else "lines",
    )
    messages = Messages(quiet=quiet, verbose=verbose)
    observer = messages.tracer() if trace else None
    note = messages.note if verbose else messages.silence
    result = connect.run(settings, observer=observer, note=note)
    return -result.signal
