"""Which endpoint an address leads to."""

from __future__ import annotations

import pytest

from afunix.endpoints.ssh import SshEndpoint
from afunix.endpoints.tcp import TcpEndpoint
from afunix.endpoints.unix import UnixEndpoint
from afunix.model.address import Address
from afunix.model.errors import AddressError
from afunix.tools import relay_ends
from afunix.tools.relay_ends import Dial, make_endpoint, must_be_reachable


@pytest.mark.parametrize(
    ("written", "endpoint"),
    [
        ("/run/a", UnixEndpoint),
        ("@a", UnixEndpoint),
        ("tcp:localhost:80", TcpEndpoint),
        ("ssh:far:/a", SshEndpoint),
    ],
)
def test_kind_of_the_address_chooses(written: str, endpoint: type) -> None:
    if endpoint is SshEndpoint:
        pytest.importorskip("asyncssh")
    made = make_endpoint(Address.parse(written), Dial())
    assert type(made) is endpoint
    made.close()


def test_address_that_nothing_reaches_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    far = Address.parse("ssh:host:/x")
    monkeypatch.setitem(relay_ends._REMOTE, far.kind, (".nowhere", "Nothing"))
    with pytest.raises(AddressError, match="is an address that this version does not reach"):
        must_be_reachable(far)
    with pytest.raises(AddressError):
        make_endpoint(far, Dial())
    must_be_reachable(Address.parse("-"))
