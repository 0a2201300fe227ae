"""Who watches a relay is told of each client while its ends are open, and has its say before a stop."""

from __future__ import annotations

import os
import socket

import pytest
from tests.servers import echo, serving
from tests.tap_runs import Ran, ask, run

from afunix.kernel.channel import Channel
from afunix.model.tapped import Side
from afunix.tools import tap
from afunix.tools.tap import Tap
from afunix.tools.tap_witness import PairWatch


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    told: list[str] = []

    class Noting(Tap):
        def opened(self, near: Channel) -> None:
            told.append(f"opened {near.connection}")
            super().opened(near)

        def watch(self, near: Channel) -> PairWatch:
            told.append(f"watch {near.connection}")
            return super().watch(near)

        def over(self, near: Channel, reason: Exception | None, side: Side | None = None) -> None:
            os.fstat(near.fd)  # still open
            told.append(f"over {near.connection} {type(reason).__name__}")
            super().over(near, reason, side)

    monkeypatch.setattr(tap, "Tap", Noting)
    return told


def test_each_client_is_told_of_in_order(sock_dir: str, told: list[str]) -> None:
    def ask_twice(ran: Ran) -> None:
        ask(ran.path)
        ask(ran.path)

    with serving(f"{sock_dir}/s", echo):
        run(f"{sock_dir}/s", ask_twice)
    assert [word for word in told if word.endswith(" 1") or " 1 " in word] == [
        "opened 1",
        "watch 1",
        "over 1 NoneType",
    ]
    assert told[-1] == "over 2 NoneType"


def test_a_client_without_a_connection_is_over_and_never_watched(sock_dir: str, told: list[str]) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{sock_dir}/s")
        server.listen()

        def come_too_late(ran: Ran) -> None:
            server.close()
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(ran.path)
                client.recv(1)

        run(f"{sock_dir}/s", come_too_late)
    assert told == ["opened 1", "over 1 NobodyListensError"]
