"""The guardian says one line, if it had to act: that the path is back, or why it is not."""

from __future__ import annotations

import pytest

from afunix.cli import tap_guardian
from afunix.model.errors import AfunixError
from afunix.tools.tap_guardian import End


def test_a_line_when_the_path_is_back(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        tap_guardian, "guard", lambda orders, say, say_failure: say(f"/run/{orders}\n", End.KILLED)
    )
    tap_guardian.main("x")
    assert capfd.readouterr().err == "afunix: the tap was killed; its guardian has put '/run/x^J' back\n"


def test_a_line_when_it_cannot_be(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(
        tap_guardian,
        "guard",
        lambda orders, say, say_failure: say_failure(AfunixError("it stays\n", hint="wait")),
    )
    tap_guardian.main("x")
    assert capfd.readouterr().err == "afunix: error: the tap was killed, and it stays^J\nafunix: hint: wait\n"
