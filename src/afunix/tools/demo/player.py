"""The inside of a process of the main story: the very engine of `afunix serve` or `connect`, with a reporting observer.

`play` is called in a new process by `company`, which reads the reports. The pipe that they go through is moved out
of the way first, so that the first socket is descriptor 3, as in everybody's trace. A thread watches that pipe: when
nobody reads it any more, whoever started this was killed, and the process ends at once, with its directory.
"""

from __future__ import annotations

import fcntl
import json
import os
import resource
import select
import shutil
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from ...model import events
from ...model.address import Address
from ...model.errors import AfunixError
from .reporting import Failed, Told, encode, is_told

_FIRST_HIGH_FD = 100
_HIGH_FDS = 4
"""So many are left above the first where the limit is so low that it cannot be 100."""

_FAILED_PATIENCE_MS = 500
"""Of a parent that is killed the kernel closes one pipe after the other: what failed may be the first sign of it."""

LONGEST_HOLD_S = 2.0
"""How long a call that is held back waits for its sign: whoever gives it may have gone."""

LONGEST_LIFE_S = 3600.0
"""What the engines are told to end after: nobody wants a process that lives for ever, should all else fail."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one process is to do. `role` is "serve" or "connect"; `report_fd` is its end of the pipe, which it owns.

    `inside`: look into the kernel's table after each call. `sign_fd` (-1: none): after listen and accept a byte from
    it is awaited, so that others can be seen waiting. `as_json` is for a server: what came, with who sent it.
    `directory` is removed by this process if nobody reads its reports any more; "" for none.
    """

    role: str
    address: str
    report_fd: int
    sign_fd: int = -1
    inside: bool = False
    as_json: bool = False
    directory: str = ""

    def written(self) -> str:
        return json.dumps(asdict(self))


def play(written: str) -> None:
    """Do the part that `Part.written` described, in this process, to its end. STDIN and STDOUT are 0 and 1."""
    part = Part(**json.loads(written))
    report_fd = _move_up(part.report_fd)
    sign_fd = _move_up(part.sign_fd) if part.sign_fd >= 0 else -1
    threading.Thread(target=_end_with_reader, args=(report_fd, part.directory), daemon=True).start()
    observer = _Reporter(report_fd, sign_fd, _looker(part)).observe
    address = Address.parse(part.address)
    patience_ms = _FAILED_PATIENCE_MS
    try:
        _ROLES[part.role](address, part, observer)
        patience_ms = 0
    except AfunixError as error:
        os.write(report_fd, encode(Failed(error.message, error.hint)))
    finally:
        if _is_unread(report_fd, patience_ms):
            threading.Event().wait()  # `_end_with_reader` is about to end this, and not yet done


def _end_with_reader(report_fd: int, directory: str) -> None:
    """Wait until nobody reads the pipe any more; then nobody is there to end this process or to clean up after it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # they are for the main thread
    _is_unread(report_fd, None)
    if directory:
        shutil.rmtree(directory, ignore_errors=True)  # the last one to do so leaves nothing
    os.kill(os.getpid(), signal.SIGKILL)


def _is_unread(report_fd: int, within_ms: int | None) -> bool:
    """Whether nobody has the other end of the pipe any more; wait so long for that to come (None: for ever)."""
    poller = select.poll()
    poller.register(report_fd, 0)  # POLLERR comes unasked
    return bool(poller.poll(within_ms))


def _looker(part: Part) -> Callable[[events.Event], tuple[str, ...]]:
    if not part.inside:
        return lambda event: ()
    from .inside import Looker

    return Looker().look


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
        except BrokenPipeError:
            threading.Event().wait()  # whoever started us is gone: `_end_with_reader` is about to end this

    def _await_sign(self) -> None:
        if select.select([self._sign_fd], [], [], LONGEST_HOLD_S)[0]:
            os.read(self._sign_fd, 1)


def _move_up(fd: int) -> int:
    """The same pipe under a number that leaves the low ones to sockets; `fd` is closed."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, min(_FIRST_HIGH_FD, limit - _HIGH_FDS))
    os.close(fd)
    return high
