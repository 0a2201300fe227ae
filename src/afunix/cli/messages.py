"""What a person is told, and the exit status that goes with it. The rules of the terminal:

    data goes to STDOUT, every word to STDERR, each line in one write
    `afunix: error: what happened`, then `afunix: hint: the next step`; lower case, no full stop, no traceback
    nothing that came from outside reaches the terminal unescaped (`model.escaping`)
    -q leaves errors only; notes are shown on a terminal or with -v
    colour only on a terminal, and not with NO_COLOR
    a STDERR that is gone or full changes no exit status, and one that nobody reads stops nobody

The sentences are the errors' own (`model.errors`); here is their frame, and STATUS, the table of statuses.
"""

from __future__ import annotations

import errno
import os
import select
from typing import TYPE_CHECKING

import click

from ..model import errors
from ..model.escaping import escape

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..model.events import Event

STATUS: dict[type[BaseException], int] = {
    errors.AfunixError: 1,
    errors.OutputError: 1,
    errors.AddressError: 2,
    errors.NoSuchSocketError: 3,
    errors.NobodyListensError: 4,
    errors.DeniedError: 5,
    errors.NotASocketError: 6,
    errors.WrongTypeError: 6,
    errors.TimedOutError: 7,
    errors.BrokenStreamError: 8,
    errors.PeerMismatchError: 9,
    errors.AddressInUseError: 10,
    click.UsageError: 2,
}
"""Exit status of an error: that of the nearest class in its family tree. What is not here is 1: failed."""

STATUSES_HELP = """\b
Exit status:
  0  done; never when bytes were lost
  1  failed: STDOUT is full or broken, with the number of bytes lost
  2  wrong use
  3  no such socket
  4  nobody listens (a stale socket file)
  5  permission denied
  6  not a socket, or a socket of another type
  7  timed out, naming the last obstacle
  8  the peer or a deadline broke off, and bytes may be lost
  9  the peer is not who it must be
  10 the address is in use, and by whom"""

DESCRIPTORS_HINT = "'ulimit -n' sets how many descriptors a process may have"
PROCESSES_HINT = "'ulimit -u' sets how many processes a user may have, pids.max how many a cgroup"

_STDERR_PATIENCE_MS = 500
"""How long a STDERR that takes nothing is waited for, once; after that words are dropped until it takes some."""

_ERASE = "\r\x1b[J"
"""From the first cell of a status line on. The cursor waits there, so that this holds where a terminal that has got
narrower has wrapped the line, too.
"""

_USUAL_COLUMNS = 80

_PIECE_BYTES = select.PIPE_BUF
"""A pipe that poll(2) calls writable takes that much without waiting (pipe(7))."""


def status_of(error: BaseException) -> int:
    return next((STATUS[cls] for cls in type(error).__mro__ if cls in STATUS), 1)


def explain(error: Exception) -> int:
    """Tell what `error` is, in the one form there is; the exit status that goes with it."""
    if os.environ.get("AFUNIX_DEBUG"):
        import traceback

        _write(escape_lines(traceback.format_exc()))
    if isinstance(error, errors.AfunixError):
        say_error(error.message, error.hint)
    elif isinstance(error, click.ClickException):
        say_error(*_words_of_usage(error))
    elif isinstance(error, OSError):
        say_error(_words_of_os(error), DESCRIPTORS_HINT if error.errno == errno.EMFILE else None)
    else:
        say_error(
            f"this should not have happened: {type(error).__name__}: {error}",
            "AFUNIX_DEBUG=1 in the environment shows where",
        )
    return status_of(error)


def say_error(message: str, hint: str | None = None) -> None:
    _write(_line("error: ", message, "31") + (_line("hint: ", hint, "36") if hint else ""))


class Messages:
    """What a command says while it runs, as loud as -q and -v ask for."""

    def __init__(self, *, quiet: bool = False, verbose: bool = False) -> None:
        self.warns = not quiet
        self.notes = verbose or (not quiet and os.isatty(2))

    def warn(self, message: str, hint: str | None = None) -> None:
        """Something that is not an error yet; silent with -q."""
        if self.warns:
            _write(_line("warning: ", message, "33") + (_line("hint: ", hint, "36") if hint else ""))

    def note(self, message: str) -> None:
        """What goes on: on a terminal, or with -v."""
        if self.notes:
            _write(_line("", message))

    def tell(self, message: str) -> None:
        """What belongs to the answer, and is no warning; silent with -q."""
        if self.warns:
            _write(_line("", message))

    def silence(self, message: str) -> None:
        """Where a note could go, and does not."""

    @staticmethod
    def trace(line: str) -> None:
        """A call as it happened, without any frame: to be read as strace is."""
        _write(escape(line) + "\n")

    def tracer(self) -> Callable[[Event], None]:
        """An observer that shows every call as it happens."""
        from ..formats.trace import TraceFormat
        from ..kernel import names

        line_of = TraceFormat(names.comm_of, names.user_name).line

        def show(event: Event) -> None:
            line = line_of(event)
            if line is not None:
                self.trace(line)

        return show


def _words_of_usage(error: click.ClickException) -> tuple[str, str | None]:
    """click's sentence in our form: what is wrong with which option, then where to look."""
    context = getattr(error, "ctx", None)
    look_up = f"'{context.command_path} --help' lists what there is" if context is not None else None
    if isinstance(error, click.NoSuchOption):
        similar = sorted(error.possibilities or ())
        return (
            f"there is no option '{error.option_name}'",
            f"did you mean {' or '.join(similar)}?" if similar else look_up,
        )
    if isinstance(error, click.MissingParameter) and error.param is not None:
        return f"{error.param.human_readable_name.upper()} is missing", look_up
    if isinstance(error, click.BadParameter):
        return f"{_option_of(error)}{plain(error.message)}", look_up
    return plain(error.message), getattr(error, "suggestion", look_up)


def _option_of(error: click.BadParameter) -> str:
    if error.param is None:
        return ""
    names = error.param.opts if isinstance(error.param, click.Option) else [error.param.human_readable_name]
    return f"{max(names, key=len)}: "


def plain(sentence: str) -> str:
    """Lower case, no full stop: what click and the system say are sentences."""
    sentence = sentence.strip().removesuffix(".")
    return sentence[:1].lower() + sentence[1:] if sentence[1:2].islower() else sentence


def _words_of_os(error: OSError) -> str:
    what = error.strerror or str(error)
    where = f" ({errors.errno_name(error.errno)})" if error.errno is not None else ""
    named = f"{os.fsdecode(error.filename)!r}: " if isinstance(error.filename, str | bytes) else ""
    if error.errno == errno.EMFILE:
        named = "more descriptors are needed than this process may have: "
    return f"{named}{plain(what)}{where}"


def _line(word: str, text: str, colour: str = "") -> str:
    if word and colour and has_colour(2):
        word = f"\x1b[1;{colour}m{word.rstrip()}\x1b[0m "
    return f"afunix: {word}{escape(text)}\n"


def has_colour(fd: int) -> bool:
    """Is `fd` a terminal that shows colours, to somebody who wants them?"""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and os.isatty(fd)


def escape_lines(text: str) -> str:
    return "\n".join(map(escape, text.split("\n")))


class _Stderr:
    """Descriptor 2, written to without ever waiting long: a server that talks must go on serving."""

    def __init__(self) -> None:
        self._is_stuck = False
        self._status = ""

    def write(self, text: str) -> None:
        """Whole lines. A status line stays the last one."""
        self._put(f"{_ERASE}{text}{_fitting(self._status)}" if self._status else text)

    def show_status(self, text: str) -> None:
        """In the place of the last one; "" takes it away. For a terminal only; what its line has no room for is cut."""
        if text or self._status:
            self._put(f"{_ERASE}{_fitting(text)}")
        self._status = text

    def _put(self, text: str) -> None:
        """One write(2) for what is short, so that it is not torn; what STDERR does not take is given up."""
        data = memoryview(text.encode("utf-8", "backslashreplace"))
        fd = _own_terminal()
        try:
            while data and self._has_room():
                data = data[os.write(2 if fd is None else fd, data[:_PIECE_BYTES]) :]
        except OSError:
            pass  # gone, full, or filled by somebody else since it had room
        finally:
            if fd is not None:
                os.close(fd)

    def _has_room(self) -> bool:
        poller = select.poll()
        poller.register(2, select.POLLOUT)
        self._is_stuck = not poller.poll(0 if self._is_stuck else _STDERR_PATIENCE_MS)
        return not self._is_stuck


def _fitting(status: str) -> str:
    """As much of it as fits into one line now, and the cursor back in front of it."""
    if not status:
        return ""
    from ..formats.columns import shorten  # late: hardly any command has a status line

    try:
        columns = os.get_terminal_size(2).columns or _USUAL_COLUMNS
    except OSError:
        columns = _USUAL_COLUMNS
    return f"{shorten(status, columns - 1)}\r"


def _own_terminal() -> int | None:
    """STDERR's terminal opened anew and not waiting: one with room for less than a line would make us wait."""
    if not os.isatty(2):
        return None
    try:
        return os.open("/proc/self/fd/2", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return None  # another user's, or no descriptor is left


_stderr = _Stderr()
_write = _stderr.write


def show_status(text: str) -> None:
    """A line at the foot of the terminal that STDERR is, shown instead of the last one; "": none any more.

    It has no newline, and whatever is said meanwhile comes above it.
    """
    _stderr.show_status(escape(text))
