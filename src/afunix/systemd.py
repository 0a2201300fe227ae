"""Under systemd: take the sockets it opened, tell it how we are, leave descriptors with it over a restart.

    listeners("web")            what a socket unit opened for us (sd_listen_fds(3), systemd.socket(5))
    notify("READY=1")           how we are (sd_notify(3)); keep_alive() goes on saying that we live (WatchdogSec=)
    store_fds("state", [fd])    keep this open while we are gone; take_stored("state") after the restart
    barrier(5.0)                until all that we have said is understood

Without systemd, or under another manager that speaks its protocol or none, every function does what can be
done: nothing, and says so by its result. What makes no sense raises either way, so that a mistake is seen on
a developer's machine and not first in production. The protocol itself is `kernel.activation`; any other
service manager (s6, runit) needs nothing from here. All of it is safe to call from any thread; only
`keep_alive` needs an event loop.
"""

from __future__ import annotations

import os
import re
import select
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from .kernel import activation
from .kernel.ancillary import MAX_FDS
from .kernel.listener import Listener
from .model.address import Address
from .model.errors import AfunixError, TimedOutError, errno_name
from .model.escaping import quote

__all__ = [
    "NotifyError",
    "barrier",
    "is_activated",
    "keep_alive",
    "listeners",
    "notify",
    "remove_stored",
    "store_fds",
    "take_stored",
    "watchdog_interval",
]

_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=[^\n\r\0]*")
_NAME = re.compile(r"[\x20-\x39\x3b-\x7e]{1,255}")
"""What systemd takes for a name: printable ASCII without the colon that separates them in LISTEN_FDNAMES."""


class HasFileno(Protocol):
    """A socket, a file, a Stream."""

    def fileno(self) -> int: ...


class NotifyError(AfunixError, ValueError):
    """What no service manager could read: refused here, since it would be ignored there or taken for more."""


def is_activated() -> bool:
    """Did the service manager open descriptors for this process (LISTEN_PID, LISTEN_FDS)?

    Raises:
        AddressError: the variables make no sense, or one of the descriptors is closed.
    """
    return bool(activation.announced_names())


def listeners(*names: str) -> list[Listener]:
    """The inherited sockets of these names (`FileDescriptorName=`), without names all of them; to serve on.

    In the order of `names`, then of their numbers; a name may have several sockets. None where nothing was
    inherited at all, so that `listeners("web") or [...]` runs with and without systemd. Each socket is taken
    once: without names come those that are left.

    The caller owns them. They are listening stream and seqpacket sockets and datagram sockets; closing one
    closes our descriptor and no more: it is never shut down and its path is never removed, because the manager
    goes on listening while we are away. Their flags stay as they are; close-on-exec is set, and the variables
    are taken out of the environment.

    Raises:
        AddressError: no such name, or taken already; no Unix socket, or not listening (`Accept=no` is needed);
            the variables make no sense. Nothing is taken then.
    """
    return [
        Listener.take(Address.from_kernel(sock.getsockname()), sock)
        for sock in activation.take_listeners(*names)
    ]


def notify(*states: str) -> bool:
    """Tell the service manager, e.g. `notify("READY=1", "STATUS=serving 3 clients")`; all of it at once.

    False if there is none, or it cannot be reached or does not read: no error of a service's. Waits 0.2 s at most,
    while the manager's queue is full. Known words are in sd_notify(3): READY, RELOADING (with MONOTONIC_USEC),
    STOPPING, STATUS, ERRNO, MAINPID, EXTEND_TIMEOUT_USEC …

    Raises:
        NotifyError: not of the form NAME=VALUE, or with a newline in it (a STATUS that quotes a client could
            otherwise say MAINPID=1), or more than 4096 bytes together, which systemd ignores.
    """
    return activation.notify(_message(states))


def watchdog_interval() -> float | None:
    """Every how many seconds to send WATCHDOG=1: half of what `WatchdogSec=` allows. None: nobody watches us.

    Raises:
        AddressError: WATCHDOG_USEC or WATCHDOG_PID make no sense.
    """
    deadline = activation.watchdog()
    return None if deadline is None else deadline / 2


@contextmanager
def keep_alive() -> Iterator[float | None]:
    """Send WATCHDOG=1 from the running event loop as long as the `with` lasts, first at once.

    It comes from the loop's own timer, so it stops when the loop is stuck, and systemd restarts the service:
    that is what it is for. Never waits; one that does not get through is tried again soon. Gives the interval
    in seconds, or None where nobody watches: then it does nothing.

    Raises:
        AddressError: as `watchdog_interval`.
        RuntimeError: no event loop is running.
    """
    import asyncio

    from .streams.service_manager import Pulse

    loop = asyncio.get_running_loop()
    interval = watchdog_interval()
    if interval is None:
        yield None
        return
    pulse = Pulse(loop, interval)
    try:
        yield interval
    finally:
        pulse.stop()


def store_fds(name: str, fds: Iterable[int | HasFileno], *, poll: bool = True) -> bool:
    """Leave copies of these descriptors with the service manager, to get them back when we are started again.

    It needs `FileDescriptorStoreMax=` in the unit; whether the manager took them, it does not say. They stay
    the caller's, and may be closed at once. `name` is what `take_stored` and `remove_stored` will ask for. With
    `poll` (FDPOLL) the manager drops one when its other end hangs up; not so for what must stay regardless.
    False if there is no manager to tell, or it did not take the message; a part may have been stored then.

    Raises:
        NotifyError: a name that systemd refuses (empty, longer than 255, a colon, not printable ASCII), or a
            descriptor that is not open.
    """
    message = _message(["FDSTORE=1", f"FDNAME={_checked(name)}", *([] if poll else ["FDPOLL=0"])])
    numbers = [_open_number(fd) for fd in fds]
    batches = [numbers[start : start + MAX_FDS] for start in range(0, len(numbers), MAX_FDS)]
    return all(activation.notify(message, batch) for batch in batches)


def take_stored(name: str) -> list[int]:
    """What `store_fds` left under this name before the restart; none at the first start. The caller owns them.

    Each is taken once, and is close-on-exec. Which is which of several is for their owner to find out: systemd
    keeps the order of a message, and drops those that hung up.

    Raises:
        AddressError: LISTEN_FDS and its like make no sense, or a descriptor is closed.
    """
    return activation.take_descriptors(name)


def remove_stored(name: str) -> bool:
    """Let the service manager close what it keeps under this name. False as for `notify`.

    Raises:
        NotifyError: as `store_fds`.
    """
    return activation.notify(_message(["FDSTOREREMOVE=1", f"FDNAME={_checked(name)}"]))


def barrier(timeout: float | None = None) -> bool:
    """Wait until the service manager has read all that we have sent so far (sd_notify_barrier(3)).

    For a process that ends right after it spoke: systemd finds out who spoke by the pid, which must be there
    still. False if there is no manager to ask. It blocks, so with an event loop write
    `await asyncio.to_thread(systemd.barrier, 5.0)`. `timeout` is in seconds; None waits for as long as it takes.

    Raises:
        TimedOutError: the manager did not answer in time.
        NotifyError: a negative timeout.
    """
    if timeout is not None and not timeout >= 0:
        raise NotifyError(f"a timeout of {timeout} s is none: expected 0 or more")
    deadline = None if timeout is None else time.monotonic() + timeout
    reader, writer = os.pipe()
    try:
        try:
            is_told = activation.notify("BARRIER=1", [writer], patience=timeout)
        finally:
            os.close(writer)
        if is_told:
            _await_hangup(reader, timeout, deadline)
        return is_told
    finally:
        os.close(reader)


def _await_hangup(reader: int, timeout: float | None, deadline: float | None) -> None:
    poll = select.poll()
    poll.register(reader, 0)  # POLLHUP is always told
    if not poll.poll(None if deadline is None else max(0, deadline - time.monotonic()) * 1000):
        raise TimedOutError(
            f"the service manager has not read our messages within {timeout} s (BARRIER=1)",
            hint="is it busy, or does it not know BARRIER=1 (systemd does since 246)",
        )


def _message(states: Sequence[str]) -> str:
    for state in states:
        if not isinstance(state, str) or not _ASSIGNMENT.fullmatch(state):
            raise NotifyError(
                f"{quote(str(state))} is nothing to tell a service manager: expected NAME=VALUE on one line"
            )
    message = "\n".join(states)
    if not 0 < len(os.fsencode(message)) <= activation.NOTIFY_MAX_BYTES:
        raise NotifyError(
            f"a message of {len(os.fsencode(message))} bytes cannot be told a service manager: expected 1 to"
            f" {activation.NOTIFY_MAX_BYTES}"
        )
    return message


def _checked(name: str) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise NotifyError(
            f"{quote(str(name))} is no name for stored descriptors: expected 1 to 255 printable ASCII"
            " characters without a colon"
        )
    return name


def _open_number(fd: int | HasFileno) -> int:
    number = fd if isinstance(fd, int) else fd.fileno()
    try:
        os.fstat(number)
    except (OSError, OverflowError) as error:
        name = errno_name(getattr(error, "errno", None))
        raise NotifyError(f"descriptor {number} is not open ({name}), so it cannot be stored") from None
    return number
