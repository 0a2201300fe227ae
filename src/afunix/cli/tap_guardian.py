"""What `afunix tap` starts beside itself (`tools.tap_guardian`), and what it has to say. Not a command for people.

It says one line if it had to act: on STDERR, which is the killed tap's, so perhaps somebody reads it.
"""

from __future__ import annotations

import os

from ..model.escaping import quote
from ..tools.tap_guardian import guard


def main(orders: str) -> None:
    guard(orders, _say_back, _say_failure)


def _say_back(path: str) -> None:
    _say(f"the tap was killed; its guardian has put {quote(path)} back")


def _say_failure(error: Exception) -> None:
    _say(f"error: the tap was killed, and its guardian cannot put the path back: {error}")


def _say(line: str) -> None:
    try:
        os.write(2, f"afunix: {line}\n".encode())
    except OSError:
        pass
