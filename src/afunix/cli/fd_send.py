"""`afunix fd send ADDRESS WHAT…`: its options and their words. The work is `tools.fd_send`."""

from __future__ import annotations

import os

import click

from ..model.address import Address
from ..model.counting import counted
from ..model.escaping import quote
from ..model.offer import Access, Offer
from ..tools.fd_send import SendSettings, send
from .fd_options import for_clients, for_listeners, meeting_for, narration_for, timeout_option, watchers_for
from .listening import Listening
from .messages import STATUSES_HELP
from .options import ADDRESS, exclude, talk_options, type_option
from .standard import closed_at_start


@click.command("send", epilog=STATUSES_HELP)
@click.argument("address", type=ADDRESS)
@click.argument("what", metavar="WHAT…", nargs=-1, required=True)
@type_option("What the socket must be; without it the type is found out.")
@click.option("--read", is_flag=True, help="Open paths for reading, as < does. [default]")
@click.option("--write", is_flag=True, help="Open and empty them, as > does.")
@click.option("--append", is_flag=True, help="Open them as >> does.")
@click.option("--read-write", is_flag=True, help="Open them as <> does.")
@click.option("--data", metavar="TEXT", help="Send TEXT along, as it is, and not the names.")
@click.option("--data-from", metavar="FILE", help="Send what is in FILE along; - is STDIN.")
@click.option("--listen", is_flag=True, help="Wait at ADDRESS for the one who is to have them.")
@for_clients
@for_listeners
@timeout_option
@talk_options
def command(
    address: Address,
    what: tuple[str, ...],
    socket_type: str | None,
    read: bool,
    write: bool,
    append: bool,
    read_write: bool,
    data: str | None,
    data_from: str | None,
    listen: bool,
    wait: float | None,
    connect_timeout: float | None,
    require: str | None,
    timeout: float | None,
    trace: bool,
    verbose: bool,
    quiet: bool,
    listening: Listening,
) -> int:
    """Send descriptors to who receives at ADDRESS, all in one message.

    WHAT is the number of a descriptor that the shell has opened, or a path, which is opened; a file that is called
    3 is ./3. NAME=WHAT gives it a name.

    \b
      afunix fd send ./x.sock 0                          this terminal
      afunix fd send --append ./x.sock log=./app.log     a file to write to
      afunix fd send ./x.sock in=3 out=4 3<input 4>output
      afunix fd send --listen --allow user:app ./x.sock ./secret

    Along go the names, with colons between them and a newline at the end ('unknown' for one without). Done (status 0)
    is when the kernel has the message: what is in it stays open until it was read, also if this process is gone.
    """
    ways = (("--read", read), ("--write", write), ("--append", append), ("--read-write", read_write))
    exclude(*ways)
    exclude(("--data", data is not None), ("--data-from", data_from is not None))
    exclude(("--quiet", quiet), ("--verbose", verbose))
    meeting = meeting_for(
        address,
        socket_type,
        listening,
        connects=not listen,
        takes_descriptors=False,
        wait=wait,
        connect_timeout=connect_timeout,
        require=require,
    )
    offers = tuple(map(Offer.parse, what))
    settings = SendSettings(
        meeting,
        offers,
        _access(ways, offers),
        os.fsencode(data) if data is not None else None,
        data_from,
        timeout,
        closed_at_start(),
    )
    messages, narration = narration_for(quiet=quiet, verbose=verbose, trace=trace)
    number = send(settings, watchers_for(narration, address, connects=not listen))
    narration.finish()
    if not number:
        messages.note(f"sent {counted(len(offers), 'descriptor')} to {quote(str(address))}")
    return -number


def _access(ways: tuple[tuple[str, bool], ...], offers: tuple[Offer, ...]) -> Access:
    """The way that was asked for.

    Raises:
        click.UsageError: and there is nothing to open.
    """
    option = next((name for name, is_given in ways if is_given), None)
    if option is None:
        return Access.READ
    if all(offer.number is not None for offer in offers):
        raise click.UsageError(
            f"{option} is for paths, and there are only descriptors, which are open already"
        )
    return Access(option.removeprefix("--"))
