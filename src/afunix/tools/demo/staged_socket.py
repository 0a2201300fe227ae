"""The sockets on a stage: every method makes one call, really, and writes it down.

What is bookkeeping here is only who is at the other end, so that arrows can be drawn; what happens is the kernel's
doing. Methods that wait are bounded (`calls.LIMIT_S`). SIGPIPE, which a write may send, is taken and told.
"""

from __future__ import annotations

import os
import select
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from errno import EINPROGRESS
from socket import MSG_CMSG_CLOEXEC, MSG_TRUNC, SO_PASSCRED, SOCK_DGRAM, SOL_SOCKET
from typing import Any

from ...kernel.ancillary import descriptors_in, pack_descriptors, space_for
from ...kernel.peercred import credentials_from, peer_credentials
from ...model.credentials import PeerCredentials
from ...model.events import Direction
from ...model.socket_table import Shutdown
from .calls import Call, limit_waiting
from .causes import Inbox
from .script import Begun
from .shown import Address
from .staged import Description, Props, Staged, StagedFile, content, read_result, read_result_shown, result

_READ_BYTES = 65536


class StagedSocket(Staged):
    """A socket. `expect` is the errno that a call shall fail with; what it failed with comes back, 0 for success."""

    _connects_to: Address | None = None
    """Where a connect goes on to that must not block."""
    made_by = -1
    """The step that accepted it."""

    def __init__(
        self, props: Props, line: int, sock: socket.socket, description: Description | None = None
    ) -> None:
        super().__init__(props, line, sock.fileno())
        self.sock = sock
        self.description = description or Description(Inbox(keeps_records=sock.type == SOCK_DGRAM))
        limit_waiting(sock)

    def bind(self, address: Address, expect: int = 0) -> int:
        """bind(2)."""

        def done(_: int, __: None) -> None:
            self.props.bound[self._own_address(address)] = self.description

        names = self.script.names
        text = f"bind({self.shown}, {names.address(address)})"
        return self.make(text, lambda: self.sock.bind(names.real(address)), done, expect=expect) or 0

    def _own_address(self, address: Address) -> Address:
        """Where the kernel chose the port, the one that it chose."""
        if isinstance(address, str):
            return address
        host, port = self.sock.getsockname()
        return str(host), int(port)

    def listen(self, backlog: int, expect: int = 0) -> None:
        """listen(2)."""
        self.make(f"listen({self.shown}, {backlog})", lambda: self.sock.listen(backlog), expect=expect)

    def accept(self, *, wakes: Begun[Any, Any] | None = None) -> StagedSocket:
        """accept(2): the new socket. `wakes` is what waited for a place in the queue."""
        return self.script.make(self.line, self._accept(), wakes)

    def begin_accept(self) -> Begun[socket.socket, StagedSocket]:
        """The same where nobody connects yet: it is seen waiting."""
        return self.script.begin(self.line, self._accept())

    def fail_to_accept(self, expect: int) -> None:
        """accept(2), which shall fail."""
        self.script.make_failing(self.line, self._accept(), expect)

    def _accept(self) -> Call[socket.socket, StagedSocket]:
        def done(step: int, sock: socket.socket) -> StagedSocket:
            waiting = self.description.clients
            connect, description = waiting.pop(0) if waiting else (None, None)
            if connect is not None:
                self.script.caused(connect, step)
            accepted = StagedSocket(self.props, self.line, sock, description)
            accepted.made_by = step
            return accepted

        def shown(sock: socket.socket) -> str:
            self.script.names.opened(sock.fileno())
            return f" = {self.script.names.fd(sock.fileno())}"

        return Call(f"accept({self.shown})", lambda: self.sock.accept()[0], done, shown)

    def connect(self, address: Address, expect: int = 0) -> int:
        """connect(2)."""
        call = self._connect(address)
        if expect:
            found = self.script.make_failing(self.line, call, expect)
            self._connects_to = address if found == EINPROGRESS else None
            return found
        self.script.make(self.line, call)
        return 0

    def begin_connect(self, address: Address) -> Begun[None, int]:
        """The same where it cannot be done yet: it is seen waiting. The value is the number of the step that ended it."""
        return self.script.begin(self.line, self._connect(address))

    def _connect(self, address: Address) -> Call[None, int]:
        names = self.script.names

        def done(step: int, _: None) -> int:
            self._connected(step, address)
            return step

        text = f"connect({self.shown}, {names.address(address)})"
        return Call(text, lambda: self.sock.connect(names.real(address)), done)

    def _connected(self, step: int, address: Address) -> None:
        there = self.props.bound.get(address)
        if there is not None and self.sock.type == SOCK_DGRAM:
            self.description.outbox = there.inbox
        elif there is not None:
            there.clients.append((step, self.description.of_peer()))

    def write(self, data: bytes, expect: int = 0, *, wakes: Begun[Any, Any] | None = None) -> None:
        """write(2). `wakes` is what waited for the bytes. The signal that comes with EPIPE is remarked upon."""
        call = Call(f"write({self.shown})", lambda: os.write(self.fd, data), self._sent(data), result)
        with _sigpipe_taken() as came:
            if expect:
                self.script.make_failing(self.line, call, expect)
            else:
                self.script.make(self.line, call, wakes)
        if came:
            self.script.remark(self.line, "and the signal SIGPIPE")

    def send_to(self, address: Address, data: bytes) -> None:
        """sendto(2)."""

        def done(step: int, _: int) -> None:
            there = self.props.bound.get(address)
            if there is not None:
                there.inbox.put(step, data)

        names = self.script.names
        text = f"sendto({self.shown}, {names.address(address)})"
        self.make(text, lambda: self.sock.sendto(data, names.real(address)), done, result)

    def send_descriptor(self, data: bytes, staged: Staged) -> None:
        """sendmsg(2) with one descriptor beside the bytes."""
        text = f"sendmsg({self.shown})"
        control = pack_descriptors([staged.fd])
        self.make(
            text,
            lambda: self.sock.sendmsg([data], control),
            self._sent(data, 1),
            lambda n: f" = {n}, 1 descriptor",
        )

    def _sent(self, data: bytes, descriptors: int = 0) -> Callable[[int, int], None]:
        def done(step: int, count: int) -> None:
            self.description.outbox.put(step, data[:count], descriptors=descriptors)

        return done

    def read(self, expect: bytes, max_bytes: int = _READ_BYTES, *, is_shown: bool = False) -> None:
        """read(2), which shall give `expect`. `is_shown`: write down what it got, too."""
        call = self._read(max_bytes, read_result_shown if is_shown else read_result)
        self.check(f"read({self.shown})", self.script.make(self.line, call), expect)

    def begin_read(self) -> Begun[bytes, bytes]:
        """The same where nothing can be read yet: it is seen waiting."""
        return self.script.begin(self.line, self._read(_READ_BYTES))

    def fail_to_read(self, expect: int) -> None:
        """read(2), which shall fail."""
        self.script.make_failing(self.line, self._read(_READ_BYTES), expect)

    def _read(self, max_bytes: int, shown: Callable[[bytes], str] = read_result) -> Call[bytes, bytes]:
        def done(step: int, data: bytes) -> bytes:
            self.script.arrived(self.description.inbox.take(len(data)), step)
            return data

        return Call(
            f"read({self.shown})",
            lambda: os.read(self.fd, max_bytes),
            done,
            shown,
        )

    def receive(self, max_bytes: int, expect: bytes, *, is_cut: bool = False) -> None:
        """recvmsg(2), which shall give `expect`, and say whether the datagram was longer."""

        def shown(got: tuple[bytes, bool]) -> str:
            return f" = {len(got[0])}{content(got[0])}" + (", MSG_TRUNC" if got[1] else "")

        def done(step: int, got: tuple[bytes, bool]) -> tuple[bytes, bool]:
            self.script.arrived(self.description.inbox.take(len(got[0])), step)
            return got

        def function() -> tuple[bytes, bool]:
            data, _, flags, _ = self.sock.recvmsg(max_bytes)
            return data, bool(flags & MSG_TRUNC)

        text = f"recvmsg({self.shown})"
        self.check(text, self.make(text, function, done, shown), (expect, is_cut))

    def receive_descriptor(self, expect: bytes) -> StagedFile:
        """recvmsg(2) of bytes and the one descriptor beside them, close-on-exec.

        Raises:
            BrokenOff: none came, or several.
        """

        def function() -> tuple[bytes, list[int]]:
            data, ancillary, _, _ = self.sock.recvmsg(_READ_BYTES, space_for(1), MSG_CMSG_CLOEXEC)
            return data, descriptors_in(ancillary)

        def shown(got: tuple[bytes, list[int]]) -> str:
            for fd in got[1]:
                self.script.names.opened(fd)
            numbers = " ".join(str(self.script.names.fd(fd)) for fd in got[1])
            return f" = {len(got[0])}, 1 descriptor: {numbers}" if numbers else f" = {len(got[0])}"

        def done(step: int, got: tuple[bytes, list[int]]) -> StagedFile:
            self.script.arrived(self.description.inbox.take(len(got[0])), step)
            self.check(text, got[0], expect)
            received = [StagedFile(self.props, self.line, fd) for fd in got[1]]
            if len(received) != 1:
                self.script.break_off(f"{text} brought {len(received)} descriptors, expected 1")
            return received[0]

        text = f"recvmsg({self.shown})"
        return self.script.make(self.line, Call(text, function, done, shown))

    def ask_for_credentials(self) -> None:
        """setsockopt(2): let the kernel put the sender's credentials beside all that is received from now on."""
        text = f"setsockopt({self.shown}, SO_PASSCRED, 1)"
        self.make(text, lambda: self.sock.setsockopt(SOL_SOCKET, SO_PASSCRED, 1))

    def receive_credentials(self, expect: bytes) -> PeerCredentials | None:
        """recvmsg(2) of bytes and the credentials of who sent them."""

        def function() -> tuple[bytes, PeerCredentials | None]:
            data, ancillary, _, _ = self.sock.recvmsg(_READ_BYTES, space_for(0))
            return data, credentials_from(ancillary)

        def shown(got: tuple[bytes, PeerCredentials | None]) -> str:
            return f" = {len(got[0])}" + (f", {self.script.names.who(got[1])}" if got[1] else "")

        def done(step: int, got: tuple[bytes, PeerCredentials | None]) -> PeerCredentials | None:
            self.script.arrived(self.description.inbox.take(len(got[0])), step)
            self.check(text, got[0], expect)
            return got[1]

        text = f"recvmsg({self.shown})"
        return self.script.make(self.line, Call(text, function, done, shown))

    def peer_credentials(self) -> PeerCredentials:
        """getsockopt(2) SO_PEERCRED."""
        call = Call(
            f"getsockopt({self.shown}, SO_PEERCRED)",
            lambda: peer_credentials(self.sock),
            lambda _, found: found,
            lambda found: f" = {self.script.names.who(found)}",
        )
        return self.script.make(self.line, call)

    def own_address(self) -> Any:
        """getsockname(2): the address that others connect to."""
        found = self._name("getsockname", self.sock.getsockname)
        return self.script.names.staged(found)

    def peer_name(self) -> str:
        """getpeername(2): the address as it is shown."""
        return self.script.names.told_address(self._name("getpeername", self.sock.getpeername))

    def _name(self, call: str, function: Callable[[], Any]) -> Any:
        told = self.script.names.told_address
        return self.make(f"{call}({self.shown})", function, lambda _, it: it, lambda it: f" = {told(it)}")

    def shut_down_sending(self) -> None:
        """shutdown(2): nothing more will be sent, and the peer is told."""
        text = f"shutdown({self.shown}, {Direction.SENDING.value})"
        self.make(text, lambda: self.sock.shutdown(socket.SHUT_WR), self._shut_down)

    def _shut_down(self, step: int, _: None) -> None:
        self.props.shutdowns.add(os.fstat(self.fd).st_ino, Shutdown.SENDING)
        self._ended(step)

    def is_writable(self, within_ms: int, expect: bool) -> None:
        """poll(2) for POLLOUT: whether a connect that goes on has ended."""

        def done(step: int, count: int) -> int:
            if count and self._connects_to is not None:
                self._connected(step, self._connects_to)
            return count

        poll = select.poll()
        poll.register(self.fd, select.POLLOUT)
        text = f"poll({self.shown}, POLLOUT, {within_ms} ms)"
        found = self.make(text, lambda: len(poll.poll(within_ms)), done, _poll_result)
        self.check(text, found, int(expect))

    def let_block(self) -> None:
        """ioctl(2) FIONBIO: calls wait from now on."""
        self.make(f"ioctl({self.shown}, FIONBIO, 0)", lambda: os.set_blocking(self.fd, True))

    def wake(self) -> None:
        """End what waits on this socket in a thread; not written down."""
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # not connected: then nothing waits, or the kernel's limit ends it

    def _close(self) -> None:
        self.sock.close()

    def _closed(self, step: int) -> None:
        self.description.holders -= 1
        if not self.description.holders:
            self._ended(step)

    def _ended(self, step: int) -> None:
        self.description.outbox.end(step)


def _poll_result(count: int) -> str:
    return f" = {count}" + ("" if count else " (timeout)")


@contextmanager
def _sigpipe_taken() -> Iterator[list[int]]:
    """What came of SIGPIPE to this thread is in the list afterwards; it has no effect, whatever the process does."""
    came: list[int] = []
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGPIPE})
    try:
        yield came
    finally:
        if signal.sigtimedwait({signal.SIGPIPE}, 0) is not None:
            came.append(signal.SIGPIPE)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
