"""The command `afunix`: how a run starts, and how it ends. The table of contents is in `commands`.

In this order: Ctrl-C kills quietly, descriptors 0 to 2 are taken, the command runs, and whatever it raises
becomes one line on STDERR and an exit status (`messages`). A command returns its exit status, or minus the
number of the signal that the process has to die by. Nothing else in the project exits.

Until the first step Ctrl-C is a traceback, so this file imports next to nothing: the rest comes after it.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` for a name would cost 3 ms
if TYPE_CHECKING:
    from typing import NoReturn


def main(argv: list[str] | None = None, *, prog_name: str = "afunix") -> NoReturn:
    """Run `afunix` with `argv` (default: the process's own), and end the process."""
    _die_quietly_on_interrupt()
    from . import standard

    standard.reserve()
    status = _run(sys.argv[1:] if argv is None else argv, prog_name)
    if status < 0:
        _die_by(-status)
    _exit(status)


def _run(argv: list[str], prog_name: str) -> int:
    from . import messages
    from .commands import afunix

    try:
        status = afunix.main(argv, prog_name, standalone_mode=False)
    except Exception as error:
        return messages.explain(error)
    return status if isinstance(status, int) else 0


def _die_quietly_on_interrupt() -> None:
    """Python's own handler raises anywhere; commands that want SIGINT ask for it themselves."""
    # One that was ignored at start (nohup) stays ignored.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def _exit(status: int) -> NoReturn:
    """End at once: taking a hundred modules apart in order costs a short run a tenth of its time."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, AttributeError):
            pass  # its reader is gone, or it was closed at start
    atexit._run_exitfuncs()
    os._exit(status)


def _die_by(number: int) -> NoReturn:
    """End the way the signal ends a process that does not catch it: the shell sees 128 + `number`."""
    signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os.kill(os.getpid(), number)
    os._exit(128 + number)  # not reached, unless the signal was one that does not kill
