"""Sockets that the parent opened for us, and telling it how we are: the systemd protocol (sd_listen_fds(3)).

    LISTEN_PID        the process that is meant; for any other the rest says nothing
    LISTEN_FDS        how many descriptors there are, from 3 on
    LISTEN_FDNAMES    their names, between colons; systemd writes `unknown` for one without
    NOTIFY_SOCKET     where READY=1 and the like go, a path or @name (sd_notify(3))
    WATCHDOG_USEC     we are taken for dead after so many microseconds without WATCHDOG=1; WATCHDOG_PID: who is

LISTEN_… is read once. What concerned us is then taken out of it, so that no child believes it is meant, and
the descriptors are made close-on-exec. They need not be sockets: a file descriptor store gives anything back
(FDSTORE=1), so each is looked at when it is wanted. Their other flags belong to everybody who holds them and
stay as they are; nothing here calls shutdown or unlinks: whoever bound a socket removes it
(systemd.socket(5)).
"""

from __future__ import annotations

import functools
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import repeat
from socket import AF_UNIX, IPPROTO_TCP, SO_ACCEPTCONN, SO_DOMAIN, SO_PROTOCOL, SOCK_DGRAM, SOL_SOCKET
from threading import RLock

from ..model.address import Address, AddressKind
from ..model.counting import counted
from ..model.errors import AddressError, errno_name
from ..model.escaping import quote
from ..model.ownership import FileKind
from .ancillary import pack_descriptors
from .pathname import kernel_name
from .socket_types import family_word, type_of, type_word
from .tcp import FAMILY_NAMES, address_of
from .wrapping import as_plain_socket, as_socket, borrowed

FIRST_FD = 3
"""SD_LISTEN_FDS_START: after STDIN, STDOUT and STDERR."""

NOTIFY_PATIENCE_S = 0.2
"""A service manager whose queue is full for so long is not told. Short: everybody whom we serve waits too."""

NOTIFY_MAX_BYTES = 4096
"""A longer message is ignored by systemd (NOTIFY_BUFFER_MAX, which is PIPE_BUF)."""

_UNIT_HINT = "in a systemd socket unit ListenStream=, ListenSequentialPacket= and ListenDatagram= name a path"
_UNANNOUNCED_HINT = "fd:N is a listening socket that we were started with; a path or @NAME is bound here"
_NAMELESS = "unknown"
_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
_USEC_INFINITY = (1 << 64) - 1

_taken: dict[int, bool] = {}
"""The descriptors that have an owner in this process; and would a child have got them before?"""

_lock = RLock()
"""Held while the environment is read, and from the look at what is free until it is taken: threads may ask at once."""


@dataclass(frozen=True, slots=True)
class Inherited:
    """A Unix socket, or one on TCP, that was handed to us, described; the descriptor is the process's until `take`.

    `name` is from LISTEN_FDNAMES, `address` what it is bound to, `type` its SO_TYPE, `family` its SO_DOMAIN.
    `is_announced`: by LISTEN_FDS; otherwise only its number is known.
    """

    fd: int
    name: str
    address: Address
    type: int
    is_listening: bool
    family: int = AF_UNIX
    is_announced: bool = True


def inherited(*, with_tcp: bool = False) -> list[Inherited]:
    """The sockets that LISTEN_FDS announces to this process; none, if the variables are for another one.

    Raises:
        AddressError: the variables make no sense; or a descriptor is closed, no Unix socket (`with_tcp`: and none on
            TCP), or a stream or seqpacket socket that does not listen.
    """
    sockets = [_look_at(fd, name, with_tcp=with_tcp) for fd, name in _announced()]
    for each in sockets:
        _must_serve(each)
    return sockets


def announced_names() -> list[str]:
    """The name of each descriptor that is announced to this process, sockets or not, in their order.

    Raises:
        AddressError: the variables make no sense, or a descriptor is closed.
    """
    return [name for _, name in _announced()]


def addressee() -> int | None:
    """The process that is meant, if it is another one; to be asked before the variables are read, as all else does.

    So it is if a shell stands between the service manager and us that has not become us (`exec`).
    """
    written = os.environ.get("LISTEN_PID", "")
    is_another = written.isascii() and written.isdigit() and written != str(os.getpid())
    return int(written[:20]) if is_another and os.environ.get("LISTEN_FDS", "0") != "0" else None


def take_listeners(*names: str) -> list[socket.socket]:
    """The listening and the datagram sockets of these names; without names all that nobody has taken yet.

    The caller owns them. Nothing is taken when this fails, and nothing is there to take (`[]`) when no
    descriptor at all is announced to this process.

    Raises:
        AddressError: a name that none has, or whose sockets are taken already; no Unix socket, or one that
            does not listen.
    """
    if not _announced():
        return []
    with _lock:
        found = [each for name in dict.fromkeys(names) for each in _free_of_name(name)] if names else _free()
        sockets = [_look_at(fd, name) for fd, name in found]
        for each in sockets:
            _must_serve(each)
        return [_own(each) for each in sockets]


def take_descriptors(name: str) -> list[int]:
    """The descriptors of this name, of any kind, that nobody has taken yet; the caller owns them.

    Raises:
        AddressError: the variables make no sense, or a descriptor is closed.
    """
    with _lock:
        found = [fd for fd, called in _free() if called == name]
        _taken.update(dict.fromkeys(found, False))
        return found


def take(address: Address, *, listening: bool = True, with_tcp: bool = False) -> socket.socket:
    """The socket of `fd:3`, which needs no LISTEN_FDS, or `fd:NAME`; close-on-exec from now on.

    The caller owns it: take each once, for two owners would close it twice. With `listening` a stream or
    seqpacket socket must be a listener, without it none may be. `with_tcp` it may be one on TCP. Whoever finds then
    that it will not do owes a `give_back`.

    Raises:
        AddressError: no such descriptor or name, several of that name, no Unix socket, or not what is asked
            for. Nothing is taken then.
    """
    if address.kind is not AddressKind.INHERITED:
        raise AddressError(f"{quote(address.format())} is no inherited socket", hint="write fd:3 or fd:NAME")
    with _lock:
        found = _find(address, with_tcp=with_tcp)
        if listening:
            _must_serve(found)
        elif found.is_listening:
            raise AddressError(f"{_describe(found)} listens, and a connected one is needed")
        return _own(found)


def give_back(sock: socket.SocketType) -> None:
    """Undo `take`: the descriptor is the process's again, open and as it was, and can be taken. `sock` is empty then."""
    with _lock:
        fd = sock.detach()
        if _taken.pop(fd, False):
            os.set_inheritable(fd, True)


def has_manager() -> bool:
    """Is there a service manager to `notify`, as far as the environment says?"""
    return _manager() != ""


def notify(state: str, fds: Sequence[int] = (), *, patience: float | None = NOTIFY_PATIENCE_S) -> bool:
    """Tell the service manager, e.g. `READY=1`; several assignments are separated by newlines.

    `fds`, at most `ancillary.MAX_FDS`, go with it and stay the caller's. False if there is none
    (NOTIFY_SOCKET is unset) or it cannot be reached, which is no error of ours: nobody is there, it is no
    datagram socket, or no Unix socket (`vsock:`, of a virtual machine's host). Waits for `patience` seconds at
    most while its queue is full, with None for as long as it takes.
    """
    written = _manager()
    if not written:
        return False
    try:
        with kernel_name(Address.parse(written)) as name, socket.socket(AF_UNIX, SOCK_DGRAM) as sock:
            sock.settimeout(patience)
            sock.connect(name)
            sock.sendmsg([os.fsencode(state)], pack_descriptors(fds))
    except (OSError, AddressError):
        return False
    return True


def _manager() -> str:
    written = os.environ.get("NOTIFY_SOCKET", "")
    return written if written.startswith(("/", "@")) else ""


def watchdog() -> float | None:
    """After how many seconds without WATCHDOG=1 the service manager takes us for dead; None: it does not watch.

    Raises:
        AddressError: WATCHDOG_USEC or WATCHDOG_PID is no number, or no such time.
    """
    written = os.environ.get("WATCHDOG_USEC")
    if written is None or (_number("WATCHDOG_PID") or os.getpid()) != os.getpid():
        return None
    is_number = written.isascii() and written.isdigit() and len(written) <= 20
    microseconds = int(written) if is_number else 0
    if not 0 < microseconds < _USEC_INFINITY:
        raise AddressError(
            f"WATCHDOG_USEC is {quote(written)}, expected a number of microseconds",
            hint="unset WATCHDOG_USEC",
        )
    return microseconds / 1_000_000


def _find(address: Address, *, with_tcp: bool) -> Inherited:
    number = address.descriptor
    if number is not None:
        announced: set[int] = set()
        with suppress(AddressError):  # the number alone says which one is meant
            announced = {fd for fd, _ in _announced()}
        return _look_at(number, name="", with_tcp=with_tcp, is_announced=number in announced)
    name = os.fsdecode(address.name)
    free = _free_of_name(name)
    if len(free) > 1:
        numbers = ", ".join(f"fd:{fd}" for fd, _ in free)
        raise AddressError(f"{len(free)} inherited sockets are called {quote(name)}", hint=f"use {numbers}")
    return _look_at(*free[0], with_tcp=with_tcp)


def _free() -> list[tuple[int, str]]:
    return [(fd, name) for fd, name in _announced() if fd not in _taken]


def _free_of_name(name: str) -> list[tuple[int, str]]:
    """At least one, or an AddressError says why there is none."""
    named = [(fd, called) for fd, called in _announced() if called == name]
    free = [(fd, called) for fd, called in named if fd not in _taken]
    if free:
        return free
    if named:
        raise AddressError(
            f"the inherited socket {quote(name)} (descriptor {named[0][0]}) was taken already",
            hint="take each once, and hand on what you got",
        )
    names = ", ".join(quote(called) for _, called in _announced()) or "none"
    raise AddressError(
        f"no inherited socket is called {quote(name)}; LISTEN_FDNAMES names {names}",
        hint="in a systemd socket unit the name is FileDescriptorName=",
    )


def _own(found: Inherited) -> socket.socket:
    _taken[found.fd] = os.get_inheritable(found.fd)
    os.set_inheritable(found.fd, False)
    return as_plain_socket(as_socket(found.fd, found.type, found.family))


def _announced() -> tuple[tuple[int, str], ...]:
    """What the environment announces: number and name."""
    with _lock:
        return _read()


@functools.cache
def _read() -> tuple[tuple[int, str], ...]:
    """Read once, then taken out of the environment. An error comes again each time."""
    descriptors = tuple((_must_be_open(fd, name), name) for fd, name in _written())
    for fd, _ in descriptors:
        os.set_inheritable(fd, False)
    for variable in _VARIABLES:
        os.environ.pop(variable, None)
    return descriptors


def _written() -> Iterator[tuple[int, str]]:
    if _number("LISTEN_PID") != os.getpid():
        return iter(())
    count = _number("LISTEN_FDS")
    written = os.environ.get("LISTEN_FDNAMES")
    names = [] if written is None else written.split(":")
    if written is not None and count and len(names) != count:
        raise AddressError(
            f"LISTEN_FDS announces {counted(count, 'descriptor')}, and LISTEN_FDNAMES has"
            f" {counted(len(names), 'name')}: {quote(written)}",
            hint="give each descriptor one name, between colons, or unset LISTEN_FDNAMES",
        )
    numbers = range(FIRST_FD, FIRST_FD + count)
    return zip(numbers, names or repeat(_NAMELESS), strict=False)


def _number(variable: str) -> int:
    written = os.environ.get(variable, "0")
    if not (written.isascii() and written.isdigit() and len(written) < 10):
        raise AddressError(f"{variable} is {quote(written)}, expected a number", hint=f"unset {variable}")
    return int(written)


def _must_be_open(fd: int, name: str) -> int:
    try:
        os.fstat(fd)
    except OSError as error:
        raise AddressError(
            f"descriptor {fd}{_called(name)} is not open ({errno_name(error.errno)})",
            hint="it must be open when we are started, and not close-on-exec",
        ) from None
    return fd


def _look_at(fd: int, name: str, *, with_tcp: bool = False, is_announced: bool = True) -> Inherited:
    """Describe the socket `fd`; it is borrowed for a moment, and nothing about it changes."""
    hint = _UNIT_HINT if is_announced else _UNANNOUNCED_HINT
    kind = FileKind.of(os.fstat(_must_be_open(fd, name)).st_mode)
    if kind is not FileKind.SOCKET:
        raise AddressError(
            f"descriptor {fd}{_called(name)} is {kind.value}, expected a Unix socket", hint=hint
        )
    with borrowed(fd) as sock:
        family = sock.getsockopt(SOL_SOCKET, SO_DOMAIN)
        is_tcp = family in FAMILY_NAMES and sock.getsockopt(SOL_SOCKET, SO_PROTOCOL) == IPPROTO_TCP
        if family != AF_UNIX and not (is_tcp and with_tcp):
            raise AddressError(
                f"descriptor {fd}{_called(name)} is a socket of the family {family_word(family)},"
                f" expected AF_UNIX{', or one on TCP' if with_tcp else ''}",
                hint="'afunix relay' takes clients on TCP, for a Unix socket" if is_tcp else hint,
            )
        is_listening = bool(sock.getsockopt(SOL_SOCKET, SO_ACCEPTCONN))
        where = sock.getsockname()
        address = address_of(where) if is_tcp else Address.from_kernel(where)
        return Inherited(fd, name, address, type_of(sock), is_listening, family, is_announced)


def _must_serve(found: Inherited) -> None:
    if not found.is_listening and found.type != SOCK_DGRAM:
        raise AddressError(
            f"{_describe(found)} does not listen, and a server needs one that does",
            hint="in a systemd socket unit write Accept=no" if found.is_announced else _UNANNOUNCED_HINT,
        )


def _describe(found: Inherited) -> str:
    return f"descriptor {found.fd}{_called(found.name)}, a {type_word(found.type)} socket,"


def _called(name: str) -> str:
    return f" ({quote(name)})" if name else ""
