"""Who listens on a port."""

from __future__ import annotations

import os
import socket

import pytest
from tests.tcp_servers import free_port, has_ipv6

from afunix.kernel.tcp_holders import holders_of_port


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_process_that_listens_is_found(host: str) -> None:
    if host == "::1" and not has_ipv6():
        pytest.skip("this machine has no ::1")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listener:
        assert [holder.pid for holder in holders_of_port(listener.getsockname()[1])] == [os.getpid()]


def test_who_only_has_a_connection_there_holds_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        where = listener.getsockname()
        client = socket.create_connection(where)
        server, _ = listener.accept()
    with client, server:
        assert holders_of_port(where[1]) == []


def test_of_a_free_port_there_is_nobody() -> None:
    assert holders_of_port(free_port()) == []
