"""What a client finds instead of a server that answers."""

from __future__ import annotations

import asyncio
import errno
import os
import stat

import pytest

import afunix
from afunix.testing import full_backlog, stale_socket_file


def test_stale_socket_file_refuses_connections(sock_dir: str) -> None:
    stale_socket_file(f"{sock_dir}/s")
    with pytest.raises(afunix.NobodyListensError):
        afunix.connect_socket(f"{sock_dir}/s")


def test_stale_socket_file_may_have_a_long_path(sock_dir: str) -> None:
    os.mkdir(f"{sock_dir}/{'x' * 120}")
    stale_socket_file(f"{sock_dir}/{'x' * 120}/s")
    assert stat.S_ISSOCK(os.stat(f"{sock_dir}/{'x' * 120}/s").st_mode)


def test_stale_socket_file_is_replaced_by_a_server(sock_dir: str) -> None:
    stale_socket_file(f"{sock_dir}/s")
    with afunix.listen(f"{sock_dir}/s"), afunix.connect_socket(f"{sock_dir}/s"):
        pass


def test_stale_socket_file_does_not_take_a_path(sock_dir: str) -> None:
    stale_socket_file(f"{sock_dir}/s")
    with pytest.raises(OSError) as refused:
        stale_socket_file(f"{sock_dir}/s")
    assert refused.value.errno == errno.EADDRINUSE


@pytest.mark.parametrize("name", ["s", "abstract"])
def test_nobody_gets_into_a_full_backlog(sock_dir: str, name: str) -> None:
    address = f"{sock_dir}/s" if name == "s" else f"@{sock_dir}"
    with full_backlog(address), pytest.raises(afunix.TimedOutError, match="EAGAIN"):
        afunix.connect_socket(address, timeout=0.01)


def test_who_waits_gets_in_when_there_is_room(sock_dir: str) -> None:
    async def main() -> None:
        with full_backlog(f"{sock_dir}/s", backlog=2) as full:
            connecting = asyncio.ensure_future(afunix.connect(f"{sock_dir}/s", timeout=5))
            await asyncio.sleep(0)
            assert not connecting.done()
            full.make_room()
            async with await connecting:
                with pytest.raises(afunix.TimedOutError):
                    await afunix.connect(f"{sock_dir}/s", timeout=0.01)

    asyncio.run(main(), debug=True)


def test_full_backlog_leaves_nothing(sock_dir: str) -> None:
    with full_backlog(f"{sock_dir}/s"):
        pass
    assert os.listdir(sock_dir) == []
