"""The three types by word, number and name, against the kernel's own sockets."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from afunix.kernel.socket_types import TYPE_NUMBERS, call_name, type_of, type_word


@pytest.mark.parametrize("word", ["stream", "dgram", "seqpacket"])
def test_word_number_and_name_belong_together(word: str, new_socket: Callable[..., socket.socket]) -> None:
    number = TYPE_NUMBERS[word]
    assert type_of(new_socket(number)) == number
    assert type_word(number) == word
    assert getattr(socket, call_name(number)) == number


def test_type_of_a_bare_socket_is_asked_of_the_kernel() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        borrowed = socket.SocketType(socket.AF_UNIX, socket.SOCK_STREAM, 0, sock.fileno())
        assert type_of(borrowed) == socket.SOCK_SEQPACKET
        borrowed.detach()


def test_unknown_type_is_told_by_its_number() -> None:
    assert type_word(77) == "type 77"
