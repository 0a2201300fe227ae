"""A process of its own that makes calls as it is told, and the pipe over which that is done.

It is Python's bare interpreter (nothing of the environment's modules, nothing on STDERR) and has no descriptors but
its pipes and what it inherits, so that its numbers are those of a new process. It obeys one line at a time and ends
when its STDIN does. Nothing waits for it longer than `_ANSWER_S`. What the calls mean is `child`'s business.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from .calls import LIMIT, STARTING, NotAnswered

_ANSWER_S = 3.0
"""A new interpreter takes 50 ms; one on a machine that is very busy, many times that."""

_ANSWER_BYTES = 1 << 18

_PROGRAM = """
import json, os, socket, sys
from socket import AF_UNIX, SO_PEERCRED, SO_RCVTIMEO, SO_SNDTIMEO, SOCK_STREAM, SOL_SOCKET

def answer(number, value):
    print(json.dumps([number, value]), flush=True)

def on(fd, function):
    sock = socket.socket(AF_UNIX, SOCK_STREAM, 0, fd)
    try:
        return function(sock)
    finally:
        sock.detach()

def make_socket():
    sock = socket.socket(AF_UNIX)
    for option in SO_RCVTIMEO, SO_SNDTIMEO:
        sock.setsockopt(SOL_SOCKET, option, bytes.fromhex(sys.argv[1]))
    return sock.detach()

def receive(sock, size):
    data, ancillary, _, _ = sock.recvmsg(size, socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC)
    return data.hex(), [int.from_bytes(at[2][:4], sys.byteorder) for at in ancillary]

CALLS = {
    "getpid": os.getpid,
    "socket": make_socket,
    "inode": lambda fd: os.fstat(fd).st_ino,
    "connect": lambda fd, path: on(fd, lambda sock: sock.connect(path)),
    "getsockopt": lambda fd: on(fd, lambda sock: sock.getsockopt(SOL_SOCKET, SO_PEERCRED, 12).hex()),
    "recvmsg": lambda fd, size: on(fd, lambda sock: receive(sock, size)),
    "open": lambda path: os.open(path, os.O_RDONLY | os.O_CLOEXEC),
    "read": lambda fd, size: os.read(fd, size).hex(),
    "write": lambda fd, data: os.write(fd, bytes.fromhex(data)),
    "close": os.close,
}

answer(0, None)
for line in sys.stdin:
    name, *arguments = json.loads(line)
    try:
        if name != "fork":
            answer(0, CALLS[name](*arguments))
        elif pid := os.fork():
            answer(0, pid)
            os.waitpid(pid, 0)
    except OSError as error:
        answer(error.errno, None)
"""


class Worker:
    """The process; `inherits` are descriptors that it has under the same numbers. `end` it: nobody else waits for it.

    After `fork` it is the new process that obeys; the old one waits until that one has ended, with the pipe.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(self, inherits: Sequence[int] = ()) -> None:
        command = [sys.executable, "-I", "-S", "-c", _PROGRAM, LIMIT.hex()]
        pipe = subprocess.PIPE
        with STARTING:
            self._process = subprocess.Popen(
                command,
                bufsize=0,
                stdin=pipe,
                stdout=pipe,
                stderr=subprocess.DEVNULL,
                pass_fds=inherits,
                process_group=0,
            )

    @property
    def pid(self) -> int:
        """Its process number."""
        return self._process.pid

    def wait_until_ready(self) -> None:
        """Until the interpreter is up, so that the time of a call is the call's.

        Raises:
            OSError: it takes too long.
        """
        self._take_answer()

    def ask(self, call: str, *arguments: object) -> Any:
        """Let it make the call; what that returned.

        Raises:
            NotAnswered: the process does not answer, or is not there.
            OSError: what the call failed with.
        """
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # then there is no answer either, which is said below
            self._process.stdin.write(json.dumps([call, *arguments]).encode() + b"\n")
        return self._take_answer()

    def _take_answer(self) -> Any:
        line = self._read_line()
        if not line.endswith(b"\n"):
            raise NotAnswered(None, "the process is gone")
        number, value = json.loads(line)
        if number:
            raise OSError(number, os.strerror(number))
        return value

    def _read_line(self) -> bytes:
        """One line of its STDOUT; what was read of it where the process ended."""
        assert self._process.stdout is not None
        line, deadline = b"", time.monotonic() + _ANSWER_S
        while not line.endswith(b"\n"):
            left = max(0.0, deadline - time.monotonic())
            if not select.select([self._process.stdout], [], [], left)[0]:
                raise NotAnswered(None, f"the process has not answered for {_ANSWER_S:g} s")
            piece = os.read(self._process.stdout.fileno(), _ANSWER_BYTES)
            if not piece:
                break
            line += piece
        return line

    def end(self) -> None:
        """The process, and those that it made, are over when this returns: by their STDIN's end, or killed."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(_ANSWER_S)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        finally:
            self._process.stdout.close()
