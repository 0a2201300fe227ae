"""What a host stands for: numbers at once, names by the system's resolver."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from afunix.kernel.host_names import addresses_of, numeric
from afunix.model.address import Address
from afunix.model.errors import NoSuchSocketError, TimedOutError


def test_numbers_are_known_without_asking() -> None:
    assert numeric(Address.parse("tcp:127.0.0.1:80")) == [(socket.AF_INET, ("127.0.0.1", 80))]
    assert numeric(Address.parse("tcp:[::1]:80")) == [(socket.AF_INET6, ("::1", 80, 0, 0))]


@pytest.mark.parametrize("host", ["localhost", "*", "a..b", "x" * 64])
def test_a_name_is_no_number(host: str) -> None:
    assert numeric(Address.parse(f"tcp:{host}:80")) is None


def test_a_name_has_each_of_its_addresses_once() -> None:
    found = addresses_of(Address.parse("tcp:localhost:80"))
    assert (socket.AF_INET, ("127.0.0.1", 80)) in found
    assert len(set(found)) == len(found)


def test_a_star_is_every_address_for_who_listens() -> None:
    address = Address.parse("tcp:*:80")
    assert [name[0] for _, name in addresses_of(address, to_listen=True)] == ["::", "0.0.0.0"]
    with pytest.raises(NoSuchSocketError):
        addresses_of(address)


@pytest.mark.parametrize("host", ["nobody.invalid", "a..b", "x" * 64])
def test_a_name_that_nobody_has_is_told(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **options: Any) -> None:
        host.encode("idna")
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(NoSuchSocketError, match=r"has no address \(EAI_NONAME\)"):
        addresses_of(Address.parse(f"tcp:{host}:80"))


def test_a_name_server_that_is_silent_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def be_silent(*args: Any, **options: Any) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", be_silent)
    with pytest.raises(TimedOutError, match=r"no name server answered for 'example.com' \(EAI_AGAIN\)"):
        addresses_of(Address.parse("tcp:example.com:80"))
