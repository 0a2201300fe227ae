"""One login on another host, shared by all connections: made as the user's OpenSSH would, made again when it breaks.

How it is made is `ssh_way`'s; here is what goes through it. No other files than these two, `ssh_files` and
`ssh_host_key` import asyncssh. All of it runs on one loop.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import asyncssh

from ..model import ssh_refusal
from ..model.address import Address
from ..model.errors import AfunixError
from ..model.events import HostTrusted
from ..model.ssh_address import SshTarget
from ..model.ssh_refusal import Seen
from .ssh_bridge import Bridge
from .ssh_commands import IDENTIFY, LOOK, REMOVE, far_command
from .ssh_way import Way, log_out

_LOOK_LIMIT_S = 10.0


class Login:
    """`address` says where. `on_lost(reason)` is told of each login that broke, and of none that we closed;
    `on_unchecked(event)` of a host whose key was taken without being known, because the configuration says so.
    """

    def __init__(
        self,
        address: Address,
        on_lost: Callable[[str], None] = lambda reason: None,
        on_unchecked: Callable[[HostTrusted], None] = lambda event: None,
    ) -> None:
        self.address = address
        self.target = SshTarget.of(address)
        self._on_lost = on_lost
        self._connection: asyncssh.SSHClientConnection | None = None
        self._under_way: asyncio.Task[asyncssh.SSHClientConnection] | None = None
        self._way = Way(address, self._lose, on_unchecked)
        self._is_closing = False
        self._why_lost = ""

    async def connection(self) -> asyncssh.SSHClientConnection:
        """The login; the first who asks makes it, and all who ask meanwhile wait for that one.

        Raises:
            AfunixError: why there is none.
        """
        if self._connection is not None and not self._connection.is_closed():
            return self._connection
        if self._under_way is None:
            self._under_way = asyncio.get_running_loop().create_task(self._way.log_in(self.target))
            self._under_way.add_done_callback(self._on_logged_in)
        return await asyncio.shield(self._under_way)

    def _on_logged_in(self, task: asyncio.Task[asyncssh.SSHClientConnection]) -> None:
        self._under_way = None
        if not task.cancelled() and task.exception() is None:
            self._connection = task.result()

    def _lose(self, error: Exception | None) -> None:
        if self._connection is not None and not self._is_closing:
            self._connection = None
            self._why_lost = str(error) if error is not None else "sshd ended it"
            self._on_lost(self._why_lost)

    # What goes through it

    async def open(self, bridge: Bridge) -> None:
        """Connect to the target's path for `bridge`, which stays the caller's on failure. A login that breaks meanwhile
        is made again, once.

        Raises:
            AfunixError: why not.
        """
        if not await self._open(bridge) and (self._is_closing or not await self._open(bridge)):
            raise ssh_refusal.broke(self.address, self.target, self._why_lost)

    async def _open(self, bridge: Bridge) -> bool:
        """False: the login broke, so that nobody has answered."""
        connection = await self.connection()
        try:
            await connection.create_unix_connection(
                lambda: cast(Any, bridge), cast(Any, self.target.path), encoding=None
            )
        except (asyncssh.Error, OSError) as error:
            if connection.is_closed():
                return False
            if isinstance(error, asyncssh.ChannelOpenError):
                seen = await self.look()
                raise ssh_refusal.no_connection(self.address, self.target, seen, error.reason) from None
            raise ssh_refusal.login_failed(self.address, self.target, str(error)) from None
        return True

    async def listen(self, make_bridge: Callable[[], Bridge]) -> Callable[[], None]:
        """Let sshd listen on the target's path; `make_bridge()` is asked for one for each client, or raises OSError.

        What it returns stops that.

        Raises:
            AfunixError: why not.
        """
        connection = await self.connection()

        def make_session() -> Any:
            try:
                return make_bridge()
            except OSError as error:
                raise asyncssh.ChannelOpenError(asyncssh.OPEN_RESOURCE_SHORTAGE, str(error)) from None

        try:
            path = self.target.path.decode()
            with _early(connection, path, make_session):
                listener = await connection.create_unix_server(make_session, path, encoding=None)
        except (asyncssh.Error, asyncssh.ChannelListenError, OSError, UnicodeError) as error:
            if connection.is_closed():
                raise ssh_refusal.broke(self.address, self.target, self._why_lost) from None
            if not isinstance(error, asyncssh.ChannelListenError):
                raise ssh_refusal.login_failed(self.address, self.target, str(error)) from None
            seen = await self.look()
            if seen is Seen.STALE and await self._is_answered(connection):
                seen = Seen.LIVE
            raise ssh_refusal.no_forward(self.address, self.target, seen) from None
        return listener.close

    async def settle(self) -> None:
        """Until sshd has answered: what it had sent before that has come by then. At once, if there is no login."""
        connection = self._connection
        ask = getattr(connection, "_make_global_request", None)  # asyncssh has no public word for it
        if connection is None or connection.is_closed() or ask is None:
            return
        try:
            async with asyncio.timeout(_LOOK_LIMIT_S):
                await ask(b"keepalive@openssh.com")
        except (asyncssh.Error, OSError, TimeoutError):
            pass

    async def _is_answered(self, connection: asyncssh.SSHClientConnection) -> bool:
        """Somebody whom /proc/net/unix does not show, in another network namespace."""
        try:
            _, writer = await connection.open_unix_connection(cast(Any, self.target.path), encoding=None)
        except (asyncssh.Error, OSError):
            return False
        writer.close()
        return True

    async def look(self) -> Seen:
        """What is at the path; UNKNOWN where no command may be run."""
        word = await self._run(LOOK, self.target.path)
        return Seen(word) if word in {seen.value for seen in Seen} else Seen.UNKNOWN

    async def identify(self) -> str:
        """What tells the file at the path from another one; "" if that cannot be seen."""
        return await self._run(IDENTIFY, self.target.path) or ""

    async def remove(self, identity: str) -> bool:
        """Remove the path if it is the file of that identity. Is nothing of ours there any more?"""
        if not identity:
            return False
        return await self._run(REMOVE, self.target.path, os.fsencode(identity)) is not None

    async def _run(self, script: str, *words: bytes) -> str | None:
        """What a script says, run by sh on the far side; None: it failed, or nothing may be run there."""
        command = far_command(script, *words)
        try:
            async with asyncio.timeout(_LOOK_LIMIT_S):
                connection = await self.connection()
                done = await connection.run(cast(Any, command), encoding=None, stdin=asyncssh.DEVNULL)
        except (asyncssh.Error, AfunixError, OSError, TimeoutError):
            return None
        return os.fsdecode(cast(bytes, done.stdout)).strip() if done.exit_status == 0 else None

    async def close(self) -> None:
        """Log out; idempotent."""
        self._is_closing = True
        if self._under_way is not None:
            self._under_way.cancel()
            await asyncio.gather(self._under_way, return_exceptions=True)
        if self._connection is not None:
            await log_out(self._connection)
        await self._way.close()


class _Early:
    """Takes the clients that come with, or right after, sshd's word that it listens: asyncssh (2.24) knows its listener
    only a turn of the loop later, and would refuse them.
    """

    def __init__(
        self, connection: asyncssh.SSHClientConnection, path: str, make_session: Callable[[], Any]
    ) -> None:
        self._connection = connection
        self._path = path
        self._make_session = make_session

    def process_connection(self) -> tuple[Any, Any]:
        channel = self._connection.create_unix_channel(None)
        channel.set_inbound_peer_names(self._path)
        return channel, self._make_session()

    def close(self) -> None:
        pass


@contextmanager
def _early(
    connection: asyncssh.SSHClientConnection, path: str, make_session: Callable[[], Any]
) -> Iterator[None]:
    # asyncssh's own table; without it they are refused.
    listeners = getattr(connection, "_remote_listeners", {})
    early = listeners.setdefault(path, _Early(connection, path, make_session))
    try:
        yield
    finally:
        if listeners.get(path) is early:
            del listeners[path]
