"""A Listener on another host: sshd binds the path there and hands every client over (streamlocal-forward@openssh.com).

A client is accepted on the loop of the login and waits in a queue, of which a pair of sockets tells: who accepts here
sees a descriptor that polls readable, as of any listener. sshd leaves the socket file behind when it stops listening, so
it is removed by a command there, if it is still the same file. A login that breaks is made again for as long as we live.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections import deque
from collections.abc import Callable
from functools import partial
from socket import MSG_DONTWAIT, SocketType
from typing import TYPE_CHECKING

from ..kernel.backlog import check_backlog, max_backlog
from ..kernel.bridged_socket import bridged_pair
from ..kernel.listener import Listener
from ..model.address import Address
from ..model.errors import AfunixError
from ..model.events import Bound, Closed, Event, LinkLost, LinkRestored, Listening, Observer, Unlinked
from ..model.ssh_refusal import left_there, no_answer
from .own_loop import OwnLoop
from .ssh import end_login, load_login
from .ssh_bridges import Bridges

if TYPE_CHECKING:
    from .ssh_bridge import Bridge
    from .ssh_login import Login

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
"""Between two attempts to get a broken login back."""

_BIND_S = 30.0
_ANSWER_S = 5.0
"""How long a host may take to answer when all is over."""


class SshListener(Listener):
    """One path on another host, which sshd listens on. Whose the clients there are is not known."""

    def __init__(
        self,
        address: Address,
        *,
        backlog: int | None = None,
        observer: Observer | None = None,
    ) -> None:
        """Log in and listen.

        Raises:
            AfunixError: why not; nothing is left there.
        """
        check_backlog(backlog)
        login_class = load_login()
        ours, self._bell = socket.socketpair()
        for end in (ours, self._bell):
            end.setblocking(False)
        super().__init__(ours, address, observer=observer)
        self.refuses_fds = True
        self._backlog = max_backlog() if backlog is None else max(1, backlog)
        self._queue: deque[SocketType | Event] = deque()
        self._identity = ""
        self._is_bound = False
        self._is_ending = False
        self._stop: Callable[[], None] = lambda: None
        self._again: asyncio.Task[None] | None = None
        self._login: Login = login_class(address, self._on_lost, self._tell)
        self._own = OwnLoop("afunix-ssh")
        self._bridges = Bridges(self._own.loop, self._login.settle)
        try:
            self._own.wait(self._login.connection())
            self._own.wait(self._bind(), _BIND_S)  # no signal breaks in: what is bound there has to be known
        except TimeoutError as error:
            self._end()
            raise error if isinstance(error, AfunixError) else no_answer(address) from None
        except BaseException:
            self._end()
            raise
        if observer is not None:
            observer(Bound(self.fd, address))
            observer(Listening(self.fd, address, self._backlog))

    # On the loop of the login

    async def _bind(self, *, again: bool = False) -> None:
        self._stop = await self._login.listen(self._take)
        self._is_bound, self._identity = True, ""
        if again:
            self._tell(LinkRestored(-1, self.address))
        self._identity = await self._login.identify()

    def _take(self) -> Bridge:
        """A client has come there."""
        if len(self._queue) >= self._backlog:
            raise OSError(errno.EAGAIN, "the backlog is full")
        ours, theirs = bridged_pair()
        bridge = self._bridges.make(theirs)
        ours.ask_for_end = partial(self._own.call, self._bridges.stop, bridge)
        self._tell(ours)
        return bridge

    def _tell(self, item: SocketType | Event) -> None:
        self._queue.append(item)
        try:
            self._bell.send(b"\0")
        except OSError:
            pass  # full: it rings already

    def _on_lost(self, reason: str) -> None:
        if self._is_ending or not self._is_bound:
            return
        self._tell(LinkLost(-1, self.address, reason))
        if self._again is None:
            self._again = self._own.loop.create_task(self._listen_again())

    async def _listen_again(self) -> None:
        """Our old socket file is in the way as a rule: sshd may not even know yet that we are gone."""
        pause_s, told = FIRST_PAUSE_S, ""
        while not self._is_ending:
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            try:
                await self._login.connection()
                await self._login.remove(self._identity)
                await self._bind(again=True)
            except AfunixError as error:
                if error.message != told:
                    told = error.message
                    self._tell(LinkLost(-1, self.address, told))
                continue
            break
        self._again = None

    async def _stop_listening(self) -> None:
        self._is_ending = True
        if self._again is not None:
            self._again.cancel()
        if not self._identity:
            self._identity = await self._login.identify()
        self._stop()
        await self._login.look()  # answered in order: whoever came before has been handed over by then

    # As a Listener

    def accept_named(self) -> tuple[SocketType, str | bytes]:
        while True:
            if not self._queue:
                self.socket.recv(4096, MSG_DONTWAIT)
            if not self._queue:
                continue
            item = self._queue.popleft()
            if not isinstance(item, Event):
                return item, str(self.address)
            if self.alerts is not None:
                self.alerts(item)

    def let_descriptors_in(self) -> None:
        """Nothing: none come from there."""

    def refuse_new(self) -> None:
        """sshd listens no more; those whom it has accepted can still be."""
        if not self._is_ending:
            self._wait_for(self._stop_listening)

    def unlink(self) -> AfunixError | None:
        if not self._is_bound:
            return None
        self._is_bound = False
        self.refuse_new()
        is_removed = self._wait_for(lambda: self._login.remove(self._identity)) is True
        if self._observer is not None:
            self._observer(Unlinked(self.fd, self.address, is_removed))
        return None if is_removed else left_there(self.address, self._login.target)

    def _wait_for(self, ask: Callable[[], object]) -> object:
        try:
            return self._own.wait(ask(), _ANSWER_S)  # type: ignore[arg-type]
        except (TimeoutError, AfunixError):
            return None

    @property
    def bytes_lost(self) -> int:
        return self._bridges.bytes_lost

    def close(self) -> None:
        if self.fd < 0:
            return
        self.unlink()
        if self._observer is not None:
            self._observer(Closed(self.fd))
        self._end()

    def _end(self) -> None:
        self._is_ending = True
        end_login(self._own, self._login, self._bridges)
        self.fd = -1
        self.socket.close()
        self._bell.close()
        while self._queue:
            item = self._queue.popleft()
            if not isinstance(item, Event):
                item.close()
