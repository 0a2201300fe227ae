"""How a conversation ended, and whether anything was lost: facts become success or the error for a person.
Pure.

    the output refused bytes, or its reader left          OutputError        (status 1)
    STDIN cannot be read; a record is too long            AfunixError, LineTooLongError
    reset, or bytes taken or waiting and not delivered    BrokenStreamError  (status 8)
    a limit of time                                       TimedOutError      (status 7)
    both directions ended                                 nothing to say
"""

from __future__ import annotations

import errno
from typing import NamedTuple

from .counting import counted
from .errors import AfunixError, BrokenStreamError, LineTooLongError, OutputError, TimedOutError, errno_name
from .escaping import quote
from .patience import Ending, show_seconds


class Outcome(NamedTuple):
    """The facts at the end. Bytes are counted where they were last seen; errnos are 0 for none.

    `held`: taken from STDIN, not taken by the socket. `waiting`: in STDIN, readable now. `unwritten`:
    received, not taken by the output.
    """

    name: str
    ending: Ending
    sent: int = 0
    held: int = 0
    waiting: int = 0
    unwritten: int = 0
    source_ended: bool = False
    has_end: bool = True
    receive_errno: int = 0
    send_errno: int = 0
    source_errno: int = 0
    output_errno: int = 0
    too_long: int = 0
    max_record: int = 0
    limit_s: float = 0.0


def verdict(it: Outcome) -> AfunixError | None:
    """The error that `it` amounts to, None if nothing was lost and nothing expired."""
    if it.ending is Ending.OUTPUT:
        return _output_error(it)
    if it.source_errno:
        return AfunixError(f"STDIN cannot be read ({errno_name(it.source_errno)})", errno=it.source_errno)
    if it.too_long:
        return _too_long(it)
    if it.receive_errno or it.send_errno:
        return _broken(it)
    if it.held or it.waiting:
        return _undelivered(it)
    if it.ending in (Ending.IDLE, Ending.WHOLE):
        return _expired(it)
    return None


def _output_error(it: Outcome) -> AfunixError:
    if it.output_errno in (0, errno.EPIPE):
        what = "the reader of STDOUT is gone (EPIPE)"
    else:
        what = f"STDOUT takes no more ({errno_name(it.output_errno)})"
    return OutputError(
        f"{what}; {counted(it.unwritten, 'byte')} received and not written",
        errno=it.output_errno or errno.EPIPE,
        bytes_lost=it.unwritten,
    )


def _too_long(it: Outcome) -> AfunixError:
    return LineTooLongError(
        f"a record of {it.too_long} bytes or more is too long for {quote(it.name)}:"
        f" it may have {it.max_record} (EMSGSIZE)",
        hint="each line is one record; --null and --raw cut STDIN differently",
        errno=errno.EMSGSIZE,
    )


def _broken(it: Outcome) -> AfunixError:
    number = it.send_errno or it.receive_errno
    if number == errno.ECONNRESET:
        what = f"{quote(it.name)} closed the connection without reading all that was sent (ECONNRESET)"
    elif number == errno.EPIPE:
        what = f"{quote(it.name)} stopped reading (EPIPE)"
    else:
        what = f"the connection to {quote(it.name)} broke ({errno_name(number)})"
    return BrokenStreamError(f"{what}; {_account(it)}", errno=number, bytes_sent=it.sent)


def _undelivered(it: Outcome) -> AfunixError:
    if it.ending is Ending.ENDED:
        what = f"{quote(it.name)} closed the connection before the end of STDIN"
    elif it.ending is Ending.IDLE:
        what = f"timed out: {quote(it.name)} read nothing for {show_seconds(it.limit_s)}"
    else:
        what = f"timed out after {show_seconds(it.limit_s)}, before the end of STDIN"
    number = errno.EPIPE if it.ending is Ending.ENDED else errno.ETIMEDOUT
    return BrokenStreamError(f"{what}; {_account(it)}", errno=number, bytes_sent=it.sent)


def _expired(it: Outcome) -> AfunixError | None:
    if it.unwritten:
        return TimedOutError(
            f"timed out after {show_seconds(it.limit_s)}: nobody reads STDOUT,"
            f" {counted(it.unwritten, 'byte')} not written"
        )
    if it.ending is Ending.WHOLE:
        return TimedOutError(f"timed out after {show_seconds(it.limit_s)}: {quote(it.name)} had not ended")
    if not it.has_end and it.source_ended:
        return None  # the silence that --idle-timeout waits for is the end of a datagram conversation
    return TimedOutError(f"timed out: {quote(it.name)} and STDIN were silent for {show_seconds(it.limit_s)}")


def _account(it: Outcome) -> str:
    waiting = f", at least {counted(it.held + it.waiting, 'byte')} not sent" if it.held or it.waiting else ""
    return f"{counted(it.sent, 'byte')} sent{waiting}"
