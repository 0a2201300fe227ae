"""A Unix socket on another host as the far end: each connection is a channel of one login there
(direct-streamlocal@openssh.com), for which the host needs nothing but sshd.

The login lives on a loop of its own (`own_loop`); what a relay gets is one end of a pair of sockets (`ssh_bridge`). It
is made with the first connection, or by `log_in()` before that, and made again by the first that finds it broken.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from functools import partial
from socket import SocketType
from typing import TYPE_CHECKING

from ..kernel.bridged_socket import BridgedSocket, bridged_pair
from ..kernel.channel import Channel
from ..model.address import Address
from ..model.errors import AfunixError
from ..model.events import Connected, Created, Event, LinkLost, Observer
from ..model.patience import Retrying
from ..model.refusal import gave_up
from ..model.ssh_refusal import WORTH_WAITING_FOR, missing_package, no_answer
from .own_loop import OwnLoop
from .ssh_bridge import Bridge
from .ssh_bridges import Bridges

if TYPE_CHECKING:
    from .ssh_login import Login

_LOG_OUT_S = 30.0


class SshEndpoint:
    """`wait` seconds for a host or a socket that is not there yet; `timeout` seconds for each connection in all.

    Raises:
        AfunixError: asyncssh is not installed.
    """

    refuses_fds = True

    def __init__(
        self,
        address: Address,
        *,
        wait: float | None = None,
        timeout: float | None = None,
        make_channel: Callable[[SocketType, int], Channel] = Channel,
        observer: Observer | None = None,
        alerts: Observer | None = None,
    ) -> None:
        login_class = load_login()
        self._address = address
        self._wait = wait
        self._timeout = timeout
        self._make_channel = make_channel
        self._observer = observer
        self._alerts = alerts
        self._relay_loop: asyncio.AbstractEventLoop | None = None
        self._untold: deque[Event] = deque()
        self._login: Login = login_class(address, self._on_lost, self._tell_later)
        self._own = OwnLoop("afunix-ssh")
        self._bridges = Bridges(self._own.loop, self._login.settle)
        self._is_closed = False

    def log_in(self) -> None:
        """Find out now whether there is a way. With `wait` a host that is not there yet is no error.

        Raises:
            AfunixError: there is none, and waiting would not help. Nothing is left open.
        """
        try:
            self._own.wait(_within(self._timeout, self._login.connection(), self._address))
        except AfunixError as error:
            if self._wait is None or error.errno not in WORTH_WAITING_FOR:
                self.close()
                raise
        except BaseException:
            self._tell_all()
            self.close()
            raise
        self._tell_all()

    def connect_now(self, near: Channel) -> Channel | None:
        """None: a connection takes a question to the host."""
        return None

    async def connect(self, near: Channel) -> Channel:
        loop = self._relay_loop = asyncio.get_running_loop()
        self._tell_all()
        retrying = Retrying(loop.time(), timeout=self._timeout, wait=self._wait)
        last: AfunixError = no_answer(self._address)
        while True:
            try:
                async with asyncio.timeout(_finite(retrying.left(loop.time()))):
                    sock = await self._open(loop)
                    break
            except AfunixError as error:
                if not retrying.retries or error.errno not in WORTH_WAITING_FOR:
                    raise
                last = error
            except TimeoutError:
                pass
            if retrying.is_over(loop.time()):
                raise gave_up(retrying.limit or 0.0, last) from None
            await asyncio.sleep(retrying.next_pause(loop.time()))
        if self._observer is not None:
            self._observer(Created(sock.fileno(), "SOCK_STREAM"))
            self._observer(Connected(sock.fileno(), self._address))
        try:
            return self._make_channel(sock, near.connection)
        except BaseException:
            sock.close()
            raise

    async def _open(self, loop: asyncio.AbstractEventLoop) -> SocketType:
        """Our end of a pair, once the host has connected the other. Cancelled, it is closed, which the other sees."""
        ours, theirs = bridged_pair()
        answer: asyncio.Future[AfunixError | None] = loop.create_future()
        if not self._own.call(self._begin, ours, theirs, loop, answer):
            theirs.close()
            ours.close()
            raise AfunixError("the ssh connection is closed")
        try:
            error = await answer
            if error is not None:
                raise error
        except BaseException:
            ours.close()
            raise
        return ours

    # On the loop of the login

    def _begin(
        self,
        ours: BridgedSocket,
        theirs: SocketType,
        loop: asyncio.AbstractEventLoop,
        answer: asyncio.Future[AfunixError | None],
    ) -> None:
        bridge = self._bridges.make(theirs)
        ours.ask_for_end = partial(self._own.call, self._bridges.stop, bridge)
        task = self._own.loop.create_task(self._login.open(bridge))
        task.add_done_callback(lambda task: self._tell(task, bridge, loop, answer))

    def _tell(
        self,
        task: asyncio.Task[None],
        bridge: Bridge,
        loop: asyncio.AbstractEventLoop,
        answer: asyncio.Future[AfunixError | None],
    ) -> None:
        error: BaseException | None = None
        if task.cancelled():
            error = AfunixError("the ssh connection is closed")
        elif task.exception() is not None:
            error = task.exception()
        if error is not None:
            bridge.close()
            if not isinstance(error, AfunixError):
                error = AfunixError(f"ssh failed: {type(error).__name__}: {error}")
        try:
            loop.call_soon_threadsafe(_answer, answer, error)
        except RuntimeError:
            pass  # nobody waits any more

    def _on_lost(self, reason: str) -> None:
        self._tell_later(LinkLost(-1, self._address, reason))

    def _tell_later(self, event: Event) -> None:
        self._untold.append(event)
        loop = self._relay_loop
        if loop is None:
            return  # `log_in` tells, or the first connection
        try:
            loop.call_soon_threadsafe(self._tell_all)
        except RuntimeError:
            pass

    def _tell_all(self) -> None:
        while self._untold:
            event = self._untold.popleft()
            if self._alerts is not None:
                self._alerts(event)

    def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        end_login(self._own, self._login, self._bridges)

    @property
    def bytes_lost(self) -> int:
        """What the far end has not got, and nobody was told, and what came from it too late; all of it after `close`."""
        return self._bridges.bytes_lost


def load_login() -> type[Login]:
    """The class that needs asyncssh, imported when an address asks for it.

    Raises:
        AfunixError: it is not installed.
    """
    try:
        from .ssh_login import Login
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "asyncssh":
            raise
        raise missing_package() from None
    return Login


def end_login(own: OwnLoop, login: Login, bridges: Bridges) -> None:
    """Log out, let go of all connections, end the loop. Waits for a host that does not answer, but not long."""

    async def end() -> None:
        await bridges.wait_closed()
        await login.close()
        bridges.close()

    try:
        own.wait(end(), _LOG_OUT_S)
    except (TimeoutError, AfunixError):
        own.call(bridges.close)
    own.close()


async def _within(seconds: float | None, coroutine: object, address: Address) -> None:
    try:
        async with asyncio.timeout(seconds):
            await coroutine  # type: ignore[misc]
    except AfunixError:
        raise
    except TimeoutError:
        raise gave_up(seconds or 0.0, no_answer(address)) from None


def _answer(answer: asyncio.Future[AfunixError | None], error: AfunixError | None) -> None:
    if not answer.done():
        answer.set_result(error)


def _finite(seconds: float | None) -> float | None:
    return None if seconds == math.inf else seconds
