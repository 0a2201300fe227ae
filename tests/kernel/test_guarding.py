"""An observer that fails is reported, and hurts nobody."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from afunix.kernel.guarding import guarded
from afunix.model.events import Closed, Event


def fail(event: Event) -> None:
    raise LookupError("this observer")


def test_what_it_raises_goes_to_the_report_with_its_event() -> None:
    told: list[tuple[str, str, object]] = []
    tell = guarded(fail, lambda message, error, event: told.append((message, str(error), event)))
    assert tell is not None
    tell(Closed(7))
    assert told == [("an observer failed", "this observer", Closed(7))]


def test_without_a_report_it_goes_to_the_unraisable_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    tell = guarded(fail)
    assert tell is not None
    tell(Closed(7))
    (one,) = told
    assert one.exc_type is LookupError
    assert one.exc_value.__notes__ == [f"an observer failed on {Closed(7)!r}"]
    assert one.exc_traceback is not None


def test_pythons_own_hook_takes_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)
    tell = guarded(fail)
    assert tell is not None
    tell(Closed(7))
    assert "LookupError: this observer" in capsys.readouterr().err


def test_an_end_of_the_program_is_no_failure() -> None:
    def leave(event: Event) -> None:
        raise KeyboardInterrupt

    tell = guarded(leave)
    assert tell is not None
    with pytest.raises(KeyboardInterrupt):
        tell(Closed(7))


def test_none_is_nobody_and_what_cannot_be_called_is_refused() -> None:
    assert guarded(None) is None
    with pytest.raises(TypeError, match="observer is int, expected a function that is called with events"):
        guarded(3)  # type: ignore[arg-type]
