"""A child comes to the end of what its client has sent, though we have closed our copy of the socket."""

from __future__ import annotations

import os
import socket
import subprocess

import pytest

from afunix.kernel import fallbacks
from afunix.kernel.child_input import can_end_input, end_input, identity_of


def test_the_child_reads_what_is_there_and_then_the_end() -> None:
    near, far = socket.socketpair()
    with far, subprocess.Popen(["cat"], stdin=near.fileno(), stdout=subprocess.PIPE) as child:
        identity = identity_of(near.fileno())
        near.close()
        far.sendall(b"all of it")
        assert end_input(child.pid, 0, identity)
        with pytest.raises(BrokenPipeError):
            far.sendall(b"more")
        assert child.communicate()[0] == b"all of it"


def test_another_input_is_left_alone() -> None:
    near, far = socket.socketpair()
    one, other = socket.socketpair()
    with near, far, one, other, subprocess.Popen(["cat"], stdin=one.fileno()) as child:
        assert not end_input(child.pid, 0, identity_of(near.fileno()))
        other.sendall(b"")
        assert child.poll() is None
        other.close()
        one.close()


def test_a_child_that_has_ended_has_no_input() -> None:
    near, far = socket.socketpair()
    with near, far:
        child = subprocess.Popen(["true"], stdin=near.fileno())
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not end_input(child.pid, 0, identity_of(near.fileno()))
        child.wait()


def test_whether_it_can_be_done_is_known_before(monkeypatch: pytest.MonkeyPatch) -> None:
    assert can_end_input()
    monkeypatch.setattr(fallbacks, "_forced", lambda: frozenset({"getfd"}))
    assert not can_end_input()
