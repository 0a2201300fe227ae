"""`--trace`: calls on sockets as one line each, the way strace and the man pages write them. Pure.

    socket(AF_UNIX, SOCK_STREAM) = 3
    bind(3, "/run/user/1000/hello.sock")
    accept(3) = 5  pid 4121 (afunix) uid 1000 (ana)
    read(5) = 0 (end of file)

One table, event type to line. Events that are no calls have no line; that a socket's file was removed is one. Names are
looked up by whoever is passed in.
"""

from __future__ import annotations

from collections.abc import Callable

from ..model import events
from ..model.address import Address, AddressKind
from ..model.credentials import PeerCredentials
from ..model.errors import errno_name
from ..model.escaping import escape
from ..model.lifecycle import Call

LookUp = Callable[[int], str | None]


class TraceFormat:
    """Renders events; `user_name(uid)` and `comm_of(pid)` say what numbers are called, or None."""

    def __init__(self, comm_of: LookUp, user_name: LookUp) -> None:
        self._user_name = user_name
        self._comm_of = comm_of
        self._lines: dict[type[events.Event], Callable[..., str | None]] = {
            events.Created: lambda e: f"{Call.SOCKET.value}({e.family_name}, {e.type_name}) = {e.fd}",
            events.Bound: lambda e: f"{Call.BIND.value}({e.fd}, {_name(e.address)})",
            events.Listening: _listen,
            events.Accepted: self._accept,
            events.Connected: lambda e: f"{Call.CONNECT.value}({e.fd}, {_name(e.address)})",
            events.BytesRead: _read,
            events.BytesWritten: lambda e: f"{Call.WRITE.value}({e.fd}) = {e.count}",
            events.DescriptorsReceived: lambda e: _message("recvmsg", e),
            events.DescriptorsSent: lambda e: _message("sendmsg", e),
            events.HalfClosed: lambda e: f"{Call.SHUTDOWN.value}({e.fd}, {e.direction.value})",
            events.Unlinked: lambda e: f"unlink({_name(e.address)})" if e.was_ours else None,
            events.Closed: lambda e: f"{Call.CLOSE.value}({e.fd})",
            events.CallFailed: _failed,
            events.CommandStarted: _spawn,
            events.CommandEnded: lambda e: f"waitpid({e.pid}) = {e.pid}, {e.how}",
            events.ResetPassedOn: _reset,
        }

    def line(self, event: events.Event) -> str | None:
        """The line for `event`, without newline; None if it is no call."""
        render = self._lines.get(type(event))
        return None if render is None else render(event)

    def is_call(self, event: events.Event) -> bool:
        """Whether `event` has a line."""
        if isinstance(event, events.Unlinked):
            return event.was_ours  # what was left alone was not removed
        return type(event) in self._lines

    def _accept(self, event: events.Accepted) -> str:
        who = self.describe(event.peer) if event.client is None else f"from {escape(event.client.format())}"
        return f"{Call.ACCEPT.value}({event.listener}) = {event.fd}  {who}"

    def describe(self, peer: PeerCredentials) -> str:
        """`pid 4121 (afunix) uid 1000 (ana)`: who it is, as far as can be seen from here."""
        if not peer.is_known:
            return "somebody unknown"
        comm = self._comm_of(peer.pid) if peer.pid else None
        user = self._user_name(peer.uid)
        pid = "?" if peer.pid is None else str(peer.pid)
        return f"pid {pid}{_called(comm)} uid {peer.uid}{_called(user)}"


def _listen(event: events.Listening) -> str:
    if event.inherited:
        return f"(inherited) {event.fd} is bound to {_name(event.address)}"
    return f"{Call.LISTEN.value}({event.fd}, {event.backlog})"


def _read(event: events.BytesRead) -> str:
    return f"{Call.READ.value}({event.fd}) = {event.count}" + ("" if event.count else " (end of file)")


def _message(call: str, event: events.DescriptorsReceived | events.DescriptorsSent) -> str:
    plural = "" if event.descriptors == 1 else "s"
    return f"{call}({event.fd}) = {event.count}, {event.descriptors} descriptor{plural}"


def _spawn(event: events.CommandStarted) -> str:
    """Made by posix_spawn(3) or by fork(2); what it becomes is the same."""
    numbers = " and ".join(map(str, event.numbers))
    return f'execve("{escape(event.path)}") in {event.pid}, whose {numbers} is {event.fd}'


def _failed(event: events.CallFailed) -> str:
    address = "" if event.address is None else f", {_name(event.address)}"
    return f"{event.call.value}({event.fd}{address}) = -1 {errno_name(event.errno)}"


def _reset(event: events.ResetPassedOn) -> str:
    broke = f"the other end, {event.origin}, broke ({errno_name(event.errno)})"
    if event.is_reset:
        return f"setsockopt({event.fd}, SO_LINGER, 0)  {broke}: reset"
    return f"({event.fd} is closed: {broke})"


def _name(address: Address) -> str:
    return '""' if address.kind is AddressKind.UNNAMED else f'"{escape(address.format())}"'


def _called(name: str | None) -> str:
    return "" if name is None else f" ({escape(name)})"
