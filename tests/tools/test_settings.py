"""The settings of a run are values; what is not said is safe."""

from __future__ import annotations

import dataclasses
import errno

import pytest

from afunix.tools.settings import Cause, ServeResult, ServeSettings, TurnedAway, Use


def test_defaults_collect_without_a_limit_of_time() -> None:
    settings = ServeSettings(())
    assert settings.use is Use.COLLECT
    assert (settings.timeout_s, settings.idle_timeout_s, settings.drain_s) == (None, None, None)


def test_defaults_let_nobody_else_in() -> None:
    assert ServeSettings(()).ownership.mode == 0o600


def test_settings_cannot_be_changed_during_a_run() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        ServeSettings(()).once = True  # type: ignore[misc]


def test_a_new_result_has_lost_nothing() -> None:
    assert (ServeResult().bytes_lost, ServeResult().left_behind) == (0, [])
    assert ServeResult().cause is Cause.SIGNAL
    assert not ServeResult().has_losses


def test_bytes_and_clients_can_be_lost_each_without_the_other() -> None:
    assert ServeResult(bytes_lost=1).has_losses
    assert ServeResult(turned_away=TurnedAway(errno.EMFILE, clients=0, is_certain=False, sent=0)).has_losses
