"""A process of its own on the stage: the calls that it makes on what it inherited, and on what it opens itself.

Its numbers are its own, and shown as they are; only what it inherited from this process is shown as it is there.
`worker` is the process. Nothing of it is written down but the calls of the experiment.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from os import path
from typing import Any

from ...kernel.peercred import unpack_credentials
from ...model.credentials import PeerCredentials
from .calls import Call
from .causes import Inbox
from .shown import Address
from .staged import Description, Elsewhere, Props, read_result, read_result_shown, result
from .worker import Worker

_READ_BYTES = 65536


class Child:
    """A life line with a process. `inherited` is the descriptor that it has from the beginning, where there is one."""

    inherited: ChildDescriptor

    def __init__(self, props: Props, line: int, name: str, worker: Worker, pid: int) -> None:
        self.props = props
        self.script = props.script
        self.line = line
        self.name = name
        self.worker = worker
        self.pid = pid

    def inherit(self, fd: int, shown: str, description: Description) -> None:
        """It has `fd` since it was made, as whoever made it still has."""
        description.holders += 1
        self.inherited = ChildDescriptor(self, fd, shown, description)

    def was_executed(self) -> None:
        """Write down that it is another program now, which it is since before its first call.

        Raises:
            OSError: it does not come up.
        """
        program = self.script.names.word("python3", path.basename(sys.executable))
        call = Call(f'execve("{program}")', self.worker.wait_until_ready, lambda _, __: None)
        self.script.make(self.line, call)

    def fork(self, name: str) -> Child:
        """fork(2): a process that has what this one inherited or opened last. This one makes no more calls."""

        def done(step: int, pid: int) -> Child:
            line = self.script.add_lifeline(name, f"pid {names.pid(pid)}", started_by=step)
            return Child(self.props, line, name, self.worker, pid)

        def shown(pid: int) -> str:
            names.call_pid(pid, name.upper())
            return f" = {names.pid(pid)}"

        names = self.script.names
        mine = self.inherited
        child = self.script.make(self.line, Call("fork()", lambda: int(self.worker.ask("fork")), done, shown))
        child.inherit(mine.fd, mine.shown, mine.description)
        return child

    def socket(self) -> ChildDescriptor:
        """socket(2), of a stream."""
        call = Call(
            "socket(AF_UNIX, SOCK_STREAM)", lambda: int(self.worker.ask("socket")), self._opened, result
        )
        self.inherited = self.script.make(self.line, call)
        return self.inherited

    def _opened(self, _: int, fd: int) -> ChildDescriptor:
        return ChildDescriptor(self, fd, str(fd), Description(Inbox()))

    def fail_to_open(self, name: str, expect: int) -> None:
        """open(2) of a file in the stage's directory, to read, which shall fail."""
        call = Call(
            f'open("{name}", O_RDONLY)',
            lambda: int(self.worker.ask("open", self.script.names.path(name))),
            self._opened,
            result,
        )
        self.script.make_failing(self.line, call, expect)


class ChildDescriptor(Elsewhere):
    """A descriptor in a process of its own, and the calls that it makes on it."""

    def __init__(self, child: Child, fd: int, shown: str, description: Description) -> None:
        self.fd = fd
        self.shown = shown
        self.description = description
        self.owner = child.name
        self.inode = int(child.worker.ask("inode", fd))
        self.is_open = True
        self._child = child
        self._script = child.script
        child.props.elsewhere.append(self)

    def connect(self, address: Address) -> None:
        """connect(2)."""

        def done(step: int, _: object) -> None:
            there = self._child.props.bound.get(address)
            if there is not None:
                there.clients.append((step, self.description.of_peer()))

        names = self._script.names
        self._make(
            f"connect({self.shown}, {names.address(address)})", "connect", names.real(address), done=done
        )

    def read(self, expect: bytes, *, is_shown: bool = False) -> None:
        """read(2), which shall give `expect`. `is_shown`: write down what it got, too."""
        words = read_result_shown if is_shown else read_result
        text = f"read({self.shown})"

        def done(step: int, told: str) -> None:
            data = bytes.fromhex(told)
            self._script.arrived(self.description.inbox.take(len(data)), step)
            self._check(text, data, expect)

        self._make(text, "read", _READ_BYTES, done=done, shown=lambda told: words(bytes.fromhex(told)))

    def write(self, data: bytes) -> None:
        """write(2)."""

        def done(step: int, count: int) -> None:
            self.description.outbox.put(step, data[:count])

        self._make(f"write({self.shown})", "write", data.hex(), done=done, shown=result)

    def receive_descriptor(self, expect: bytes) -> ChildDescriptor:
        """recvmsg(2) of bytes and the one descriptor beside them, close-on-exec.

        Raises:
            BrokenOff: none came.
        """
        text = f"recvmsg({self.shown})"

        def done(step: int, told: tuple[str, list[int]]) -> ChildDescriptor:
            data = bytes.fromhex(told[0])
            self._script.arrived(self.description.inbox.take(len(data)), step)
            self._check(text, data, expect)
            if len(told[1]) != 1:
                self._script.break_off(f"{text} brought {len(told[1])} descriptors, expected 1")
            (fd,) = told[1]
            return ChildDescriptor(self._child, fd, str(fd), Description(Inbox()))

        def shown(told: tuple[str, list[int]]) -> str:
            numbers = " ".join(map(str, told[1]))
            return f" = {len(told[0]) // 2}" + (f", 1 descriptor: {numbers}" if numbers else "")

        return self._make(text, "recvmsg", _READ_BYTES, done=done, shown=shown)  # type: ignore[no-any-return]

    def peer_credentials(self) -> PeerCredentials:
        """getsockopt(2) SO_PEERCRED."""

        def found(told: str) -> PeerCredentials:
            return unpack_credentials(bytes.fromhex(told))

        return self._make(  # type: ignore[no-any-return]
            f"getsockopt({self.shown}, SO_PEERCRED)",
            "getsockopt",
            done=lambda _, told: found(told),
            shown=lambda told: f" = {self._script.names.who(found(told))}",
        )

    def close(self) -> None:
        """close(2)."""

        def done(step: int, _: object) -> None:
            self.is_open = False
            self.description.holders -= 1
            if not self.description.holders:
                self.description.outbox.end(step)

        self._make(f"close({self.shown})", "close", done=done)

    def _make(
        self,
        text: str,
        call: str,
        *arguments: object,
        done: Callable[[int, Any], Any],
        shown: Callable[[Any], str] = lambda _: "",
    ) -> Any:
        ask = self._child.worker.ask
        made = Call(text, lambda: ask(call, self.fd, *arguments), done, shown)
        return self._script.make(self._child.line, made)

    def _check(self, text: str, found: bytes, expect: bytes) -> None:
        if found != expect:
            self._script.surprise(f"{text} gave {found!r}, expected {expect!r}")
