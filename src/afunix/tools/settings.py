"""What a run of `serve` is told, and what is left of it: the options as values, and the result."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from ..kernel.listener import Ownership
from ..model.address import Address
from ..model.client_environment import Dialect
from ..model.errors import AfunixError
from ..model.rules import Rules
from .presentation import Presentation


class Use(Enum):
    """What is done with clients."""

    COLLECT = "collect"
    ECHO = "echo"
    TALK = "talk"
    EXEC = "exec"


class Cause(Enum):
    """What ended a run."""

    SIGNAL = "signal"
    ONCE = "the one client has gone"
    TIMEOUT = "timeout"
    OUTPUT_GONE = "the reader of STDOUT has gone"
    OUTPUT_FAILED = "STDOUT failed"
    ACCEPT_FAILED = "accept failed"
    OWN_REASON = "nothing is left to be done"
    FAULT = "something failed that should not have"


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """The options of `serve`. `command` is for EXEC, with whose names `dialect` says; with `handed_over_as` it gets its
    client as a service does (LISTEN_FDS), under that name, and not on its 0 and 1. `stream_only` names those given that
    mean nothing to datagrams.
    """

    addresses: tuple[Address, ...]
    socket_type: str | None = None
    use: Use = Use.COLLECT
    command: tuple[str, ...] = ()
    dialect: Dialect | None = None
    handed_over_as: str | None = None
    presentation: Presentation = field(default_factory=Presentation)
    once: bool = False
    max_clients: int | None = None
    max_per_user: int | None = None
    rules: Rules = field(default_factory=Rules)
    ownership: Ownership = field(default_factory=Ownership)
    backlog: int | None = None
    idle_timeout_s: float | None = None
    timeout_s: float | None = None
    drain_s: float | None = None
    stream_only: tuple[str, ...] = ()
    is_traced: bool = False


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """Clients that had connected, and that a stop could not accept for want of descriptors or memory (`errno`).

    `clients` is all of them, or with `is_certain` False those that could be counted: there may have been more. They
    had sent at least `sent` bytes, which are lost.
    """

    errno: int
    clients: int
    is_certain: bool
    sent: int


@dataclass(slots=True)
class ServeResult:
    """How a run ended. `signal_number` for SIGNAL; `is_forced` if a second one came; `error` for the failures.

    `commands_cut` processes of clients did not end by themselves, and those of the pids `commands_left` could not be ended.
    """

    cause: Cause = Cause.SIGNAL
    signal_number: int = 0
    is_forced: bool = False
    error: OSError | None = None
    fault: Exception | None = None
    bytes_lost: int = 0
    commands_cut: int = 0
    commands_left: tuple[int, ...] = ()
    turned_away: TurnedAway | None = None
    connected: int = 0
    served: int = 0
    idle_s: float | None = None
    left_behind: list[AfunixError] = field(default_factory=list)

    @property
    def has_losses(self) -> bool:
        """Did clients send, or may they have sent, what went nowhere?"""
        return (
            bool(self.bytes_lost or self.commands_cut or self.commands_left) or self.turned_away is not None
        )
