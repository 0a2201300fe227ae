"""Every error that afunix raises on purpose: one small tree.

    AfunixError
    ├── AddressError            an address that cannot be meant                    (also ValueError)
    │   └── RuleError           a rule, or a name in one (in `model.rules`)
    ├── NoSuchSocketError       nothing is at the path                             (also FileNotFoundError)
    ├── NobodyListensError      a stale socket file, or bound and not listening    (also ConnectionRefusedError)
    ├── DeniedError             permission, on the socket or on the way to it      (also PermissionError)
    ├── NotASocketError         something else is at the path                      (also OSError)
    ├── WrongTypeError          stream, datagram and seqpacket do not mix          (also OSError)
    ├── TimedOutError           a deadline passed; the last obstacle is named      (also TimeoutError)
    ├── PeerMismatchError       the peer is not who it must be                     (also PermissionError)
    ├── AddressInUseError       a live owner holds the name                        (also OSError)
    ├── BrokenStreamError       bytes may be lost; `bytes_sent` says how many went (also ConnectionError)
    ├── OutputError             our own output refused bytes; `bytes_lost`         (also OSError)
    ├── LineTooLongError        no newline within the limit                        (also ValueError)
    ├── MessageTooLongError     a packet or datagram that no socket takes whole    (also OSError)
    ├── ClosedError · BusyError · TruncatedError · DescriptorsNotAcceptedError · WrongLoopError
    └── EndOfStream             the orderly end of what the peer sends, never an error of anybody

Each carries the sentence a person reads and, where there is a next step, a `hint`. Those that answer a system
call keep its `errno`, so that code written for OSError goes on working. Exit statuses are cli's business.
"""

from __future__ import annotations

import errno as _errno


class AfunixError(Exception):
    """Base of all. `str()` is the sentence for a person, `hint` the next step or None, `errno` the kernel's word."""

    errno: int | None
    strerror: str | None
    _default_errno: int | None = None

    def __init__(self, message: str, *, hint: str | None = None, errno: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.errno = errno if errno is not None else self._default_errno
        self.strerror = message  # what code written for OSError prints

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[object, ...]:
        """For copy and pickle: OSError keeps `errno` outside of `__dict__`, and would lose it."""
        return type(self), (self.message,), {**self.__dict__, "errno": self.errno}


class AddressError(AfunixError, ValueError):
    """What was written is no address, or no address that can be used here."""


class AddressInUseError(AfunixError, OSError):
    """Somebody alive holds the name (EADDRINUSE)."""

    _default_errno = _errno.EADDRINUSE


class NoSuchSocketError(AfunixError, FileNotFoundError):
    """Nothing is at the path (ENOENT)."""

    _default_errno = _errno.ENOENT


class NobodyListensError(AfunixError, ConnectionRefusedError):
    """The socket file is there, and nobody listens on it (ECONNREFUSED)."""

    _default_errno = _errno.ECONNREFUSED


class DeniedError(AfunixError, PermissionError):
    """The kernel refused access (EACCES, EPERM)."""

    _default_errno = _errno.EACCES


class NotASocketError(AfunixError, OSError):
    """A regular file, directory, FIFO or device is where a socket was expected (ENOTSOCK)."""

    _default_errno = _errno.ENOTSOCK


class WrongTypeError(AfunixError, OSError):
    """The other end is of another socket type (EPROTOTYPE)."""

    _default_errno = _errno.EPROTOTYPE


class TimedOutError(AfunixError, TimeoutError):
    """A deadline passed; the message names what stood in the way last. `bytes_sent`: of a send, those that went."""

    _default_errno = _errno.ETIMEDOUT

    def __init__(
        self, message: str, *, hint: str | None = None, errno: int | None = None, bytes_sent: int = 0
    ) -> None:
        super().__init__(message, hint=hint, errno=errno)
        self.bytes_sent = bytes_sent


class PeerMismatchError(AfunixError, PermissionError):
    """The process at the other end is not who it must be."""

    _default_errno = _errno.EPERM


class BrokenStreamError(AfunixError, ConnectionError):
    """The connection broke and bytes may be lost. `bytes_sent` are the bytes that the kernel had taken by then."""

    _default_errno = _errno.EPIPE

    def __init__(
        self, message: str, *, hint: str | None = None, errno: int | None = None, bytes_sent: int = 0
    ) -> None:
        super().__init__(message, hint=hint, errno=errno)
        self.bytes_sent = bytes_sent


class OutputError(AfunixError, OSError):
    """What we write to (STDOUT) refused it; `bytes_lost` were taken from clients and could not be written."""

    def __init__(
        self, message: str, *, hint: str | None = None, errno: int | None = None, bytes_lost: int = 0
    ) -> None:
        super().__init__(message, hint=hint, errno=errno)
        self.bytes_lost = bytes_lost


class MessageTooLongError(AfunixError, OSError):
    """A packet or datagram that is longer than what can be sent in one (EMSGSIZE); nothing of it went."""

    _default_errno = _errno.EMSGSIZE


class ClosedError(AfunixError):
    """Used after it was closed, here."""


class BusyError(AfunixError):
    """Two tasks on one direction of one stream; the first is unharmed."""


class WrongLoopError(AfunixError, RuntimeError):
    """Used from another event loop, thread or process than the one that it belongs to."""


class LineTooLongError(AfunixError, ValueError):
    """No newline within the limit; the bytes are still unread."""


class TruncatedError(AfunixError):
    """The kernel cut a record or control data; what came is closed, nothing is silently shortened."""


class DescriptorsNotAcceptedError(AfunixError):
    """Descriptors were sent to a socket that did not ask for any."""


class EndOfStream(AfunixError):
    """The peer sends no more: the orderly end, told once and then every time."""


def errno_name(number: int | None) -> str:
    """`ENOENT` for 2: the word that a person can search for."""
    if number is None:
        return "no errno"
    return _errno.errorcode.get(number, f"errno {number}")
