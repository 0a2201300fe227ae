"""scripts/demo, as the README tells people to run it: it works, says so, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys

DEMO = os.path.join(os.path.dirname(__file__), "..", "..", "scripts", "demo")


def start_demo(temporary: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "AFUNIX_VENV": sys.prefix, "TMPDIR": temporary}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [DEMO], env=environment, stdin=subprocess.DEVNULL, stdout=pipe, stderr=subprocess.STDOUT, text=True
    )


def test_demo_shows_that_the_bytes_are_the_same(sock_dir: str) -> None:
    with start_demo(sock_dir) as demo:
        said, _ = demo.communicate(timeout=60)
    assert demo.returncode == 0, said
    assert len(re.findall(r" ([0-9a-f]{16})  \1  the same\n", said)) == 4
    assert re.search(r"random\.bin +33,554,432 +([0-9a-f]{16})  \1  the same\n", said)
    assert "● accept(3) = " in said
    assert "pipx install" in said
    assert max(map(len, said.splitlines())) <= 100


def test_demo_leaves_nothing_behind(sock_dir: str) -> None:
    with start_demo(sock_dir) as demo:
        demo.communicate(timeout=60)
    assert os.listdir(sock_dir) == []


def test_stopped_demo_leaves_nothing_behind(sock_dir: str) -> None:
    with start_demo(sock_dir) as demo:
        assert demo.stdout is not None
        demo.stdout.readline()
        demo.stdout.readline()
        demo.send_signal(signal.SIGTERM)
        demo.communicate(timeout=60)  # also waits for every child that holds the pipe
    assert demo.returncode == 143
    assert os.listdir(sock_dir) == []
