"""`listen` and its `Listener`: a server's side for scripts and threads. The names, the modes and the removal are
`kernel.listener`'s; what a failed accept means is `model.acceptance`'s; here it is waited.

Counterpart: `streams.listening`. There it is waited for descriptors that ran out; here somebody else holds the thread
who can give one back, so that is raised.
"""

from __future__ import annotations

import os
import select
import warnings
from collections.abc import Iterator
from functools import partial
from itertools import count
from socket import SO_OOBINLINE, SOL_SOCKET, SocketType
from types import TracebackType
from typing import TypeAlias

from ..kernel.ancillary import accept_fds_within
from ..kernel.channel import Channel
from ..kernel.guarding import guarded
from ..kernel.listener import Listener as BoundListener
from ..kernel.listener import Ownership
from ..kernel.origin import caller
from ..kernel.requirement import decide, must_be_rules
from ..model.acceptance import AcceptFailure, classify
from ..model.address import Address, AddressKind
from ..model.errors import ClosedError, TimedOutError, errno_name
from ..model.escaping import quote
from ..model.events import Accepted, Observer, Refused
from ..model.patience import must_be_limit, must_be_seconds, show_seconds
from ..model.rules import Rules
from . import turnstile
from .deadline import Deadline, wait_until
from .stream import Stream
from .turnstile import Turnstile

Written: TypeAlias = "Address | str | bytes | os.PathLike[str] | os.PathLike[bytes]"
"""An address as people write it: `/run/app.sock`, `@name`, a Path, or parsed already."""


def listen(
    address: Written,
    *,
    mode: int = 0o600,
    owner: str | int | None = None,
    group: str | int | None = None,
    replace: bool = False,
    keep: bool = False,
    backlog: int | None = None,
    rules: Rules | None = None,
    accept_fds: int = 0,
    stream_timeout: float | None = None,
    send_timeout: float | None = None,
    observer: Observer | None = None,
) -> Listener:
    """A listening stream socket at `address`; the caller owns it.

    A stale socket file is replaced, a live one never, unless `replace` takes its path over. `mode`, `owner` and
    `group` (name or number) hold from the first instant that the path exists. `keep` leaves the path at the end.
    `backlog` None is as much as the kernel allows. `fd:3` and `fd:NAME` are inherited listeners, which are never
    unlinked nor shut down; one that blocks is accepted on by a thread, see `afunix.listen`. Whom `rules` refuse is
    closed unread. `stream_timeout` and `send_timeout` are what the accepted streams begin with. `observer` is told of
    every call, in the thread that makes it.

    Blocks only while others claim the same path. On failure nothing is left behind.

    Raises:
        AddressInUseError: somebody alive holds the name; who, is in the message.
        NotASocketError: another kind of file is there.
        NoSuchSocketError, DeniedError: the directory is missing, or not writable.
        AddressError: what cannot be bound, or a user or group that does not exist.
        WrongTypeError: an inherited socket of another type; it stays open.
    """
    accept_fds_within(accept_fds)
    if stream_timeout is not None:
        must_be_seconds(stream_timeout, "stream_timeout")
    must_be_limit(send_timeout, "send_timeout")
    must_be_rules(rules)
    observer = guarded(observer)
    where = Address.of(address)
    ownership = Ownership.of(mode, owner, group, replace, keep)
    if where.kind is AddressKind.INHERITED:
        core = BoundListener.inherit(where, observer=observer)
    else:
        core = BoundListener.open(
            where, "stream", ownership, backlog=backlog, accepts_fds=accept_fds > 0, observer=observer
        )
    return Listener(
        core,
        rules=rules,
        accept_fds=accept_fds,
        stream_timeout=stream_timeout,
        send_timeout=send_timeout,
        observer=observer,
        opened_at=caller(),
    )


class Listener:
    """Waits for clients on one address. `listen` makes it.

    Any number of threads may accept at once; each client goes to one of them. `close` may come from any thread, and
    from a signal handler: whoever accepts then gets ClosedError at once. `refused` counts those whom the rules did not
    let in.

    Owns its socket, and the path if it bound it, until `close`; use it with `with`. One that is forgotten warns
    (ResourceWarning). After a fork the child can accept, too; closing it there leaves the path to the parent.
    """

    def __init__(
        self,
        core: BoundListener,
        *,
        rules: Rules | None = None,
        accept_fds: int = 0,
        stream_timeout: float | None = None,
        send_timeout: float | None = None,
        observer: Observer | None = None,
        opened_at: str | None = None,
    ) -> None:
        """Not for users: see `listen`."""
        if accept_fds:
            core.let_descriptors_in()
        self._core = core
        self._rules = rules or Rules()
        self._accept_fds = accept_fds
        self._stream_timeout = stream_timeout
        self._send_timeout = send_timeout
        self._observer = observer
        self._opened_at = opened_at
        self._numbers = count(1)  # its next() is one step: threads accept at once
        self.refused = 0
        self._bell = _Bell()
        self._gate = Turnstile(partial(_close, core, self._bell))

    @property
    def address(self) -> Address:
        """What it is bound to. Valid after close."""
        return self._core.address

    @property
    def is_closed(self) -> bool:
        return self._gate.is_shut

    def fileno(self) -> int:
        """The descriptor, borrowed.

        Raises:
            ClosedError: it was closed.
        """
        if self._gate.is_shut:
            raise ClosedError(f"the listener on {quote(str(self.address))} is closed")
        return self._core.fd

    def accept(self, timeout: float | None = None) -> Stream:
        """The next client that may enter; waits `timeout` seconds for one, None: for ever. The caller owns the stream.

        Clients that left before they were accepted are passed over. A client that finds us without a descriptor for it
        is not turned away: it waits in the backlog for the next accept.

        Raises:
            TimedOutError: nobody came.
            ClosedError: closed here, before or meanwhile.
            OSError: EMFILE, ENFILE, ENOMEM: out of descriptors or memory; or what else accept(2) fails for.
        """
        deadline = Deadline.after(timeout)
        with self._gate:
            while True:
                self.fileno()
                found = self._try_accept()
                if found is None:
                    self._wait(deadline, timeout)
                    continue
                stream = self._admit(*found)
                if stream is not None:
                    return stream

    def _try_accept(self) -> tuple[SocketType, str | bytes] | None:
        while True:
            try:
                return self._core.accept_named()
            except BlockingIOError:
                return None
            except OSError as error:
                failure = classify(error.errno)
                if failure is AcceptFailure.SHORTAGE:
                    raise self._short_of(error) from None
                if failure is AcceptFailure.FAULT:
                    raise

    def _short_of(self, error: OSError) -> OSError:
        why = f"{error.strerror} ({errno_name(error.errno)})"
        return OSError(
            error.errno,
            f"a client on {quote(str(self.address))} cannot be accepted and goes on waiting: {why}",
        )

    def _wait(self, deadline: Deadline, timeout: float | None) -> None:
        poll = select.poll()
        poll.register(self._bell.fileno(), select.POLLIN)
        self.fileno()
        poll.register(self._core.ready_fd, select.POLLIN)
        if not wait_until(poll, deadline):
            raise TimedOutError(
                f"nobody connected to {quote(str(self.address))} within {show_seconds(timeout or 0.0)}"
            )

    def _admit(self, sock: SocketType, name: str | bytes) -> Stream | None:
        """A stream, or None: the rules were against it, and it is closed."""
        try:
            if not self._may_enter(sock):
                self.refused += 1
                sock.close()
                return None
            channel = self._make_channel(sock)
            if self._observer is not None:
                self._observer(Accepted(channel.fd, self._core.fd, channel.connection, channel.peer))
            return Stream(
                channel,
                self._core.address,
                name,
                timeout=self._stream_timeout,
                accept_fds=self._accept_fds,
                send_timeout=self._send_timeout,
                observer=self._observer,
                opened_at=caller(),
            )
        except BaseException:
            sock.close()
            raise

    def _may_enter(self, sock: SocketType) -> bool:
        if not self._rules:
            return True
        peer, decision = decide(self._rules, sock)
        if self._observer is not None and not decision.admitted:
            self._observer(Refused(self._core.fd, peer, decision.reason))
        return decision.admitted

    def _make_channel(self, sock: SocketType) -> Channel:
        sock.setsockopt(SOL_SOCKET, SO_OOBINLINE, 1)  # else an out-of-band byte is silently lost
        sock.setblocking(False)
        if self._observer is not None:
            from ..kernel.traced_channel import TracedChannel

            return TracedChannel(sock, next(self._numbers), observer=self._observer, owned=False)
        if self._core.refuses_fds and not self._accept_fds:
            return Channel(sock)
        from ..kernel.discarding_channel import DiscardingChannel

        return DiscardingChannel(sock)

    def __iter__(self) -> Iterator[Stream]:
        """The clients one by one, until the listener is closed."""
        return self

    def __next__(self) -> Stream:
        try:
            return self.accept()
        except ClosedError:
            raise StopIteration from None

    def close(self) -> None:
        """Remove the path, if it is still ours, and close; idempotent. From any thread: see the class.

        Clients in the backlog get a reset.
        """
        if self._gate.shut():
            try:
                self._core.unlink()
                self._bell.ring()
            finally:
                self._gate.leave()

    def __enter__(self) -> Listener:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        try:
            gate = self._gate
        except AttributeError:
            return  # it was never made
        if not gate.is_shut:
            where = f", opened at {self._opened_at}" if self._opened_at else ""
            try:
                warnings.warn(f"unclosed {self!r}{where}", ResourceWarning, source=self, stacklevel=2)
            finally:  # a warning may be an error
                self.close()

    def __repr__(self) -> str:
        state = "closed" if self._gate.is_shut else f"fd={self._core.fd}"
        return f"<afunix.blocking.{type(self).__name__} {quote(str(self.address))} {state}>"


class _Bell:
    """Wakes those who wait for clients: an eventfd(2), this process's own. (A shutdown would end the listener for every
    process that was forked to accept on it, too.)
    """

    __slots__ = ("_fd", "_generation")

    def __init__(self) -> None:
        self._fd = -1
        self._generation = turnstile.generation

    def fileno(self) -> int:
        """What becomes readable once it was rung."""
        with turnstile.lock:
            if self._generation != turnstile.generation:  # the parent's
                self.close()
                self._generation = turnstile.generation
            if self._fd < 0:
                self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            return self._fd

    def ring(self) -> None:
        """Once, for everybody, and for good."""
        with turnstile.lock:
            if self._fd >= 0 and self._generation == turnstile.generation:
                os.eventfd_write(self._fd, 1)

    def close(self) -> None:
        """Idempotent."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def _close(core: BoundListener, bell: _Bell) -> None:
    core.close()
    bell.close()
