"""How long a listener's queue may be: what is no length, and the kernel's most."""

from __future__ import annotations

import socket

import pytest

from afunix.kernel import backlog as module
from afunix.kernel.backlog import check_backlog, max_backlog
from afunix.model.errors import AddressError


def test_maximum_without_proc_is_the_librarys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SOMAXCONN", "/nowhere")
    assert max_backlog() == socket.SOMAXCONN


@pytest.mark.parametrize("backlog", [None, 0, 1])
def test_length_and_none_are_taken(backlog: int | None) -> None:
    check_backlog(backlog)


def test_what_is_no_length_is_refused() -> None:
    with pytest.raises(AddressError, match="a backlog of -1 is none: expected 0 or more"):
        check_backlog(-1)
    with pytest.raises(TypeError, match="backlog is str, expected how many clients may wait"):
        check_backlog("1")  # type: ignore[arg-type]
