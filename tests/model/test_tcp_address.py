"""HOST and PORT of a TCP address, apart and together again."""

from __future__ import annotations

import pytest

from afunix.model.address import Address
from afunix.model.tcp_address import host_and_port, tcp_address


@pytest.mark.parametrize(
    ("written", "host", "port"),
    [
        ("tcp:localhost:80", "localhost", 80),
        ("tcp:127.0.0.1:080", "127.0.0.1", 80),
        ("tcp:[::1]:65535", "::1", 65535),
        ("tcp:[fe80::1%eth0]:22", "fe80::1%eth0", 22),
        ("tcp:*:8080", "*", 8080),
    ],
)
def test_an_address_is_taken_apart_and_put_together(written: str, host: str, port: int) -> None:
    address = Address.parse(written)
    assert host_and_port(address) == (host, port)
    assert tcp_address(host, port) == address


def test_a_host_that_is_no_text_survives() -> None:
    address = Address.parse(b"tcp:h\xff:1")
    assert tcp_address(*host_and_port(address)) == address
