"""The main story is true: what strace saw of the same processes is what is told, and files come out as they went in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile

import pytest
from tests.peers import require
from tests.program import PATIENCE_S, environment
from tests.strace import STRACED, calls_of_strace, calls_of_trace

from afunix.model.errors import AfunixError
from afunix.model.sequence import Story
from afunix.tools.demo import main_story
from afunix.tools.demo.held import TAKES_TIME
from afunix.tools.demo.main_story import send_files, tell_main_story

TELL = """
import json
from afunix.tools.demo.main_story import tell_main_story
story = tell_main_story(clients=2).story
print(json.dumps([[line.detail for line in story.lifelines], [[step.line, step.text] for step in story.steps]]))
"""

Arrow = tuple[str, str, str]


@pytest.fixture(autouse=True)
def temporary(sock_dir: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where temporary directories are made, so that a test can see whether one is left."""
    monkeypatch.setattr(tempfile, "tempdir", sock_dir)
    return sock_dir


def arrows(story: Story) -> list[Arrow]:
    return [(step.text, story.steps[step.to].text, step.arrow) for step in story.steps if step.to is not None]


def test_every_call_is_one_that_strace_saw(sock_dir: str) -> None:
    log = f"{sock_dir}/strace"
    strace = [require("strace"), "-ff", "-o", log, "-e", f"trace={STRACED}", "-e", "signal=none"]
    told = subprocess.run(
        [*strace, sys.executable, "-c", TELL],
        env=environment(),
        stdout=subprocess.PIPE,
        timeout=3 * PATIENCE_S,
        check=True,
    )
    details, steps = json.loads(told.stdout)
    assert len(details) == 3
    for line, detail in enumerate(details):
        own = "\n".join(text for number, text in steps if number == line)
        with open(f"{log}.{detail.removeprefix('pid ')}") as seen:
            assert calls_of_trace(own) == calls_of_strace(seen.readlines())


def test_arrows_of_one_client() -> None:
    story = tell_main_story(clients=1).story
    accept = next(step.text for step in story.steps if step.text.startswith("accept"))
    fd = accept.removeprefix("accept(3) = ")
    assert arrows(story) == [
        ('connect(3, "hello.sock")', accept, ""),
        ("write(3) = 6", f"read({fd}) = 6", "6 bytes"),
        ("shutdown(3, SHUT_WR)", f"read({fd}) = 0 (end of file)", "end of file"),
        (f"close({fd})", "read(3) = 0 (end of file)", "end of file"),
    ]


def test_arrows_stay_with_their_client() -> None:
    story = tell_main_story(clients=3).story
    connects = [step for step in story.steps if step.text.startswith("connect")]
    assert [step.line for step in connects] == [1, 2, 3]
    assert len({step.to for step in connects}) == 3
    assert len(arrows(story)) == 12
    assert [line.name for line in story.lifelines] == ["server", "client 1", "client 2", "client 3"]


def test_what_came_out_is_what_the_clients_sent() -> None:
    told = tell_main_story(clients=2)
    assert sorted(told.came_out.splitlines()) == [b"hello from client 1", b"hello from client 2"]


@pytest.mark.parametrize("inside", [False, True])
def test_reproducible_story_is_the_same_every_time(inside: bool) -> None:
    stories = {tell_main_story(clients=2, inside=inside, reproducible=True).story for _ in range(5)}
    assert len(stories) == 1


def test_inside_shows_who_waits_and_what_waits() -> None:
    story = tell_main_story(clients=1, inside=True, reproducible=True).story
    inside = {step.text: step.inside for step in story.steps}
    assert inside["listen(3, 4096)"] == ("accept queue 0 of 4096",)
    assert inside['connect(3, "hello.sock")'] == (
        "inode 1002 ⇄ not accepted yet, receive queue 0 bytes",
        "waits in the listener's queue: accept queue 1 of 4096",
    )
    assert inside["write(3) = 6"][1] == "in the peer's receive queue 6 bytes"
    assert any("held up" in note for note in story.notes)


@pytest.mark.parametrize("inside", [False, True])
def test_what_was_held_back_stands_after_what_was_awaited(inside: bool) -> None:
    story = tell_main_story(clients=2, inside=inside, reproducible=True).story
    calls = [step.text.partition("(")[0] for step in story.steps]
    accepts = [index for index, call in enumerate(calls) if call == "accept"]
    assert accepts[-1] < calls.index("write")
    if inside:
        shut = [i for i, step in enumerate(story.steps) if step.text.endswith("SHUT_WR)")]
        assert shut[-1] < calls.index("read")


def test_what_is_left_out_is_said() -> None:
    story = tell_main_story(clients=1).story
    fd = next(step.text for step in story.steps if step.text.startswith("accept")).partition(" = ")[2]
    left_out, numbers = story.notes
    assert "EAGAIN" in left_out
    assert f"the lowest free number: {fd}, for the server has 4 to {int(fd) - 1} open" in numbers


def test_looking_inside_is_said_to_take_time() -> None:
    assert TAKES_TIME in tell_main_story(clients=1, inside=True).story.notes
    assert TAKES_TIME not in tell_main_story(clients=1, inside=True, reproducible=True).story.notes


def test_socket_file_is_seen_to_go() -> None:
    story = tell_main_story(clients=1).story
    assert [step.text for step in story.steps][-3:] == [
        "shutdown(3, SHUT_RD)",
        'unlink("hello.sock")',
        "close(3)",
    ]


def test_listener_that_was_shut_down_is_seen_to_refuse() -> None:
    story = tell_main_story(clients=1, inside=True).story
    (shut,) = (step.inside for step in story.steps if step.text == "shutdown(3, SHUT_RD)")
    assert shut == ("accept queue 0 of 4096, refuses new clients",)


def test_title_says_what_was_run(sock_dir: str) -> None:
    files = [written(sock_dir, f"f{number}", b"x") for number in range(2)]
    assert (
        send_files(files).story.title
        == "afunix serve --json hello.sock, and 2 times afunix connect hello.sock"
    )
    assert send_files(files[:1]).story.title == "afunix serve hello.sock, and afunix connect hello.sock"


def test_too_low_a_limit_is_named_before_anything_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def refuse(count: int) -> None:
        asked.append(count)
        raise AfunixError("too low")

    monkeypatch.setattr(main_story, "require_descriptors", refuse)
    for run in (lambda: tell_main_story(clients=2), lambda: send_files(["/dev/null"] * 3)):
        with pytest.raises(AfunixError, match="too low"):
            run()
    assert asked[0] < asked[1]


def test_no_call_is_out_of_order() -> None:
    assert "out of order" not in str(tell_main_story(clients=2).story)


def written(folder: str, name: str, data: bytes) -> str:
    path = f"{folder}/{name}"
    with open(path, "wb") as file:
        file.write(data)
    return path


def test_one_file_comes_out_as_it_went_in(sock_dir: str) -> None:
    path = written(sock_dir, "random", os.urandom(1 << 20))
    sent = send_files([path])
    assert [(it.is_same, it.came_bytes) for it in sent.deliveries] == [(True, 1 << 20)]
    assert any("×" in step.text and step.text.endswith("1,048,576 bytes") for step in sent.story.steps)


def test_several_files_at_once_come_out_each_as_it_went_in(sock_dir: str) -> None:
    contents = [os.urandom(300_000), b"", b"no newline", b"\n\0\n" * 1000, b"\xe4" * 1_200_000]
    paths = [written(sock_dir, str(number), data) for number, data in enumerate(contents)]
    sent = send_files(paths)
    assert [(it.path, it.is_same, it.came_bytes) for it in sent.deliveries] == [
        (path, True, len(data)) for path, data in zip(paths, contents, strict=True)
    ]


def test_same_file_may_be_sent_twice(sock_dir: str) -> None:
    path = written(sock_dir, "a", b"one\ntwo\n")
    assert [delivery.is_same for delivery in send_files([path, path]).deliveries] == [True, True]


def test_nothing_is_left_behind(sock_dir: str) -> None:
    tell_main_story(clients=1)
    assert os.listdir(sock_dir) == []


def test_nothing_is_left_behind_by_a_failure(sock_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(AfunixError, match="server ended with status 1"):
        tell_main_story(clients=1)
    assert os.listdir(sock_dir) == []
