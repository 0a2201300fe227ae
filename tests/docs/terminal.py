"""A program at a terminal of its own: what a person types, and the whole of what the terminal shows."""

from __future__ import annotations

import os
import re
import select
import subprocess
import termios
from types import TracebackType

from tests.docs.shell import person
from tests.peers import require
from tests.program import PATIENCE_S


class Terminal:
    """`command` runs in `folder` until it ends by itself or the terminal is left."""

    def __init__(self, command: str, folder: str) -> None:
        self.shown = ""
        self._controller, terminal = os.openpty()
        mode = termios.tcgetattr(terminal)
        mode[1] &= ~termios.OPOST  # a newline stays one
        termios.tcsetattr(terminal, termios.TCSANOW, mode)
        self._program = subprocess.Popen(
            [require("setsid"), "--ctty", require("bash"), "-c", f"exec {command}"],
            cwd=folder,
            env=person(folder),
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
        )
        os.close(terminal)

    def enter(self, text: str) -> None:
        os.write(self._controller, text.encode())

    def wait_for(self, pattern: str) -> None:
        """Until the whole of what is shown ends with `pattern`, a regular expression."""
        while not re.search(f"{pattern}\\Z", self.shown):
            ready = select.select([self._controller], [], [], PATIENCE_S)[0]
            assert ready and self._read(), f"expected {pattern!r}, shown:\n{self.shown}"

    def end(self) -> int:
        """The program's status once it has ended; then everything is shown."""
        status = self._program.wait(PATIENCE_S)
        while self._read():
            pass
        return status

    def _read(self) -> bool:
        try:
            data = os.read(self._controller, 65536)
        except OSError:
            return False  # EIO: nobody has the terminal any more
        self.shown += data.decode("utf-8", "backslashreplace")
        return bool(data)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._program.kill()
        self._program.wait()
        os.close(self._controller)
