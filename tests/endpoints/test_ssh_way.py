"""How a login is made: options of the configuration, and what it says where there is none."""

from __future__ import annotations

import asyncio

import pytest
from tests.sshd import Sshd

from afunix.model.address import Address
from afunix.model.errors import AfunixError, DeniedError, NobodyListensError

pytest.importorskip("asyncssh")
from afunix.endpoints.ssh_way import Way, log_out
from afunix.model.ssh_address import SshTarget


def user_of(sshd: Sshd) -> str:
    """Who is logged in on the way to `far`."""

    async def log_in() -> str:
        address = Address.parse(f"ssh:far:{sshd.folder}/s")
        way = Way(address, lambda error: None, lambda event: None)
        try:
            connection = await way.log_in(SshTarget.of(address))
            user = str(connection.get_extra_info("username"))
            await log_out(connection)
            return user
        finally:
            await way.close()

    return asyncio.run(log_in())


def test_alias_of_the_configuration_leads_to_the_host_and_its_user(sshd: Sshd) -> None:
    assert f"User {user_of(sshd)}\n" in sshd.read("config")


def test_way_leads_through_the_jumps_of_the_configuration(sshd: Sshd) -> None:
    jump = sshd.read("config").replace("Host far", "Host between")
    sshd.write("config", f"{jump}{sshd.read('config')}  ProxyJump between\n")
    user_of(sshd)
    assert sshd.log().count("Accepted publickey") == 2


def test_no_key_is_a_refused_login(sshd: Sshd) -> None:
    with open(f"{sshd.folder}/authorized", "w", encoding="ascii"):
        pass
    with pytest.raises(DeniedError, match="accepts no key of ours"):
        user_of(sshd)


def test_host_that_is_down_is_told_as_a_port(sshd: Sshd) -> None:
    sshd.stop()
    with pytest.raises(NobodyListensError, match="'ssh:far:"):
        user_of(sshd)


def test_configuration_that_cannot_be_read_is_told(sshd: Sshd) -> None:
    sshd.write("config", "Host far\n  Port many\n")
    with pytest.raises(AfunixError, match="configuration cannot be used"):
        user_of(sshd)
