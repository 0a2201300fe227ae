"""The way to a host: a login made as the user's OpenSSH would make it, through the jumps that its configuration names.

Keys, agent, aliases, jumps and known hosts are those of ~/.ssh and /etc/ssh; nothing is asked of anybody (BatchMode).
What those files say is read by `ssh_files`, and whether the host is the right one `ssh_host_key` decides. What a login is
then used for, and by how many, is `ssh_login`'s.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, cast

import asyncssh

from ..model import ssh_refusal
from ..model.address import Address
from ..model.errors import AfunixError
from ..model.escaping import quote
from ..model.events import HostTrusted
from ..model.ssh_address import SshTarget, known_as
from ..model.tcp_address import tcp_address
from .ssh_files import Keys, agent_keys, configuration, keys_of, known_hosts_of, words_for
from .ssh_host_key import HostKeyCheck
from .tcp import TcpEndpoint

KEEPALIVE_S = 15
"""How long a silent host is believed in; three unanswered questions end the login. ServerAliveInterval overrides it."""

_CLOSING_S = 1.0
_CLOSING_TURNS = 100

# What matters is raised; STDERR is not its place.
logging.getLogger("asyncssh").addHandler(logging.NullHandler())


class Way:
    """`on_lost(error)` is told when a login to the target breaks; `on_unchecked(event)` of a host whose key was taken
    without being known.
    """

    def __init__(
        self,
        address: Address,
        on_lost: Callable[[Exception | None], None],
        on_unchecked: Callable[[HostTrusted], None],
    ) -> None:
        self._address = address
        self._on_lost = on_lost
        self._on_unchecked = on_unchecked
        self._jumps: list[asyncssh.SSHClientConnection] = []

    async def log_in(self, target: SshTarget) -> asyncssh.SSHClientConnection:
        """A new login; the jumps of the last one are left.

        Raises:
            AfunixError: why there is none.
        """
        await self.close()
        return await self._log_in_to(target, None, is_jump=False)

    async def _log_in_to(
        self, target: SshTarget, tunnel: asyncssh.SSHClientConnection | None, *, is_jump: bool
    ) -> asyncssh.SSHClientConnection:
        options, config = self._options(target)
        if tunnel is None and isinstance(options.tunnel, str):
            for jump in SshTarget.jumps(options.tunnel):
                tunnel = await self._log_in_to(jump, tunnel or _NO_TUNNEL, is_jump=True)
                self._jumps.append(tunnel)
        keys = keys_of(config)
        on_lost = self._on_lost if not is_jump else lambda error: None
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
            HostTrusted(
                -1, self._address, called, client.fingerprint, client.is_known_otherwise, path, reason
            )
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
            raise ssh_refusal.bad_configuration(self._address, str(error)) from None

    async def _connect(self, host: str, port: int) -> Any:
        """A TCP connection to sshd, refused in the words that TCP ends are refused in."""
        try:
            return await TcpEndpoint(tcp_address(host, port)).connect_socket()
        except AfunixError as error:
            error.message = f"{quote(str(self._address))}: {error.message}"
            raise

    def _explained(
        self, error: Exception, client: HostKeyCheck, keys: Keys, target: SshTarget, called: str, user: str
    ) -> AfunixError:
        if isinstance(error, asyncssh.HostKeyNotVerifiable | asyncssh.KeyExchangeFailed):
            if client.is_known_otherwise:
                return ssh_refusal.changed_host_key(self._address, target, called, client.fingerprint)
            if client.is_rejected:
                return ssh_refusal.unknown_host_key(self._address, target, called, client.fingerprint)
            if isinstance(error, asyncssh.HostKeyNotVerifiable):
                return ssh_refusal.revoked_host_key(self._address, called)
        if isinstance(error, asyncssh.PermissionDenied):
            return ssh_refusal.no_key_accepted(self._address, target, user, keys.unusable)
        return ssh_refusal.login_failed(self._address, target, str(error) or type(error).__name__)

    async def close(self) -> None:
        """Leave the jumps; the login itself is its owner's to leave first."""
        jumps, self._jumps = self._jumps, []
        for jump in reversed(jumps):
            await log_out(jump)


_NO_TUNNEL = cast(asyncssh.SSHClientConnection, False)
"""For the first jump: it is reached directly, whatever the configuration says of it."""


async def log_out(connection: asyncssh.SSHClientConnection) -> None:
    """Until its socket is closed, too: asyncio closes that some turns later, and only while the loop runs."""
    sock = connection.get_extra_info("socket")
    connection.close()
    await connection.wait_closed()
    for _ in range(_CLOSING_TURNS):
        if sock is None or sock.fileno() < 0:
            return
        await asyncio.sleep(_CLOSING_S / _CLOSING_TURNS)
