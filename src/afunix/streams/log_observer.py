"""Events as lines of the standard library's `logging`: what is told when nobody else observes.

Each event is one record at debug level on the logger `afunix`, put into words when it is formatted; names and
addresses are shown with `repr`, so that nobody can forge a line. Only a shortage is more than debugging.
"""

from __future__ import annotations

import logging

from ..model.errors import errno_name
from ..model.events import Event, Observer

LOGGER = "afunix"

_LOGGER = logging.getLogger(LOGGER)  # looked up once: everything that is opened asks it


def log_observer(logger: logging.Logger | None = None, level: int = logging.DEBUG) -> Observer:
    """An observer that logs each event on `logger` (by default the one called `afunix`) at `level`."""
    chosen = _LOGGER if logger is None else logger

    def observe(event: Event) -> None:
        chosen.log(level, "%r", event)

    return observe


def default_observer() -> Observer | None:
    """Logging, if the logger `afunix` listens at debug level now; otherwise nobody, and no event is built."""
    return log_observer() if _LOGGER.isEnabledFor(logging.DEBUG) else None


def warn_of_shortage(error: OSError) -> None:
    """For a server that nobody observes: one that is out of descriptors or memory looks as if it were dead."""
    _LOGGER.warning(
        "no client is accepted for now, they wait in the backlog: %s (%s)",
        error.strerror,
        errno_name(error.errno),
    )
