"""How long to wait for a server that is not there yet, and how often to look: what a program passes as `wait`.

Apart from `patience`, which every client imports: a command that starts fast needs no class for two numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

from .patience import FIRST_PAUSE_S, LONGEST_PAUSE_S, must_be_seconds


@dataclass(frozen=True, slots=True)
class Retry:
    """Wait `within` seconds for a server to come; look again after `first_pause`, then after twice as long each
    time, up to `longest_pause`. `math.inf`: for ever.

    What is waited for is what passes while a server starts: no such socket (ENOENT), nobody listens (ECONNREFUSED), no
    permission yet (EACCES).

    Raises:
        TypeError, ValueError: no number of seconds; a pause of 0, or a longest one shorter than the first.
    """

    within: float
    first_pause: float = FIRST_PAUSE_S
    longest_pause: float = LONGEST_PAUSE_S

    def __post_init__(self) -> None:
        for name in ("within", "first_pause", "longest_pause"):
            must_be_seconds(getattr(self, name), name)
        if not 0 < self.first_pause <= self.longest_pause:
            raise ValueError(
                f"first_pause is {self.first_pause} and longest_pause {self.longest_pause}, expected more than 0"
                " and no less than the first"
            )
