"""The inside of a process of the main story: the very engine of `afunix serve` or `connect`, with a reporting observer.

`play` is called in a new process by `company`, which reads the reports. The pipe that they go through is moved out
of the way first, so that the first socket is descriptor 3, as in everybody's trace.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from ...model import events
from ...model.address import Address
from ...model.errors import AfunixError
from .reporting import Failed, Told, encode, is_told

_FIRST_HIGH_FD = 100

LONGEST_HOLD_S = 2.0
"""How long a call that is held back waits for its sign: whoever gives it may have gone."""

LONGEST_LIFE_S = 3600.0
"""A process that nobody stops, because whoever started it was killed, ends by itself."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one process is to do. `role` is "serve" or "connect"; `report_fd` is its end of the pipe, which it owns.

    `inside`: look into the kernel's table after each call. `sign_fd` (-1: none): after listen and accept a byte from
    it is awaited, so that others can be seen waiting. `as_json` is for a server: what came, with who sent it.
    """

    role: str
    address: str
    report_fd: int
    sign_fd: int = -1
    inside: bool = False
    as_json: bool = False

    def written(self) -> str:
        return json.dumps(asdict(self))


def play(written: str) -> None:
    """Do the part that `Part.written` described, in this process, to its end. STDIN and STDOUT are 0 and 1."""
    part = Part(**json.loads(written))
    report_fd = _move_up(part.report_fd)
    sign_fd = _move_up(part.sign_fd) if part.sign_fd >= 0 else -1
    observer = _Reporter(report_fd, sign_fd, _looker(part)).observe
    address = Address.parse(part.address)
    try:
        _ROLES[part.role](address, part, observer)
    except AfunixError as error:
        os.write(report_fd, encode(Failed(error.message, error.hint)))


def _looker(part: Part) -> Callable[[events.Event], tuple[str, ...]]:
    if not part.inside:
        return lambda event: ()
    from .inside import look

    return look


def _serve(address: Address, part: Part, observer: events.Observer) -> None:
    from ..presentation import Presentation
    from ..serve import ServeSettings, serve

    settings = ServeSettings(
        addresses=(address,),
        socket_type="stream",
        presentation=Presentation(json=part.as_json),
        timeout_s=LONGEST_LIFE_S,
        is_traced=True,
    )
    result = serve(settings, observer=observer)
    if result.has_losses:
        raise AfunixError(f"the server lost {result.bytes_lost} bytes")
    if result.error is not None or result.fault is not None:
        raise AfunixError(f"the server failed: {result.error or result.fault}")


def _connect(address: Address, part: Part, observer: events.Observer) -> None:
    from ..connect import ConnectSettings, run

    run(ConnectSettings(address, socket_type="stream", timeout=LONGEST_LIFE_S), observer=observer)


_ROLES: dict[str, Callable[[Address, Part, events.Observer], None]] = {"serve": _serve, "connect": _connect}


class _Reporter:
    """The observer: a report a call, written whole before the next call is made."""

    def __init__(self, report_fd: int, sign_fd: int, look: Callable[[events.Event], tuple[str, ...]]) -> None:
        self._report_fd = report_fd
        self._sign_fd = sign_fd
        self._look = look

    def observe(self, event: events.Event) -> None:
        if not is_told(event):
            return
        at = time.monotonic()
        self._send(encode(Told(at, event, self._look(event))))
        if self._sign_fd >= 0 and isinstance(event, events.Listening | events.Accepted):
            self._await_sign()

    def _send(self, line: bytes) -> None:
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[os.write(self._report_fd, rest) :]
        except BrokenPipeError:  # whoever started us is gone, and nobody else would end us
            os.kill(os.getpid(), signal.SIGKILL)

    def _await_sign(self) -> None:
        if select.select([self._sign_fd], [], [], LONGEST_HOLD_S)[0]:
            os.read(self._sign_fd, 1)


def _move_up(fd: int) -> int:
    """The same pipe under a number that leaves the low ones to sockets; `fd` is closed."""
    high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _FIRST_HIGH_FD)
    os.close(fd)
    return high
