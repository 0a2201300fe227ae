"""What is refused when a message is more than was asked for, and that nothing opened for the look stays open."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from resource import RLIMIT_NOFILE, getrlimit, setrlimit

import pytest

from afunix.kernel.truncation import look, must_be_whole, must_fit, refuse_cut, why_cut
from afunix.model.errors import TruncatedError

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with near, far, open(os.devnull) as null:
        near.setblocking(False)
        socket.send_fds(far, [b"12345"], [null.fileno()] * 3)
        yield near, far


def opened() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize(("max_bytes", "max_fds"), [(None, 0), (5, 0), (5, 3), (None, 253)])
def test_what_is_asked_for_passes_and_a_look_leaves_nothing_open(
    pair: Pair, max_bytes: int | None, max_fds: int
) -> None:
    before = opened()
    look(pair[0], max_bytes, max_fds)
    assert opened() == before


@pytest.mark.parametrize(("max_bytes", "max_fds"), [(4, 0), (4, 3), (None, 2)])
def test_more_is_refused_and_a_look_leaves_nothing_open(
    pair: Pair, max_bytes: int | None, max_fds: int
) -> None:
    before = opened()
    with pytest.raises(TruncatedError):
        look(pair[0], max_bytes, max_fds)
    assert opened() == before
    assert pair[0].recv(10) == b"12345"


def test_a_look_at_nothing_is_told_only_where_there_is_something_to_look_for(pair: Pair) -> None:
    _, empty = pair
    empty.setblocking(False)
    for max_bytes, max_fds in ((1, 0), (None, 1)):
        with pytest.raises(BlockingIOError):
            look(empty, max_bytes, max_fds)


def test_descriptors_that_do_not_fit_into_our_table_are_seen_by_a_look_and_stay(pair: Pair) -> None:
    before = opened()
    free = os.dup(0)
    os.close(free)
    limits = getrlimit(RLIMIT_NOFILE)
    setrlimit(RLIMIT_NOFILE, (free + 1, limits[1]))
    try:
        with pytest.raises(TruncatedError, match=r"could be opened .*EMFILE"):
            look(pair[0], None, 3)
    finally:
        setrlimit(RLIMIT_NOFILE, limits)
    assert opened() == before
    look(pair[0], None, 3)


def test_as_many_descriptors_as_asked_for_are_whole() -> None:
    must_be_whole(2, 2)


@pytest.mark.parametrize(("max_fds", "is_cut"), [(1, False), (2, True)])
def test_a_message_that_brings_more_descriptors_is_refused(max_fds: int, is_cut: bool) -> None:
    with pytest.raises(
        TruncatedError, match=rf"more descriptors arrived than were asked for \({max_fds}, MSG_CTRUNC"
    ):
        must_be_whole(2, max_fds, is_cut)


def test_that_our_own_table_was_full_is_another_sentence() -> None:
    assert "could be opened (MSG_CTRUNC, EMFILE)" in why_cut(0, 1)
    with pytest.raises(TruncatedError, match=r"could be opened .*EMFILE"):
        must_be_whole(0, 1, True)


def test_what_was_opened_of_descriptors_that_were_cut_is_closed() -> None:
    fds = list(os.pipe())
    with pytest.raises(TruncatedError, match=r"could be opened .*EMFILE"):
        refuse_cut(fds, 3)
    for fd in fds:
        with pytest.raises(OSError):
            os.fstat(fd)


def test_a_length_is_refused_above_the_limit_only() -> None:
    must_fit(5, None)
    must_fit(5, 5)
    with pytest.raises(TruncatedError, match="5 bytes long, and at most 4 were asked for"):
        must_fit(5, 4)
