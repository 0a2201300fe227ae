"""Speeds are measured quickly, over either family, and nothing stays open."""

from __future__ import annotations

import socket
import time

import pytest

from afunix.tools.demo.measuring import measure


@pytest.mark.parametrize("family", [socket.AF_UNIX, socket.AF_INET])
def test_a_connection_is_measured_in_less_than_half_a_second(family: int, sock_dir: str) -> None:
    began = time.monotonic()
    speed = measure(family, f"{sock_dir}/s" if family == socket.AF_UNIX else ("127.0.0.1", 0))
    assert time.monotonic() - began < 0.5 + 1  # a busy machine
    assert 1e-7 < speed.round_trip_s < 0.1
    assert speed.bytes_per_s > 1e5


def test_an_address_that_is_not_ours_is_an_error() -> None:
    with pytest.raises(OSError, match="assign requested address"):
        measure(socket.AF_INET, ("192.0.2.1", 0))
