"""The three types by word, number and name, against the kernel's own sockets."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from afunix.kernel.socket_types import TYPE_NUMBERS, call_name, family_word, number_of, type_of, type_word
from afunix.model.errors import AddressError


@pytest.mark.parametrize("word", ["stream", "dgram", "seqpacket"])
def test_word_number_and_name_belong_together(word: str, new_socket: Callable[..., socket.socket]) -> None:
    number = TYPE_NUMBERS[word]
    assert type_of(new_socket(number)) == number
    assert (type_word(number), number_of(word)) == (word, number)
    assert getattr(socket, call_name(number)) == number


def test_type_of_a_bare_socket_is_asked_of_the_kernel() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        borrowed = socket.SocketType(socket.AF_UNIX, socket.SOCK_STREAM, 0, sock.fileno())
        assert type_of(borrowed) == socket.SOCK_SEQPACKET
        borrowed.detach()


def test_unknown_type_is_told_by_its_number() -> None:
    assert type_word(77) == "type 77"


def test_another_family_is_told_by_its_name_or_number() -> None:
    assert (family_word(socket.AF_INET), family_word(199)) == ("AF_INET", "199")


@pytest.mark.parametrize("word", ["tcp", "", "STREAM", 1, []])
def test_another_word_is_refused_with_those_that_there_are(word: str) -> None:
    with pytest.raises(
        AddressError, match="is no type of Unix socket: expected one of stream, dgram, seqpacket"
    ):
        number_of(word)
