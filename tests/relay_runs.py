"""`relay()` in this process: a run from one path to another with its clients in a thread, and what came of it.

A run raises this process's limit of descriptors, which is for the tests to put back, and ends with a SIGTERM to it.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from tests.program import PATIENCE_S

from afunix.model.address import Address
from afunix.model.events import Event
from afunix.tools.relay import RelayResult, RelaySettings, relay

SETTINGS = RelaySettings((), Address.pathname("unset"))


def connect(path: str) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(PATIENCE_S)
    client.connect(path)
    return client


def wait_until(is_met: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_met():
        assert time.monotonic() < deadline, "what was waited for does not happen"
        time.sleep(0.002)


class Ran:
    """A run: where clients connect (`path`), where the server is to be (`up`), and what came of it."""

    result: RelayResult

    def __init__(self, directory: str) -> None:
        self.path = f"{directory}/s"
        self.up = f"{directory}/u"
        self.events: list[Event] = []
        self.unreachable: list[Exception] = []
        self._is_stopped = False

    def stop(self) -> None:
        """SIGTERM, once: a second one would end everything, and one that is late the tests."""
        if not self._is_stopped:
            self._is_stopped = True
            os.kill(os.getpid(), signal.SIGTERM)

    def types(self) -> list[type[Event]]:
        return [type(event) for event in self.events]


def run(directory: str, script: Callable[[Ran], None], settings: RelaySettings = SETTINGS) -> Ran:
    """`relay` from `directory`/s to `directory`/u; `script` in a thread once clients can connect, then SIGTERM."""
    ran = Ran(directory)
    faults: list[BaseException] = []

    def act() -> None:
        try:
            script(ran)
        except BaseException as fault:
            faults.append(fault)
        ran.stop()

    thread = threading.Thread(target=act)
    settings = replace(
        settings,
        listen=settings.listen or (Address.pathname(ran.path),),
        connect=Address.pathname(ran.up),
        timeout_s=settings.timeout_s or PATIENCE_S,
    )
    ran.result = relay(
        settings,
        observer=ran.events.append,
        on_unreachable=lambda channel, error: ran.unreachable.append(error),
        on_ready=lambda listeners, relay: thread.start(),
    )
    thread.join(PATIENCE_S)
    assert not faults, (faults, ran.result)
    assert ran.result.fault is None, ran.result
    return ran
