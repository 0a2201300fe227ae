"""`afunix fd receive ADDRESS [-- CMD…]`: its options and their words. The work is `tools.fd_receive`."""

from __future__ import annotations

import click

from ..formats.received import Sender, Shown, as_json, as_lines
from ..kernel.ancillary import MAX_FDS
from ..kernel.names import user_name
from ..kernel.spawning import Command
from ..model.address import Address
from ..model.counting import counted
from ..model.escaping import quote
from ..tools.fd_receive import Handover, ReceiveSettings, hand_over, receive
from .fd_options import for_clients, for_listeners, meeting_for, narration_for, timeout_option, watchers_for
from .listening import Listening
from .messages import STATUSES_HELP
from .options import ADDRESS, exclude, talk_options, type_option
from .standard import require_stdout
from .stdout import write
from .trailing_command import WithCommand, must_have_words


@click.command("receive", cls=WithCommand, epilog=STATUSES_HELP)
@click.argument("address", type=ADDRESS)
@type_option("What to create; default stream. With --connect what the server must be.")
@click.option("--connect", is_flag=True, help="Connect to ADDRESS, and take what the server sends.")
@click.option(
    "--max",
    "most",
    type=click.IntRange(1, MAX_FDS),
    metavar="N",
    default=MAX_FDS,
    help="Take at most N descriptors; if more come, none (status 1).",
)
@click.option("--json", "as_objects", is_flag=True, help="One JSON object for each descriptor.")
@for_clients
@for_listeners
@timeout_option
@talk_options
def command(
    address: Address,
    words: tuple[str, ...] | None,
    socket_type: str | None,
    connect: bool,
    most: int,
    as_objects: bool,
    wait: float | None,
    connect_timeout: float | None,
    require: str | None,
    timeout: float | None,
    trace: bool,
    verbose: bool,
    quiet: bool,
    listening: Listening,
) -> int:
    """Wait at ADDRESS for one client, and take the descriptors that it sends with its first message.

    \b
      afunix fd receive ./x.sock                         show what came, and close it
      afunix fd receive ./x.sock -- sh -c 'cat <&3'
      afunix fd receive --allow root @jobs -- ./worker   from nobody else

    CMD goes on as this process (the same pid) and has the descriptors as 3, 4, …, and nothing else that was open
    but 0 to 2. It is told by AFUNIX_FDS (how many), AFUNIX_FDNAMES (their names, with colons between them),
    AFUNIX_FD_DATA (what came along) and AFUNIX_PEER_PID, _UID, _GID, _USER (who sent them); and by LISTEN_FDS,
    LISTEN_FDNAMES and LISTEN_PID, so that a service which systemd can activate takes a listening socket this way.
    """
    exclude(("--quiet", quiet), ("--verbose", verbose))
    exclude(("--json", as_objects), ("a command", words is not None))
    if words is None:
        require_stdout("the list")
    program = None if words is None else Command(must_have_words(words, "'--'"))
    meeting = meeting_for(
        address,
        socket_type,
        listening,
        connects=connect,
        takes_descriptors=True,
        wait=wait,
        connect_timeout=connect_timeout,
        require=require,
    )
    messages, narration = narration_for(quiet=quiet, verbose=verbose, trace=trace)
    watchers = watchers_for(narration, address, connects=connect)
    handover = receive(ReceiveSettings(meeting, most, timeout), watchers)
    narration.finish()
    if isinstance(handover, int):
        return -handover
    with handover.received:
        count = counted(len(handover.names), "descriptor")
        messages.note(f"{handover.sender} sent {count}, and with them {quote(handover.received.data)}")
        if program is not None and words is not None:
            hand_over(handover, program, words)
        return write(_render(handover, as_objects=as_objects))


def _render(handover: Handover, *, as_objects: bool) -> str:
    shown = [
        Shown(name, report.access, report.kind, report.what)
        for name, report in zip(handover.names, handover.reports, strict=True)
    ]
    if not as_objects:
        return as_lines(shown)
    peer = handover.peer
    user = user_name(peer.uid) if peer.is_known else None
    return as_json(shown, Sender(peer, user, handover.received.data))
