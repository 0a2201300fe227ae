"""The end of a bridge: asked for its end, never shut down, where other sockets are."""

from __future__ import annotations

import socket

import pytest

from afunix.kernel.bridged_socket import bridged_pair, refuse_more
from afunix.kernel.channel import Channel


def test_bridge_is_asked_and_its_other_end_can_still_send() -> None:
    ours, theirs = bridged_pair()
    asked: list[bool] = []
    ours.ask_for_end = lambda: asked.append(True)
    channel = Channel(ours)
    assert refuse_more(channel)
    theirs.sendall(b"the last")
    theirs.close()
    assert (channel.try_receive(100), channel.try_receive(100), asked) == (b"the last", b"", [True])
    channel.close()


def test_our_end_never_waits() -> None:
    ours, theirs = bridged_pair()
    with ours, theirs, pytest.raises(BlockingIOError):
        ours.recv(1)


def test_unix_peer_is_told() -> None:
    one, other = socket.socketpair()
    channel = Channel(one)
    assert refuse_more(channel)
    with other, pytest.raises(BrokenPipeError):
        other.send(b"x")
    channel.close()


def test_tcp_has_no_word_for_it() -> None:
    with socket.socket() as sock:
        channel = Channel(sock)
        assert not refuse_more(channel)
        channel.close()
