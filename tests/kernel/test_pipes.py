"""The pool of pipes: what is lent, what comes back, and what a pool that has run dry says."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import closing

import pytest

from afunix.kernel.pipes import PIPE_BYTES, Pipe, PipePool


@pytest.fixture
def pool() -> Iterator[PipePool]:
    with closing(PipePool(2)) as pool:
        yield pool


def borrow(pool: PipePool) -> Pipe:
    pipe = pool.borrow()
    assert pipe is not None
    return pipe


def test_pipe_is_large_non_blocking_and_not_inherited(pool: PipePool) -> None:
    pipe = borrow(pool)
    assert fcntl.fcntl(pipe.into, fcntl.F_GETPIPE_SZ) == PIPE_BYTES
    assert not os.get_blocking(pipe.into)
    assert not os.get_blocking(pipe.out_of)
    assert not os.get_inheritable(pipe.into)
    pool.give_back(pipe)


def test_pipe_that_may_not_grow_serves_as_it_is(pool: PipePool, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> int:
        raise PermissionError(errno.EPERM, "pipe-user-pages-soft")

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    pool.give_back(borrow(pool))


def test_pipe_that_is_given_back_is_lent_again(pool: PipePool) -> None:
    pipe = borrow(pool)
    pool.give_back(pipe)
    assert pool.borrow() is pipe
    pool.give_back(pipe)


def test_no_more_than_its_number_is_lent(pool: PipePool) -> None:
    lent = [borrow(pool), borrow(pool)]
    assert pool.borrow() is None
    pool.give_back(lent.pop())
    lent.append(borrow(pool))
    for pipe in lent:
        pool.give_back(pipe)


def test_pipe_that_is_not_empty_is_closed_and_may_be_replaced(pool: PipePool) -> None:
    for _ in range(3):
        pipe = borrow(pool)
        pipe.held = os.write(pipe.into, b"left")
        pool.give_back(pipe)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(pipe.out_of)
    fresh = borrow(pool)
    with pytest.raises(BlockingIOError):
        os.read(fresh.out_of, 1)
    pool.give_back(fresh)


def test_shortage_of_descriptors_is_no_error(pool: PipePool, monkeypatch: pytest.MonkeyPatch) -> None:
    def short(flags: int) -> tuple[int, int]:
        raise OSError(errno.EMFILE, "too many")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pipe2", short)
        assert [pool.borrow() for _ in range(5)] == [None] * 5
    pool.give_back(borrow(pool))


def test_closed_pool_has_given_its_descriptors_back_and_can_be_used_again(pool: PipePool) -> None:
    pipe = borrow(pool)
    pool.give_back(pipe)
    pool.close()
    pool.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(pipe.into)
    pool.give_back(borrow(pool))
