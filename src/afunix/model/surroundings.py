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
    """A line of /proc/self/mountinfo. `root` is what of its file system is mounted; it ends in `//deleted` where a
    single file was, and has been removed or replaced since.
    """

    point: bytes
    root: bytes = b"/"
    file_system: str = ""
    is_read_only: bool = False

    @property
    def is_deleted(self) -> bool:
        return self.root.endswith(b"//deleted")


@dataclass(frozen=True, slots=True)
class Component:
    """One step on the way to a path, `/` and what lies behind symbolic links included.

    `path` is how it was reached. `error` is the errno of looking at it, 0 if it was seen: ENOENT for what is missing,
    EACCES if the directory before it may not be searched by us; then `kind` is NOTHING and `rights` None. `target` is
    a link's text; `behind` the link in whose text this name stands, None if it stands in the path itself.
    `is_final`: nothing of the path comes after it. `is_mount_point`: a mount begins here; `is_empty`: a directory
    without a file in it.
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


@dataclass(frozen=True, slots=True)
class Bound:
    """A socket that bears the name, who has it open, and, of a listener, who waits in its backlog.

    `stopped` are the owners that a signal has stopped (state T): they accept nobody until they are continued.
    """

    entry: SocketEntry
    owners: tuple[Owner, ...] = ()
    clients: tuple[Owner, ...] = ()
    stopped: frozenset[int] = frozenset()


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
    """What a real connect(2) said: its errno (0: connected), who answered by SO_PEERCRED, and how long it took."""

    errno: int
    type: str
    seconds: float
    pid: int | None = None
    uid: int | None = None
    gid: int | None = None
    comm: str | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """All that was found out about `address`, for `person`.

    `way`: the components of a path, in the order of looking them up; the last one is the file itself, or where the
    way ends. `probe` is the errno of connecting a datagram socket to it (0: connected), None if it was not tried.
    `bound`: sockets of this network namespace that bear the name. `is_complete`: the table told all it can.
    `neighbours`: sockets in the directory where the file is missing, or for an abstract name the abstract names there
    are. `name_error`: why the name cannot be given to the kernel at all, and the next step. `protects_links`: whether
    fs.protected_symlinks is on. `may_write`: the kernel's own answer about the socket file, for us.
    `unseen_processes`: how many could not be asked for their namespaces.
    """

    address: Address
    person: Person
    wanted_type: str | None = None
    way: tuple[Component, ...] = ()
    probe: int | None = None
    bound: tuple[Bound, ...] = ()
    is_complete: bool = True
    neighbours: tuple[Address, ...] = ()
    other_mounts: tuple[Elsewhere, ...] = ()
    other_networks: tuple[Elsewhere, ...] = ()
    removed: tuple[Elsewhere, ...] = ()
    """Sockets that were bound to this very path, whose file is not there any more."""
    name_error: tuple[str, str | None] | None = None
    protects_links: bool = False
    may_write: bool | None = None
    unseen_processes: int = 0
    answer: Answer | None = None
    known: KnownNames = field(default_factory=KnownNames)

    @property
    def last(self) -> Component | None:
        return self.way[-1] if self.way else None
