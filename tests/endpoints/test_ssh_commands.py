"""What the far side says of a path, and what it removes there."""

from __future__ import annotations

import os
import socket
import subprocess

import pytest
from tests.program import PATIENCE_S
from tests.servers import echo, serving
from tests.sshd import Sshd

from afunix.endpoints.ssh_commands import far_command
from afunix.model.ssh_refusal import Seen

pytest.importorskip("asyncssh")
from tests.endpoints.logins import ask

from afunix.endpoints.ssh_login import Login


def test_look_tells_what_is_at_a_path(sshd: Sshd) -> None:
    def look() -> Seen:
        return ask(sshd, Login.look)

    assert look() is Seen.NOTHING
    with serving(f"{sshd.folder}/s", echo):
        assert look() is Seen.LIVE
    assert look() is Seen.STALE
    os.remove(f"{sshd.folder}/s")
    os.mkdir(f"{sshd.folder}/s")
    assert look() is Seen.OTHER
    assert ask(sshd, Login.look, f"ssh:far:{sshd.folder}/no/s") is Seen.NO_DIRECTORY


def test_only_the_same_file_is_removed(sshd: Sshd) -> None:
    path = f"{sshd.folder}/s"
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(path)
    identity = ask(sshd, Login.identify)
    assert identity
    os.rename(path, f"{path}2")
    with open(path, "w"):
        pass
    assert not ask(sshd, lambda login: login.remove(identity))
    os.rename(f"{path}2", path)
    assert ask(sshd, lambda login: login.remove(identity))
    assert not os.path.exists(path)


def test_words_reach_the_script_as_they_are() -> None:
    words = (b"it's", b"$HOME", b"a  b\n", b"\xff", b"")
    command = far_command('printf "%s|" "$@"', *words)
    done = subprocess.run(["/bin/sh", "-c", command], check=True, timeout=PATIENCE_S, capture_output=True)
    assert done.stdout == b"".join(word + b"|" for word in words)
