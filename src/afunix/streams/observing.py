"""Who is told, in programs on asyncio: the observer that was given, guarded, or else `logging`, if that is on.

What an observer raises goes to the exception handler of the loop that runs then.
"""

from __future__ import annotations

from asyncio import _get_running_loop

from ..kernel.guarding import guarded, unraisable
from ..model.events import Observer
from .log_observer import default_observer


def observer_for(given: Observer | None) -> Observer | None:
    """Whom to tell when a user gave `given` as `observer=`; None: nobody, and no event is to be built.

    Raises:
        TypeError: it cannot be called.
    """
    return default_observer() if given is None else guarded(given, _report)


def _report(message: str, error: Exception, event: object) -> None:
    loop = _get_running_loop()
    if loop is None:  # a listener is opened and closed without one, too
        unraisable(message, error, event)
    else:
        loop.call_exception_handler({"message": f"{message} on {event!r}", "exception": error})
