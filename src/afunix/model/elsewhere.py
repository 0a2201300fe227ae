"""Where nothing is, or nobody listens: what else bears that name, what is spelled like it, and whether one could be made.

Warnings that follow a problem: a file that was removed under its server, another mount or network namespace, a near
name, a read-only mount. Pure; `kernel.namespaces` finds who is elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator

from .address import AddressKind
from .escaping import quote
from .finding_words import MAX_NAMED, bearer
from .findings import Code, Finding, Severity
from .neighbours import nearest
from .shell_words import address_word, path_word, shell_line
from .surroundings import Elsewhere, Facts


def of_those_elsewhere(facts: Facts) -> Iterator[Finding]:
    """Sockets that bear the name, and are not reached by it."""
    for other in facts.removed[:MAX_NAMED]:
        yield Finding(
            Code.REMOVED,
            Severity.WARNING,
            f"{bearer(other)} has a socket that was bound to {quote(facts.address.format())}, and its file is gone",
            why="the file was removed or replaced while the server ran; a new connection needs a file",
            hint="restart that server",
        )
    for other in facts.other_mounts[:MAX_NAMED]:
        way = other.way or b""
        yield Finding(
            Code.OTHER_MOUNT_NAMESPACE,
            Severity.WARNING,
            f"{bearer(other)} has a socket {quote(facts.address.format())} in another mount namespace",
            why="it sees other files than you: a container, or a service with PrivateTmp= or a chroot; its path"
            f" leads to it from here as {quote(way)}",
            hint="have it make the socket in a directory that both see; until then root reaches it so",
            command=shell_line("afunix", "connect") + " " + path_word(way),
        )


def of_the_neighbours(facts: Facts) -> Iterator[Finding]:
    for near in nearest(facts.address, facts.neighbours)[:MAX_NAMED]:
        is_path = near.kind is AddressKind.PATHNAME
        kind = "a socket" if is_path else "an abstract name"
        yield Finding(
            Code.NEAR_MISS,
            Severity.WARNING,
            f"there is {kind} {quote(near.format())}",
            hint="did you mean that one?",
            command=f"afunix connect {address_word(near)}",
        )


def of_the_mount(facts: Facts) -> Iterator[Finding]:
    mount = next((step.mount for step in reversed(facts.way) if step.mount is not None), None)
    if mount is not None and mount.is_read_only:
        yield Finding(
            Code.READ_ONLY,
            Severity.WARNING,
            f"no server can make a socket there: {quote(mount.point)} is mounted read-only (EROFS)",
            why="connecting needs no writable mount, making the socket does",
            hint="have it made where the mount comes from, or elsewhere; or let root make the mount writable",
            command=shell_line("mount", "-o", "remount,rw") + " " + path_word(mount.point),
        )


def in_another_network(facts: Facts, other: Elsewhere) -> Finding:
    pid = other.through
    return Finding(
        Code.OTHER_NETWORK_NAMESPACE,
        Severity.WARNING,
        f"{bearer(other)} has {quote(facts.address.format())} in another network namespace",
        why="an abstract name is known in its own network namespace only; a path is known in all",
        hint="have it listen on a path; until then root enters its namespace so",
        command=None
        if pid is None
        else f"nsenter --net=/proc/{pid}/ns/net afunix connect {address_word(facts.address)}",
    )
