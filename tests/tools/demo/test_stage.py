"""The stage: calls are really made, which strace confirms, and nothing is left however a scene ends."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
import tempfile
import threading

import pytest
from tests.peers import require
from tests.program import environment
from tests.tools.demo.telling import calls

from afunix.kernel import socket_table
from afunix.tools.demo.experiments import EXPERIMENTS
from afunix.tools.demo.stage import BrokenOff, Stage

PROGRAM = """
import json
from afunix.tools.demo.experiment import perform
from afunix.tools.demo.experiments import EXPERIMENTS
(story,) = perform(EXPERIMENTS["half-close"]).stories
print(json.dumps([step.text for step in story.steps]))
"""

TRACED = (
    "socket",
    "bind",
    "listen",
    "accept4",
    "connect",
    "shutdown",
    "close",
    "read",
    "write",
    "sendto",
    "recvfrom",
)


def summary(line: str) -> tuple[str, int, str] | None:
    """Call, descriptor (or result of socket) and outcome of a line, of strace or of ours."""
    found = re.match(r"(?:\d+ +)?(\w+)\((\w+).*?\)(?:\s+= (-?\d+)(?: (E\w+))?)?", line)
    if found is None:
        return None
    name, first, value, error = found.groups()
    if name in ("socket", "accept", "accept4", "read", "write", "sendto", "recvfrom") or error:
        outcome = error or value
    else:
        outcome = "0"
    return name.removesuffix("4"), int(first) if first.isdecimal() else -1, outcome or "0"


def test_the_calls_are_those_that_strace_sees(sock_dir: str) -> None:
    log = os.path.join(sock_dir, "log")
    command = [require("strace"), "-f", "-o", log, "-e", f"trace={','.join(TRACED)}"]
    command += [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment())
    with open(log) as file:
        lines = file.read().splitlines()
    ours = [found for text in json.loads(done.stdout) if (found := summary(text))]
    assert ("write", 4, "EPIPE") in ours
    start = next(index for index, line in enumerate(lines) if "socket(AF_UNIX" in line)
    theirs = [summary(line) for line in lines[start : start + len(ours)]]
    assert ours == theirs


def test_a_child_is_made_as_strace_sees_it(sock_dir: str) -> None:
    log = os.path.join(sock_dir, "log")
    command = [require("strace"), "-f", "-o", log, "-e", "trace=vfork,fork,clone,clone3,execve"]
    command += [sys.executable, "-c", PROGRAM.replace("half-close", "socketpair")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment())
    (made,) = [text for text in json.loads(done.stdout) if text.startswith("vfork")]
    pid = made.rpartition(" ")[2]
    with open(log) as file:
        seen = file.read()
    assert re.search(rf"vfork\(.*= {pid}$|vfork resumed.*= {pid}$", seen, re.MULTILINE)
    assert re.search(rf"^{pid} +execve\(", seen, re.MULTILINE)


def test_a_scene_closes_what_is_open_and_writes_it_down() -> None:
    with Stage(reproducible=True) as stage:
        with stage.scene("left open"):
            stage.actor("server").socket()
        assert calls(stage.result().stories[0]) == [
            "server: socket(AF_UNIX, SOCK_STREAM) = 3",
            "server: close(3)",
        ]


def test_roles_of_one_process_are_said_to_be_that() -> None:
    with Stage() as stage:
        for names in (("server",), ("server", "one", "two")):
            with stage.scene("roles"):
                for name in names:
                    stage.actor(name).socket()
    alone, together = stage.result().stories
    assert alone.notes == ()
    (note,) = together.notes
    assert note.startswith("One process plays server, one and two: ")


def test_a_process_of_its_own_has_its_number_in_its_head() -> None:
    with Stage() as stage:
        with stage.scene("two processes"):
            stage.actor("server", has_pid=True).socket()
            pid = stage.process("client").pid
        (story,) = stage.result().stories
    assert [line.detail for line in story.lifelines] == [f"pid {os.getpid()}", f"pid {pid}"]
    assert pid != os.getpid() and story.notes == ()


def test_a_table_that_must_be_read_whole_is_not_read_while_a_call_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(socket_table, "is_forced", lambda _: True)
    read, readings = socket_table._read_proc_net_unix, []
    with Stage(inside=True) as stage:

        def note_reading() -> socket_table.Table:
            readings.append(stage.script.is_waiting)
            return read()

        monkeypatch.setattr(socket_table, "_read_proc_net_unix", note_reading)
        EXPERIMENTS["two-clients"].run(stage)
    steps = [step for story in stage.result().stories for step in story.steps]
    assert True not in readings
    assert 20 < len(readings) <= len(steps) + 2  # at most once for a step; and for the foot of each story
    assert stage.result().is_as_explained


def test_the_next_scene_begins_in_an_empty_directory() -> None:
    with Stage() as stage:
        for title in ("first", "second"):
            with stage.scene(title):
                server = stage.actor("server")
                assert server.list_names() == []
                server.socket().bind("hello.sock")
    assert stage.result().is_as_explained


def test_a_call_that_waits_when_the_scene_breaks_off_is_ended() -> None:
    with Stage() as stage, pytest.raises(RuntimeError), stage.scene("broken"):
        server, client = stage.actor("server"), stage.actor("client")
        listener = server.socket()
        listener.bind("hello.sock")
        listener.listen(0)
        listener.begin_accept()
        client.socketpair()[0].begin_read()
        raise RuntimeError
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("demo")]


def test_a_client_that_waits_in_vain_is_ended() -> None:
    with Stage() as stage, pytest.raises(RuntimeError), stage.scene("broken"):
        listener = stage.actor("server").socket()
        listener.bind("hello.sock")
        listener.listen(0)
        client = stage.actor("client")
        client.socket().connect("hello.sock")
        client.socket().begin_connect("hello.sock")
        raise RuntimeError
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("demo")]


def test_what_was_accepted_for_nobody_is_closed() -> None:
    with Stage() as stage, pytest.raises(RuntimeError), stage.scene("broken"):
        listener = stage.actor("server").socket()
        listener.bind("hello.sock")
        listener.listen(8)
        begun = listener.begin_accept()
        stage.actor("client").socket().connect("hello.sock")
        raise RuntimeError
    accepted = begun.waiting.join().value
    assert accepted is not None and accepted.fileno() == -1


def test_a_number_is_free_again_after_close_whatever_the_process_has_open() -> None:
    with Stage(reproducible=True) as stage, stage.scene("numbers"):
        actor = stage.actor("server")
        sock = actor.socket()
        real = sock.fd
        sock.close()
        with open(os.devnull) as other:
            assert other.fileno() == real
            assert actor.socket().shown == "3"


def test_the_directory_is_gone_after_an_exception(monkeypatch: pytest.MonkeyPatch, sock_dir: str) -> None:
    monkeypatch.setattr(tempfile, "tempdir", sock_dir)
    with pytest.raises(KeyboardInterrupt), Stage() as stage, stage.scene("interrupted"):
        stage.actor("server").socket().bind("hello.sock")
        assert len(os.listdir(sock_dir)) == 1
        raise KeyboardInterrupt
    assert os.listdir(sock_dir) == []


def test_the_directory_is_for_this_user_alone() -> None:
    with Stage() as stage:
        assert os.stat(stage.names.path(".")).st_mode & 0o777 == 0o700


def test_nothing_of_the_process_changes() -> None:
    directory, mask = os.getcwd(), os.umask(0o022)
    os.umask(mask)
    with Stage() as stage, stage.scene("quiet"):
        stage.actor("server").socket().bind("hello.sock")
        assert (os.getcwd(), os.umask(mask)) == (directory, mask)


def test_a_check_that_fails_is_a_surprise() -> None:
    with Stage() as stage:
        stage.check("the answer", 41, 42)
        assert stage.result().surprises == ("the answer: 41, expected 42",)


def test_without_descriptors_an_experiment_breaks_off(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_socket(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    with Stage() as stage, pytest.raises(BrokenOff), stage.scene("short of descriptors"):
        server = stage.actor("server")
        monkeypatch.setattr("socket.socket", no_socket)
        server.socket()
    assert stage.result().surprises[0].endswith("failed with EMFILE, expected it to succeed")
