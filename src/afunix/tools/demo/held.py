"""`--inside`, its words: what the kernel's table holds for one socket, as phrases. One wording for every kind of story.

`inside` says it of a socket of its own process, `changes` of each socket of a stage; both get their phrases here. The
table has two bits for "shut down" and sets them on both ends: who called shutdown(2) is what `OwnShutdowns` remembers.
"""

from __future__ import annotations

from collections.abc import Callable

from ...kernel.socket_table import read_table
from ...model.escaping import escape
from ...model.socket_table import Shutdown, SocketEntry, TableState

NOT_TOLD = (
    "The kernel tells no more of what it holds: sock_diag is refused here, and /proc/net/unix knows neither peers"
    " nor queues."
)
TAKES_TIME = "Looking takes time, too: after each call the kernel is asked, so the times are longer than without --inside."


def notes(*, has_times: bool) -> tuple[str, ...]:
    """What has to be said at the foot of a story that shows the inside; once, not at every step."""
    try:
        is_complete = read_table().is_complete
    except OSError:
        is_complete = False  # neither source can be read
    return (*([TAKES_TIME] if has_times else []), *([] if is_complete else [NOT_TOLD]))


class OwnShutdowns:
    """Which directions were shut down by shutdown(2) on the very socket, by its inode (which never comes again)."""

    def __init__(self) -> None:
        self._made: dict[int, Shutdown] = {}

    def add(self, inode: int, ways: Shutdown) -> None:
        """shutdown(2) has ended `ways` of the socket `inode`."""
        self._made[inode] = Shutdown(self.of(inode).value | ways.value)

    def of(self, inode: int) -> Shutdown:
        return self._made.get(inode, Shutdown.NOTHING)


def describe(
    entry: SocketEntry,
    own: Shutdown = Shutdown.NOTHING,
    *,
    inode: Callable[[int], object] = str,
    name: Callable[[str], str] = str,
) -> list[str]:
    """One to four phrases, to be joined by ", ", of which the first says which socket it is or whose queue.

    `own` is what was shut down by a call on this socket itself (`OwnShutdowns.of`). `inode` and `name` say how a
    number and a (readable) name are shown.

        accept queue 1 of 4096 · refuses new clients
        inode 81234 ⇄ 81235 · receive queue 6 bytes · the peer sends no more
        inode 81234 · named hello.sock
    """
    if entry.state is TableState.LISTENING and entry.queued is not None:
        return [accept_queue(entry), *(["refuses new clients"] if _has(entry.shutdown, 1) else [])]
    number = f"inode {inode(entry.inode)}"
    if entry.state is TableState.CONNECTED and entry.unread is not None:
        return [f"{number} ⇄ {_peer(entry, own, inode)}", receive_queue(entry), *_shut(entry, own)]
    named = f"named {name(escape(entry.address.format()))}" if entry.address.name else "without a name"
    if entry.state is TableState.CONNECTED and not entry.address.name:
        return [number]  # the peer's name is not its own, and more was not told
    return [number, named, *([receive_queue(entry)] if entry.unread else [])]


def accept_queue(listener: SocketEntry) -> str:
    """`accept queue 1 of 4096`, of an entry that has one."""
    return f"accept queue {listener.queued} of {listener.backlog}"


def receive_queue(entry: SocketEntry) -> str:
    """`receive queue 6 bytes`: what has come and was not read."""
    return "receive queue 1 byte" if entry.unread == 1 else f"receive queue {entry.unread or 0} bytes"


def is_closed_by_peer(entry: SocketEntry, own: Shutdown) -> bool:
    """Whether the other end is gone: its close(2) has ended both ways of this one, too."""
    return entry.peer == 0 and entry.shutdown is Shutdown.BOTH and own is not Shutdown.BOTH


def _peer(entry: SocketEntry, own: Shutdown, inode: Callable[[int], object]) -> object:
    """An end that nobody has accepted has no inode yet, one that was closed has none any more."""
    if entry.peer:
        return inode(entry.peer)
    return "closed" if is_closed_by_peer(entry, own) else "nobody" if _has(own, 3) else "not accepted yet"


def _shut(entry: SocketEntry, own: Shutdown) -> list[str]:
    """Each way by who ended it; of a peer that is gone nothing more needs to be said."""
    if is_closed_by_peer(entry, own) or not entry.shutdown:
        return []
    if own is Shutdown.BOTH:
        return ["shut down both ways"]
    receiving = "shut down for receiving" if _has(own, 1) else "the peer sends no more"
    sending = "shut down for sending" if _has(own, 2) else "the peer receives no more"
    ends = ((1, receiving), (2, sending))
    return [words for bits, words in ends if _has(entry.shutdown, bits)]


def _has(shut: Shutdown | None, bits: int) -> bool:
    return shut is not None and shut.value & bits == bits
