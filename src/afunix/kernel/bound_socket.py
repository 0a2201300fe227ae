"""A bound socket that is an ordinary `socket.socket` to whoever serves on it: uvicorn, aiohttp, socketserver.

It is bound as `afunix serve` binds: the mode is right from the first moment, a stale path is replaced, a live
one is refused with the name of its owner. `close()` removes the path if it is still ours, and nobody else
does: not a forked child, not the sockets that it accepts or is copied to.

Forgotten without `close()`, it warns as every socket does, and leaves its path. That is stale from then on, and
the next start replaces it.
"""

from __future__ import annotations

import os
import socket
import warnings
from collections.abc import Callable
from socket import AF_UNIX, SocketType
from typing import Any

from ..model.address import Address
from ..model.errors import AfunixError
from .backlog import max_backlog
from .listener import Listener, Ownership
from .socket_file import SocketFile

__all__ = ["BoundSocket", "bind_socket"]


def bind_socket(
    address: Address | str | bytes | os.PathLike[str] | os.PathLike[bytes],
    *,
    type: str = "stream",
    mode: int = 0o600,
    owner: str | int | None = None,
    group: str | int | None = None,
    replace: bool = False,
    keep: bool = False,
    backlog: int | None = None,
) -> BoundSocket:
    """A socket that is bound to `address`, a path or `@name`, and listens: for a server that takes a socket.

    The caller owns it; its `close()` removes the path, unless `keep` says that it stays. It blocks (or has
    `socket.getdefaulttimeout()`), is close-on-exec, and where the kernel can (Linux 6.16) it lets no client
    send descriptors, `SO_PASSRIGHTS`.

    `type` is `stream`, `seqpacket`, or `dgram`, which has no `listen`. The file has `mode` and, where given,
    `owner` and `group` (a name, a number, or a number in a string) before the name exists; the umask takes
    nothing from it. `replace` takes over the path of a live socket, by an atomic rename. `backlog` is how many
    clients may wait to be accepted, by default as many as the kernel allows (net.core.somaxconn); it holds when
    a server calls `listen` with a smaller number, as most do.

    Blocks only while others claim the same path. On failure nothing is left behind.

    Raises:
        AddressInUseError: something live is bound there; by whom, is in the message.
        NotASocketError: another kind of file is there.
        NoSuchSocketError: the directory does not exist.
        DeniedError: the directory, `owner` or `group` is not permitted.
        AddressError: an address, type, mode, owner, group or backlog that cannot be meant.
        OSError: out of descriptors, no space left.
    """
    where = address if isinstance(address, Address) else Address.parse(address)
    waiting = max_backlog() if backlog is None else backlog
    ownership = Ownership.of(mode, owner, group, replace, keep)
    sock, file = Listener.open(where, type, ownership, backlog=waiting).release()
    return BoundSocket(sock, where, file, waiting)


class BoundSocket(socket.socket):
    """A `socket.socket` with a path of its own; `bind_socket` makes it. `address` is what it was bound to.

    Thread safety is that of socket.socket. In a forked child every method works, and `close()` closes there
    and leaves the path to the process that bound it. It can be given to a `multiprocessing` process that is
    spawned, and arrives as a plain socket.
    """

    __slots__ = ("_backlog", "_file", "address")

    def __init__(self, sock: SocketType, address: Address, file: SocketFile | None, backlog: int) -> None:
        super().__init__(AF_UNIX, sock.type, sock.proto, sock.detach())
        self.settimeout(socket.getdefaulttimeout())  # as a new socket.socket has it
        self.address = address
        self._file = file
        self._backlog = backlog

    def listen(self, backlog: int = 0, /) -> None:
        """As socket.listen, but never for fewer waiting clients than `bind_socket` asked for."""
        super().listen(max(backlog, self._backlog))

    def dup(self) -> socket.socket:  # type: ignore[override]  # a copy is not the one that owns the path
        """A plain socket on the same open socket; closing it does not remove the path."""
        copy = socket.socket(self.family, self.type, self.proto, os.dup(self.fileno()))
        copy.settimeout(self.gettimeout())
        return copy

    def close(self) -> None:
        """Remove the path if it is still ours and this is the process that bound it, then close; idempotent.

        After `detach` the path belongs with the descriptor, so it goes only if that is closed everywhere and
        nobody listens there any more. (uvloop detaches what it serves on, and closes the descriptor itself.)
        A path that cannot be removed (its directory is not writable any more) stays, with a ResourceWarning.
        """
        file, self._file = self._file, None
        try:
            if file is not None:
                self._remove(file)
        finally:
            super().close()

    def __exit__(self, *args: object) -> None:
        self.close()  # also when it is detached, where socket.socket does nothing

    def _remove(self, file: SocketFile) -> None:
        is_detached = self.fileno() < 0
        try:
            file.remove_if_stale() if is_detached else file.remove()
        except (AfunixError, OSError) as error:
            warnings.warn(f"the socket file stays: {error}", ResourceWarning, stacklevel=3, source=self)
        finally:
            file.close()

    def __reduce__(self) -> tuple[Callable[..., socket.socket], tuple[Any, ...]]:
        # multiprocessing knows how to hand on a socket.socket, but looks the type up and finds no subclass.
        from multiprocessing import context, reduction

        context.assert_spawning(self)
        return _arrive, (reduction.DupFd(self.fileno()), self.family, self.type, self.proto)


def _arrive(handle: Any, family: int, kind: int, proto: int) -> socket.socket:
    """In the spawned process: the descriptor that multiprocessing brought, as a plain socket."""
    return socket.socket(family, kind, proto, fileno=handle.detach())
