"""A listener whose accept(2) fails as planned, and whose clients have their own Faults: for tests of servers.

`serve(handler, faulty_listener(path))` takes it as an address; `await listener.accept()` works, too.
"""

from __future__ import annotations

from socket import SocketType

from ..kernel.ancillary import accept_fds_within
from ..kernel.listener import Listener as BoundListener
from ..model.address import Address
from ..streams.listening import Listener, Written
from .faults import Calls, Faults


class FaultyListener(Listener):
    """A Listener with a plan. `faulty_listener` makes it; it can be planned further after a server has taken it.

        listener.accepting.fail(errno.EMFILE, 5)            five accepts find no descriptor, then it recovers
        listener.client(2).sending.limit(1)                 the second client's connection is slow

    EMFILE, ENFILE, ENOMEM and ENOBUFS leave the client in the queue, as the kernel does. So does ECONNABORTED here.
    """

    def __init__(self, core: _FaultyCore, accept_fds: int) -> None:
        """Not for users: see `faulty_listener`."""
        super().__init__(core, accept_fds=accept_fds)
        self._planned = core

    @property
    def accepting(self) -> Calls:
        """The calls of accept(2), those included that find nobody."""
        return self._planned.accepting

    def client(self, number: int) -> Faults:
        """What goes wrong with the `number`-th client that is accepted, from 1 on; before it comes, or later."""
        if number < 1:
            raise ValueError(f"there is no client number {number}: they are counted from 1 on")
        return self._planned.clients.setdefault(number, Faults())


class _FaultyCore(BoundListener):
    """What a server accepts on."""

    accepting: Calls
    clients: dict[int, Faults]
    accepted: int

    def accept_named(self) -> tuple[SocketType, str | bytes]:
        self.accepting.happen()
        sock, name = super().accept_named()
        self.accepted += 1
        return self.clients.setdefault(self.accepted, Faults()).apply_to(sock), name


def faulty_listener(
    address: Written, *, type: str = "stream", backlog: int | None = None, accept_fds: int = 0
) -> FaultyListener:
    """A listener at `address`, where nothing goes wrong until it is planned; the caller owns it.

    `type` is stream or seqpacket. What a server accepts on it may have its plan whatever the server's options are.

    Raises:
        As `afunix.listen`.
    """
    accept_fds_within(accept_fds)
    core = _FaultyCore.open(Address.of(address), type, backlog=backlog, accepts_fds=accept_fds > 0)
    assert isinstance(core, _FaultyCore)
    core.accepting = Calls()
    core.clients = {}
    core.accepted = 0
    return FaultyListener(core, accept_fds)
