"""A process of its own on the stage: it inherits one socket and makes the calls on it that it is told.

It is Python's bare interpreter (nothing of the environment's modules, nothing on STDERR), obeys one line at a time,
and ends when its STDIN does. Nothing waits for it longer than `_ANSWER_S`; it never outlives the stage.
"""

from __future__ import annotations

import errno
import os
import select
import subprocess
import sys
import time

from .calls import Call
from .staged import Description, read_result, result
from .staged_socket import StagedSocket

_ANSWER_S = 3.0
"""A new interpreter takes 20 ms; one on a machine that is very busy, a hundred times that."""

_ANSWER_BYTES = 1 << 18

_PROGRAM = """
import os, sys
fd = int(sys.argv[1])
print(0, "-", flush=True)
for line in sys.stdin:
    call, word = line.split()
    try:
        if call == "read":
            answer = os.read(fd, int(word)).hex()
        elif call == "write":
            answer = os.write(fd, bytes.fromhex(word))
        else:
            answer = os.close(fd)
        print(0, answer or "-", flush=True)
    except OSError as error:
        print(error.errno, "-", flush=True)
"""


class Child:
    """Holds the same socket as `inherited`, under the same number. `end` it; nobody else waits for the process."""

    def __init__(self, line: int, inherited: StagedSocket) -> None:
        self._line = line
        self._script = inherited.script
        self._shown = inherited.shown
        self._socket: Description = inherited.description
        self._socket.holders += 1
        command = [sys.executable, "-I", "-S", "-c", _PROGRAM, str(inherited.fd)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            command, bufsize=0, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, pass_fds=[inherited.fd]
        )

    @property
    def pid(self) -> int:
        """Its process number."""
        return self._process.pid

    def wait_until_ready(self) -> None:
        """Until the interpreter is up, so that the time of a call is the call's.

        Raises:
            OSError: it cannot be started, or takes too long.
        """
        self._take_answer()

    def read(self, expect: bytes) -> None:
        """read(2), which shall give `expect`."""

        def done(step: int, data: bytes) -> None:
            self._script.arrived(self._socket.inbox.take(len(data)), step)
            if data != expect:
                self._script.surprise(f"{text} gave {data!r}, expected {expect!r}")

        text = f"read({self._shown})"
        self._script.make(
            self._line, Call(text, lambda: bytes.fromhex(self._ask("read 65536")), done, read_result)
        )

    def write(self, data: bytes) -> None:
        """write(2)."""
        call = Call(
            f"write({self._shown})",
            lambda: int(self._ask(f"write {data.hex()}")),
            lambda step, count: self._socket.outbox.put(step, data[:count]),
            result,
        )
        self._script.make(self._line, call)

    def close(self) -> None:
        """close(2)."""

        def done(step: int, _: str) -> None:
            self._socket.holders -= 1
            if not self._socket.holders:
                self._socket.outbox.end(step)

        self._script.make(self._line, Call(f"close({self._shown})", lambda: self._ask("close -"), done))

    def _ask(self, order: str) -> str:
        """What the call returned.

        Raises:
            OSError: what it failed with; ETIMEDOUT, EPIPE: the process does not answer, or is not there.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(f"{order}\n".encode())
        return self._take_answer()

    def _take_answer(self) -> str:
        number, _, word = self._read_line().decode().partition(" ")
        if not number.isdecimal():
            raise OSError(errno.EPIPE, "the process ended")
        if int(number):
            raise OSError(int(number), os.strerror(int(number)))
        return word.rstrip("\n").replace("-", "")

    def _read_line(self) -> bytes:
        """One line of its STDOUT; what was read of it where the process ended."""
        assert self._process.stdout is not None
        line, deadline = b"", time.monotonic() + _ANSWER_S
        while not line.endswith(b"\n"):
            left = max(0.0, deadline - time.monotonic())
            if not select.select([self._process.stdout], [], [], left)[0]:
                raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
            piece = os.read(self._process.stdout.fileno(), _ANSWER_BYTES)
            if not piece:
                break
            line += piece
        return line

    def end(self) -> None:
        """The process is over when this returns: by its STDIN's end, or killed. Not written down."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(_ANSWER_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        finally:
            self._process.stdout.close()
