"""One login on another host, shared by all connections: made as the user's OpenSSH would, made again when it breaks.

Keys, agent, aliases, jumps and known hosts are those of ~/.ssh and /etc/ssh; nothing is asked of anybody (BatchMode).
What those files say is read by `ssh_files`, and whether the host is the right one `ssh_host_key` decides; no other files
than these three import asyncssh. All of it runs on one loop.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import asyncssh

from ..model import ssh_refusal
from ..model.address import Address
from ..model.errors import AfunixError
from ..model.escaping import quote
from ..model.events import HostTrusted
from ..model.ssh_address import SshTarget, known_as
from ..model.ssh_refusal import Seen
from ..model.tcp_address import tcp_address
from .ssh_bridge import Bridge
from .ssh_commands import IDENTIFY, LOOK, REMOVE, far_command
from .ssh_files import Keys, agent_keys, configuration, keys_of, known_hosts_of, words_for
from .ssh_host_key import HostKeyCheck
from .tcp import TcpEndpoint

KEEPALIVE_S = 15
"""How long a silent host is believed in; three unanswered questions end the login. ServerAliveInterval overrides it."""

_LOOK_LIMIT_S = 10.0
_CLOSING_S = 1.0
_CLOSING_TURNS = 100

# What matters is raised; STDERR is not its place.
logging.getLogger("asyncssh").addHandler(logging.NullHandler())


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
        self._on_unchecked = on_unchecked
        self._connection: asyncssh.SSHClientConnection | None = None
        self._under_way: asyncio.Task[asyncssh.SSHClientConnection] | None = None
        self._jumps: list[asyncssh.SSHClientConnection] = []
        self._is_closing = False

    async def connection(self) -> asyncssh.SSHClientConnection:
        """The login; the first who asks makes it, and all who ask meanwhile wait for that one.

        Raises:
            AfunixError: why there is none.
        """
        if self._connection is not None and not self._connection.is_closed():
            return self._connection
        if self._under_way is None:
            self._under_way = asyncio.get_running_loop().create_task(self._log_in())
            self._under_way.add_done_callback(self._on_logged_in)
        return await asyncio.shield(self._under_way)

    def _on_logged_in(self, task: asyncio.Task[asyncssh.SSHClientConnection]) -> None:
        self._under_way = None
        if not task.cancelled() and task.exception() is None:
            self._connection = task.result()

    async def _log_in(self) -> asyncssh.SSHClientConnection:
        await self._close_jumps()
        return await self._log_in_to(self.target, None, is_jump=False)

    async def _log_in_to(
        self, target: SshTarget, tunnel: asyncssh.SSHClientConnection | None, *, is_jump: bool
    ) -> asyncssh.SSHClientConnection:
        options, config = self._options(target)
        if tunnel is None and isinstance(options.tunnel, str):
            for jump in SshTarget.jumps(options.tunnel):
                tunnel = await self._log_in_to(jump, tunnel or _NO_TUNNEL, is_jump=True)
                self._jumps.append(tunnel)
        keys = keys_of(config)
        on_lost = self._lose if not is_jump else lambda error: None
        client = HostKeyCheck(config, known_hosts_of(config), on_lost)
        called = options.host_key_alias or known_as(options.host, options.port)
        more = client.algorithms
        if config.get("ServerAliveInterval") is None:
            more["keepalive_interval"] = KEEPALIVE_S
        if tunnel is None and not (options.proxy_command or options.local_addr or options.family):
            more["sock"] = await self._connect(options.host, options.port)
        try:
            connection = await asyncssh.connect(
                target.host,
                () if target.port is None else target.port,
                username=() if target.user is None else target.user,
                config=configuration(),
                tunnel=tunnel or None,
                client_factory=lambda: client,
                known_hosts=client.known,
                client_keys=keys.usable or await agent_keys(config),
                ignore_encrypted=True,
                password_auth=False,
                kbdint_auth=False,
                **more,
            )
        except asyncio.CancelledError:
            if "sock" in more:
                more["sock"].close()
            raise
        except (asyncssh.Error, OSError, ValueError) as error:
            if "sock" in more:
                more["sock"].close()
            if isinstance(error, asyncssh.KeyExchangeFailed):
                client.note_known(options.host, "", options.port)
            self._trust(client, called)
            raise self._explained(error, client, keys, target, called, options.username) from None
        self._trust(client, called)
        return connection

    def _trust(self, client: HostKeyCheck, called: str) -> None:
        """Know the host from now on whose key was taken unchecked, and tell of it."""
        if client.taken is None:
            return
        path, reason = "", ""
        try:
            path = client.remember(called)
        except OSError as error:
            reason = error.strerror or str(error)
        self._on_unchecked(
            HostTrusted(-1, self.address, called, client.fingerprint, client.is_known_otherwise, path, reason)
        )

    def _options(self, target: SshTarget) -> tuple[asyncssh.SSHClientConnectionOptions, Any]:
        """As asyncssh reads the configuration, and all its words."""
        try:
            options = asyncssh.SSHClientConnectionOptions(
                host=target.host,
                port=() if target.port is None else target.port,
                username=() if target.user is None else target.user,
                config=configuration(),
                client_keys=None,
                known_hosts=None,
            )
            return options, words_for(target)
        except (ValueError, OSError, asyncssh.Error) as error:
            raise ssh_refusal.bad_configuration(self.address, str(error)) from None

    async def _connect(self, host: str, port: int) -> Any:
        """A TCP connection to sshd, refused in the words that TCP ends are refused in."""
        try:
            return await TcpEndpoint(tcp_address(host, port)).connect_socket()
        except AfunixError as error:
            error.message = f"{quote(str(self.address))}: {error.message}"
            raise

    def _explained(
        self, error: Exception, client: HostKeyCheck, keys: Keys, target: SshTarget, called: str, user: str
    ) -> AfunixError:
        if isinstance(error, asyncssh.HostKeyNotVerifiable | asyncssh.KeyExchangeFailed):
            if client.is_known_otherwise:
                return ssh_refusal.changed_host_key(self.address, target, called, client.fingerprint)
            if client.is_rejected:
                return ssh_refusal.unknown_host_key(self.address, target, called, client.fingerprint)
            if isinstance(error, asyncssh.HostKeyNotVerifiable):
                return ssh_refusal.revoked_host_key(self.address, called)
        if isinstance(error, asyncssh.PermissionDenied):
            return ssh_refusal.no_key_accepted(self.address, target, user, keys.unusable)
        return ssh_refusal.login_failed(self.address, target, str(error) or type(error).__name__)

    def _lose(self, error: Exception | None) -> None:
        if self._connection is not None and not self._is_closing:
            self._connection = None
            self._on_lost(str(error) if error is not None else "sshd ended it")

    # What goes through it

    async def open(self, bridge: Bridge) -> None:
        """Connect to the target's path for `bridge`, which stays the caller's on failure.

        Raises:
            AfunixError: why not.
        """
        connection = await self.connection()
        try:
            await connection.create_unix_connection(
                lambda: cast(Any, bridge), cast(Any, self.target.path), encoding=None
            )
        except asyncssh.ChannelOpenError as error:
            seen = await self.look()
            raise ssh_refusal.no_connection(self.address, self.target, seen, error.reason) from None
        except (asyncssh.Error, OSError) as error:
            raise ssh_refusal.login_failed(self.address, self.target, str(error)) from None

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
        except asyncssh.ChannelListenError:
            seen = await self.look()
            if seen is Seen.STALE and await self._is_answered(connection):
                seen = Seen.LIVE
            raise ssh_refusal.no_forward(self.address, self.target, seen) from None
        except (asyncssh.Error, OSError, UnicodeError) as error:
            raise ssh_refusal.login_failed(self.address, self.target, str(error)) from None
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

    async def _close_jumps(self) -> None:
        jumps, self._jumps = self._jumps, []
        for jump in reversed(jumps):
            await _log_out(jump)

    async def close(self) -> None:
        """Log out; idempotent."""
        self._is_closing = True
        if self._under_way is not None:
            self._under_way.cancel()
            await asyncio.gather(self._under_way, return_exceptions=True)
        if self._connection is not None:
            await _log_out(self._connection)
        await self._close_jumps()


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


_NO_TUNNEL = cast(asyncssh.SSHClientConnection, False)
"""For the first jump: it is reached directly, whatever the configuration says of it."""


async def _log_out(connection: asyncssh.SSHClientConnection) -> None:
    """Until its socket is closed, too: asyncio closes that some turns later, and only while the loop runs."""
    sock = connection.get_extra_info("socket")
    connection.close()
    await connection.wait_closed()
    for _ in range(_CLOSING_TURNS):
        if sock is None or sock.fileno() < 0:
            return
        await asyncio.sleep(_CLOSING_S / _CLOSING_TURNS)
