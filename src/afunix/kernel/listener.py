"""A Listener owns one listening socket and, if we bound it, the name: socket, bind, listen, and the way back.

An inherited one (systemd, a parent) is only used: it is never shut down, never unlinked, its flags stay. A
datagram socket is bound the same way and has no `listen`; nothing accepts on it.
"""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable
from dataclasses import dataclass
from socket import AF_UNIX, SHUT_RD, SOCK_NONBLOCK, SocketType

from ..model.address import Address
from ..model.errors import AddressError, AfunixError
from ..model.events import Bound, Closed, Created, Direction, HalfClosed, Listening, Observer, Unlinked
from ..model.rules import parse_id
from . import names, peercred, socket_file
from .socket_types import call_name, number_of, type_of

_SOMAXCONN = "/proc/sys/net/core/somaxconn"


def max_backlog() -> int:
    """What the kernel would lower a larger backlog to (net.core.somaxconn, listen(2))."""
    try:
        with open(_SOMAXCONN, "rb") as file:
            return int(file.read())
    except (OSError, ValueError):
        return socket.SOMAXCONN


@dataclass(frozen=True, slots=True)
class Ownership:
    """How a name is claimed: the options of `serve` that concern the socket file. See `socket_file.bind`."""

    mode: int = 0o600
    uid: int | None = None
    gid: int | None = None
    replace: bool = False
    keep: bool = False

    @classmethod
    def of(
        cls,
        mode: int = 0o600,
        owner: str | int | None = None,
        group: str | int | None = None,
        replace: bool = False,
        keep: bool = False,
    ) -> Ownership:
        """The same in a program's words: `owner` and `group` are a name, a number, or a number in a string.

        Raises:
            RuleError: nobody has that name, or it is no id.
        """
        return cls(
            mode,
            None if owner is None else parse_id(str(owner), "user", names.uid_of),
            None if group is None else parse_id(str(group), "group", names.gid_of),
            replace,
            keep,
        )


class Listener:
    """A bound socket. `close()` closes it; `unlink()` first, while it is open, removes the path if it is still ours."""

    def __init__(
        self,
        sock: socket.socket,
        address: Address,
        *,
        keep: bool = False,
        inherited: bool = False,
        observer: Observer | None = None,
    ) -> None:
        self.socket = sock
        self.fd = sock.fileno()
        self.address = address
        self.type = type_of(sock)
        self.is_stream = self.type == socket.SOCK_STREAM
        self.is_inherited = inherited
        self.refuses_fds = False
        """Does the kernel keep descriptors away from what it accepts? Of an inherited one that is not known."""
        self._file: socket_file.SocketFile | None = None
        self._keep = keep
        self._observer = observer
        self._must_poll = inherited and os.get_blocking(self.fd)
        # Said to be non-blocking, Python does not wait by itself, as `socket.setdefaulttimeout` would make it.
        self._accepted_type = self.type | SOCK_NONBLOCK

    @classmethod
    def take(cls, address: Address, sock: socket.socket, *, observer: Observer | None = None) -> Listener:
        """One that was handed to us (`activation.take`), `address` being what it is bound to; ours to close only."""
        if observer is not None:
            observer(Listening(sock.fileno(), address, 0, inherited=True))
        return cls(sock, address, inherited=True, observer=observer)

    @classmethod
    def open(
        cls,
        address: Address,
        type_word: str = "stream",
        ownership: Ownership = Ownership(),
        *,
        backlog: int | None = None,
        configure: Callable[[SocketType], None] = lambda sock: None,
        accepts_fds: bool = False,
        observer: Observer | None = None,
    ) -> Listener:
        """socket, bind, listen. `configure` sees the socket before it has a name, so before any client can.

        Without `accepts_fds` nobody can send descriptors to what it accepts, if the kernel can refuse them.

        Raises:
            AddressError: an unknown type, or a negative backlog.
            AfunixError: of the kinds that `socket_file.bind` names; nothing is left behind.
        """
        number = number_of(type_word)
        if backlog is not None and backlog < 0:
            raise AddressError(f"a backlog of {backlog} is none: expected 0 or more")
        sock = socket.socket(AF_UNIX, number)
        try:
            sock.setblocking(False)
            refuses_fds = not accepts_fds and peercred.refuse_descriptors(sock)
            configure(sock)
            if observer is not None:
                observer(Created(sock.fileno(), call_name(number)))
            listener = cls(sock, address, keep=ownership.keep, observer=observer)
            listener.refuses_fds = refuses_fds
            listener._file = socket_file.bind(
                sock,
                address,
                mode=ownership.mode,
                uid=ownership.uid,
                gid=ownership.gid,
                replace=ownership.replace,
                observer=observer,
                ready=lambda: listener._listen(max_backlog() if backlog is None else backlog),
            )
        except BaseException:
            sock.close()
            raise
        return listener

    @property
    def is_ours(self) -> bool:
        """Open, and bound by us: then whoever waits in its queue waits for us."""
        return self.fd >= 0 and not self.is_inherited

    def _listen(self, backlog: int) -> None:
        if self._observer is not None:
            self._observer(Bound(self.fd, self.address))
        if self.type == socket.SOCK_DGRAM:
            return
        self.socket.listen(backlog)
        if self._observer is not None:
            self._observer(Listening(self.fd, self.address, backlog))

    def accept(self) -> SocketType:
        """Like `accept_named`, for those who do not ask for the client's name."""
        return self.accept_named()[0]

    def accept_named(self) -> tuple[SocketType, str | bytes]:
        """The next client, its descriptor close-on-exec and blocking, and what it is bound to; the caller owns it.

        Raises:
            BlockingIOError: nobody is waiting.
            OSError: as accept(2); `model.acceptance` says what each means.
        """
        if self._must_poll and not self._is_readable():
            raise BlockingIOError
        # accept4(2) without the wrapper that `socket.accept` puts around each connection: half of its price.
        fd, name = self.socket._accept()  # type: ignore[attr-defined]
        return SocketType(AF_UNIX, self._accepted_type, 0, fd), name or ""

    def _is_readable(self) -> bool:
        """For a blocking listener that we were handed, whose flag is not ours to set.

        A known race: a process that shares it may take the client first, and we wait for the next one. Its owner
        can close it with O_NONBLOCK (`NonBlocking=true` in a unit).
        """
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        return bool(poll.poll(0))

    def refuse_new(self) -> None:
        """No client can connect from now on; those in the queue can still be accepted (SHUT_RD; Linux).

        Of a datagram socket: what is queued can still be received, and who sends more gets EPIPE. Irreversible for
        everybody who holds the socket, so an inherited one is left as it is.
        """
        if self.is_ours:
            self.socket.shutdown(SHUT_RD)
            if self._observer is not None:
                self._observer(HalfClosed(self.fd, Direction.RECEIVING))

    def unlink(self) -> AfunixError | None:
        """Remove the path, if we made it, may remove it, and it is still ours. Before `close()`; idempotent.

        What stands in the way of removing what is ours is returned, not raised: an end goes on without it.
        """
        file, self._file = self._file, None
        if file is None:
            return None
        try:
            removed = not self._keep and file.remove()
        except AfunixError as error:
            return error
        finally:
            file.close()
        if self._observer is not None and not self._keep:
            self._observer(Unlinked(self.fd, self.address, removed))
        return None

    def release(self) -> tuple[SocketType, socket_file.SocketFile | None]:
        """Hand on the socket and the file that is to be removed before it is closed; this Listener is done.

        No file: an abstract name, an inherited socket, or one whose path is to be kept.
        """
        file, self._file, self.fd = self._file, None, -1
        if file is not None and self._keep:
            file.disown()
            file = None
        return self.socket, file

    def close(self) -> None:
        """`unlink()`, then close the descriptor; idempotent."""
        if self.fd < 0:
            return
        self.unlink()
        if self._observer is not None:
            self._observer(Closed(self.fd))
        self.fd = -1
        self.socket.close()
