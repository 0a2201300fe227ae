"""Any conversation through a pair goes as it does between two sockets that are connected without a relay."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.loops import HandTurned
from tests.pairing import Between, MakePump, copying, drain, has_ended, splicing

DEEDS = ["send", "send much", "receive", "end sending", "end receiving", "close"]


class Side:
    """An outer end that does as it is told. `settle()` lets what is on its way arrive."""

    def __init__(self, sock: socket.socket, settle: Callable[[], None]) -> None:
        self.sock = sock
        self.settle = settle
        self.got = bytearray()
        self.is_closed = False
        self.takes_all = True

    def do(self, deed: str, number: int) -> None:
        if self.is_closed:
            return
        if deed.startswith("send"):
            self._send(bytes([number % 256]) * (1 if deed == "send" else 150_000))
        elif deed == "receive":
            self.receive()
        elif deed == "close":
            self.is_closed = True
            self.sock.close()
        else:
            self.takes_all = self.takes_all and deed == "end sending"
            self._shut(socket.SHUT_WR if deed == "end sending" else socket.SHUT_RD)
        self.settle()

    def receive(self) -> None:
        """Everything, also what comes only when there is room for it."""
        while piece := drain(self.sock):
            self.got += piece
            self.settle()

    def _send(self, data: bytes) -> None:
        try:
            self.sock.send(data)
        except BrokenPipeError:
            pass

    def _shut(self, how: int) -> None:
        try:
            self.sock.shutdown(how)
        except OSError:
            pass  # ENOTCONN


def play(script: list[tuple[int, str]], sides: list[Side]) -> list[Side]:
    for number, (who, deed) in enumerate(script):
        sides[who].do(deed, number)
    for side in sides:
        if not side.is_closed:
            side.receive()
    return sides


@pytest.mark.parametrize("make", [copying, splicing])
@given(script=st.lists(st.tuples(st.integers(0, 1), st.sampled_from(DEEDS)), max_size=12))
def test_any_conversation_goes_as_it_does_without_a_relay(
    make: MakePump, script: list[tuple[int, str]]
) -> None:
    with ExitStack() as stack:
        direct = socket.socketpair()
        for sock in direct:
            stack.callback(sock.close)
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        expected = play(script, [Side(sock, lambda: None) for sock in direct])
        loop = HandTurned()
        stack.callback(loop.close)
        between = Between(loop, stack, make)
        talk = between.join()
        found = play(script, [Side(talk.client, between.settle), Side(talk.server, between.settle)])
        for one, other in zip(expected, found, strict=True):
            if one.takes_all:
                assert other.got == one.got
            else:  # what had not reached it by then does not any more
                assert one.got.startswith(other.got)
            assert other.is_closed or has_ended(other.sock) == has_ended(one.sock)
