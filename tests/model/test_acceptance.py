"""What an error of accept means, and how long the pauses are."""

from __future__ import annotations

import errno

import pytest

from afunix.model.acceptance import FIRST_PAUSE_S, LONGEST_PAUSE_S, AcceptFailure, classify, next_pause

TRANSIENT = {errno.ECONNABORTED, errno.EINTR, errno.EPROTO, errno.EPERM}
SHORTAGE = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS}


@pytest.mark.parametrize("number", TRANSIENT)
def test_a_client_that_is_gone_concerns_nobody_else(number: int) -> None:
    assert classify(number) is AcceptFailure.TRANSIENT


@pytest.mark.parametrize("number", SHORTAGE)
def test_a_shortage_is_waited_for(number: int) -> None:
    assert classify(number) is AcceptFailure.SHORTAGE


@pytest.mark.parametrize("number", [None, 0, 9999, *(errno.errorcode.keys() - TRANSIENT - SHORTAGE)])
def test_anything_else_is_a_fault(number: int | None) -> None:
    assert classify(number) is AcceptFailure.FAULT


def test_pauses_grow_from_short_to_five_a_second_and_no_further() -> None:
    pauses = [next_pause(0)]
    for _ in range(5):
        pauses.append(next_pause(pauses[-1]))
    assert pauses == [0.05, 0.1, 0.2, 0.2, 0.2, 0.2]
    assert (pauses[0], pauses[-1]) == (FIRST_PAUSE_S, LONGEST_PAUSE_S)
