"""A process of its own on the stage: what it inherits, what it opens, and the process that it makes."""

from __future__ import annotations

import errno
import os

import pytest
from tests.tools.demo.telling import arrows, calls

from afunix.model.credentials import PeerCredentials
from afunix.tools.demo.child import ChildDescriptor
from afunix.tools.demo.script import BrokenOff
from afunix.tools.demo.stage import Stage
from afunix.tools.demo.staged_socket import StagedSocket


def pair(stage: Stage) -> tuple[StagedSocket, StagedSocket, ChildDescriptor]:
    """3 and 4 of the parent, and 4 of its child."""
    parent = stage.actor("parent", has_pid=True)
    ours, theirs = parent.socketpair()
    return ours, theirs, stage.child(parent, "child", theirs).inherited


def connected(stage: Stage) -> tuple[StagedSocket, ChildDescriptor]:
    """4 of the server, and 3 of a client that is a process of its own."""
    listener = stage.actor("server", has_pid=True).socket()
    listener.bind("s")
    listener.listen(1)
    sock = stage.process("client").socket()
    sock.connect("s")
    return listener.accept(), sock


def test_a_child_reads_and_writes_what_it_inherited() -> None:
    with Stage(reproducible=True) as stage:
        with stage.scene("pair"):
            ours, _, inherited = pair(stage)
            ours.write(b"ping")
            inherited.read(b"ping")
            inherited.write(b"pong")
            ours.read(b"pong")
        (story,) = stage.result().stories
    assert calls(story)[1:-2] == [
        "parent: vfork() = CHILD",
        'child: execve("python3")',
        "parent: write(3) = 4",
        "child: read(4) = 4",
        "child: write(4) = 4",
        "parent: read(3) = 4",
    ]
    assert arrows(story) == [
        'vfork() = CHILD → execve("python3")',
        'write(3) = 4 → read(4) = 4 ["ping"]',
        'write(4) = 4 → read(3) = 4 ["pong"]',
    ]
    assert [(line.detail, line.begins) for line in story.lifelines] == [
        ("pid PARENT", None),
        ("pid CHILD", 2),
    ]


def test_the_end_of_file_comes_with_the_last_descriptor() -> None:
    with Stage(reproducible=True) as stage:
        with stage.scene("pair"):
            ours, theirs, inherited = pair(stage)
            theirs.close()
            inherited.close()
            ours.read(b"")
        (story,) = stage.result().stories
    assert arrows(story)[1:] == ["close(4) → read(3) = 0 (end of file) [end of file]"]
    assert calls(story)[4] == "child: close(4)"


def test_a_call_of_the_child_can_be_a_surprise() -> None:
    with Stage(reproducible=True) as stage:
        with stage.scene("pair"):
            ours, _, inherited = pair(stage)
            ours.write(b"ping")
            inherited.read(b"pong")
        assert stage.result().surprises == ("read(4) gave b'ping', expected b'pong'",)


def test_a_process_has_numbers_of_its_own() -> None:
    with Stage() as stage, stage.scene("connected"):
        conversation, sock = connected(stage)
        assert sock.shown == "3"
        conversation.send_descriptor(b"F", conversation)
        assert sock.receive_descriptor(b"F").shown == "4"
    assert stage.result().is_as_explained


def test_bytes_without_a_descriptor_break_off() -> None:
    with Stage(reproducible=True) as stage, pytest.raises(BrokenOff), stage.scene("connected"):
        conversation, sock = connected(stage)
        conversation.write(b"F")
        sock.receive_descriptor(b"F")
    assert stage.result().surprises == ("recvmsg(3) brought 0 descriptors, expected 1",)


def test_a_process_that_forks_has_its_child_obey() -> None:
    with Stage() as stage, stage.scene("connected"):
        conversation, sock = connected(stage)
        conversation.ask_for_credentials()
        client = sock._child
        child = client.fork("child")
        child.inherited.write(b"hello")
        sent = conversation.receive_credentials(b"hello")
        assert sent == PeerCredentials(child.pid, os.geteuid(), os.getegid())
        assert child.pid not in (client.pid, os.getpid())
        pids = child.pid, client.pid
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_both_ends_are_told_who_the_other_is() -> None:
    with Stage() as stage, stage.scene("connected"):
        _, sock = connected(stage)
        assert sock.peer_credentials().pid == os.getpid()


def test_a_file_that_is_not_there_cannot_be_opened() -> None:
    with Stage(reproducible=True) as stage:
        with stage.scene("file"):
            stage.process("client").fail_to_open("none", errno.ENOENT)
        assert calls(stage.result().stories[0]) == ['client: open("none", O_RDONLY) = -1 ENOENT']


def test_what_is_inside_is_told_by_number_and_owner() -> None:
    with Stage(inside=True, reproducible=True) as stage:
        with stage.scene("connected"):
            connected(stage)
        inside = [line for step in stage.result().stories[0].steps for line in step.inside]
    assert "3 of client: inode 1002, without a name" in inside
    assert "3 of client: inode 1002 ⇄ not accepted yet, receive queue 0 bytes" in inside


def test_a_child_that_is_gone_breaks_the_experiment_off() -> None:
    with Stage(reproducible=True) as stage, pytest.raises(BrokenOff), stage.scene("pair"):
        _, _, inherited = pair(stage)
        os.kill(inherited._child.pid, 9)
        inherited.write(b"anybody?")
    assert stage.result().surprises == ("write(4): the process is gone",)


def test_a_child_is_gone_when_the_scene_is_over() -> None:
    with Stage() as stage, stage.scene("pair"):
        pid = pair(stage)[2]._child.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
