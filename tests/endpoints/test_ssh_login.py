"""A login as the user's OpenSSH would make it: one for all who ask, and none where the host may not be trusted."""

from __future__ import annotations

import asyncio
import errno
import socket

import pytest
from tests.servers import echo, serving
from tests.sshd import Sshd, public

from afunix.model.address import Address
from afunix.model.errors import AfunixError, PeerMismatchError
from afunix.model.ssh_refusal import Seen

pytest.importorskip("asyncssh")
import asyncssh
from tests.endpoints.logins import ask, log_in

from afunix.endpoints.ssh_bridges import Bridges
from afunix.endpoints.ssh_login import Login


def test_all_who_ask_at_once_share_one_login(sshd: Sshd) -> None:
    async def ask_twice(login: Login) -> bool:
        one, other = await asyncio.gather(login.connection(), login.connection())
        return one is other

    assert ask(sshd, ask_twice)


def test_revoked_host_key_is_refused(sshd: Sshd) -> None:
    sshd.write("known_hosts", f"@revoked * {public(f'{sshd.folder}/host')}")
    with pytest.raises(PeerMismatchError, match="IS REVOKED"):
        log_in(sshd)


def test_login_that_may_run_nothing_still_connects(sshd: Sshd) -> None:
    with open(f"{sshd.folder}/authorized", "r+", encoding="ascii") as file:
        key = file.read()
        file.seek(0)
        file.write(f'command="false" {key}')
    assert ask(sshd, Login.look) is Seen.UNKNOWN


class Unsteady(asyncssh.SSHServer):
    """Breaks the login when it is asked to connect to a socket, as long as `breaks` are left."""

    breaks = 0
    logins = 0

    def connection_made(self, connection: asyncssh.SSHServerConnection) -> None:
        type(self).logins += 1
        self._connection = connection

    def unix_connection_requested(self, path: str) -> bool:
        if not type(self).breaks:
            return True
        type(self).breaks -= 1
        self._connection.disconnect(asyncssh.DISC_BY_APPLICATION, "enough")
        return False


async def open_on_unsteady(sshd: Sshd, breaks: int) -> tuple[list[str], int]:
    """What was told of the logins that broke, and how many there were; the socket there echoes."""
    Unsteady.breaks, Unsteady.logins = breaks, 0
    lost: list[str] = []
    login = Login(Address.parse(f"ssh:far:{sshd.folder}/s"), on_lost=lost.append)
    ours, theirs = socket.socketpair()
    bridges = Bridges(asyncio.get_running_loop(), login.settle)
    server = await asyncssh.create_server(
        Unsteady,
        "127.0.0.1",
        sshd.port,
        server_host_keys=f"{sshd.folder}/host",
        authorized_client_keys=f"{sshd.folder}/authorized",
    )
    try:
        with ours:
            await login.open(bridges.make(theirs))
        return lost, Unsteady.logins
    finally:
        await login.close()
        bridges.close()
        server.close()
        await server.wait_closed()


def test_login_that_breaks_while_a_socket_is_asked_for_is_made_again(sshd: Sshd) -> None:
    sshd.stop()
    with serving(f"{sshd.folder}/s", echo):
        assert asyncio.run(open_on_unsteady(sshd, 1)) == (["sshd ended it"], 2)


def test_login_that_breaks_again_is_no_refusal(sshd: Sshd) -> None:
    sshd.stop()
    with pytest.raises(AfunixError, match="the ssh connection broke: sshd ended it") as caught:
        asyncio.run(open_on_unsteady(sshd, 9))
    assert (caught.value.errno, Unsteady.logins) == (errno.ECONNABORTED, 2)
    assert caught.value.hint == "the log of sshd on 'far' may tell why"
