"""A Listener owns one listening socket and, if we bound it, the name: socket, bind, listen, and the way back.

An inherited one (systemd, a parent) is only used: it is never shut down, never unlinked, its flags stay. If it blocks
a thread accepts on it (`threaded_accept`), since another process that holds it may be faster than we are. A datagram
socket is bound the same way and has no `listen`; nothing accepts on it.
"""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from socket import AF_UNIX, SHUT_RD, SOCK_NONBLOCK, SocketType
from typing import TYPE_CHECKING

from ..model.address import Address
from ..model.errors import AfunixError, WrongTypeError
from ..model.escaping import quote
from ..model.events import Bound, Closed, Created, Direction, HalfClosed, Listening, Observer, Unlinked
from ..model.rules import parse_id
from . import activation, names, peercred, socket_file
from .backlog import check_backlog, max_backlog
from .numbers import must_be_int
from .socket_types import call_name, number_of, type_of, type_word

if TYPE_CHECKING:
    from .threaded_accept import ThreadedAccept

_TAKEN_BY = {
    "stream": "listen() takes it",
    "seqpacket": "listen_packets() takes it",
    "dgram": "nobody connects to it: open_datagrams() receives from everybody",
}

_THREADS_MOMENT_MS = 100
"""A thread that has not taken a client by then has lost it to another process."""


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
            RuleError: nobody has that name, or it is no id. TypeError: `mode` is no number.
        """
        must_be_int(mode, "mode", "a number such as 0o600")
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
        self.alerts: Observer | None = None
        """Told of what a person should know; set by whoever serves it. Only one on another host has anything to tell."""
        self._lets_descriptors_in = False
        self._file: socket_file.SocketFile | None = None
        self._keep = keep
        self._observer = observer
        self._thread = _thread_for(self.fd, self.type) if inherited else None
        # Said to be non-blocking, Python does not wait by itself, as `socket.setdefaulttimeout` would make it.
        self._accepted_type = self.type | SOCK_NONBLOCK

    @classmethod
    def take(cls, address: Address, sock: socket.socket, *, observer: Observer | None = None) -> Listener:
        """One that was handed to us (`activation.take`), `address` being what it is bound to; ours to close only."""
        if observer is not None:
            observer(Listening(sock.fileno(), address, 0, inherited=True))
        return cls(sock, address, inherited=True, observer=observer)

    @classmethod
    def inherit(
        cls, address: Address, types: Iterable[str] = ("stream",), *, observer: Observer | None = None
    ) -> Listener:
        """The one that `fd:3` or `fd:NAME` names, of one of `types`; the caller owns it.

        Raises:
            AddressError: see `activation.take`. WrongTypeError: of another type. It is not taken then.
        """
        sock = activation.take(address)
        try:
            found, wanted = type_word(type_of(sock)), tuple(types)
            if found not in wanted:
                raise WrongTypeError(
                    f"{quote(str(address))} is a {found} socket, expected {' or '.join(wanted)} (EPROTOTYPE)",
                    hint=_TAKEN_BY.get(found),
                )
            return cls.take(Address.from_kernel(sock.getsockname()), sock, observer=observer)
        except BaseException:
            activation.give_back(sock)
            raise

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
            AddressError: an unknown type, or a negative backlog. TypeError: it is no number.
            AfunixError: of the kinds that `socket_file.bind` names; nothing is left behind.
        """
        number = number_of(type_word)
        check_backlog(backlog)
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

    @property
    def ready_fd(self) -> int:
        """What polls readable when `accept_named` is worth a call: the descriptor itself, or what tells of the thread.

        Raises:
            OSError: out of descriptors.
        """
        return self.fd if self._thread is None else self._thread.ready_fd

    @property
    def has_thread(self) -> bool:
        """Does a thread accept here, because accept(2) may block?"""
        return self._thread is not None

    @property
    def holds_client(self) -> bool:
        """Has the thread taken a client that nobody has fetched?"""
        return self._thread is not None and self._thread.holds_client

    def let_descriptors_in(self) -> None:
        """Let clients send descriptors also if they could not so far: those who connect from now on, and those who are
        in the queue once they are accepted. Others who hold the socket get such clients, too.
        """
        if self.is_inherited or self.refuses_fds:
            peercred.let_descriptors_in(self.socket)
            self.refuses_fds = False
            self._lets_descriptors_in = True

    def accept(self) -> SocketType:
        """Like `accept_named`, for those who have no loop. Where a thread accepts it is waited a moment for."""
        try:
            return self.accept_named()[0]
        except BlockingIOError:
            if self._thread is None or not (self._thread.is_asked or self._thread.holds_client):
                raise
        poll = select.poll()
        poll.register(self.ready_fd, select.POLLIN)
        poll.poll(_THREADS_MOMENT_MS)
        return self.accept_named()[0]

    def accept_named(self) -> tuple[SocketType, str | bytes]:
        """The next client, its descriptor close-on-exec and blocking, and what it is bound to; the caller owns it.

        Never waits. Where a thread accepts it may say that there is nobody, and `ready_fd` tells when it has got one.

        Raises:
            BlockingIOError: nobody is waiting.
            OSError: as accept(2); `model.acceptance` says what each means.
        """
        # accept4(2) without the wrapper that `socket.accept` puts around each connection: half of its price.
        accept = self.socket._accept if self._thread is None else self._thread.accept  # type: ignore[attr-defined]
        fd, name = accept()
        sock = SocketType(AF_UNIX, self._accepted_type, 0, fd)
        if self._lets_descriptors_in:
            peercred.let_descriptors_in(sock)
        return sock, name or ""

    def refuse_new(self) -> None:
        """No client can connect from now on; those in the queue can still be accepted (SHUT_RD; Linux).

        Of a datagram socket: what is queued can still be received, and who sends more gets EPIPE. Irreversible for
        everybody who holds the socket, so an inherited one is left as it is; where a thread accepts on that it is asked
        no more, and one client that it may still take, should it be waiting, is closed.
        """
        if self._thread is not None:
            self._thread.stop()
        if self.is_ours:
            self.socket.shutdown(SHUT_RD)
            if self._observer is not None:
                self._observer(HalfClosed(self.fd, Direction.RECEIVING))

    @property
    def bytes_lost(self) -> int:
        """What clients had sent, and was not handed on to what was accepted, because we ended. Here nothing is between."""
        return 0

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
        self._end_thread()
        file, self._file, self.fd = self._file, None, -1
        if file is not None and self._keep:
            file.disown()
            file = None
        return self.socket, file

    def give_back(self) -> None:
        """Undo `inherit`: the descriptor stays open, and can be taken again. This Listener is done."""
        activation.give_back(self.release()[0])

    def close(self) -> None:
        """`unlink()`, then close the descriptor; idempotent. Waits for no thread: see `refuse_new`."""
        if self.fd < 0:
            return
        self._end_thread()
        self.unlink()
        fd, self.fd = self.fd, -1
        self.socket.close()
        if self._observer is not None:
            self._observer(Closed(fd))

    def _end_thread(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.close()


def _thread_for(fd: int, number: int) -> ThreadedAccept | None:
    """For a listener that blocks, and whose flag others have, too. Who opens it with O_NONBLOCK spares us the thread."""
    if number == socket.SOCK_DGRAM or not os.get_blocking(fd):
        return None
    from .threaded_accept import ThreadedAccept

    return ThreadedAccept(fd, number)
