"""Does the socket at the address take a connection? From the probe and the kernel's table, in the order of the kernel. Pure.

    the probe says ECONNREFUSED                     stale, whatever the table has
    the table has it (this network namespace)       type, then listening or not, then room in its backlog: as
                                                    unix_stream_connect asks (net/unix/af_unix.c)
    the probe says that it lives, no table has it   a process in another network namespace holds it
    neither                                         it cannot be told

The probe is made only where the table leaves it open. Its answers are explained in `model.ownership`; the sentences are
`model.refusal`'s.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import replace

from .elsewhere import of_the_mount, of_those_elsewhere
from .errors import errno_name
from .escaping import escape, quote
from .finding_words import (
    altered,
    are_one,
    bearer,
    clients,
    holders,
    named,
    refused,
    user_shown,
    waiting_for,
)
from .findings import Code, Finding, Severity
from .ownership import CONNECTED
from .shell_words import address_word, path_word, shell_line
from .socket_table import Owner, Shutdown, TableState
from .surroundings import Bound, Component, Facts

_ALIVE = frozenset({CONNECTED, errno.EPROTOTYPE, errno.EPERM, errno.EAGAIN})
"""The probe's answers from a socket that a process has open; see `model.ownership`."""

_PLURAL = {"listens": "listen", "has it open": "have it open"}

_REFUSES_NEW = (Shutdown.RECEIVING, Shutdown.BOTH)


def of_the_socket(facts: Facts, file: Component) -> Iterator[Finding]:
    best = foremost(facts)
    if facts.probe == errno.ECONNREFUSED:
        yield _stale(facts, file)
        yield from of_those_elsewhere(facts)
        yield from of_the_mount(facts)
    elif best is not None:
        yield from of_the_bound(facts, best)
    elif facts.probe in _ALIVE:
        yield from _of_the_unlisted(facts)
    else:
        yield _untold(facts)


def foremost(facts: Facts) -> Bound | None:
    """The one that answers: a listener before one that is only bound."""
    return max(facts.bound, key=lambda one: one.entry.state is TableState.LISTENING, default=None)


def _stale(facts: Facts, file: Component) -> Finding:
    finding = refused(facts, Code.STALE, errno.ECONNREFUSED, found=file)
    if any(step.leads_to_a_descriptor for step in facts.way[-2:-1]):
        return altered(
            replace(finding, code=Code.DESCRIPTOR),
            what=f"{quote(facts.address.format())} leads to a socket that a process has open (ECONNREFUSED)",
            why="that is a descriptor, not a name; only a name that a server was bound to can be connected to",
            hint="'afunix ls' shows the names of sockets",
        )
    if facts.beneath:
        return _of_the_overlay(finding, facts.beneath[0])
    if file.is_mount_point:
        return altered(
            finding,
            why="no process has this socket open, and it is mounted there by itself: such a mount keeps the socket that"
            " was there when it was made, also when the server has made a new one since",
            hint="make the container (the mount) again; mount the directory that the socket is in, not the socket",
        )
    if facts.tapped is not None:
        return altered(
            finding,
            why="no process has this socket open: a tap was killed together with its guardian, and left it in front of"
            f" its server's socket, which is {quote(facts.tapped)}",
            hint="this puts it back, and so does the next 'afunix tap'",
            command=f"mv {path_word(facts.tapped)} {path_word(file.path)}",
        )
    return altered(
        finding,
        why="no process has this socket open: its server ended and left the file",
        hint="start its server; 'afunix serve' replaces stale socket files, one that does not (EADDRINUSE) needs it removed",
        command=f"rm {path_word(file.path)}",
    )


def _of_the_overlay(finding: Finding, beneath: Bound) -> Finding:
    """What overlayfs shows has an inode of its own, and the kernel compares inodes."""
    entry = beneath.entry
    return altered(
        finding,
        what=finding.what.replace("stale socket file, ", ""),
        why=f"an overlay shows the file, and its copy is another inode: {holders(beneath.owners)} by the file beneath,"
        f" as {quote(entry.address.format())}",
        hint="connect by the path of the layer that the server was bound in; or have the server make its socket in the"
        " overlay",
    )


def of_the_bound(facts: Facts, bound: Bound) -> Iterator[Finding]:
    """A socket of the kernel's table, in the order of unix_stream_connect: its type, its state, its backlog."""
    entry = bound.entry
    if facts.wanted_type is not None and facts.wanted_type != entry.type:
        yield _wrong_type(facts, entry.type)
    elif entry.type == "dgram":
        yield from _of_the_datagrams(facts, bound)
    elif entry.state is not TableState.LISTENING:
        yield _not_listening(facts, bound)
    elif entry.shutdown in _REFUSES_NEW:
        yield _shut(facts, bound)
    elif _is_full(bound):
        yield _full(facts, bound)
    else:
        yield _live(facts, bound)
        yield from _of_the_stopped(facts, bound)


def _of_the_datagrams(facts: Facts, bound: Bound) -> Iterator[Finding]:
    if facts.probe == errno.EPERM or bound.entry.peer is not None:
        yield _has_its_peer(facts, bound.owners)
        return
    yield _live(facts, bound)
    yield from _of_the_queue(facts, bound)
    yield from _of_the_stopped(facts, bound)


def _of_the_queue(facts: Facts, bound: Bound) -> Iterator[Finding]:
    """A datagram socket is connected to however full its queue is; then sending waits (unix_dgram_sendmsg)."""
    if facts.answer is not None and facts.answer.is_full:
        return  # told of the answer
    unread = bound.entry.unread
    if bound.is_full:
        yield _queue_full(facts)
    elif unread and bound.is_full is None:
        yield Finding(
            Code.UNREAD,
            Severity.WARNING,
            f"datagrams wait unread at {quote(facts.address.format())}, the first of {unread} bytes",
            why="how many cannot be seen without connecting; once they are more than net.unix.max_dgram_qlen, sending"
            " waits, or fails with EAGAIN",
            command=_probing(facts),
        )


def _queue_full(facts: Facts) -> Finding:
    return Finding(
        Code.QUEUE_FULL,
        Severity.WARNING,
        f"the receive queue of {quote(facts.address.format())} is full: a datagram that is sent now waits, or fails with"
        " EAGAIN",
        why="its process is there, and does not read",
    )


def _of_the_unlisted(facts: Facts) -> Iterator[Finding]:
    """The probe says that it lives, and this network namespace's table does not have it."""
    wanted, is_datagram = facts.wanted_type, facts.probe != errno.EPROTOTYPE
    if is_datagram and wanted not in (None, "dgram"):
        yield _wrong_type(facts, "dgram")
    elif not is_datagram and wanted == "dgram":
        yield _wrong_type(facts, None)
    elif facts.probe == errno.EPERM:
        yield _has_its_peer(facts, ())
    else:
        yield from _of_another_network(facts, is_datagram=is_datagram)


def _of_another_network(facts: Facts, *, is_datagram: bool) -> Iterator[Finding]:
    there = next((o for o in facts.other_networks if o.state is TableState.LISTENING), None)
    there = there or next(iter(facts.other_networks), None)
    if there is not None and there.type is not None and facts.wanted_type not in (None, there.type):
        yield _wrong_type(facts, there.type)
        return
    if there is not None and not is_datagram and there.state is not TableState.LISTENING:
        yield altered(_bound_only(facts), why=f"{bearer(there)} has it open, in another network namespace")
        return
    kind = (
        there.type if there is not None and there.type else "dgram" if is_datagram else "stream or seqpacket"
    )
    who = (
        f"{bearer(there)} has it open"
        if there is not None
        else "a process that is not seen from here has it open"
    )
    yield Finding(
        Code.LIVE_UNSEEN,
        Severity.FACT,
        f"{quote(facts.address.format())} is live: {who} ({kind})",
        why="it is in another network namespace, where a path leads all the same; its backlog is not seen from here",
        hint="--probe connects, and tells whether it accepts",
        command=_probing(facts),
    )


def _untold(facts: Facts) -> Finding:
    """Nobody could be asked: the probe needs write permission itself."""
    return Finding(
        Code.UNSEEN,
        Severity.WARNING,
        f"whether anybody listens on {quote(facts.address.format())} cannot be told from here",
        why="it is in no table of this network namespace, and asking it needs write permission"
        + (f" ({errno_name(facts.probe)})" if facts.probe else ""),
        hint="as root or its owner, check tells it",
    )


def _wrong_type(facts: Facts, found: str | None) -> Finding:
    return altered(
        refused(facts, Code.WRONG_TYPE, errno.EPROTOTYPE, found_type=found),
        why="stream, dgram and seqpacket do not mix",
        command=f"afunix connect {address_word(facts.address)}",
    )


def _bound_only(facts: Facts) -> Finding:
    return altered(
        refused(facts, Code.NOT_LISTENING, errno.ECONNREFUSED, is_bound=True),
        hint="it may be starting or stopping; this waits for it",
        command=waiting_for(facts),
    )


def _not_listening(facts: Facts, bound: Bound) -> Finding:
    return altered(_bound_only(facts), why=f"{holders(bound.owners)}; listen(2) was not called on it")


def _shut(facts: Facts, bound: Bound) -> Finding:
    return altered(
        _bound_only(facts),
        why=f"{holders(bound.owners)}, and has shut it down: it takes no new clients while it stops",
        hint="start its server again when it has stopped; this waits for it",
    )


def _has_its_peer(facts: Facts, owners: tuple[Owner, ...]) -> Finding:
    finding = refused(facts, Code.HAS_ITS_PEER, errno.EPERM)
    return altered(finding, why=holders(owners)) if owners else finding


def _is_full(bound: Bound) -> bool:
    """unix_recvq_full: one more than the backlog is let in."""
    queued, backlog = bound.entry.queued, bound.entry.backlog
    return queued is not None and backlog is not None and queued > backlog


def _full(facts: Facts, bound: Bound) -> Finding:
    entry = bound.entry
    waiting = f"; those that can be seen: {clients(bound.clients)}" if bound.clients else ""
    finding = altered(
        refused(facts, Code.BACKLOG_FULL, errno.EAGAIN),
        why=f"{holders(bound.owners)}; {entry.queued} wait in a backlog of {entry.backlog}, which lets one more in"
        + waiting,
        hint="it is busy; this waits for room",
        command=waiting_for(facts),
    )
    if not bound.stopped:
        return finding
    return altered(finding, hint="its process is stopped (state T): continue it", command=_continuing(bound))


def _of_the_stopped(facts: Facts, bound: Bound) -> Iterator[Finding]:
    if bound.stopped and bound.stopped == {owner.pid for owner in bound.owners}:
        yield Finding(
            Code.STOPPED,
            Severity.WARNING,
            f"{named(bound.owners)} {'is' if are_one(bound.owners) else 'are'} stopped (state T): a client is let in,"
            " and nobody answers",
            hint="continue it",
            command=_continuing(bound),
        )


def _continuing(bound: Bound) -> str:
    return shell_line("kill", "-CONT", *map(str, sorted(bound.stopped)))


def _live(facts: Facts, bound: Bound) -> Finding:
    entry = bound.entry
    is_blind = not facts.is_complete and facts.answer is None
    queue = "" if entry.queued is None else f"; {entry.queued} in its backlog of {entry.backlog}"
    if is_blind:
        queue = "; its queue cannot be seen from here"
    who = "its process is not visible from here"
    if bound.owners:
        verb = "listens" if entry.state is TableState.LISTENING else "has it open"
        who = f"{named(bound.owners)} {verb if are_one(bound.owners) else _PLURAL[verb]}"
    made = None if bound.owners or entry.uid is None else f"it was made by {user_shown(facts, entry.uid)}"
    found = Finding(
        Code.LIVE,
        Severity.FACT,
        f"{quote(facts.address.format())} is live: {who} ({entry.type}{queue})",
        why=made,
    )
    if not is_blind:
        return found
    return altered(
        found,
        why="sock_diag(7) is refused, and /proc/net/unix does not tell whether the queue is full",
        hint="only --probe, which connects, is certain"
        if facts.person.is_me
        else "a real connect alone is certain",
        command=_probing(facts),
    )


def _probing(facts: Facts) -> str | None:
    return f"afunix check --probe {address_word(facts.address)}" if facts.person.is_me else None


def of_the_answer(facts: Facts, found: list[Finding]) -> Iterator[Finding]:
    answer = facts.answer
    if answer is None:
        return
    took = f"{answer.seconds * 1000:.1f} ms"
    if answer.errno == 0:
        pid = (
            ""
            if not answer.pid
            else f", pid {answer.pid}" + (f" ({escape(answer.comm)})" if answer.comm else "")
        )
        who = "" if answer.uid is None else f" by {user_shown(facts, answer.uid)}{pid}"
        yield Finding(
            Code.ANSWERED,
            Severity.FACT,
            f"{quote(facts.address.format())} answered a real connect{who} in {took} ({answer.type})",
        )
        if answer.is_full:
            yield _queue_full(facts)
    elif all(finding.errno != answer.errno for finding in found):
        code = Code.BACKLOG_FULL if answer.errno == errno.EAGAIN else Code.REFUSED
        yield altered(
            refused(facts, code, answer.errno),
            why=f"a real connect ended so after {took}, and the facts do not tell why: it may have changed meanwhile, or a"
            " security module (SELinux, AppArmor, Landlock) has a rule of its own",
        )
