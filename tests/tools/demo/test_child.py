"""A process of its own that has a socket of the stage open."""

from __future__ import annotations

import os

import pytest
from tests.tools.demo.telling import arrows, calls

from afunix.tools.demo import child
from afunix.tools.demo.script import BrokenOff
from afunix.tools.demo.stage import Stage


def test_a_child_reads_and_writes_what_it_inherited() -> None:
    with Stage(reproducible=True) as stage:
        with stage.scene("pair"):
            ours, theirs = stage.actor("parent").socketpair()
            process = stage.child("child", theirs)
            ours.write(b"ping")
            process.read(b"ping")
            process.write(b"pong")
            ours.read(b"pong")
        (story,) = stage.result().stories
    assert [line for line in calls(story) if line.startswith("child")] == [
        "child: read(4) = 4",
        "child: write(4) = 4",
    ]
    assert arrows(story) == ['write(3) = 4 → read(4) = 4 ["ping"]', 'write(4) = 4 → read(3) = 4 ["pong"]']


def test_the_end_of_file_comes_with_the_last_descriptor() -> None:
    with Stage(reproducible=True) as stage:
        with stage.scene("pair"):
            ours, theirs = stage.actor("parent").socketpair()
            process = stage.child("child", theirs)
            theirs.close()
            process.close()
            ours.read(b"")
        (story,) = stage.result().stories
    assert calls(story)[1:] == [
        "parent: close(4)",
        "child: close(4)",
        "parent: read(3) = 0 (end of file)",
        "parent: close(3)",
    ]
    assert [step.to for step in story.steps] == [None, None, 3, None, None]


def test_a_call_of_the_child_can_be_a_surprise() -> None:
    with Stage(reproducible=True) as stage:
        with stage.scene("pair"):
            ours, theirs = stage.actor("parent").socketpair()
            process = stage.child("child", theirs)
            ours.write(b"ping")
            process.read(b"pong")
        assert stage.result().surprises == ("read(4) gave b'ping', expected b'pong'",)


def test_a_child_that_is_gone_breaks_the_experiment_off() -> None:
    with Stage(reproducible=True) as stage, pytest.raises(BrokenOff), stage.scene("pair"):
        _, theirs = stage.actor("parent").socketpair()
        process = stage.child("child", theirs)
        os.kill(process.pid, 9)
        process.write(b"anybody?")


def test_a_child_is_gone_when_the_scene_is_over() -> None:
    with Stage() as stage, stage.scene("pair"):
        _, theirs = stage.actor("parent").socketpair()
        pid = stage.child("child", theirs).pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_child_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "_PROGRAM", "import signal; signal.pause()")
    monkeypatch.setattr(child, "_ANSWER_S", 0.1)
    with Stage() as stage, pytest.raises(TimeoutError), stage.scene("pair"):
        _, theirs = stage.actor("parent").socketpair()
        stage.child("child", theirs)
