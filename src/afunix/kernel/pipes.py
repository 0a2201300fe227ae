"""A small pool of pipes, for bytes on their way from socket to socket: splice(2) needs one between the two.

A pair borrows a pipe while bytes are in it, which mostly is one step; one whose sink takes no more keeps it, so that a
stalled pair holds what a pipe holds and no other pair waits for it. The pool has its bound, since the memory of a
user's pipes has one (pipe-user-pages-soft, pipe(7)): 64 pipes of 1 MiB, and beyond that a new one has a single page.
Whoever gets no pipe copies until there is one again.
"""

from __future__ import annotations

import fcntl
import os

PIPE_BYTES = 1024 * 1024
"""What one splice moves at most. Unprivileged processes may have no more (fs.pipe-max-size)."""

MOST_PIPES = 16
"""So many stalled pairs in bulk keep one each; a sixteenth of a user's pipe memory is left to other programs."""

_F_SETPIPE_SZ = 1031


class Pipe:
    """Both ends, owned, and how many bytes are in it."""

    __slots__ = ("held", "into", "out_of")

    def __init__(self) -> None:
        self.out_of, self.into = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.held = 0
        try:
            fcntl.fcntl(self.into, _F_SETPIPE_SZ, PIPE_BYTES)
        except OSError:
            pass  # EPERM: the user's pipes have all they may have, and this one serves with less

    def close(self) -> None:
        os.close(self.out_of)
        os.close(self.into)


class PipePool:
    """Lends pipes that are empty. Owns those that are not lent; `close()` closes them."""

    def __init__(self, most: int = MOST_PIPES) -> None:
        self._free: list[Pipe] = []
        self._left = most

    def borrow(self) -> Pipe | None:
        """An empty pipe, to be given back; None if all are lent, or descriptors are short."""
        if self._free:
            return self._free.pop()
        if not self._left:
            return None
        try:
            pipe = Pipe()
        except OSError:
            return None  # EMFILE, ENFILE
        self._left -= 1
        return pipe

    def give_back(self, pipe: Pipe) -> None:
        """Take back a pipe; one that is not empty is closed, with what is in it."""
        if pipe.held:
            pipe.close()
            self._left += 1
        else:
            self._free.append(pipe)

    def close(self) -> None:
        """Close the pipes that are not lent; idempotent."""
        while self._free:
            self._free.pop().close()
            self._left += 1
