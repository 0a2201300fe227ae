"""`tcp:HOST:PORT` taken apart and put together. Counterpart of `address`, which knows its grammar.

An IPv6 address stands in brackets, as in a URL; `*` is every address of this machine, for those who listen. Names are
left as they were written: looking them up is for `kernel.host_names`.
"""

from __future__ import annotations

from .address import Address, AddressKind

EVERY_HOST = "*"
"""All addresses of this machine, of both families."""


def tcp_address(host: str, port: int) -> Address:
    """The address of a port; a numeric IPv6 `host` may have its zone (`fe80::1%eth0`) and needs no brackets."""
    shown = f"[{host}]" if ":" in host else host
    return Address(AddressKind.TCP, f"{shown}:{port}".encode(errors="surrogateescape"))


def host_and_port(address: Address) -> tuple[str, int]:
    """What a TCP address names; an IPv6 address without its brackets."""
    host, _, port = address.name.decode(errors="surrogateescape").rpartition(":")
    if host.startswith("["):
        host = host[1:-1]
    return host, int(port)
