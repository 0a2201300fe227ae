"""`listen`: a Listener at an address, bound here or inherited. What it then does is `listening`'s.

A name, its mode and its owner are claimed by `kernel.listener`.
"""

from __future__ import annotations

from ..kernel.ancillary import accept_fds_within
from ..kernel.listener import Listener as BoundListener
from ..kernel.listener import Ownership
from ..kernel.requirement import must_be_rules
from ..model.address import Address, AddressKind
from ..model.events import Observer
from ..model.rules import Rules
from .listening import Listener, Written
from .observing import observer_for
from .waiting import caller


def listen(
    address: Written,
    *,
    mode: int = 0o600,
    owner: str | int | None = None,
    group: str | int | None = None,
    replace: bool = False,
    keep: bool = False,
    backlog: int | None = None,
    rules: Rules | None = None,
    accept_fds: int = 0,
    send_timeout: float | None = None,
    observer: Observer | None = None,
) -> Listener:
    """A listening stream socket at `address`; the caller owns it. Needs no running loop.

    A stale socket file is replaced, a live one never, unless `replace` takes its path over. `mode`, `owner` and
    `group` (name or number) hold from the first instant that the path exists. `keep` leaves the path at the end.
    `backlog` None is as much as the kernel allows. `fd:3` and `fd:NAME` are inherited listeners, which are never
    unlinked nor shut down, and stay open if this fails. Whom `rules` refuse is closed unread. `observer` is told of
    every call; None: `logging` at debug level, if that is on.

    An inherited listener that blocks (`NonBlocking=true` in a systemd unit avoids it) is accepted on by a thread:
    another process may be faster. The thread may take one client more, after an accept was cancelled (the next gets it)
    or after `close` (it is closed).

    Raises:
        AddressInUseError: somebody alive holds the name; who, is in the message.
        NotASocketError: another kind of file is there.
        NoSuchSocketError, DeniedError: the directory is missing, or not writable.
        AddressError: what cannot be bound, or a user or group that does not exist.
        WrongTypeError: an inherited socket of another type.
    """
    accept_fds_within(accept_fds)
    must_be_rules(rules)
    observer = observer_for(observer)
    ownership = Ownership.of(mode, owner, group, replace, keep)
    core = open_listener(address, ("stream",), ownership, backlog, accept_fds, observer)
    return Listener(
        core,
        rules=rules,
        accept_fds=accept_fds,
        send_timeout=send_timeout,
        observer=observer,
        opened_at=caller(),
    )


def open_listener(
    written: Written,
    types: tuple[str, ...],
    ownership: Ownership,
    backlog: int | None,
    accept_fds: int,
    observer: Observer | None,
) -> BoundListener:
    """Bind and listen, with the first of `types`; or take the inherited one of any of them that `fd:` names. The caller
    owns it.
    """
    address = Address.of(written)
    if address.kind is AddressKind.INHERITED:
        return BoundListener.inherit(address, types, observer=observer)
    return BoundListener.open(
        address, types[0], ownership, backlog=backlog, accepts_fds=accept_fds > 0, observer=observer
    )
