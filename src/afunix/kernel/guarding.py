"""Observers that cannot do harm: what one raises is reported, and is nobody's whom it is told about.

An event is told in the middle of a call: between bytes that were taken and their receiver, between the halves of a
message. So every face puts this around an observer where it comes in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..model.events import Event, Observer

Report = Callable[[str, Exception, object], None]
"""Is told what happened, the error, and the event on which it did."""


def guarded(observer: Observer | None, report: Report | None = None) -> Observer | None:
    """`observer`, whose failures go to `report` (by default to `sys.unraisablehook`); None for none.

    Raises:
        TypeError: it cannot be called.
    """
    if observer is None:
        return None
    must_be_observer(observer)
    tell, report_failure = observer, unraisable if report is None else report

    def tell_guarded(event: Event) -> None:
        try:
            tell(event)
        except Exception as error:
            report_failure("an observer failed", error, event)

    return tell_guarded


def must_be_observer(observer: object) -> None:
    """Can it be told anything?

    Raises:
        TypeError: saying what was found.
    """
    if not callable(observer):
        raise TypeError(
            f"observer is {type(observer).__name__}, expected a function that is called with events"
        )


def unraisable(message: str, error: Exception, about: object) -> None:
    """Tell `sys.unraisablehook` of an error that nobody can catch; on what it came is a note of it."""
    error.add_note(f"{message} on {about!r}")
    _Finalized(error)


class _Finalized:
    """What a finalizer raises goes to that hook, and Python has no other way to make its argument."""

    __slots__ = ("_error",)

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __del__(self) -> None:
        raise self._error
