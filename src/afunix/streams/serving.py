"""`serve`: what a server is to do, checked before anything happens. What is done is `server`'s."""

from __future__ import annotations

import math

from ..kernel.ancillary import accept_fds_within
from ..kernel.guarding import must_be_observer
from ..kernel.listener import Ownership
from ..kernel.numbers import must_be_int
from ..kernel.requirement import must_be_rules
from ..model.events import Observer
from ..model.patience import must_be_seconds
from ..model.rules import Rules
from .attending import AttendSettings, Handler
from .server import Server
from .server_listeners import Addressed, must_be_addressed


def serve(
    handler: Handler,
    *addresses: Addressed,
    mode: int = 0o600,
    owner: str | int | None = None,
    group: str | int | None = None,
    replace: bool = False,
    keep: bool = False,
    backlog: int | None = None,
    rules: Rules | None = None,
    max_clients: int | None = None,
    max_per_user: int | None = None,
    queue_timeout: float | None = None,
    idle_timeout: float | None = None,
    send_timeout: float | None = None,
    accept_fds: int = 0,
    observer: Observer | None = None,
) -> Server:
    """A server for `addresses` that calls `await handler(stream)` for each client, in a task of its own.

    Nothing happens before `async with` (or `start`): then it binds and listens. Leaving it is the whole stop (`aclose`);
    an exception that leaves it, a cancellation too, is an `abort`.
    An address is a path, `@name`, an Address, or a listener: what `listen`, `listen_packets` and `systemd.listeners`
    return, or a listening `socket.socket`, belongs to the server once it has started. `mode`, `owner`, `group`,
    `replace`, `keep` and `backlog` are as for `listen`.

    A handler that raises is told of: to `observer` (HandlerFailed), and without one to the loop's exception handler.
    That its client has left (EndOfStream) is no failure, nor that the server closed its stream. Each handler runs in a
    copy of the context (contextvars) of the start.

    Args:
        handler: serves one client; the stream is closed for it when it returns.
        rules: who may connect; the others are closed unread. Decided by uid, gid and groups from the kernel.
        max_clients: so many at once; more wait in the backlog, where they cost nothing. None: as many as there are
            descriptors; when those run out it is waited, not spun.
        max_per_user: so many of one uid at once; more are closed unread.
        queue_timeout: above `max_clients` a client is accepted and waits so many seconds for a place, then it is
            closed unread; one that has left meanwhile, and sent nothing, gives way to the next. Each who waits has a
            descriptor: what the process may open bounds how many can. None: they wait in the backlog, as long as they
            like.
        idle_timeout: a client that has moved no byte for so many seconds, while its handler waited for it, is closed:
            the handler's receive or send raises TimedOutError.
        send_timeout: see `Stream.send`.
        accept_fds: so many descriptors may come in one message; 0: none can be sent here.
        observer: is told of every call and client (`afunix.events`). None: `logging` at debug level, if that is on at
            the start; a shortage of descriptors or memory is a warning there in any case.

    Raises:
        TypeError, ValueError: arguments that cannot be meant. What cannot be bound is told by `start`.
    """
    if not callable(handler):
        raise TypeError(f"handler is {type(handler).__name__}, expected a function that serves one client")
    if not addresses:
        raise ValueError("serve() was given no address: where is it to listen?")
    for address in addresses:
        must_be_addressed(address)
    must_be_rules(rules)
    if observer is not None:
        must_be_observer(observer)
    must_be_int(mode, "mode", "a number such as 0o600")
    if backlog is not None:
        must_be_int(backlog, "backlog", "how many clients may wait")
    if queue_timeout is not None and max_clients is None:
        raise ValueError("queue_timeout means nothing without max_clients: there is always a place")
    must_be_limits(max_clients=max_clients, max_per_user=max_per_user)
    must_be_times(queue_timeout=queue_timeout, idle_timeout=idle_timeout, send_timeout=send_timeout)
    accept_fds_within(accept_fds)
    return Server(
        handler,
        addresses,
        lambda: Ownership.of(mode, owner, group, replace, keep),
        AttendSettings(max_clients, queue_timeout, idle_timeout, send_timeout, accept_fds),
        backlog=backlog,
        rules=rules,
        max_per_user=max_per_user,
        observer=observer,
    )


def must_be_limits(**limits: int | None) -> None:
    """Refuse what is no number of clients."""
    for name, limit in limits.items():
        if limit is None:
            continue
        if not isinstance(limit, int) or isinstance(limit, bool):
            raise TypeError(f"{name} is {type(limit).__name__}, expected a number of clients")
        if limit < 1:
            raise ValueError(f"{name} is {limit}, expected 1 or more")


def must_be_times(**times: float | None) -> None:
    """Refuse what is no number of seconds that can pass."""
    for name, seconds in times.items():
        if seconds is None:
            continue
        must_be_seconds(seconds, name)
        if not 0 < seconds < math.inf:
            raise ValueError(f"{name} is {seconds}, expected seconds, more than 0; None is for ever")
