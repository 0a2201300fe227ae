"""Accepting from a listener that blocks and whose O_NONBLOCK is not ours to set: one thread waits, so nobody else does.

Such a listener was inherited, and others hold it, too: poll(2) tells of a client, another process takes it first, and
accept(2) waits for the next one, which may never come. `listener` decides who needs this. Counterpart, for writes:
`threaded_writer`. The thread knows nothing of clients: what it accepts is fetched, or closed.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import sys
import threading
import weakref
from contextlib import ExitStack
from typing import TypeAlias

from .wrapping import as_socket

Taken: TypeAlias = "tuple[int, str | bytes | None]"
"""The descriptor of a client, and what it is bound to."""


class ThreadedAccept:
    """Accepts on `fd`, a listening socket of type `number`, which it borrows; a copy of its own is the thread's.

    The thread is asked for one client, and only when one was there a moment ago. If another process was faster it
    waits for the next; a client that comes while nobody asks (a pause) is held until somebody does. A daemon thread,
    for which nothing ever waits: once `stop` or `close` was called, the one client that it may still take is closed.

    Safe to use from several threads. A forked child begins anew, with a thread of its own.
    """

    def __init__(self, fd: int, number: int) -> None:
        self._fd = fd
        self._number = number
        self._is_over = False
        self._desk: _Desk | None = None
        self._opening = threading.RLock()
        _everybody.add(self)

    @property
    def ready_fd(self) -> int:
        """What polls readable while `accept` has something to do, and not while the thread is waiting; borrowed.

        Raises:
            OSError: out of descriptors.
        """
        return self._open_desk().epoll.fileno()

    @property
    def holds_client(self) -> bool:
        """Was a client accepted that nobody has fetched?"""
        return self._desk is not None and isinstance(self._desk.outcome, tuple)

    @property
    def is_asked(self) -> bool:
        """Is the thread about to take a client, or waiting for one?"""
        return self._desk is not None and self._desk.is_asked

    def accept(self) -> Taken:
        """The client that the thread has taken, whose descriptor is then the caller's.

        Raises:
            BlockingIOError: there is none yet; the thread was asked for one if any is there.
            OSError: what accept(2) said; or out of descriptors or memory for the thread itself.
        """
        outcome = self._open_desk().fetch()
        if outcome is None:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        if isinstance(outcome, tuple):
            return outcome
        try:
            raise outcome
        finally:
            del outcome  # its traceback leads to this frame

    def stop(self) -> None:
        """Take nobody from now on; one that was taken can still be fetched. Idempotent."""
        self._is_over = True
        if self._desk is not None:
            self._desk.stop()

    def close(self) -> None:
        """`stop`, and close what is ours, also a client that nobody has fetched. Idempotent."""
        self._is_over = True
        desk, self._desk = self._desk, None
        if desk is not None:
            desk.close()

    def _open_desk(self) -> _Desk:
        if self._desk is None:
            with self._opening:
                if self._desk is None:
                    self._desk = _Desk(self._fd, self._number, is_over=self._is_over)
        return self._desk

    def _forget_the_parents(self) -> None:
        """Its thread does not live in this process, and may have held any lock."""
        self._opening = threading.RLock()
        self._desk = None

    def __del__(self) -> None:
        self.close()


class _Desk:
    """What the thread shares with those who ask it, under the lock of `changed`. It does not keep them alive."""

    def __init__(self, fd: int, number: int, *, is_over: bool) -> None:
        self.changed = threading.Condition()
        self.outcome: Taken | Exception | None = None
        self.is_asked = False
        self.is_over = is_over
        self.is_closed = False
        self._has_thread = False
        with ExitStack() as undo:
            # A copy: the number of `fd` may be somebody else's by the time at which the thread gets to its accept(2).
            self.sock = as_socket(os.dup(fd), number)
            undo.callback(self.sock.close)
            self.epoll = select.epoll()
            undo.callback(self.epoll.close)
            self.bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            undo.callback(os.close, self.bell)
            self.epoll.register(self.bell, select.EPOLLIN)
            self.epoll.register(self.sock.fileno(), 0 if is_over else select.EPOLLIN)
            undo.pop_all()
        self._poll = select.poll()
        self._poll.register(self.sock.fileno(), select.POLLIN)
        _desks.add(self)

    # Those who ask

    def fetch(self) -> Taken | Exception | None:
        with self.changed:
            outcome, self.outcome = self.outcome, None
            if outcome is None:
                if not self.is_asked and not self.is_over and self.is_readable():
                    self._ask()
                return None
            os.eventfd_read(self.bell)
            if not self.is_over:
                self.epoll.modify(self.sock.fileno(), select.EPOLLIN)
        return outcome

    def is_readable(self) -> bool:
        return bool(self._poll.poll(0))

    def _ask(self) -> None:
        if not self._has_thread:
            thread = threading.Thread(target=_work, args=(self,), name="afunix-accept", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # no room for a thread: a shortage like that of descriptors
                raise OSError(errno.ENOMEM, str(error)) from None
            self._has_thread = True
        self.is_asked = True
        # Who waits in the queue wakes nobody while the thread is at it.
        self.epoll.modify(self.sock.fileno(), 0)
        self.changed.notify()

    def stop(self) -> None:
        with self.changed:
            if not self.is_over:
                self.is_over = True
                self.epoll.modify(self.sock.fileno(), 0)
                self.changed.notify()

    def close(self) -> None:
        if sys.is_finalizing():
            self.close_copies()  # the interpreter has ended the thread, wherever it was
            return
        with self.changed:
            if self.is_closed:
                return
            self.is_over = self.is_closed = True
            outcome, self.outcome = self.outcome, None
            self.epoll.close()
            os.close(self.bell)
            if not self.is_asked:
                self.sock.close()
            self.changed.notify()
        _discard(outcome)

    def close_copies(self) -> None:
        """Where the thread is not, in a forked child or at the interpreter's end, and the lock may be held for ever. The
        files go on, if somebody else has them.
        """
        if not self.is_closed:
            self.is_over = self.is_closed = True
            self.epoll.close()
            os.close(self.bell)
            _discard(self.outcome)
        self.sock.close()

    # The thread

    def wait_until_asked(self) -> bool:
        """False: never again."""
        with self.changed:
            while not self.is_asked and not self.is_over:
                self.changed.wait()
            return self.is_asked

    def hand_over(self, outcome: Taken | Exception) -> None:
        with self.changed:
            self.is_asked = False
            if not self.is_over:
                self.outcome = outcome
                os.eventfd_write(self.bell, 1)
                return
            if self.is_closed:
                self.sock.close()
        _discard(outcome)


def _work(desk: _Desk) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # they are the main thread's
    while desk.wait_until_asked():
        try:
            outcome: Taken | Exception = desk.sock._accept()  # type: ignore[attr-defined]
        except Exception as error:
            outcome = error
        desk.hand_over(outcome)


def _discard(outcome: Taken | Exception | None) -> None:
    if isinstance(outcome, tuple):
        os.close(outcome[0])


_everybody: weakref.WeakSet[ThreadedAccept] = weakref.WeakSet()
_desks: weakref.WeakSet[_Desk] = weakref.WeakSet()
"""Also those that were closed while their thread was waiting."""


def _note_fork() -> None:
    for desk in list(_desks):
        desk.close_copies()
    for each in list(_everybody):
        each._forget_the_parents()


os.register_at_fork(after_in_child=_note_fork)
