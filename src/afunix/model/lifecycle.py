"""The life of a socket as one table: its states, its calls, and which call leads where.

Everything that tells the story of a socket reads it from here: `--trace` takes its words, the tests check that a
trace is a path through it, the documents draw their diagrams from it. unix(7) and socket(7) have the calls.

    server:  socket → bind → listen → accept …            → close
    client:  socket → connect → write/read → shutdown …   → close
    accepted:  (accept) → read/write → shutdown …         → close
"""

from __future__ import annotations

from enum import Enum


class Call(Enum):
    """The system calls of a socket's life, by their plain names (strace says accept4, recvfrom and sendto for some)."""

    SOCKET = "socket"
    BIND = "bind"
    LISTEN = "listen"
    ACCEPT = "accept"
    CONNECT = "connect"
    READ = "read"
    WRITE = "write"
    SHUTDOWN = "shutdown"
    CLOSE = "close"


class State(Enum):
    """Where a socket stands between two calls."""

    ABSENT = "absent"
    CREATED = "created"
    BOUND = "bound"
    LISTENING = "listening"
    CONNECTED = "connected"
    CLOSED = "closed"


TRANSITIONS: dict[tuple[State, Call], State] = {
    (State.ABSENT, Call.SOCKET): State.CREATED,
    (State.ABSENT, Call.ACCEPT): State.CONNECTED,  # the new descriptor that accept returns
    (State.CREATED, Call.BIND): State.BOUND,
    (State.CREATED, Call.CONNECT): State.CONNECTED,
    (State.CREATED, Call.CLOSE): State.CLOSED,
    (State.BOUND, Call.LISTEN): State.LISTENING,
    (State.BOUND, Call.CONNECT): State.CONNECTED,  # a datagram client that wants answers
    (State.BOUND, Call.READ): State.BOUND,  # datagrams need no listen
    (State.BOUND, Call.WRITE): State.BOUND,
    (State.BOUND, Call.CLOSE): State.CLOSED,
    (State.LISTENING, Call.ACCEPT): State.LISTENING,
    (State.LISTENING, Call.SHUTDOWN): State.LISTENING,  # nobody can connect; those who wait are accepted
    (State.LISTENING, Call.CLOSE): State.CLOSED,
    (State.CONNECTED, Call.READ): State.CONNECTED,
    (State.CONNECTED, Call.WRITE): State.CONNECTED,
    (State.CONNECTED, Call.SHUTDOWN): State.CONNECTED,  # one direction ends, the other lives
    (State.CONNECTED, Call.CLOSE): State.CLOSED,
}


class OutOfOrder(ValueError):
    """A call that the kernel refuses in this state."""


def advance(state: State, call: Call) -> State:
    """The state after `call`.

    Raises:
        OutOfOrder: if the table has no such step, naming the calls that would be possible.
    """
    after = TRANSITIONS.get((state, call))
    if after is None:
        possible = ", ".join(c.value for s, c in TRANSITIONS if s is state) or "nothing"
        raise OutOfOrder(f"{call.value} on a socket that is {state.value}: possible are {possible}")
    return after
