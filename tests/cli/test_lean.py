"""asyncio without ssl: whole for sockets, and ssl is there for whoever asks."""

from __future__ import annotations

import subprocess
import sys

from tests.program import environment

SCRIPT = """
import sys
from afunix.cli.lean import import_asyncio
import_asyncio()
import asyncio, socket
assert "ssl" not in sys.modules
async def talk():
    one, other = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=one)
    writer.write(b"hello\\n")
    other.sendall(b"hi\\n")
    answer = await reader.readline(), other.recv(6)
    writer.close(); other.close()
    return answer
assert asyncio.run(talk()) == (b"hi\\n", b"hello\\n")
import ssl
assert ssl.create_default_context()
import_asyncio()
assert "ssl" in sys.modules
"""


def run(script: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-W", "error", "-c", script]
    return subprocess.run(argv, env=environment(), capture_output=True, text=True, timeout=20)


def test_asyncio_works_without_ssl_and_ssl_is_there_afterwards() -> None:
    ended = run(SCRIPT)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_server_at_the_shell_does_not_load_ssl() -> None:
    ended = run(
        "import sys; from afunix.cli.commands import afunix, _Contents\n"
        "afunix.get_command(None, 'serve'); assert 'asyncio' in sys.modules and 'ssl' not in sys.modules"
    )
    assert (ended.returncode, ended.stderr) == (0, "")
