"""`listen`: what it refuses, and what is left behind then."""

from __future__ import annotations

import os
import socket

import pytest

import afunix


@pytest.fixture
def path(sock_dir: str) -> str:
    return f"{sock_dir}/s"


def test_a_refused_flag_is_an_error_of_the_caller_and_leaves_no_path(path: str) -> None:
    for options, error in (
        ({"backlog": -1}, ValueError),
        ({"mode": 0o1777}, ValueError),
        ({"accept_fds": -1}, ValueError),
        ({"owner": "nobody-has-this-name"}, ValueError),
    ):
        with pytest.raises(error):
            afunix.listen(path, **options)
        assert not os.path.exists(path)


def test_rules_in_words_are_refused(path: str) -> None:
    with pytest.raises(TypeError, match="rules is str, expected Rules"):
        afunix.listen(path, rules="allow me")  # type: ignore[arg-type]
    assert not os.path.exists(path)


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_SEQPACKET])
def test_an_inherited_socket_of_another_type_is_refused_and_stays_open(path: str, kind: int) -> None:
    with socket.socket(socket.AF_UNIX, kind) as parents:
        parents.bind(path)
        if kind == socket.SOCK_SEQPACKET:
            parents.listen()
        with pytest.raises(afunix.WrongTypeError, match="expected stream"):
            afunix.listen(f"fd:{parents.fileno()}")
        assert parents.getsockname() == path
