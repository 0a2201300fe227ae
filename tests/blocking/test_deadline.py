"""Until when is waited, and what a wait says."""

from __future__ import annotations

import select
import socket
import time
from typing import Any

import pytest

from afunix.blocking.deadline import Deadline, wait_until


def polling(sock: socket.socket) -> select.poll:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return poll


def test_none_never_comes() -> None:
    assert Deadline(None).left() is None
    assert not Deadline(None).has_passed
    assert not Deadline(float("inf")).has_passed


def test_no_time_has_passed_at_once() -> None:
    assert Deadline(0).left() == 0
    assert Deadline(0).has_passed


def test_what_is_left_becomes_less() -> None:
    deadline = Deadline(1000)
    left = deadline.left()
    assert left is not None
    assert 999 < left <= 1000


@pytest.mark.parametrize("wrong", [-1, float("nan"), "1", True])
def test_what_is_no_time_is_refused(wrong: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="timeout is"):
        Deadline.after(wrong)


@pytest.mark.parametrize("seconds", [None, 0, 1e12, float("inf")])
def test_what_is_there_is_told_whatever_the_time(seconds: float | None) -> None:
    near, far = socket.socketpair()
    with near, far:
        far.send(b"x")
        assert wait_until(polling(near), Deadline(seconds))


def test_the_first_of_several_deadlines_ends_the_wait() -> None:
    near, far = socket.socketpair()
    with near, far:
        begin = time.monotonic()
        assert not wait_until(polling(near), Deadline(1000), Deadline(0.01), Deadline(None))
        assert 0.01 <= time.monotonic() - begin < 100
