"""The fixtures, used by a project of its own, as pytest runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.program import PATIENCE_S, environment

CONFTEST = 'pytest_plugins = ["afunix.testing.fixtures"]\n'

TESTS = """
import asyncio
import errno
import gc
import os

import afunix


def run(main):
    asyncio.run(main())
    gc.collect()


def test_directory(afunix_dir):
    afunix.listen(afunix_dir / "app.sock").close()


def test_pair_with_faults(afunix_pair, afunix_faults, afunix_recorder):
    afunix_faults.sending.limit(1)

    async def main():
        one, other = afunix_pair(faults=afunix_faults, observer=afunix_recorder)
        await one.send(b"hello")
        assert await other.receive_exactly(5) == b"hello"

    run(main)
    assert len(afunix_recorder.events) == 5


def test_blocking_pair(afunix_blocking_pair):
    one, other = afunix_blocking_pair()
    one.send(b"hello")
    assert other.receive() == b"hello"


def test_packet_pair(afunix_packet_pair):
    async def main():
        one, other = afunix_packet_pair()
        await one.send(b"hello")
        assert await other.receive() == b"hello"

    run(main)


def test_peer(afunix_peer):
    async def main():
        stream, peer = afunix_peer()
        peer.write(b"hello")
        assert await stream.receive() == b"hello"

    run(main)


def test_listener(afunix_listener, afunix_recorder):
    async def echo(stream):
        await stream.send(await stream.receive())

    async def main():
        listener = afunix_listener()
        listener.accepting.fail(errno.ECONNABORTED)
        async with afunix.serve(echo, listener, observer=afunix_recorder):
            async with await afunix.connect(listener.address) as stream:
                await stream.send(b"hello")
                assert await stream.receive() == b"hello"

    run(main)


def test_listener_that_nobody_takes(afunix_listener):
    afunix_listener()
    afunix_listener(f"@afunix-test-{os.getpid()}")
"""


def test_a_project_uses_every_fixture_and_leaves_all_open(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_it.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "."]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=environment(PYTEST_DISABLE_PLUGIN_AUTOLOAD="1"),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "7 passed" in done.stdout
