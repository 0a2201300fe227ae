"""A running `afunix serve` or `afunix relay`, and how a test waits for things without sleeping.

Readiness is what the program says itself, by sd_notify(3), so no test asks "is it there yet". Its STDOUT is read
all the time by a thread, its STDERR is a file. Leaving the `with` kills what is left.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, ClassVar, Self

from tests.faults.users import User
from tests.program import PATIENCE_S, Ended


class Drain:
    """Reads `fd`, which it owns, to its end in a thread; what has come so far is `data`."""

    def __init__(self, fd: int) -> None:
        self.data = bytearray()
        self._changed = threading.Condition()
        self._fd = fd
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with open(self._fd, "rb", buffering=0) as source:
            while piece := self._read(source):
                with self._changed:
                    self.data += piece
                    self._changed.notify_all()

    @staticmethod
    def _read(source: Any) -> bytes:
        try:
            piece: bytes = source.read(1 << 20)
        except OSError:  # EIO: a terminal without a program
            return b""
        return piece

    def wait_for(self, is_there: Callable[[bytes], bool]) -> bytes:
        """Until what has come satisfies `is_there`; what that was."""
        with self._changed:
            assert self._changed.wait_for(lambda: is_there(bytes(self.data)), PATIENCE_S), bytes(
                self.data[-500:]
            )
            return bytes(self.data)

    def wait_for_bytes(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.data) >= count, PATIENCE_S * 3), len(self.data)

    def end(self) -> bytes:
        """Everything, once the other side is closed."""
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive(), "somebody still holds the other end"
        return bytes(self.data)


class Notices:
    """Where a program sends its state (NOTIFY_SOCKET)."""

    def __init__(self) -> None:
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._sock.bind("")  # an abstract name that the kernel chooses: it is for all users
        self.name = "@" + self._sock.getsockname()[1:].decode("ascii")

    def wait_for(self, state: bytes, process: subprocess.Popen[bytes]) -> bool:
        """False if the process ended first."""
        pidfd = os.pidfd_open(process.pid)
        try:
            while True:
                ready, _, _ = select.select([self._sock.fileno(), pidfd], [], [], PATIENCE_S)
                assert ready, f"neither {state!r} nor an end"
                if ready == [pidfd]:
                    return False
                if state in self._sock.recv(4096):
                    return True
        finally:
            os.close(pidfd)

    def close(self) -> None:
        self._sock.close()


class Running:
    """`afunix COMMAND ARGS` as `user`, ready when the `with` is entered."""

    command: ClassVar[str]

    def __init__(
        self,
        user: User,
        *args: str,
        stdout: int | None = None,
        privileged: bool = False,
        must_start: bool = True,
        prefix: Sequence[str] = (),
        **options: Any,
    ) -> None:
        self._err = tempfile.TemporaryFile()  # closed in __exit__
        self._notices = Notices()
        self._options = options
        self._stdout = stdout
        start = user.start_as_me if privileged else user.start
        read_fd = -1
        if stdout is None:
            read_fd, stdout = os.pipe()
        options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("env", {})["NOTIFY_SOCKET"] = self._notices.name
        self.process = start(self.command, *args, prefix=prefix, stdout=stdout, stderr=self._err, **options)
        if read_fd >= 0:
            os.close(stdout)
        self.out = Drain(read_fd) if read_fd >= 0 else None
        self.is_ready = self._notices.wait_for(b"READY=1", self.process)
        if must_start and not self.is_ready:
            end = self.end()
            self.__exit__(None, None, None)
            raise AssertionError(f"did not start: {end}")

    @property
    def pid(self) -> int:
        return self.process.pid

    def __enter__(self) -> Self:
        return self

    def wait_for_out(self, is_there: Callable[[bytes], bool]) -> bytes:
        assert self.out is not None
        return self.out.wait_for(is_there)

    def wait_stopping(self) -> None:
        assert self._notices.wait_for(b"STOPPING=1", self.process), "it ended without a word"

    def err(self) -> str:
        self._err.flush()
        size = os.fstat(self._err.fileno()).st_size
        return os.pread(self._err.fileno(), size, 0).decode("utf-8", "backslashreplace")

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def stop(self, number: int = signal.SIGTERM) -> Ended:
        self.send(number)
        return self.end()

    def end(self) -> Ended:
        status = self.process.wait(PATIENCE_S)
        return Ended(status, self.out.end() if self.out is not None else b"", self.err())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE_S)
        if self.out is not None:
            self.out.end()
        self._notices.close()
        self._err.close()


class Serve(Running):
    command = "serve"


class Relay(Running):
    command = "relay"


def connected(path: str, kind: int = socket.SOCK_STREAM) -> socket.socket:
    """A client's socket; the caller closes it."""
    sock = socket.socket(socket.AF_UNIX, kind)
    sock.settimeout(PATIENCE_S)
    try:
        sock.connect(path)
    except BaseException:
        sock.close()
        raise
    return sock


def say(path: str, data: bytes) -> None:
    """A client that sends `data` and is read to the end of it."""
    with connected(path) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""


def until(is_so: Callable[[], bool], what: str) -> None:
    """For what nothing tells: look again every few milliseconds."""
    for _ in range(int(PATIENCE_S * 200)):
        if is_so():
            return
        select.select([], [], [], 0.005)
    raise AssertionError(f"never came true: {what}")


def cpu_s(pid: int) -> float:
    """Processor time that the process has used; see clock_getcpuclockid(3)."""
    return time.clock_gettime((~pid << 3) | 2)


def becomes_quiet(pid: int) -> bool:
    """Does the process come to rest, that is, use no more than 5 % of a core for 0.1 s? One that spins never does."""
    for _ in range(60):
        before = cpu_s(pid)
        select.select([], [], [], 0.1)
        if cpu_s(pid) - before < 0.005:
            return True
    return False


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def resident_bytes(pid: int) -> int:
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def proportional_bytes(pid: int) -> int:
    """Its memory, and its share of what it has in common with others (PSS, proc_pid_smaps(5))."""
    with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
        for line in file:
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
    raise AssertionError("a kernel without Pss")


def identity(path: str) -> tuple[int, int, int, int, int]:
    """What of a file must not change: where it is, what it is, how long, and since when."""
    found = os.lstat(path)
    return found.st_dev, found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns


def litter(directory: str) -> list[str]:
    return sorted(os.listdir(directory))
