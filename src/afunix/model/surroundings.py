"""What is known of an address before anybody connects to it: the facts that `model.reachability` judges. Values only.

`tools.gathering` fills them: the way to a path from `kernel.approach`, who bears the name from the kernel's table, and
who bears it in another namespace from `kernel.namespaces`. What could not be found out is None, and never guessed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .address import Address
from .ownership import FileKind
from .permission import KnownNames, Person, Rights
from .socket_table import FileIdentity, Owner, SocketEntry, TableState


@dataclass(frozen=True, slots=True)
class Mount:
    """A line of /proc/self/mountinfo. `root` is what of its file system is mounted, `device` the file system's number."""

    point: bytes
    root: bytes = b"/"
    file_system: str = ""
    is_read_only: bool = False
    device: int = 0


@dataclass(frozen=True, slots=True)
class Component:
    """One step on the way to a path, `/` and what lies behind symbolic links included.

    `path` is how it was reached. `error` is the errno of looking at it, 0 if it was seen: ENOENT for what is missing,
    EACCES if the directory before it may not be searched by us; then `kind` is NOTHING and `rights` None. `target` is
    a link's text; `behind` the link in whose text this name stands, None if it stands in the path itself.
    `is_final`: nothing of the path comes after it. `is_mount_point`: a mount begins here; `is_empty`: a directory
    without a file in it. `may_search`: the kernel's own answer about a directory, for us.
    """

    path: bytes
    kind: FileKind = FileKind.NOTHING
    rights: Rights | None = None
    target: bytes | None = None
    behind: bytes | None = None
    is_final: bool = False
    error: int = 0
    identity: FileIdentity | None = None
    mount: Mount | None = None
    is_mount_point: bool = False
    is_empty: bool | None = None
    may_search: bool | None = None

    @property
    def leads_to_a_descriptor(self) -> bool:
        """A link of /proc to a socket that a process has open: the socket itself, not a name of it (proc_pid_fd(5))."""
        is_of_proc = self.mount is not None and self.mount.file_system == "proc"
        return is_of_proc and (self.target or b"").startswith(b"socket:[")


@dataclass(frozen=True, slots=True)
class Bound:
    """A socket that bears the name, who has it open, and, of a listener, who waits in its backlog.

    `stopped` are the owners that a signal has stopped (state T): they accept nobody until they are continued.
    `is_full`: the receive queue of a datagram socket takes no more, None if that was not asked.
    """

    entry: SocketEntry
    owners: tuple[Owner, ...] = ()
    clients: tuple[Owner, ...] = ()
    stopped: frozenset[int] = frozenset()
    is_full: bool | None = None


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A socket of that name that is not the one meant here: in another namespace, or its file is gone.

    `through` is a process in that namespace (/proc/PID/ns/net leads there), `way` a path that leads to the socket from
    here (/proc/PID/root/…). Both are None where there is no such thing.
    """

    owner: Owner | None = None
    state: TableState | None = None
    type: str | None = None
    way: bytes | None = None
    through: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a real connect(2) said: its errno (0: connected), who answered by SO_PEERCRED, and how long it took.

    `is_full`: the server's receive queue takes no datagram now.
    """

    errno: int
    type: str
    seconds: float
    pid: int | None = None
    uid: int | None = None
    gid: int | None = None
    comm: str | None = None
    is_full: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """All that was found out about `address`, for `person`.

    `way`: the components of a path, in the order of looking them up; the last one is the file itself, or where the
    way ends. `probe` is the errno of connecting a datagram socket to it (0: connected), None if it was not tried,
    because the table knows better. `bound`: sockets of this network namespace that bear the name; `beneath`: those
    that were bound to the file which an overlay shows here as another one. `is_complete`: the table told all it can.
    `neighbours`: sockets in the directory where the file is missing, or for an abstract name the abstract names there
    are. `name_error`: why the name cannot be given to the kernel at all, and the next step. `protects_links`: whether
    fs.protected_symlinks is on. `may_write`: the kernel's own answer about the socket file, for us.
    `unseen_processes`: how many could not be asked for their namespaces; `looks_as_root`: though root asked.
    """

    address: Address
    person: Person
    wanted_type: str | None = None
    way: tuple[Component, ...] = ()
    probe: int | None = None
    bound: tuple[Bound, ...] = ()
    beneath: tuple[Bound, ...] = ()
    is_complete: bool = True
    neighbours: tuple[Address, ...] = ()
    other_mounts: tuple[Elsewhere, ...] = ()
    other_networks: tuple[Elsewhere, ...] = ()
    removed: tuple[Elsewhere, ...] = ()
    """Sockets that were bound to this very path, whose file is not there any more."""
    tapped: bytes | None = None
    """The path beside it where a tap keeps the server's socket, if one is there that a process has open."""
    name_error: tuple[str, str | None] | None = None
    protects_links: bool = False
    may_write: bool | None = None
    unseen_processes: int = 0
    looks_as_root: bool = False
    answer: Answer | None = None
    known: KnownNames = field(default_factory=KnownNames)

    @property
    def last(self) -> Component | None:
        return self.way[-1] if self.way else None
