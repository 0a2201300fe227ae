"""What every owned socket has: a limit that is checked, sends that are cut, and errors that are told apart."""

from __future__ import annotations

import errno
import math
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from afunix.kernel.channel import Channel
from afunix.kernel.owned_socket import OwnedSocket, again
from afunix.model.errors import (
    BrokenStreamError,
    ClosedError,
    EndOfStream,
)
from afunix.model.stream_state import State

Pair = tuple[OwnedSocket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    near, far = socket.socketpair()
    endpoint = OwnedSocket(Channel(near))
    with far:
        yield endpoint, far
    endpoint._channel.close()


@pytest.mark.parametrize("wrong", [0, -1, math.nan, math.inf, "1", True])
def test_send_timeout_is_checked_when_it_is_set(pair: Pair, wrong: Any) -> None:
    endpoint, _ = pair
    endpoint.send_timeout = 2.5
    with pytest.raises((TypeError, ValueError), match="send_timeout is"):
        endpoint.send_timeout = wrong
    assert endpoint.send_timeout == 2.5
    endpoint.send_timeout = None


def test_a_cut_send_keeps_every_later_one_back(pair: Pair) -> None:
    endpoint, _ = pair
    endpoint._cut_at(3, 10)
    errors = []
    for _ in range(2):
        with pytest.raises(BrokenStreamError, match="after 3 of 10 bytes") as caught:
            endpoint._begin_sending()
        errors.append(caught.value)
    assert errors[0] is not errors[1]
    assert (errors[0].bytes_sent, errors[0].hint) == (
        3,
        "nothing can be sent after half a message; receiving goes on",
    )


def test_after_the_half_close_nothing_is_sent(pair: Pair) -> None:
    endpoint, _ = pair
    endpoint._channel.end_sending()
    with pytest.raises(ClosedError, match="send_eof"):
        endpoint._begin_sending()


def test_a_reset_is_no_end_whoever_hears_of_it_first(pair: Pair) -> None:
    endpoint, _ = pair
    assert isinstance(endpoint._ended_error(), EndOfStream)
    reset = ConnectionResetError(errno.ECONNRESET, "reset")
    sending = endpoint._send_failed(reset, 4)
    assert isinstance(sending, BrokenStreamError)
    assert (sending.bytes_sent, sending.errno, endpoint._channel.receive_ended) == (
        4,
        errno.ECONNRESET,
        False,
    )
    assert isinstance(endpoint._ended_error(), BrokenStreamError)
    assert isinstance(endpoint._receive_failed(reset), BrokenStreamError)
    assert endpoint._channel.receive_ended


def test_another_error_is_itself_and_ends_nothing(pair: Pair) -> None:
    endpoint, _ = pair
    error = OSError(errno.ENOMEM, "no memory")
    assert endpoint._receive_failed(error) is error
    assert endpoint._send_failed(error, 0) is error
    assert (endpoint._channel.receive_ended, endpoint.state) == (False, State.OPEN)


def test_an_error_is_raised_again_without_its_first_traceback() -> None:
    try:
        raise BrokenStreamError("broken", hint="h", errno=5, bytes_sent=6)
    except BrokenStreamError as error:
        copy = again(error)
    assert copy.__traceback__ is None
    assert (copy.message, copy.hint, copy.errno, copy.bytes_sent) == ("broken", "h", 5, 6)
