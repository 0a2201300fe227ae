"""Where in the queue of a stream the first message with descriptors begins.

recv(2) does not tell: it goes on after plain bytes into such a message, and ends after it (unix(7)). So the queue is
looked at (MSG_PEEK), which takes nothing, and opens nothing where there is no room for control data: MSG_CTRUNC tells
that descriptors were met. How many bytes come before them is told by a second look that cannot write its last byte:
recv(2) then gives what was whole before the message that it stopped in.
"""

from __future__ import annotations

import ctypes
import functools
import os
from errno import EFAULT
from mmap import PAGESIZE, mmap
from socket import MSG_CTRUNC, MSG_DONTWAIT, MSG_PEEK, SocketType

_LOOK_FLAGS = int(MSG_DONTWAIT | MSG_PEEK)
_CONTROL_CUT = int(MSG_CTRUNC)

_PROT_NONE = 0


class Looks:
    """Looks at sockets, `max_bytes` of their queue at a time. What they see is written here, and nobody reads it."""

    def __init__(self, max_bytes: int) -> None:
        self._room = memoryview(bytearray(max_bytes))

    def plain_bytes(self, sock: SocketType) -> int | None:
        """How many bytes can be received before descriptors come: 0 if they come with the next, None at the end.

        Nobody else may receive from `sock`, and it must not ask for its peer's credentials (SO_PASSCRED). With 0 a
        receive of at most `max_bytes` takes nothing of another message than the one that they belong to.

        Raises:
            BlockingIOError: there is nothing yet. OSError: as recvmsg(2).
        """
        size, _, flags, _ = sock.recvmsg_into((self._room,), 0, _LOOK_FLAGS)
        if not size:
            return None
        if not flags & _CONTROL_CUT:
            return size
        try:
            whole, _, _, _ = sock.recvmsg_into((self._room[: size - 1], _forbidden()), 0, _LOOK_FLAGS)
        except OSError as error:
            if error.errno != EFAULT:
                raise
            return 0  # not even the first was whole
        return whole


@functools.cache
def _forbidden() -> memoryview:
    """A byte that neither we nor the kernel can write to. Nobody may touch it: that is SIGSEGV."""
    page = mmap(-1, PAGESIZE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(page))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mprotect(ctypes.c_void_p(start), ctypes.c_size_t(PAGESIZE), _PROT_NONE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return memoryview(page)[:1]
