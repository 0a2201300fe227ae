"""One call made as somebody else: in a thread of its own that has the client's uid, gid and groups, and then ends.

The kernel keeps credentials for each thread, and a socket's peer sees those of the thread that connected it; glibc's
wrappers would change every thread of the process, so the system calls are made directly. Only the effective ids change:
a thread whose real or saved uid is the client's could be killed by the client, and the process with it. Its
capabilities go, too, and it never gets anything back: whatever happens, it ends with its call. There is one such thread
at a time, since its caller waits for it; so the call must not wait.

What stays the relay's: the pid, and the label of a security module.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import threading
from collections.abc import Callable
from socket import SocketType
from typing import NamedTuple, TypeVar

from ..model.errors import AfunixError, DeniedError, errno_name
from ..model.refusal import describe_user
from .names import user_name
from .peercred import peer_credentials, peer_groups

T = TypeVar("T")

_GENERIC = (159, 149, 147, 91)
_32_BITS = (206, 210, 208, 185)
_NUMBERS = {
    ("x86_64", 8): (116, 119, 117, 126),
    ("aarch64", 8): _GENERIC,
    ("riscv64", 8): _GENERIC,
    ("loongarch64", 8): _GENERIC,
    ("ppc64le", 8): (81, 169, 164, 184),
    ("s390x", 8): _32_BITS,
    ("x86_64", 4): _32_BITS,
    ("i686", 4): _32_BITS,
    ("armv7l", 4): _32_BITS,
    ("armv8l", 4): _32_BITS,
}
"""setgroups, setresgid, setresuid, capset for a machine and its word in bytes, see asm/unistd.h; of the 32-bit ones
those that take ids of 32 bits."""

_SAME = -1
"""Leave this id as it is, setresuid(2)."""

_CAPABILITY_VERSION_3 = 0x20080522

_NOBODY = 65534


class Identity(NamedTuple):
    """Who a client is to the kernel."""

    uid: int
    gid: int
    groups: tuple[int, ...]

    def __str__(self) -> str:
        return describe_user(self.uid, user_name(self.uid))


def identity_of(sock: SocketType) -> Identity:
    """Who connected `sock`, as of then.

    Raises:
        DeniedError: the kernel does not say.
    """
    peer = peer_credentials(sock)
    if not peer.is_known:
        raise DeniedError("the kernel does not say who this client is: nobody can connect as it")
    return Identity(peer.uid, peer.gid, peer_groups(sock))


def run_as(identity: Identity, call: Callable[[], T]) -> T:
    """What `call()` returns, or raises, in a thread of `identity`; here, if that is who we are. Blocks until it has ended.

    Raises:
        DeniedError: we may not become that user.
        AfunixError: there is no thread to be had, or this kind of machine is not known.
    """
    if is_our_own(identity):
        return call()
    numbers = _numbers()
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            _become(identity, numbers)
            results.append(call())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="as-client", daemon=True)
    try:
        thread.start()
    except RuntimeError:
        raise AfunixError(
            f"there is no thread to be had for connecting as {identity} (EAGAIN)", errno=errno.EAGAIN
        ) from None
    thread.join()
    if errors:
        try:
            raise errors.pop()
        finally:
            del errors  # the traceback leads here
    return results.pop()


def is_our_own(identity: Identity) -> bool:
    """Is that who this process is, so that nothing has to change for connecting as it?"""
    uid, gid, groups = identity
    return uid == os.geteuid() and gid == os.getegid() and {gid, *groups} == {gid, *os.getgroups()}


def must_be_able() -> None:
    """May this process connect as its clients at all? To be asked before anybody is accepted.

    Raises:
        DeniedError: no. AfunixError: this kind of machine is not known.
    """
    somebody_else = _NOBODY - (os.geteuid() == _NOBODY)
    try:
        run_as(Identity(somebody_else, somebody_else, ()), lambda: None)
    except DeniedError as error:
        if error.errno != errno.EINVAL:  # EINVAL: nobody has that number in this user namespace
            raise


def _numbers() -> tuple[int, int, int, int]:
    machine = os.uname().machine
    numbers = _NUMBERS.get((machine, ctypes.sizeof(ctypes.c_long)))
    if numbers is None:
        raise AfunixError(
            f"how to connect as the client is not known on this kind of machine ({machine})",
            hint="leave --as-client out",
        )
    return numbers


def _become(identity: Identity, numbers: tuple[int, int, int, int]) -> None:
    """This thread alone, and for good. The uid goes last: it takes the right to change the others with it."""
    setgroups, setresgid, setresuid, capset = numbers
    uid, gid, groups = identity
    gids = (ctypes.c_uint32 * len(groups))(*groups)
    _call(identity, "setgroups", setgroups, len(groups), ctypes.byref(gids))
    _call(identity, "setresgid", setresgid, _SAME, _id(gid), _SAME)
    _call(identity, "setresuid", setresuid, _SAME, _id(uid), _SAME)
    if uid != 0:
        header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
        nothing = (ctypes.c_uint32 * 6)()
        _call(identity, "capset", capset, ctypes.byref(header), ctypes.byref(nothing))


def _id(number: int) -> ctypes.c_uint32:
    return ctypes.c_uint32(number)


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _call(identity: Identity, name: str, number: int, *args: object) -> None:
    if _libc().syscall(ctypes.c_long(number), *args) == 0:
        return
    failed = ctypes.get_errno()
    raise DeniedError(
        f"this process may not connect as {identity}: {name} ({errno_name(failed)});"
        f" it is {describe_user(os.geteuid(), user_name(os.geteuid()))}",
        hint="run it as root: only root (CAP_SETUID and CAP_SETGID) can connect as its clients",
        errno=failed,
    )
