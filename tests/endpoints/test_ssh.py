"""The far end over ssh: one login, made at the first connection or before, and what stands in its way."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Iterator

import pytest
from tests.servers import echo, serving
from tests.sshd import Sshd, serving_ssh

from afunix.endpoints.ssh import SshEndpoint
from afunix.kernel.channel import Channel
from afunix.model.address import Address
from afunix.model.errors import AfunixError, NobodyListensError, NoSuchSocketError, TimedOutError
from afunix.model.events import Connected, Created, Event

pytest.importorskip("asyncssh")


@pytest.fixture
def sshd(sock_dir: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sshd]:
    with serving_ssh(sock_dir) as server:
        for name, value in server.env.items():
            monkeypatch.setenv(name, value)
        yield server


async def connected(endpoint: SshEndpoint) -> Channel:
    one, other = socket.socketpair()
    with one, other:
        return await endpoint.connect(Channel(one, 7))


def address(sshd: Sshd) -> Address:
    return Address.parse(f"ssh:far:{sshd.folder}/s")


def test_channel_is_the_caller_s_and_leads_there(sshd: Sshd) -> None:
    events: list[Event] = []
    endpoint = SshEndpoint(address(sshd), observer=events.append)
    with serving(f"{sshd.folder}/s", echo) as server:
        channel = asyncio.run(connected(endpoint))
        assert channel.connection == 7
        assert [type(event) for event in events] == [Created, Connected]
        channel.try_send(b"hello")
        channel.end_sending()
        assert server.result() == b"hello"
        channel.close()
        endpoint.close()
        endpoint.close()


def test_cancelled_connection_leaves_nothing_open(sshd: Sshd) -> None:
    async def give_up() -> None:
        task = asyncio.create_task(connected(endpoint))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    endpoint = SshEndpoint(address(sshd))
    with serving(f"{sshd.folder}/s", echo):
        endpoint.log_in()
        asyncio.run(give_up())
        endpoint.close()


def test_socket_that_is_not_there_is_told_and_the_login_stays(sshd: Sshd) -> None:
    endpoint = SshEndpoint(address(sshd))
    for _ in range(2):
        with pytest.raises(NoSuchSocketError):
            asyncio.run(connected(endpoint))
    endpoint.close()
    assert sshd.log().count("Accepted publickey") == 1


def test_wait_has_an_end_that_names_the_last_obstacle(sshd: Sshd) -> None:
    endpoint = SshEndpoint(address(sshd), wait=0.5)
    with pytest.raises(TimedOutError, match=r"within 0\.5 s"):
        asyncio.run(connected(endpoint))
    endpoint.close()


def test_host_that_is_not_there_is_told_at_the_login(sshd: Sshd) -> None:
    sshd.stop()
    with pytest.raises(NobodyListensError, match="ssh:far:"):
        SshEndpoint(address(sshd)).log_in()


def test_host_that_is_not_there_may_come_later_with_wait(sshd: Sshd) -> None:
    sshd.stop()
    endpoint = SshEndpoint(address(sshd), wait=60)
    endpoint.log_in()
    sshd.start()
    with serving(f"{sshd.folder}/s", echo):
        asyncio.run(connected(endpoint)).close()
    endpoint.close()


def test_host_that_says_nothing_is_left_after_the_timeout(sshd: Sshd) -> None:
    sshd.stop()
    with (
        socket.create_server(("127.0.0.1", sshd.port)),
        pytest.raises(TimedOutError, match="does not answer"),
    ):
        SshEndpoint(address(sshd), timeout=0.3).log_in()


def test_closed_endpoint_connects_nobody(sshd: Sshd) -> None:
    endpoint = SshEndpoint(address(sshd))
    endpoint.close()
    with pytest.raises(AfunixError):
        asyncio.run(connected(endpoint))


def test_missing_package_is_told_in_plain_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "afunix.endpoints.ssh_login", raising=False)
    monkeypatch.setitem(sys.modules, "asyncssh", None)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(AfunixError, match="the Python package asyncssh"):
        SshEndpoint(Address.parse("ssh:far:/s"))
    assert len(os.listdir("/proc/self/fd")) == before
