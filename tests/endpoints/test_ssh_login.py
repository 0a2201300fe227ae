"""A login as the user's OpenSSH would make it: one for all who ask, and none where the host may not be trusted."""

from __future__ import annotations

import asyncio

import pytest
from tests.sshd import Sshd, public

from afunix.model.errors import PeerMismatchError
from afunix.model.ssh_refusal import Seen

pytest.importorskip("asyncssh")
from tests.endpoints.logins import ask, log_in

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
