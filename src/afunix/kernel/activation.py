"""Sockets that the parent opened for us, and telling it how we are: the systemd protocol (sd_listen_fds(3)).

    LISTEN_PID        the process that is meant; for any other the rest says nothing
    LISTEN_FDS        how many descriptors there are, from 3 on
    LISTEN_FDNAMES    their names, between colons; systemd writes `unknown` for one without
    NOTIFY_SOCKET     where READY=1 and the like go, a path or @name (sd_notify(3))

The environment is read once. What concerned us is then taken out of it, so that no child believes it is
meant, and the descriptors are made close-on-exec. Their other flags belong to everybody who holds them and
stay as they are; nothing here calls shutdown or unlinks: whoever bound a socket removes it
(systemd.socket(5)).
"""

from __future__ import annotations

import functools
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import repeat
from socket import AF_UNIX, SO_ACCEPTCONN, SOCK_DGRAM, SOL_SOCKET

from ..model.address import Address, AddressKind
from ..model.errors import AddressError, errno_name
from ..model.escaping import quote
from ..model.ownership import FileKind
from .pathname import kernel_name
from .socket_types import type_word

FIRST_FD = 3
"""SD_LISTEN_FDS_START: after STDIN, STDOUT and STDERR."""

NOTIFY_PATIENCE_S = 0.2
"""A service manager whose queue is full for so long is not told. Short: everybody whom we serve waits too."""

_NAMELESS = "unknown"
_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


@dataclass(frozen=True, slots=True)
class Inherited:
    """A Unix socket that was handed to us, described; the descriptor is the process's until `take`.

    `name` is from LISTEN_FDNAMES, `address` what it is bound to, `type` its SO_TYPE.
    """

    fd: int
    name: str
    address: Address
    type: int
    is_listening: bool


def inherited() -> list[Inherited]:
    """The sockets that LISTEN_FDS announces to this process; none, if the variables are for another one.

    Raises:
        AddressError: the variables make no sense; or a descriptor is closed, no Unix socket, or a stream or
            seqpacket socket that does not listen.
    """
    sockets = list(_announced())
    for each in sockets:
        _must_serve(each)
    return sockets


def take(address: Address, *, listening: bool = True) -> socket.socket:
    """The socket of `fd:3`, which needs no LISTEN_FDS, or `fd:NAME`; close-on-exec from now on.

    The caller owns it: take each once, for two owners would close it twice. With `listening` a stream or
    seqpacket socket must be a listener, without it none may be.

    Raises:
        AddressError: no such descriptor or name, several of that name, no Unix socket, or not what is asked
            for.
    """
    if address.kind is not AddressKind.INHERITED:
        raise AddressError(f"{quote(address.format())} is no inherited socket", hint="write fd:3 or fd:NAME")
    found = _find(address)
    if listening:
        _must_serve(found)
    elif found.is_listening:
        raise AddressError(f"{_describe(found)} listens, and a connected one is needed")
    os.set_inheritable(found.fd, False)
    return socket.socket(fileno=found.fd)


def notify(state: str) -> bool:
    """Tell the service manager, e.g. `READY=1`; several assignments are separated by newlines.

    False if there is none (NOTIFY_SOCKET is unset) or it cannot be reached, which is no error of ours. Waits
    for NOTIFY_PATIENCE_S at most while its queue is full.
    """
    written = os.environ.get("NOTIFY_SOCKET", "")
    if not written.startswith(("/", "@")):
        return False
    try:
        with kernel_name(Address.parse(written)) as name, socket.socket(AF_UNIX, SOCK_DGRAM) as sock:
            sock.settimeout(NOTIFY_PATIENCE_S)
            sock.connect(name)
            sock.send(os.fsencode(state))
    except (OSError, AddressError):
        return False
    return True


def _find(address: Address) -> Inherited:
    number = address.descriptor
    if number is not None:
        with suppress(AddressError):
            _announced()  # for what it does to the environment; the number alone says which one is meant
        return _look_at(number, name="")
    name = os.fsdecode(address.name)
    named = [each for each in _announced() if each.name == name]
    if len(named) == 1:
        return named[0]
    if named:
        numbers = ", ".join(f"fd:{each.fd}" for each in named)
        raise AddressError(f"{len(named)} inherited sockets are called {quote(name)}", hint=f"use {numbers}")
    names = ", ".join(quote(each.name) for each in _announced()) or "none"
    raise AddressError(
        f"no inherited socket is called {quote(name)}; LISTEN_FDNAMES names {names}",
        hint="in a systemd socket unit the name is FileDescriptorName=",
    )


@functools.cache
def _announced() -> tuple[Inherited, ...]:
    """What the environment announces; read once, then taken out of it. An error comes again each time."""
    sockets = tuple(_look_at(fd, name) for fd, name in _announced_names())
    for each in sockets:
        os.set_inheritable(each.fd, False)
    for variable in _VARIABLES:
        os.environ.pop(variable, None)
    return sockets


def _announced_names() -> Iterator[tuple[int, str]]:
    if _number("LISTEN_PID") != os.getpid():
        return iter(())
    count = _number("LISTEN_FDS")
    written = os.environ.get("LISTEN_FDNAMES")
    names = [] if written is None else written.split(":")
    if written is not None and count and len(names) != count:
        raise AddressError(
            f"LISTEN_FDS announces {count} descriptors, and LISTEN_FDNAMES has {len(names)} names:"
            f" {quote(written)}"
        )
    numbers = range(FIRST_FD, FIRST_FD + count)
    return zip(numbers, names or repeat(_NAMELESS), strict=False)


def _number(variable: str) -> int:
    written = os.environ.get(variable, "0")
    if not (written.isascii() and written.isdigit() and len(written) < 10):
        raise AddressError(f"{variable} is {quote(written)}, expected a number", hint=f"unset {variable}")
    return int(written)


def _look_at(fd: int, name: str) -> Inherited:
    """Describe the Unix socket `fd`; it is borrowed for a moment, and nothing about it changes."""
    try:
        kind = FileKind.of(os.fstat(fd).st_mode)
    except OSError as error:
        raise AddressError(
            f"descriptor {fd}{_called(name)} is not open ({errno_name(error.errno)})",
            hint="it must be open when we are started, and not close-on-exec",
        ) from None
    if kind is not FileKind.SOCKET:
        raise AddressError(f"descriptor {fd}{_called(name)} is {kind.value}, expected a Unix socket")
    sock = socket.socket(fileno=fd)
    try:
        if sock.family != AF_UNIX:
            raise AddressError(
                f"descriptor {fd}{_called(name)} is a socket of the family {_family(sock)}, expected AF_UNIX"
            )
        is_listening = bool(sock.getsockopt(SOL_SOCKET, SO_ACCEPTCONN))
        return Inherited(fd, name, Address.from_kernel(sock.getsockname()), int(sock.type), is_listening)
    finally:
        sock.detach()


def _family(sock: socket.socket) -> str:
    return sock.family.name if isinstance(sock.family, socket.AddressFamily) else str(sock.family)


def _must_serve(found: Inherited) -> None:
    if not found.is_listening and found.type != SOCK_DGRAM:
        raise AddressError(
            f"{_describe(found)} does not listen, and a server needs one that does",
            hint="in a systemd socket unit write Accept=no",
        )


def _describe(found: Inherited) -> str:
    return f"descriptor {found.fd}{_called(found.name)}, a {type_word(found.type)} socket,"


def _called(name: str) -> str:
    return f" ({quote(name)})" if name else ""
