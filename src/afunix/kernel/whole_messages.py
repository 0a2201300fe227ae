"""A message received whole by one call, however long it is: from a socket that others receive from, too.

Between a look at a message and the call that takes it another process may have taken it; then the call takes the
next one, and room made for the first cuts it. So nobody makes room for what a look has seen: there is always room
for the longest message that there can be.
"""

from __future__ import annotations

from os import sysconf
from socket import MSG_CMSG_CLOEXEC, MSG_CTRUNC, MSG_DONTWAIT, MSG_TRUNC, SocketType
from typing import TYPE_CHECKING, NoReturn

from ..model.errors import TruncatedError
from .ancillary import Ancillary, close_descriptors

if TYPE_CHECKING:
    from mmap import mmap

MAX_BYTES = 2048 * sysconf("SC_PAGESIZE")
"""More than a message can have, whatever SO_SNDBUF and SO_SNDBUFFORCE allow: the kernel puts it into one allocation and
the fragments of one sk_buff. With pages of 4 KiB that is 4 MiB and 17 to 45 pages (measured, Linux 6.18: 4263616 bytes
go, one more is ENOBUFS)."""

_KEEP_BYTES = 1 << 20
"""Longer messages are rare; the memory that one has filled is not kept."""

_FLAGS = int(MSG_DONTWAIT | MSG_CMSG_CLOEXEC)
_DATA_CUT = int(MSG_TRUNC)
_CONTROL_CUT = int(MSG_CTRUNC)

_spare: list[mmap] = []
"""At most a few. Each is used by whoever has taken it out: threads, signal handlers and forks do not meet."""


def receive_whole(
    sock: SocketType, control_bytes: int
) -> tuple[bytes, list[tuple[int, int, bytes]], bool, str | bytes | None]:
    """The next message: its bytes, its control messages, whether these were cut, and the sender's name.

    The caller owns the descriptors in the control messages; they are close-on-exec.

    Raises:
        BlockingIOError: there is none yet. OSError: as recvmsg(2).
        TruncatedError: it is longer than `MAX_BYTES`, and gone; its descriptors are closed.
    """
    room = _take_room()
    size = 0
    try:
        size, control, flags, name = sock.recvmsg_into((room,), control_bytes, _FLAGS)
        data = _copy(room, size, control)
    finally:
        if size <= _KEEP_BYTES:
            _spare.append(room)
    if flags & _DATA_CUT:
        _refuse_cut(control)
    return data, control, bool(flags & _CONTROL_CUT), name


def _copy(room: mmap, size: int, control: Ancillary) -> bytes:
    try:
        return room[:size]
    except MemoryError:
        close_descriptors(control)
        raise


def _take_room() -> mmap:
    try:
        return _spare.pop()
    except IndexError:
        from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap

        # Pages that nothing was ever written to cost nothing; a bytearray writes to all of its own.
        return mmap(-1, MAX_BYTES, flags=MAP_PRIVATE | MAP_ANONYMOUS)


def _refuse_cut(control: Ancillary) -> NoReturn:
    close_descriptors(control)
    raise TruncatedError(
        f"a message of more than {MAX_BYTES} bytes arrived, and the kernel cut it (MSG_TRUNC)",
        hint="it is gone; have it sent in parts",
    )
