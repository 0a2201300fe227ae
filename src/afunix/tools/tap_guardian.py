"""The process that puts the path back if the tap is killed, and what it does then.

It has the tap's listening socket, too, so that whoever connects between the kill and the swap waits in its queue and is
served: it relays those, unwatched, until they have all gone. Conversations that the killed tap had are lost with it.

Start it before the swap: from then on there is no moment in which a SIGKILL leaves the path to nobody. It reads a pipe
that only the tap holds open: a byte means that it is not needed, the end that the tap has gone. A session of its own
keeps the terminal's signals away from it.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable

from ..kernel.front import Front
from ..kernel.pathname import Place
from ..model.address import Address
from ..model.errors import AfunixError
from ..model.standing import Identity, Standing

READY_PATIENCE_S = 10.0
_READY, _DISMISSED = b"!", b"."
_STRAGGLERS_S = 1.0
"""Who found our socket at the path before the swap has connected by then."""

_MODULE = "afunix.cli.tap_guardian"
_DEAF_TO = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE)


class Guardian:
    """A running guardian. `dismiss()` ends it without a step; if nobody does, it acts when this process has ended."""

    def __init__(self, front: Front, listener: socket.SocketType, pin: int, *, as_client: bool) -> None:
        """Returns once it is ready.

        Raises:
            AfunixError: it does not start.
        """
        lease, self._lease = os.pipe2(os.O_CLOEXEC)
        ready, told = os.pipe2(os.O_CLOEXEC)
        told_fds = (front.path.directory, pin, listener.fileno(), lease, told)
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
                [sys.executable, "-m", _MODULE, json.dumps(orders)],
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
        if select.select([ready], [], [], READY_PATIENCE_S)[0] and os.read(ready, 1) == _READY:
            return
        self._process.kill()
        status = self._process.wait()
        os.close(self._lease)
        raise AfunixError(f"the tap's guardian does not start: status {status}, expected it to be ready")

    def dismiss(self) -> None:
        """It ends, and does nothing; harmless if it has ended."""
        try:
            os.write(self._lease, _DISMISSED)
        except BrokenPipeError:
            pass
        self.close()

    def close(self) -> None:
        """Wait for its end, which a dismissed or a killed one comes to at once."""
        os.close(self._lease)
        os.close(self.pidfd)
        self._process.wait()


def guard(
    orders: str, say: Callable[[str], None], say_failure: Callable[[AfunixError | OSError], None]
) -> None:
    """The guardian's own life. `say(path)` when it has put the path back."""
    for number in _DEAF_TO:
        signal.signal(number, signal.SIG_IGN)
    given = json.loads(orders)
    directory, _pin, listener, lease, ready = given["fds"]
    path, second = given["path"], given["second"]
    front = Front(
        _place(path, directory),
        _place(second, directory),
        Identity(*given["ours"]),
        Identity(*given["theirs"]),
    )
    os.write(ready, _READY)
    os.close(ready)
    if os.read(lease, 1) == _DISMISSED:
        return
    try:
        standing = front.step_back()
    except OSError as error:
        say_failure(error)
        return
    if standing is Standing.BACK:
        say(path)
        serve_stragglers(path, listener, as_client=given["as_client"])


def _place(path: str, directory: int) -> Place:
    name = os.fsencode(path)
    return Place(Address.pathname(name), directory, os.path.basename(name))


def serve_stragglers(path: str, listener_fd: int, *, as_client: bool) -> None:
    """Who waits in the queue gets to the server all the same, and as long a conversation as he likes."""
    import asyncio
    import math

    from ..kernel.listener import Listener
    from ..kernel.socket_types import type_of, type_word
    from .relay_service import RelayService
    from .relay_settings import RelaySettings

    sock = socket.socket(fileno=listener_fd)
    address = Address.pathname(os.fsencode(path))
    listener = Listener.take(address, sock)
    settings = RelaySettings(
        (address,),
        address,
        socket_type=type_word(type_of(sock)),
        pass_fds=True,
        as_client=as_client,
        drain_s=math.inf,
    )
    loop = asyncio.new_event_loop()
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
        loop.call_later(_STRAGGLERS_S, service.stop, "nobody comes here any more")
        service.run(lambda listeners, relay: None, lambda: None)
    finally:
        listener.close()
        loop.close()
