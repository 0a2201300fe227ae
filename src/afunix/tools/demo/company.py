"""The processes of the main story as the one who started them sees them: started, listened to, and ended for certain.

A Company owns its processes and their pipes. `reports` grows in the order in which reports are read; `wait_until`
reads until something is true. Whatever ends the `with` block, no process outlives it;
they notice, too, if we are killed.
"""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import IO, TypeVar

from ...kernel.interrupts import Interrupts
from ...model.causality import Process, Report
from ...model.errors import AfunixError, TimedOutError
from ...model.escaping import escape
from ...model.events import Event
from .player import Part
from .reporting import Failed, Told, decode

PATIENCE_S = 20.0
"""Nothing was heard for so long: somebody hangs. Much longer than anything here takes."""

_CHUNK_BYTES = 1 << 16

_Kind = TypeVar("_Kind", bound=Event)

_START = (
    "import sys; sys.path[:] = sys.argv[2:]; from afunix.tools.demo.player import play; play(sys.argv[1])"
)


@dataclass(eq=False)
class Player:
    """One process. `number` is its place among the life lines; `stdin` is ours if it was asked for."""

    number: int
    name: str
    process: subprocess.Popen[bytes]
    sign_fd: int = -1
    failure: Failed | None = None
    is_over: bool = False
    unread: bytes = b""

    @property
    def pid(self) -> int:
        return self.process.pid


@dataclass(eq=False)
class Company:
    """Works in `directory`, which becomes the processes' own; their words on STDERR are kept in files there. It is to be
    removed by the caller afterwards; if this process is killed (SIGKILL), its processes end by themselves and do it.

    `interrupts` ends every wait with Interrupted.
    """

    directory: str
    inside: bool = False
    interrupts: Interrupts | None = None
    players: list[Player] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._streams = 0
        self._report_fds: set[int] = set()
        self._counts: Counter[tuple[int, type[Event]]] = Counter()
        if self.interrupts is not None:
            self._selector.register(self.interrupts.fd, selectors.EVENT_READ, self.interrupts.check)

    def __enter__(self) -> Company:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for player in self.players:
            player.process.kill()
        for player in self.players:
            player.process.wait()
            for stream in (player.process.stdin, player.process.stdout):
                if stream is not None:
                    stream.close()
            if player.sign_fd >= 0:
                os.close(player.sign_fd)
        for fd in self._report_fds:
            os.close(fd)
        self._selector.close()

    def count(self, player: Player, kind: type[Event] = Event) -> int:
        """How many reports of that kind `player` has made so far."""
        return self._counts[player.number, kind]

    def events(self, kind: type[_Kind]) -> Iterator[_Kind]:
        """Those of that kind that were reported, by anybody, in the order in which they were heard."""
        return (report.event for report in self.reports if isinstance(report.event, kind))

    def processes(self) -> list[Process]:
        return [Process(player.name, player.pid) for player in self.players]

    def start(
        self,
        role: str,
        name: str,
        address: str,
        *,
        stdin: int | IO[bytes] = subprocess.DEVNULL,
        stdout: int = subprocess.DEVNULL,
        is_held: bool = False,
        as_json: bool = False,
    ) -> Player:
        """Start `afunix ROLE ADDRESS` with the observer. `is_held`: it waits for `give_sign` after some calls.

        Raises:
            OSError: no process can be started.
        """
        ours, theirs = os.pipe()
        given = [theirs]
        sign_fd = -1
        try:
            if is_held:
                their_sign, sign_fd = os.pipe()
                given.append(their_sign)
            sign = given[1] if is_held else -1
            part = Part(role, address, theirs, sign, self.inside, as_json, os.path.abspath(self.directory))
            process = self._popen(name, part, given, stdin, stdout)
        except BaseException:
            for fd in (ours, sign_fd):
                if fd >= 0:
                    os.close(fd)
            raise
        finally:
            for fd in given:
                os.close(fd)
        player = Player(len(self.players), name, process, sign_fd)
        self.players.append(player)
        self._report_fds.add(ours)
        self._selector.register(ours, selectors.EVENT_READ, lambda: self._hear(player, ours))
        return player

    def _popen(
        self, name: str, part: Part, given: list[int], stdin: int | IO[bytes], stdout: int
    ) -> subprocess.Popen[bytes]:
        with open(os.path.join(self.directory, f"{name}.stderr"), "wb") as words:
            return subprocess.Popen(
                [sys.executable, "-I", "-c", _START, part.written(), *map(os.path.abspath, sys.path)],
                bufsize=0,
                stdin=stdin,
                stdout=stdout,
                stderr=words,
                pass_fds=given,
                cwd=self.directory,
                env={name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"},
                process_group=0,  # Ctrl-C is for us: we end them
            )

    def give_sign(self, player: Player) -> None:
        """Let a held player go on."""
        try:
            os.write(player.sign_fd, b".")
        except BrokenPipeError:
            pass  # it has ended, which is heard elsewhere

    def listen_to(self, stream: IO[bytes], take: Callable[[bytes], None]) -> None:
        """Give `take` what comes out of `stream`, and b"" at its end, while waiting for reports."""

        def read() -> None:
            data = os.read(stream.fileno(), _CHUNK_BYTES)
            if not data:
                self._selector.unregister(stream)
                self._streams -= 1
            take(data)

        self._streams += 1
        self._selector.register(stream, selectors.EVENT_READ, read)

    @property
    def is_listening_to_streams(self) -> bool:
        """Whether one of `listen_to` has not ended yet."""
        return self._streams > 0

    def wait_for(self, player: Player, kind: type[Event], count: int = 1) -> None:
        """Until `player` has made `count` reports of that kind.

        Raises:
            AfunixError: as `wait_until`.
        """
        self.wait_until(lambda: self.count(player, kind) >= count, f"{player.name} ({kind.__name__})")

    def wait_until(self, is_true: Callable[[], bool], what: str) -> None:
        """Listen until `is_true()`.

        Raises:
            AfunixError: a process failed, with its own words. TimedOutError: nothing was heard for PATIENCE_S.
            Interrupted: a signal came.
        """
        deadline = time.monotonic() + PATIENCE_S
        while not is_true():
            heard = self._selector.select(max(0.0, deadline - time.monotonic()))
            for key, _ in heard:
                key.data()
            if heard:
                deadline = time.monotonic() + PATIENCE_S
            elif time.monotonic() >= deadline:
                raise TimedOutError(
                    f"timed out: nothing happened for {PATIENCE_S:g} s while waiting for {what}"
                )
            for player in self.players:
                self._check(player)

    def wait_for_end(self, player: Player) -> None:
        """Until `player` has told all and its process has ended.

        Raises:
            AfunixError: as `wait_until`.
        """
        self.wait_until(lambda: player.is_over, f"the end of {player.name}")
        self._check(player)

    def _hear(self, player: Player, fd: int) -> None:
        data = os.read(fd, _CHUNK_BYTES)
        *lines, player.unread = (player.unread + data).split(b"\n")
        for line in lines:
            self._take(player, line)
        if not data:
            self._selector.unregister(fd)
            self._report_fds.remove(fd)
            os.close(fd)
            player.process.wait(PATIENCE_S)
            player.is_over = True

    def _take(self, player: Player, line: bytes) -> None:
        message = decode(line)
        if isinstance(message, Failed):
            player.failure = message
        else:
            self.reports.append(_report(player, message))
            self._counts[player.number, type(message.event)] += 1
            self._counts[player.number, Event] += 1

    def _check(self, player: Player) -> None:
        """Raise what went wrong with it, if it is over."""
        if not player.is_over:
            return
        if player.failure is not None:
            raise AfunixError(f"{player.name}: {player.failure.message}", hint=player.failure.hint)
        if player.process.returncode:
            raise AfunixError(
                f"{player.name} ended with status {player.process.returncode}: {self._last_words(player)}"
            )

    def _last_words(self, player: Player) -> str:
        with open(os.path.join(self.directory, f"{player.name}.stderr"), "rb") as words:
            lines = words.read().splitlines()
        return escape(lines[-1]) if lines else "it said nothing"


def _report(player: Player, told: Told) -> Report:
    return Report(player.number, told.at, told.event, told.inside)
