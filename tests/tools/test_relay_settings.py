"""The settings of a relay are values; what is not said is safe."""

from __future__ import annotations

import dataclasses
import errno

import pytest

from afunix.model.address import Address
from afunix.model.relay_misuse import Wish
from afunix.tools.relay_settings import RelayResult, RelaySettings
from afunix.tools.settings import Cause, TurnedAway

SETTINGS = RelaySettings((), Address.pathname("unset"))


def test_defaults_let_nobody_else_in_and_no_descriptor_through() -> None:
    assert (SETTINGS.ownership.mode, SETTINGS.pass_fds, SETTINGS.as_client) == (0o600, False, False)


def test_defaults_have_no_limit_of_time() -> None:
    assert (SETTINGS.timeout_s, SETTINGS.idle_timeout_s, SETTINGS.drain_s) == (None, None, None)


def test_settings_cannot_be_changed_during_a_run() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        SETTINGS.pass_fds = True  # type: ignore[misc]


def test_a_new_result_has_lost_nothing() -> None:
    assert (RelayResult().cause, RelayResult().moved, RelayResult().left_behind) == (Cause.SIGNAL, (0, 0), [])
    assert not RelayResult().has_losses


def test_bytes_and_clients_can_be_lost_each_without_the_other() -> None:
    assert RelayResult(bytes_lost=1).has_losses
    assert RelayResult(turned_away=TurnedAway(errno.EMFILE, clients=0, is_certain=False, sent=0)).has_losses


def test_only_what_is_asked_for_is_a_wish() -> None:
    assert SETTINGS.wishes == {}
    assert dataclasses.replace(SETTINGS, socket_type="stream").wishes == {}


def test_wishes_are_called_what_the_asker_calls_them() -> None:
    asked = dataclasses.replace(SETTINGS, pass_fds=True, wait=1.0, words={Wish.DESCRIPTORS: "--pass-fds"})
    assert asked.wishes == {Wish.DESCRIPTORS: "--pass-fds", Wish.PATIENCE: "waiting for the server"}
