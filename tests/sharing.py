"""A listener that blocks and that several processes hold; the other one is played here, and can be the faster."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from tests.program import PATIENCE_S
from tests.threads import until

from afunix.kernel import threaded_accept
from afunix.kernel.peercred import refuse_descriptors


def can_refuse() -> bool:
    """Can this kernel keep descriptors away (SO_PASSRIGHTS, Linux 6.16)?"""
    with socket.socket(socket.AF_UNIX) as sock:
        return refuse_descriptors(sock)


class Shared:
    """`socket` blocks and listens at `path`. What is connected by `connect` is closed at the end."""

    def __init__(self, path: str, stack: ExitStack) -> None:
        self.path = path
        self._stack = stack
        self.socket = stack.enter_context(socket.socket(socket.AF_UNIX))
        self.socket.bind(path)
        self.socket.listen(64)
        self.lost = 0

    def copy(self) -> int:
        """A descriptor of it, as a child inherits one; it is whose it is given to."""
        return os.dup(self.socket.fileno())

    def connect(self) -> socket.socket:
        client = self._stack.enter_context(socket.socket(socket.AF_UNIX))
        client.settimeout(PATIENCE_S)
        client.connect(self.path)
        return client

    def accept(self) -> None:
        """The other process takes a client, and closes it."""
        self.socket.accept()[0].close()

    def let_the_other_win(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The next client that we see is taken by the other, between our look and our accept(2)."""
        looks = threaded_accept._Desk.is_readable

        def look_too_early(desk: threaded_accept._Desk) -> bool:
            found = looks(desk)
            if found and not self.lost:
                self.lost += 1
                self.accept()
            return found

        monkeypatch.setattr(threaded_accept._Desk, "is_readable", look_too_early)

    def until_thread_waits(self) -> None:
        """Return once a thread of ours is in an accept(2) that nobody answers."""
        until(lambda: any(map(_is_accepting, threads())))


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "afunix-accept"]


def _is_accepting(thread: threading.Thread) -> bool:
    """Does it sleep in a call of the socket's, not on a lock? By proc(5)."""
    try:
        with open(f"/proc/self/task/{thread.native_id}/syscall") as call:
            return call.read().split()[0] in _ACCEPT4
    except OSError:
        return False  # it has ended


_ACCEPT4 = ("288", "242")
"""Its number on x86-64 and on those that have the generic table."""


@contextmanager
def shared(path: str) -> Iterator[Shared]:
    """At the end no thread may wait any more: whoever still does gets a client, which it has to close."""
    with ExitStack() as stack:
        listener = Shared(path, stack)
        yield listener
        for thread in threads():
            if _is_accepting(thread):
                assert listener.connect().recv(1) == b""
            thread.join(PATIENCE_S)
            assert not thread.is_alive()
