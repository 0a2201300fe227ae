"""A relay in a process of its own, as `tools.relay` runs it: for tests of what clients and servers see of it.

`relaying(listen, connect, …)` gives it once it listens, and stops it with SIGTERM. Its settings are those of
RelaySettings. It is `root`'s where the tests are, and ends with an error if its run had a fault.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.program import PATIENCE_S, environment

_PROGRAM = """
import json, sys
from afunix.model.address import Address
from afunix.tools.relay import RelaySettings, relay

listen, connect, settings = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
result = relay(
    RelaySettings((Address.parse(listen),), Address.parse(connect), **settings),
    alerts=lambda event: print(f"alert: {event}", file=sys.stderr, flush=True),
    on_unreachable=lambda channel, error: print(f"unreachable: {error}", file=sys.stderr, flush=True),
    on_ready=lambda listeners, relay: print("ready", flush=True),
)
if result.fault is not None:
    raise result.fault
print(result.bytes_lost)
"""


class RunningRelay:
    """`pid` is its process; what it wrote to STDERR is `told` after its end, and `lost` how many bytes were."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.pid = process.pid
        self.told = ""
        self.lost = 0

    def stop(self) -> str:
        """Stop it; what it wrote to STDERR."""
        self.process.terminate()
        return self.wait()

    def wait(self) -> str:
        out, told = self.process.communicate(timeout=PATIENCE_S)
        self.told += told
        self.lost = int(out or 0)
        return self.told


@contextmanager
def relaying(
    listen: str, connect: str, *, env: dict[str, str] | None = None, **settings: Any
) -> Iterator[RunningRelay]:
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, listen, connect, json.dumps(settings)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**(env or {})),
    )
    running = RunningRelay(process)
    try:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise AssertionError(f"the relay did not start: {process.communicate(timeout=PATIENCE_S)[1]}")
        yield running
        if process.poll() is None:
            running.stop()
        assert process.returncode == 0, running.told
    finally:
        if process.returncode is None:
            process.kill()
            process.communicate()
