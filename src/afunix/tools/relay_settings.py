"""What a run of `relay` is told, and what is left of it: the options as values, and the result.

What they share with `serve`, the causes of an end and the clients nobody came to, is in `settings`. No I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..kernel.listener import Ownership
from ..model.address import Address
from ..model.errors import AfunixError
from ..model.relay_misuse import Wish
from ..model.rules import Rules
from .settings import Cause, TurnedAway


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """The options of `relay`; times in seconds, None: no limit. `words`: what the asker calls a wish that is refused."""

    listen: tuple[Address, ...]
    connect: Address
    socket_type: str | None = None
    wait: float | None = None
    connect_timeout_s: float | None = None
    max_clients: int | None = None
    max_per_user: int | None = None
    rules: Rules = field(default_factory=Rules)
    ownership: Ownership = field(default_factory=Ownership)
    backlog: int | None = None
    idle_timeout_s: float | None = None
    timeout_s: float | None = None
    drain_s: float | None = None
    pass_fds: bool = False
    as_client: bool = False
    is_traced: bool = False
    words: Mapping[Wish, str] = field(default_factory=dict)

    @property
    def wishes(self) -> Mapping[Wish, str]:
        """What is asked for that not every end allows, in the asker's words."""
        asked = {
            Wish.DESCRIPTORS: self.pass_fds,
            Wish.EACH_CLIENT: self.as_client,
            Wish.RECORDS: self.socket_type not in (None, "stream"),
            Wish.RULES: bool(self.rules),
            Wish.USER_LIMIT: self.max_per_user is not None,
            Wish.PATIENCE: self.wait is not None,
        }
        return {wish: self.words.get(wish, wish.value) for wish, is_asked in asked.items() if is_asked}


@dataclass(slots=True)
class RelayResult:
    """How a run ended; see `settings.ServeResult`. `unreachable` clients got no connection to the far end.

    `moved`: bytes from clients, and to them.
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
    unreachable: int = 0
    moved: tuple[int, int] = (0, 0)
    left_behind: list[AfunixError] = field(default_factory=list)

    @property
    def has_losses(self) -> bool:
        """Did somebody send, or may they have sent, what went nowhere?"""
        return bool(self.bytes_lost) or self.turned_away is not None
