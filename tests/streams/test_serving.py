"""What `serve` refuses before anything happens, naming what was found and what was expected."""

from __future__ import annotations

import os
import socket
from typing import Any

import pytest
from tests.streams.visitors import echo

import afunix


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"rules": "allow root"}, TypeError, "rules is str, expected Rules"),
        ({"observer": []}, TypeError, "observer is list, expected a function"),
        ({"max_clients": 0}, ValueError, "max_clients is 0, expected 1 or more"),
        ({"max_clients": 1.5}, TypeError, "max_clients is float, expected a number of clients"),
        ({"max_per_user": -1}, ValueError, "max_per_user is -1, expected 1 or more"),
        ({"max_per_user": True}, TypeError, "max_per_user is bool, expected a number of clients"),
        ({"queue_timeout": 1.0}, ValueError, "queue_timeout means nothing without max_clients"),
        (
            {"queue_timeout": 0, "max_clients": 1},
            ValueError,
            "queue_timeout is 0, expected seconds, more than 0",
        ),
        ({"idle_timeout": -1}, ValueError, "idle_timeout is -1, expected 0 seconds or more"),
        (
            {"idle_timeout": float("inf")},
            ValueError,
            "idle_timeout is inf, expected seconds.*None is for ever",
        ),
        ({"idle_timeout": float("nan")}, ValueError, "idle_timeout is nan"),
        ({"send_timeout": "5"}, TypeError, "send_timeout is str, expected seconds"),
        ({"accept_fds": 254}, ValueError, "accept_fds is 254, expected"),
    ],
)
def test_option_that_cannot_be_meant(options: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        afunix.serve(echo, "/nowhere/s", **options)


@pytest.mark.parametrize(
    ("address", "error", "words"),
    [
        (7, TypeError, "an address is int, expected a path, @name, an Address or a listener"),
        (["/run/a", "/run/b"], TypeError, "an address is list"),
        (None, TypeError, "an address is NoneType"),
        ("", ValueError, "the address is empty"),
        ("word:x", ValueError, "word:"),
        ("/run/a\0b", ValueError, "NUL"),
    ],
)
def test_address_that_is_none(address: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        afunix.serve(echo, address)


def test_no_address_at_all() -> None:
    with pytest.raises(ValueError, match="no address"):
        afunix.serve(echo)


def test_handler_that_cannot_be_called() -> None:
    with pytest.raises(TypeError, match="handler is str, expected a function"):
        afunix.serve("/run/app.sock", "/run/other.sock")  # type: ignore[arg-type]


def test_nothing_happens_before_the_start(sock_dir: str) -> None:
    afunix.serve(echo, f"{sock_dir}/s")
    assert os.listdir(sock_dir) == []


def test_a_socket_is_still_its_owners_when_the_arguments_are_refused(sock_dir: str) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"{sock_dir}/s")
        sock.listen()
        with pytest.raises(ValueError, match="max_clients"):
            afunix.serve(echo, sock, max_clients=0)
        assert sock.fileno() >= 0
