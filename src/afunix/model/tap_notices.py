"""What a person at a tap should know beside the conversations: where it stands, and what others did to the names.

Values only; `cli` has the words.
"""

from __future__ import annotations

from dataclasses import dataclass

from .standing import Standing


@dataclass(frozen=True, slots=True)
class SteppedIn:
    """Clients of `path` come to us from now on, and the server's socket is at `second`."""

    path: str
    second: str


@dataclass(frozen=True, slots=True)
class SteppedBack:
    """No new client comes to us; `standing` is how the names were left. `live` connections still go through us."""

    path: str
    standing: Standing
    live: int


@dataclass(frozen=True, slots=True)
class NotBack:
    """The names could not be swapped back: `reason`."""

    path: str
    second: str
    reason: str


@dataclass(frozen=True, slots=True)
class ServerGone:
    """Nobody listens on the server's socket any more."""

    path: str


@dataclass(frozen=True, slots=True)
class PathChanged:
    """Somebody else removed the path, or put another file there."""

    path: str
    standing: Standing


@dataclass(frozen=True, slots=True)
class LeftoverMended:
    """An earlier tap and its guardian were killed together; the server's socket is back at `path`."""

    path: str


@dataclass(frozen=True, slots=True)
class GuardianReplaced:
    """The process that would put the path back was killed; another one, `pid`, does now."""

    pid: int


TapNotice = SteppedIn | SteppedBack | NotBack | ServerGone | PathChanged | LeftoverMended | GuardianReplaced
