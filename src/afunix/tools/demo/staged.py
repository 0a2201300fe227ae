"""What stands on a stage, whatever it is: a descriptor with its life line, and who holds the same open socket.

Every method makes one call, really, and writes it down. Whatever is opened is entered in `Props`, so that the stage
can close what an experiment leaves open. Sockets are `staged_socket`'s.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from .calls import STARTING, Call
from .causes import Inbox, label
from .held import OwnShutdowns
from .script import Script
from .shown import Address

T = TypeVar("T")


@dataclass(eq=False, slots=True)
class Description:
    """One open socket, which several descriptors and processes may hold: what comes to it, and to its peer."""

    inbox: Inbox = field(default_factory=Inbox)
    outbox: Inbox = field(default_factory=Inbox)
    clients: list[tuple[int, Description]] = field(default_factory=list)
    """Of a listener: the step that connected, and the connection as the server will see it."""
    holders: int = 1

    def of_peer(self) -> Description:
        """The other end."""
        return Description(self.outbox, self.inbox)


class Elsewhere:
    """A descriptor in a process of its own, which the life line called `owner` has; `shown` is its number there."""

    inode: int
    shown: str
    owner: str
    is_open: bool


@dataclass(eq=False, slots=True)
class Props:
    """All that is on a stage: what was opened, in order, and which socket a name leads to, the last bound to it."""

    script: Script
    shutdowns: OwnShutdowns
    opened: list[Staged] = field(default_factory=list)
    elsewhere: list[Elsewhere] = field(default_factory=list)
    """What processes of their own opened."""
    bound: dict[Address, Description] = field(default_factory=dict)


class Staged:
    """A descriptor on the stage: `line` is the life line that has it."""

    def __init__(self, props: Props, line: int, fd: int) -> None:
        self.props = props
        self.script = props.script
        self.line = line
        self.fd = fd
        self.is_open = True
        props.script.names.opened(fd)
        props.opened.append(self)

    @property
    def shown(self) -> str:
        """Its number, as it is shown."""
        return str(self.script.names.fd(self.fd))

    def make(
        self,
        text: str,
        function: Callable[[], T],
        done: Callable[[int, T], Any] = lambda _step, value: value,
        shown: Callable[[T], str] = lambda _: "",
        expect: int = 0,
    ) -> Any:
        """Make a call and write it down; the errno that it failed with if it shall fail."""
        call = Call(text, function, done, shown)
        if expect:
            return self.script.make_failing(self.line, call, expect)
        return self.script.make(self.line, call)

    def check(self, what: str, found: object, expected: object) -> None:
        """A surprise if `what` is not as the explanation has it."""
        if found != expected:
            self.script.surprise(f"{what} gave {found!r}, expected {expected!r}")

    def close(self) -> None:
        """close(2); a descriptor that is closed stays so."""
        if self.is_open:
            self.is_open = False
            text = f"close({self.shown})"
            self.script.names.closed(self.fd)
            self.make(text, self._close_really, lambda step, _: self._closed(step))

    def _close_really(self) -> None:
        """Not while a process starts in another thread, which would have it open a moment longer."""
        with STARTING:
            self._close()

    def _close(self) -> None:
        os.close(self.fd)

    def _closed(self, step: int) -> None:
        """Who is told that it is closed."""


class StagedFile(Staged):
    """An open file, or any descriptor that is read and written like one."""

    def read(self, max_bytes: int, expect: bytes) -> None:
        """read(2), which shall give `expect`. What it got is written down, too, for no arrow tells it."""
        text = f"read({self.shown})"
        found = self.make(text, lambda: os.read(self.fd, max_bytes), shown=read_result_shown)
        self.check(text, found, expect)

    def write(self, data: bytes) -> None:
        """write(2)."""
        self.make(f"write({self.shown})", lambda: os.write(self.fd, data), shown=result)

    def rewind(self) -> None:
        """lseek(2) to the beginning."""
        self.make(f"lseek({self.shown}, 0)", lambda: os.lseek(self.fd, 0, os.SEEK_SET))


def content(data: bytes) -> str:
    """The bytes that a read got, where they are to be seen."""
    return f" {label(data)}" if data else ""


def read_result_shown(data: bytes) -> str:
    """What is written for a read whose bytes are to be seen."""
    return read_result(data) + content(data)


def result(count: int) -> str:
    """What is written for a call that returned a number."""
    return f" = {count}"


def read_result(data: bytes) -> str:
    """What is written for a read, as `--trace` writes it."""
    return f" = {len(data)}" + ("" if data else " (end of file)")
