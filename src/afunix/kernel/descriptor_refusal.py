"""Descriptors that nobody wants, where the kernel does not keep them away: the receive that would meet them fails.

Where it does (`peercred.refuse_descriptors`, Linux 6.16) their sender gets EPERM, and none of this is needed. Bytes
without the descriptors that belong to them must not go on as if nothing were missing. Counterpart, for those who want
them: `descriptor_pump`.
"""

from __future__ import annotations

import errno
from collections.abc import Callable

from ..model.counting import counted
from .channel import Channel
from .connected_socket import ConnectedSocket
from .descriptor_boundary import Looks
from .peercred import ask_for_nothing_beside
from .pump import CHUNK_BYTES

_looks = Looks(CHUNK_BYTES)


def refusing(source: Channel) -> Callable[[int], bytes | None]:
    """`source.try_receive`, at most CHUNK_BYTES, but an OSError (EOPNOTSUPP) where descriptors come.

    The bytes before them are received. Those that they came with stay in the socket, so that its close resets the
    connection. The socket is told to bring no credentials, which look the same here.
    """
    ask_for_nothing_beside(source.socket)

    def receive(max_bytes: int) -> bytes | None:
        try:
            plain = _looks.plain_bytes(source.socket)
        except BlockingIOError:
            return None
        if plain == 0:
            raise unwanted()
        return source.try_receive(min(plain or 1, max_bytes))

    return receive


def refusal(source: ConnectedSocket) -> OSError | None:
    """The error for descriptors that came with records and were closed, so far; None if none came."""
    return unwanted() if source.descriptors_closed else None


def unwanted() -> OSError:
    return OSError(errno.EOPNOTSUPP, "descriptors were sent, and none are passed on")


def explain_refused(error: OSError, count: int) -> OSError:
    """`error` of a send with `count` descriptors, in words where it is about those."""
    if not count or error.errno not in _WORDS:
        return error
    return OSError(
        error.errno, f"{counted(count, 'descriptor')} could not be passed on: {_WORDS[error.errno]}"
    )


_WORDS = {
    errno.EPERM: "the receiver takes none (EPERM)",
    errno.ETOOMANYREFS: "too many are under way, unread (ETOOMANYREFS)",
}
