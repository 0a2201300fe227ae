"""The process that puts the path back if the tap is killed, and what it does then.

It has the tap's listening socket, too, so that whoever connects between the kill and the swap waits in its queue and is
served: it relays those, unwatched, until they have all gone. Conversations that the killed tap had are lost with it. If
the names cannot be swapped it goes on like that, and tries again and again.

Start it before the swap: from then on there is no moment in which a SIGKILL leaves the path to nobody. It reads a pipe
that only the tap holds open, and whose end says that the tap has gone. A session of its own keeps the terminal's signals
away from it.
"""

from __future__ import annotations

import errno
import importlib
import json
import os
import select
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from enum import Enum

from ..kernel.exit_code import words_of
from ..kernel.front import Front
from ..kernel.pathname import Place
from ..model.address import Address
from ..model.errors import AfunixError, DeniedError, errno_name
from ..model.escaping import quote
from ..model.standing import Identity, Standing

READY_PATIENCE_S = 10.0
_READY, _BACK, _LEFT, _DISMISSED = b"!", b"<", b">", b"."
_STRAGGLERS_S = 1.0
"""Who found our socket at the path before the swap has connected by then."""

_RETRY_S = 1.0

_START = "import sys; sys.path[:] = sys.argv[2:]; from afunix.cli.tap_guardian import main; main(sys.argv[1])"
"""With our own path, so that nothing of the current directory, which may be /tmp, becomes part of it (`-P`)."""

_ISOLATION = "-I" if sys.flags.ignore_environment else "-P"

_DEAF_TO = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE)


class Guardian:
    """A running guardian. `dismiss()` ends it without a step; if nobody does, it acts when this process has ended."""

    def __init__(self, front: Front, listener: socket.SocketType, *, as_client: bool) -> None:
        """Returns once it is ready.

        Raises:
            AfunixError: it does not start.
        """
        lease, self._lease = os.pipe2(os.O_CLOEXEC)
        ready, told = os.pipe2(os.O_CLOEXEC)
        told_fds = (front.path.directory, front.pin, front.our_pin, listener.fileno(), lease, told)
        orders = {
            "path": os.fsdecode(front.path.address.name),
            "second": os.fsdecode(front.second.address.name),
            "ours": front.ours,
            "theirs": front.theirs,
            "fds": told_fds,
            "as_client": as_client,
        }
        try:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    _ISOLATION,
                    "-c",
                    _START,
                    json.dumps(orders),
                    *map(os.path.abspath, sys.path),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=told_fds,
                start_new_session=True,
            )
        except OSError as error:
            os.close(self._lease)
            os.close(ready)
            raise AfunixError(f"the tap's guardian does not start: {error}", errno=error.errno) from None
        finally:
            os.close(lease)
            os.close(told)
        try:
            self._wait_ready(ready)
        finally:
            os.close(ready)
        self.pid = self._process.pid
        self.pidfd = os.pidfd_open(self.pid)

    def _wait_ready(self, ready: int) -> None:
        poll = select.poll()
        poll.register(ready, select.POLLIN)
        found = f"it is not ready within {READY_PATIENCE_S:g} s"
        if poll.poll(READY_PATIENCE_S * 1000):
            if os.read(ready, 1) == _READY:
                return
            with suppress(subprocess.TimeoutExpired):  # its end closed the pipe, and is seen a moment later
                found = _words_of(self._process.wait(READY_PATIENCE_S))
        self._process.kill()
        self._process.wait()
        os.close(self._lease)
        raise AfunixError(f"the tap's guardian does not start: {found}, expected it to wait for our end")

    def say_back(self) -> None:
        """The path is back, and may be in other hands from now on: it is to serve who waits, but not to touch a name."""
        self._tell(_BACK)

    def dismiss(self) -> None:
        """It ends, and does nothing; harmless if it has ended."""
        self._tell(_DISMISSED)
        self.close()

    def _tell(self, word: bytes) -> None:
        with suppress(BrokenPipeError):
            os.write(self._lease, word)

    def close(self) -> None:
        """Wait for its end, which a dismissed or a killed one comes to at once."""
        self._let_go()
        self._process.wait()

    def leave(self) -> None:
        """It acts now, and outlives us: nobody waits for it. It is told that we were not killed."""
        self._tell(_LEFT)
        self._let_go()
        self._process.returncode = 0  # or Popen would warn of a child that still runs

    def _let_go(self) -> None:
        os.close(self._lease)
        os.close(self.pidfd)


def _words_of(status: int) -> str:
    """What it says itself is on STDERR, which is ours."""
    return f"it ended with {words_of(status)}" if status >= 0 else f"it was {words_of(status)}"


class End(Enum):
    """What has become of the tap."""

    KILLED = "the tap was killed"
    LEFT = "the tap has ended"


def guard(orders: str, say: Callable[[str, End], None], say_failure: Callable[[AfunixError], None]) -> None:
    """The guardian's own life. `say(path, …)` when it has put the path back; `say_failure` once if it cannot yet, and the
    tap was killed: else that has said so.
    """
    for number in _DEAF_TO:
        signal.signal(number, signal.SIG_IGN)
    given = json.loads(orders)
    directory, pin, our_pin, listener, lease, ready = given["fds"]
    front = Front(
        _place(given["path"], directory),
        _place(given["second"], directory),
        Identity(*given["ours"]),
        Identity(*given["theirs"]),
        pin,
        our_pin,
    )
    with suppress(BrokenPipeError):  # killed before we were there: then we act
        os.write(ready, _READY)
    os.close(ready)
    with suppress(
        Exception
    ):  # now, while there is time, and the files are there; without them only the names go back
        importlib.import_module(f"{__package__}.relay_service")
    words = os.read(lease, 1)
    while words and words[-1:] != _DISMISSED and (more := os.read(lease, 1)):
        words += more
    if words[-1:] == _DISMISSED:
        return
    end = End.LEFT if _LEFT in words else End.KILLED
    keeper = Keeper(
        front,
        lambda path: say(path, end),
        say_failure if end is End.KILLED else lambda error: None,
        is_back=_BACK in words,
    )
    keeper.try_back()
    serve_stragglers(keeper, listener, as_client=given["as_client"])


def _place(path: str, directory: int) -> Place:
    name = os.fsencode(path)
    return Place(Address.pathname(name), directory, os.path.basename(name))


def not_back(front: Front, error: OSError) -> AfunixError:
    """Why the path cannot be put back, and what somebody can do who is allowed to."""
    number = error.errno or 0
    path, second = (os.fsdecode(place.address.name) for place in (front.path, front.second))
    kind = DeniedError if number in (errno.EACCES, errno.EPERM, errno.EROFS) else AfunixError
    return kind(
        f"{quote(path)} cannot be put back ({errno_name(number)}): expected the right to rename it and {quote(second)},"
        " its server's socket",
        hint=f"'mv {shlex.quote(second)} {shlex.quote(path)}' puts it back; until then its clients are served",
        errno=number,
    )


class Keeper:
    """Puts the path back, and says so, or, once, why that cannot be."""

    def __init__(
        self,
        front: Front,
        say: Callable[[str], None],
        say_failure: Callable[[AfunixError], None],
        *,
        is_back: bool,
    ) -> None:
        self.front = front
        self.is_back = is_back
        self._say = say
        self._say_failure = say_failure
        self._has_failed = False

    def try_back(self) -> bool:
        if self.is_back:
            return True
        try:
            standing = self.front.step_back()
        except OSError as error:
            if not self._has_failed:
                self._say_failure(not_back(self.front, error))
            self._has_failed = True
            return False
        self.is_back = True
        if standing is Standing.BACK:
            self._say(str(self.front.path.address))
        return True


def serve_stragglers(keeper: Keeper, listener_fd: int, *, as_client: bool) -> None:
    """Who waits in the queue gets to the server all the same, and as long a conversation as he likes."""
    import asyncio
    import math

    from ..kernel.listener import Listener
    from ..kernel.socket_types import type_of, type_word
    from .relay_service import RelayService
    from .relay_settings import RelaySettings

    sock = socket.socket(fileno=listener_fd)
    address = keeper.front.path.address
    listener = Listener.take(address, sock)
    settings = RelaySettings(
        (address,),
        through(keeper.front.pin),
        socket_type=type_word(type_of(sock)),
        pass_fds=True,
        as_client=as_client,
        drain_s=math.inf,
    )
    loop = asyncio.new_event_loop()

    def stop() -> None:
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RD)
        service.stop("nobody comes here any more")

    def go_on() -> None:
        loop.call_later(*((_STRAGGLERS_S, stop) if keeper.try_back() else (_RETRY_S, go_on)))

    try:
        service = RelayService(
            settings,
            [listener],
            loop,
            os.sysconf("SC_OPEN_MAX") // 2,
            None,
            None,
            lambda channel, error: None,
            on_pair_over=lambda connection, up, down: None,
            is_transparent=True,
        )
        service.run(lambda listeners, relay: go_on(), lambda: None)
    finally:
        listener.close()
        loop.close()


def through(pin: int) -> Address:
    """What connects to the socket file that `pin` holds, whatever its name is, or if it has none any more."""
    return Address.pathname(f"/proc/self/fd/{pin}")
