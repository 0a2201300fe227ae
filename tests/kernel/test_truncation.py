"""What is refused when a message is more than was asked for, and that nothing opened for the look stays open."""

from __future__ import annotations

import os
from socket import MSG_CTRUNC

import pytest

from afunix.kernel.truncation import must_be_whole, must_fit
from afunix.model.errors import TruncatedError


def test_as_many_descriptors_as_asked_for_stay_open() -> None:
    fds = list(os.pipe())
    must_be_whole(fds, 2, 0)
    for fd in fds:
        os.close(fd)


@pytest.mark.parametrize(("max_fds", "flags"), [(1, 0), (2, MSG_CTRUNC)])
def test_descriptors_of_a_message_that_brings_more_are_closed(max_fds: int, flags: int) -> None:
    fds = list(os.pipe())
    with pytest.raises(
        TruncatedError, match=rf"more descriptors arrived than were asked for \({max_fds}, MSG_CTRUNC"
    ):
        must_be_whole(fds, max_fds, flags)
    for fd in fds:
        with pytest.raises(OSError):
            os.fstat(fd)


def test_that_our_own_table_was_full_is_another_sentence() -> None:
    with pytest.raises(TruncatedError, match=r"could be opened .*EMFILE"):
        must_be_whole([], 1, MSG_CTRUNC)


def test_a_length_is_refused_above_the_limit_only() -> None:
    must_fit(5, None)
    must_fit(5, 5)
    with pytest.raises(TruncatedError, match="5 bytes long, and at most 4 were asked for"):
        must_fit(5, 4)
