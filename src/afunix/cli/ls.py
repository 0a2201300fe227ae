"""`afunix ls [PATTERN…]`: its options and their words, the list on STDOUT, and what could not be seen on STDERR.

The work is `tools.ls`, the looks are `formats.listing` and `formats.columns`; `watching` is for --watch.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from ..formats.listing import Detail, ListingFormat
from ..formats.listing_json import ListingJson
from ..kernel import names
from ..kernel.socket_types import TYPE_NUMBERS
from ..model.arrangement import SORT_KEYS, Criteria
from ..model.escaping import escape, quote
from ..model.pattern import Pattern, parse_pattern
from ..model.rules import parse_id
from ..model.shell_words import address_word
from .looks import Looks, tell_unseen, terminal_size
from .messages import Messages, say_error
from .options import LIMIT, exclude
from .standard import require_stdout
from .stdout import write

if TYPE_CHECKING:
    from ..tools.ls import Listing, Request

INTERVAL_S = 1.0


class PatternType(click.ParamType):  # type: ignore[type-arg]  # generic in newer clicks only
    """What to look for, as in `model.pattern`."""

    name = "pattern"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Pattern:
        return value if isinstance(value, Pattern) else parse_pattern(str(value))

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return [CompletionItem(incomplete, type="file")]


@click.command("ls", context_settings={"max_content_width": 100})
@click.argument("patterns", metavar="[PATTERN]…", type=PatternType(), nargs=-1)
@click.option("-l", "--listening", is_flag=True, help="Sockets that clients can reach.")
@click.option("-c", "--connected", is_flag=True, help="Connections, also those not accepted yet.")
@click.option("--stale", is_flag=True, help="Socket files that nobody is behind.")
@click.option("--type", "types", type=click.Choice(list(TYPE_NUMBERS)), multiple=True, help="Of that type.")
@click.option(
    "--pid",
    "pids",
    type=click.IntRange(min=1),
    metavar="N",
    multiple=True,
    help="That the process N has open.",
)
@click.option("--user", "users", metavar="USER", multiple=True, help="Of that user, by name or number.")
@click.option(
    "--sort",
    "sort_by",
    type=click.Choice(list(SORT_KEYS)),
    default="address",
    show_default=True,
    help="In which order; queue and unread: the longest first.",
)
@click.option("--reverse", is_flag=True, help="In the other order.")
@click.option("--tree", is_flag=True, help="Clients under their server.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each row.")
@click.option("--watch", is_flag=True, help="Look again and again, and show what came, went and changed.")
@click.option(
    "--interval", type=LIMIT, metavar="T", help=f"How often --watch looks. [default: {INTERVAL_S:g}s]"
)
@click.option("-v", "--verbose", is_flag=True, help="All processes that share a socket.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
def command(
    patterns: tuple[Pattern, ...],
    listening: bool,
    connected: bool,
    stale: bool,
    types: tuple[str, ...],
    pids: tuple[int, ...],
    users: tuple[str, ...],
    sort_by: str,
    reverse: bool,
    tree: bool,
    as_json: bool,
    watch: bool,
    interval: float | None,
    verbose: bool,
    quiet: bool,
) -> int:
    """List the Unix sockets of this machine: a row for each listener, and one for each connection with both ends.

    \b
      afunix ls                       everything
      afunix ls /run/app.sock         who listens there, and who is connected
      afunix ls --tree redis          by a part of the name, or of the process's name
      afunix ls '*.sock' @app-1       a glob; an abstract name
      afunix ls --stale /srv/app      socket files in that directory whose server is gone
      afunix ls --watch --sort unread

    SERVER and CLIENT are USER PROCESS[PID]:DESCRIPTOR. QUEUE is, of a listener, how many wait in its backlog of how
    many; of a connection, the bytes that the server (→) or the client (←) has not read yet. '?' is what you may
    not see: of other users' processes only root sees the descriptors. Status 1 if nothing matches.
    """
    exclude(("--tree", tree), ("--json", as_json))
    exclude(("--quiet", quiet), ("--verbose", verbose))
    if interval is not None and not watch:
        raise click.UsageError("--interval is how often --watch looks, and there is no --watch")
    require_stdout("the list")
    from ..tools.ls import Request

    criteria = Criteria(
        listening=listening,
        connected=connected,
        stale=stale,
        types=frozenset(types),
        pids=frozenset(pids),
        uids=frozenset(parse_id(user, "user", names.uid_of) for user in users),
    )
    request = Request(patterns, criteria, sort_by, reverse)
    messages = Messages(quiet=quiet, verbose=verbose)
    looks = Looks(
        ListingFormat(names.user_name, Detail.ALL if verbose else Detail.SOME),
        tree=tree,
        as_json=ListingJson(names.user_name) if as_json else None,
    )
    if watch:
        from .watching import watch_until_stopped

        return watch_until_stopped(request, looks, interval or INTERVAL_S, messages)
    return _list_once(request, looks, messages)


def _list_once(request: Request, looks: Looks, messages: Messages) -> int:
    from ..tools.ls import list_sockets

    gc.disable()  # a hundred thousand tuples without a circle among them, and the process ends with them
    listing = list_sockets(request)
    if listing.rows:
        size = terminal_size()
        lines = looks.render(listing.rows, size and size.columns)
        status = write("\n".join(lines) + "\n")
        if status:
            return status
    for is_warning, words in tell_unseen(listing.unseen):
        (messages.warn if is_warning else messages.tell)(words)
    if not listing.rows:
        say_error(*_nothing(request, listing))
        return 1
    return 0


def _nothing(request: Request, listing: Listing) -> tuple[str, str | None]:
    """Why the list is empty, and what may help."""
    if not listing.total:
        return "there is no Unix socket in this network namespace", None
    asked = [quote(pattern.text) for pattern in request.patterns]
    options = list(_options(request.criteria))
    sought = " ".join(filter(None, [" or ".join(asked), *options]))
    among = "the one row that there is" if listing.total == 1 else f"the {listing.total} rows that there are"
    return f"nothing matches {sought} among {among}", None if options else _hint(request.patterns)


def _options(criteria: Criteria) -> Iterator[str]:
    """The criteria as they were asked for."""
    for name, is_given in (
        ("--listening", criteria.listening),
        ("--connected", criteria.connected),
        ("--stale", criteria.stale),
    ):
        if is_given:
            yield name
    for name, values in (("--type", criteria.types), ("--pid", criteria.pids), ("--user", criteria.uids)):
        yield from (f"{name} {value}" for value in sorted(map(str, values)))


def _hint(patterns: tuple[Pattern, ...]) -> str | None:
    """For an address: the command that tells why nothing is there."""
    if len(patterns) == 1 and patterns[0].address is not None and not patterns[0].is_directory:
        return f"'afunix check {escape(address_word(patterns[0].address))}' tells what is there"
    return None
