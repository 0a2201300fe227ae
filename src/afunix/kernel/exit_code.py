"""How a process ended, in the words that wait(1) and strace would choose.

A code is what `os.waitstatus_to_exitcode` gives: 0 to 255 the exit status, below 0 the signal that ended it.
"""

from __future__ import annotations

import signal


def words_of(code: int) -> str:
    """`exit status 1`, `ended by SIGKILL`."""
    if code >= 0:
        return f"exit status {code}"
    return f"ended by {_name(-code)}"


def _name(number: int) -> str:
    """Real-time signals have no names here but for the first and the last."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
