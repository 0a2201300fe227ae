"""The switch that makes a new kernel look like an old one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from afunix.kernel import fallbacks


@pytest.fixture(autouse=True)
def read_again() -> Iterator[None]:
    fallbacks._forced.cache_clear()
    yield
    fallbacks._forced.cache_clear()


@pytest.mark.parametrize("value", ["passrights", "other, passrights ,", "all"])
def test_a_named_facility_is_forced(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(fallbacks.VARIABLE, value)
    assert fallbacks.is_forced("passrights")


@pytest.mark.parametrize("value", [None, "", "other", "passrights2", ","])
def test_what_is_not_named_is_not_forced(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.delenv(fallbacks.VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(fallbacks.VARIABLE, value)
    assert not fallbacks.is_forced("passrights")


def test_the_variable_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(fallbacks.VARIABLE, raising=False)
    assert not fallbacks.is_forced("passrights")
    monkeypatch.setenv(fallbacks.VARIABLE, "passrights")
    assert not fallbacks.is_forced("passrights")
