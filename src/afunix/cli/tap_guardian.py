"""What `afunix tap` starts beside itself (`tools.tap_guardian`), and what it has to say. Not a command for people.

It says one line if it had to act: on STDERR, which is the killed tap's, so perhaps somebody reads it.
"""

from __future__ import annotations

import os

from ..model.errors import AfunixError
from ..model.escaping import escape, quote
from ..tools.tap_guardian import End, guard


def main(orders: str) -> None:
    guard(orders, _say_back, _say_failure)


def _say_back(path: str, end: End) -> None:
    _say(f"{end.value}; its guardian has put {quote(path)} back")


def _say_failure(error: AfunixError) -> None:
    _say(f"error: {End.KILLED.value}, and {escape(error.message)}")
    if error.hint is not None:
        _say(f"hint: {escape(error.hint)}")


def _say(line: str) -> None:
    try:
        os.write(2, f"afunix: {line}\n".encode())
    except OSError:
        pass
