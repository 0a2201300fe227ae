"""Why a TCP end cannot be had: what the system said becomes the error that a person reads. Pure.

connecting    ECONNREFUSED                          NobodyListensError
              ETIMEDOUT                             TimedOutError
              EACCES EPERM                          DeniedError
              ENETUNREACH EHOSTUNREACH, others      AfunixError
a name        EAI_NONAME EAI_NODATA …               NoSuchSocketError
              EAI_AGAIN                             TimedOutError: its name server does not answer
binding       EADDRINUSE                            AddressInUseError, by whom
              EACCES                                DeniedError: the port is a privileged one
              EADDRNOTAVAIL                         AddressError: not an address of this machine
"""

from __future__ import annotations

import errno
from collections.abc import Sequence

from .address import Address
from .errors import (
    AddressError,
    AddressInUseError,
    AfunixError,
    DeniedError,
    NobodyListensError,
    NoSuchSocketError,
    TimedOutError,
    errno_name,
)
from .escaping import escape, quote
from .ownership import Holder, describe_holders
from .tcp_address import host_and_port

WORTH_WAITING_FOR = frozenset(
    {
        *(errno.ECONNREFUSED, errno.ENOENT, errno.ETIMEDOUT, errno.EADDRNOTAVAIL),
        *(errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN),
    }
)
"""What can pass while a server, or a network, starts. ENOENT is a name that is not known."""

_NOT_THE_SERVER = (errno.EAFNOSUPPORT, errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.ETIMEDOUT)
"""Of several addresses these tell less than what another one answered."""


def tcp_refusal(address: Address, answers: Sequence[tuple[str, int]]) -> AfunixError:
    """The error for a TCP address whose numeric addresses answered so: `(host, errno)` of each, at least one."""
    number = next((number for _, number in answers if number not in _NOT_THE_SERVER), answers[0][1])
    shown, tried, code = quote(address.format()), _tried(address, answers), errno_name(number)
    if number == errno.ECONNREFUSED:
        return NobodyListensError(
            f"nobody listens on {shown}{tried} (ECONNREFUSED)", hint="start its server, or check the port"
        )
    if number == errno.ETIMEDOUT:
        return TimedOutError(
            f"{shown} does not answer{tried} (ETIMEDOUT)",
            hint="its host is down, or a firewall drops what is sent to it",
        )
    if number in (errno.EACCES, errno.EPERM):
        return DeniedError(
            f"connecting to {shown} is forbidden on this machine{tried} ({code})",
            hint="a firewall rule or a security policy is against it",
            errno=number,
        )
    return AfunixError(f"{shown} cannot be reached{tried} ({code})", hint=_HINTS.get(number), errno=number)


_HINTS = {
    errno.ENETUNREACH: "there is no route to it: 'ip route get' with its address tells more",
    errno.EHOSTUNREACH: "its host does not answer, or a firewall refuses: 'ip route get' and 'ping' tell more",
    errno.EADDRNOTAVAIL: "no port is free for another connection to it, or it is no address to connect to",
    errno.EAFNOSUPPORT: "this machine has no network of that family",
}


def _tried(address: Address, answers: Sequence[tuple[str, int]]) -> str:
    """Nothing for a numeric address; of a name each address that it has, and if they differ what became of them."""
    if [host for host, _ in answers] == [host_and_port(address)[0]]:
        return ""
    if len({number for _, number in answers}) == 1:
        return f", which is {' and '.join(escape(host) for host, _ in answers)}"
    return ": " + ", ".join(f"{escape(host)} {errno_name(number)}" for host, number in answers)


def no_answer(address: Address) -> AfunixError:
    """What stood in the way of a connection whose time was over before anything was known."""
    return TimedOutError(
        f"{quote(address.format())} does not answer",
        hint="its host is down, or a firewall drops what is sent to it",
    )


def unknown_host(address: Address, code: str, is_temporary: bool) -> AfunixError:
    """The error for a name that has no address; `code` is getaddrinfo(3)'s word."""
    host = quote(host_and_port(address)[0])
    if is_temporary:
        return TimedOutError(
            f"{quote(address.format())}: no name server answered for {host} ({code})",
            hint="check the network and resolv.conf(5), or write a numeric address",
        )
    return NoSuchSocketError(
        f"{quote(address.format())}: the name {host} has no address ({code})",
        hint="check its spelling: 'getent ahosts' shows what a name stands for",
    )


def tcp_bind_refusal(
    address: Address, number: int, holders: Sequence[Holder] = (), lowest_port: int = 1024
) -> AfunixError | None:
    """The error for a port that cannot be listened on; None if the port is not the reason (EMFILE).

    `holders` are those that could be seen, `lowest_port` the first that needs no privilege.
    """
    shown, port = quote(address.format()), host_and_port(address)[1]
    if number == errno.EADDRINUSE:
        who = describe_holders(holders) if holders else "its process is not visible from here"
        return AddressInUseError(
            f"{shown} is in use: {who} (EADDRINUSE)", hint="stop that one, or choose another port"
        )
    if number == errno.EACCES:
        return DeniedError(
            f"{shown} cannot be listened on: port {port} is below {lowest_port}, which takes"
            " CAP_NET_BIND_SERVICE (EACCES)",
            hint=f"choose a port of {lowest_port} or above, or let systemd open it",
        )
    if number == errno.EADDRNOTAVAIL:
        return AddressError(
            f"{shown} cannot be listened on: no interface of this machine has that address (EADDRNOTAVAIL)",
            hint="'ip address' lists them; tcp:127.0.0.1:PORT is this machine alone, tcp:*:PORT all of them",
        )
    if number == errno.EAFNOSUPPORT:
        return AddressError(f"{shown} cannot be listened on: {_HINTS[number]} (EAFNOSUPPORT)")
    return None
