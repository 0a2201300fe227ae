"""What goes wrong with the calls on one socket, told in advance and counted: `Faults`, and the socket that obeys it.

A `FaultySocket` stands where the kernel would: a Channel, a Stream, a Server above it run as they always do. The plan
is exact (the third send, the next two receives), so a test that passes once passes always. What is not planned is
done by the kernel, and what can be had from it is: control data is truncated by giving it no room.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from socket import CMSG_LEN, MSG_PEEK, SOCK_STREAM, SocketType
from types import TracebackType
from typing import Any, NamedTuple

from ..model.errors import errno_name

_FOR_EVER = 1 << 62


class _Failure(NamedTuple):
    """Calls number `first` to `last` fail."""

    first: int
    last: int
    errno: int

    def __str__(self) -> str:
        more = "" if self.last == self.first else " and on" if self.last == _FOR_EVER else f"-{self.last}"
        return f"{errno_name(self.errno)} at call {self.first}{more}"


class Calls:
    """The calls of one kind: `calls` counts them, `failed` those that were made to fail."""

    def __init__(self) -> None:
        self.calls = 0
        self.failed = 0
        self._plan: list[_Failure] = []

    def fail(self, number: int, times: int | None = 1, *, after: int = 0) -> None:
        """The next `times` calls fail with this errno, None: all from now on; `after` so many that succeed.

        Said again, it begins where the last plan ends: `fail(EMFILE, 3)`, `fail(EMFILE, 2, after=1)`. A call that
        fails does nothing else. EAGAIN means "not yet": afunix waits until the socket is ready, which it is, and tries
        again at once. For a peer that takes or sends nothing use `stream_and_peer`.

        Raises:
            ValueError: no such errno, or a count that cannot be meant.
        """
        if number not in errno.errorcode:
            raise ValueError(f"{number} is no errno; errno.EAGAIN is one")
        if after < 0 or (times is not None and times < 1):
            raise ValueError(f"times is {times} and after {after}, expected at least 1 and 0")
        first = max(self.calls, *(failure.last for failure in self._plan), 0) + after + 1
        self._plan.append(_Failure(first, _FOR_EVER if times is None else first + times - 1, number))

    def clear(self) -> None:
        """Nothing more goes wrong; the counts stay."""
        self._plan.clear()

    def happen(self) -> None:
        """One call is about to be made.

        Raises:
            OSError: it is to fail.
        """
        self.calls += 1
        for failure in self._plan:
            if failure.first <= self.calls <= failure.last:
                self.failed += 1
                raise OSError(failure.errno, f"{os.strerror(failure.errno)}, as planned")
        self._plan = [failure for failure in self._plan if failure.last > self.calls]

    def _planned(self) -> list[str]:
        return [str(failure) for failure in self._plan]

    def __repr__(self) -> str:
        planned = ", ".join(self._planned()) or "nothing"
        return f"<{self.calls} calls, {self.failed} failed; planned: {planned}>"


class Transfers(Calls):
    """The calls that move bytes one way."""

    def __init__(self) -> None:
        super().__init__()
        self.max_bytes: int | None = None

    def limit(self, max_bytes: int | None) -> None:
        """Every call moves at most so many bytes from now on; None: as many as it can. Packets are never cut.

        Raises:
            ValueError: less than 1: an end of file cannot be planned, the peer has to close.
        """
        if max_bytes is not None and max_bytes < 1:
            raise ValueError(f"max_bytes is {max_bytes}, expected 1 or more")
        self.max_bytes = max_bytes

    def clear(self) -> None:
        super().clear()
        self.max_bytes = None

    def _planned(self) -> list[str]:
        return super()._planned() + ([] if self.max_bytes is None else [f"at most {self.max_bytes} bytes"])


class Receives(Transfers):
    """The calls that receive. Looking at what is queued (MSG_PEEK) is not counted, and never fails; but what a look
    opens, as a packet's does, can be truncated.
    """

    def __init__(self) -> None:
        super().__init__()
        self._truncated = 0
        self._kept = 0

    def truncate_control(self, times: int = 1, *, keep: int = 0) -> None:
        """In the next `times` receives that make room for descriptors there is room for `keep` only.

        The kernel closes what does not fit, and says MSG_CTRUNC.
        """
        if times < 1 or keep < 0:
            raise ValueError(f"times is {times} and keep {keep}, expected at least 1 and 0")
        self._truncated, self._kept = times, keep

    def control_space(self, wanted: int) -> int:
        """How much room there is for control data, where `wanted` bytes were asked for."""
        if not wanted or not self._truncated:
            return wanted
        self._truncated -= 1
        return min(wanted, CMSG_LEN(4 * self._kept)) if self._kept else 0

    def clear(self) -> None:
        super().clear()
        self._truncated = 0

    def _planned(self) -> list[str]:
        return super()._planned() + ([f"MSG_CTRUNC {self._truncated} times"] if self._truncated else [])


class Faults:
    """What goes wrong with one socket. Nothing does until it is planned; plans can be made and cleared at any time.

        faults.receiving.fail(errno.EAGAIN, 3)              the next three receives find nothing
        faults.sending.fail(errno.EPIPE, after=2)           the third send finds nobody
        faults.sending.limit(7)                             short writes, of 7 bytes
        faults.receiving.truncate_control()                 descriptors are lost on the way: MSG_CTRUNC

    Use it with `with`, and nothing is planned any more when it is left. sendfile(2), which `send_file(zero_copy=True)`
    uses, goes past it. Not thread-safe.
    """

    def __init__(self) -> None:
        self.receiving = Receives()
        self.sending = Transfers()

    def clear(self) -> None:
        """Nothing more goes wrong; the counts stay."""
        self.receiving.clear()
        self.sending.clear()

    def apply_to(self, sock: SocketType) -> SocketType:
        """`sock` with these faults. The result owns the descriptor; `sock` is empty, as after its `detach`."""
        faulty = FaultySocket(sock.family, sock.type, sock.proto, sock.detach())
        faulty.faults = self
        return faulty

    def __enter__(self) -> Faults:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def __repr__(self) -> str:
        return f"<Faults receiving={self.receiving!r} sending={self.sending!r}>"


class FaultySocket(SocketType):
    """A socket whose calls go through `faults`. `Faults.apply_to` makes it."""

    faults: Faults

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        return super().recv(self._begin_receive(bufsize, flags), flags)

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        wanted = nbytes or memoryview(buffer).nbytes
        return super().recv_into(buffer, self._begin_receive(wanted, flags), flags)

    def recvmsg(self, bufsize: int, ancbufsize: int = 0, flags: int = 0, /) -> Any:
        size = self._begin_receive(bufsize, flags)
        return super().recvmsg(size, self.faults.receiving.control_space(ancbufsize), flags)

    def recvmsg_into(self, buffers: Iterable[Any], ancbufsize: int = 0, flags: int = 0, /) -> Any:
        views = [memoryview(buffer).cast("B") for buffer in buffers]
        size = self._begin_receive(sum(map(len, views)), flags)
        space = self.faults.receiving.control_space(ancbufsize)
        return super().recvmsg_into(_first(views, size), space, flags)

    def send(self, data: Any, flags: int = 0, /) -> int:
        self.faults.sending.happen()
        return super().send(_first([memoryview(data).cast("B")], self._send_limit())[0], flags)

    def sendmsg(
        self, buffers: Iterable[Any], ancdata: Iterable[Any] = (), flags: int = 0, address: Any = None, /
    ) -> int:
        self.faults.sending.happen()
        views = [memoryview(buffer).cast("B") for buffer in buffers]
        return super().sendmsg(_first(views, self._send_limit()), ancdata, flags, address)

    def _begin_receive(self, size: int, flags: int) -> int:
        receiving = self.faults.receiving
        if flags & MSG_PEEK:
            return size
        receiving.happen()
        limit = receiving.max_bytes
        return size if limit is None or self.type != SOCK_STREAM else min(size, limit)

    def _send_limit(self) -> int | None:
        return self.faults.sending.max_bytes if self.type == SOCK_STREAM else None


def _first(views: list[memoryview], limit: int | None) -> list[memoryview]:
    """The first `limit` bytes of `views`; all of them if it is None."""
    if limit is None:
        return views
    kept = []
    for view in views:
        kept.append(view[:limit])
        limit -= len(kept[-1])
    return kept
