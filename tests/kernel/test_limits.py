"""How many descriptors are left for clients; asked in processes of their own, whose limits are theirs."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from typing import Any

import pytest

from afunix.kernel.limits import RESERVED, raise_descriptor_limit, require_descriptors
from afunix.model.errors import AfunixError

InChild = Callable[..., Any]


def ask(soft: int, hard: int) -> Callable[[], tuple[int, tuple[int, int], int]]:
    """With these limits: what is left, the limits afterwards, and how many descriptors are open."""

    def act() -> tuple[int, tuple[int, int], int]:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        left = raise_descriptor_limit()
        return left, resource.getrlimit(resource.RLIMIT_NOFILE), len(os.listdir("/proc/self/fd"))

    return act


def test_soft_limit_is_raised_to_the_hard_one(in_child: InChild) -> None:
    _, limits, _ = in_child(ask(200, 400))
    assert limits == (400, 400)


def test_what_is_open_and_a_reserve_are_not_for_clients(in_child: InChild) -> None:
    left, _, opened = in_child(ask(400, 400))
    assert left == 400 - opened - RESERVED


def test_one_is_always_left(in_child: InChild) -> None:
    left, _, opened = in_child(ask(110, 110))
    assert left == max(1, 110 - opened - RESERVED)
    crowded = in_child(lambda: crowd_and_ask(130))
    assert crowded == 1


def crowd_and_ask(limit: int) -> int:
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    opened = [os.open("/dev/null", os.O_RDONLY) for _ in range(limit - len(os.listdir("/proc/self/fd")) - 3)]
    try:
        return raise_descriptor_limit()
    finally:
        for fd in opened:
            os.close(fd)


def test_limit_that_cannot_be_raised_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(which: int, limits: tuple[int, int]) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda which: (500, 1 << 40))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert raise_descriptor_limit() == 500 - len(os.listdir("/proc/self/fd")) - RESERVED


def require(count: int, soft: int, hard: int) -> Callable[[], tuple[int, int] | tuple[str, str | None]]:
    """The limits after `count` were required of these, or the words of the refusal."""

    def act() -> tuple[int, int] | tuple[str, str | None]:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        try:
            require_descriptors(count)
        except AfunixError as error:
            return error.message, error.hint
        return resource.getrlimit(resource.RLIMIT_NOFILE)

    return act


def test_soft_limit_is_raised_no_further_than_is_required(in_child: InChild) -> None:
    assert in_child(require(150, 200, 400)) == (200, 400)
    assert in_child(require(250, 200, 400)) == (250, 400)


def test_hard_limit_that_is_too_low_is_named(in_child: InChild) -> None:
    message, hint = in_child(require(150, 100, 100))
    assert message.startswith("100 descriptors may be open in a process (RLIMIT_NOFILE), and 150 are needed")
    assert "ulimit -n 1024" in hint
