"""Calls become steps: in order, in the wording of --trace, with what they caused and what was a surprise."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from typing import Any

import pytest

from afunix.model.sequence import Outcome, Step
from afunix.tools.demo import calls
from afunix.tools.demo.calls import Call
from afunix.tools.demo.script import BrokenOff, Script
from afunix.tools.demo.shown import Names


def make_script(*, reproducible: bool = False, look: Callable[[], tuple[str, ...]] = tuple) -> Script:
    script = Script(Names("/", reproducible=reproducible), reproducible=reproducible, look=look)
    script.begin_story("a story")
    script.add_lifeline("server")
    script.add_lifeline("client")
    return script


def steps(script: Script) -> tuple[Step, ...]:
    script.end_story()
    return script.stories[-1].steps


def call(function: Callable[[], Any] = lambda: 5, text: str = "accept(3)") -> Call[Any, Any]:
    return Call(text, function, lambda _, value: value, lambda value: f" = {value}")


def fail(number: int) -> Callable[[], None]:
    def function() -> None:
        raise OSError(number, os.strerror(number))

    return function


def test_a_call_is_written_with_what_it_returned() -> None:
    script = make_script()
    assert script.make(1, call()) == 5
    (step,) = steps(script)
    assert (step.line, step.text, step.outcome) == (1, "accept(3) = 5", Outcome.DONE)
    assert 0 <= step.at < 5


def test_a_call_that_shall_fail_is_written_with_its_errno() -> None:
    script = make_script()
    assert script.make_failing(0, call(fail(errno.EINVAL)), errno.EINVAL) == errno.EINVAL
    (step,) = steps(script)
    assert (step.text, step.outcome) == ("accept(3) = -1 EINVAL", Outcome.FAILED)
    assert script.surprises == []


def test_another_errno_is_a_surprise() -> None:
    script = make_script()
    assert script.make_failing(0, call(fail(errno.EAGAIN)), errno.EINVAL) == errno.EAGAIN
    assert script.surprises == ["accept(3) failed with EAGAIN, expected EINVAL"]


def test_a_success_where_a_failure_was_expected_is_a_surprise() -> None:
    script = make_script()
    assert script.make_failing(0, call(), errno.EINVAL) == 0
    assert script.surprises == ["accept(3) succeeded, expected EINVAL"]
    assert steps(script)[0].text == "accept(3) = 5"


def test_a_failure_where_a_success_is_needed_breaks_off() -> None:
    script = make_script()
    with pytest.raises(BrokenOff):
        script.make(0, call(fail(errno.EMFILE)))
    assert script.surprises == ["accept(3) failed with EMFILE, expected it to succeed"]
    assert steps(script)[0].text == "accept(3) = -1 EMFILE"


def test_a_call_that_waits_is_seen_waiting_and_ending() -> None:
    script = make_script()
    one, other = socket.socketpair()
    with one, other:
        begun = script.begin(0, call(lambda: len(one.recv(9)), "read(3)"))
        script.make(1, call(lambda: other.send(b"x"), "write(4)"), wakes=begun)
        assert begun.end() == 1
    begin, write, end = steps(script)
    assert (begin.text, begin.outcome, write.text) == ("read(3) …", Outcome.WAITED, "write(4) = 1")
    assert end.text.startswith("read(3) = 1  (waited ") and end.text.endswith(" ms)")
    assert end.outcome is Outcome.WAITED
    assert end.at - begin.at > 0.05
    assert script.surprises == []


def test_a_call_that_should_wait_and_does_not_is_a_surprise() -> None:
    script = make_script()
    begun = script.begin(0, call())
    assert begun.end() == 5
    assert script.surprises == ["accept(3) returned at once, expected it to wait"]
    assert [step.text for step in steps(script)] == ["accept(3) = 5"]


def test_no_times_where_every_run_is_alike() -> None:
    script = make_script(reproducible=True)
    one, other = socket.socketpair()
    with one, other:
        begun = script.begin(0, call(lambda: len(one.recv(9)), "read(3)"))
        other.send(b"x")
        begun.end()
    assert [(step.text, step.at) for step in steps(script)] == [
        ("read(3) …", 0),
        ("read(3) = 1  (waited)", 0),
    ]


def test_arrows_lead_to_other_life_lines_the_second_one_further() -> None:
    script = make_script()
    for line in (0, 1, 0, 1):
        script.write_down(line, "call", 0.0)
    script.caused(0, 2, "on the same line")
    script.caused(0, 1, "first")
    script.caused(0, 3, "second")
    told = [(step.to, step.arrow, step.further) for step in steps(script)]
    assert told == [(1, "first", ((3, "second"),)), *[(None, "", ())] * 3]


def test_a_process_begins_with_its_first_step_and_with_an_arrow() -> None:
    script = make_script()
    made = script.write_down(0, "fork() = 7", 0.0)
    line = script.add_lifeline("child", started_by=made)
    script.write_down(1, "call", 0.0)
    script.write_down(line, "write(3) = 6", 0.0)
    script.write_down(line, "close(3)", 0.0)
    script.end_story()
    (story,) = script.stories
    assert [it.begins for it in story.lifelines] == [None, None, 2]
    assert [step.to for step in story.steps] == [2, None, None, None]


def test_a_remark_is_no_call() -> None:
    script = make_script()
    script.remark(1, "and the signal SIGPIPE")
    (step,) = steps(script)
    assert (step.line, step.text, step.outcome) == (1, "and the signal SIGPIPE", Outcome.NOTE)


def test_a_note_is_read_once_below_its_own_story() -> None:
    script = make_script()
    for _ in range(2):
        script.write_down(0, "call", 0.0)
        script.add_note("said")
    assert steps(script) and script.stories[0].notes == ("said",)
    script.write_down(0, "call", 0.0)
    assert steps(script) and script.stories[1].notes == ()


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.EINPROGRESS])
def test_a_limit_of_our_own_is_not_told_as_what_the_kernel_did(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "LIMIT_S", 0.0)
    script = make_script()
    with pytest.raises(BrokenOff):
        script.make(0, call(fail(number)))
    assert script.surprises == ["accept(3): given up by this program after 1 s"]
    assert steps(script)[0].text == "accept(3)  (given up by this program after 1 s)"


def test_an_eagain_that_is_expected_is_the_kernels() -> None:
    script = make_script()
    script.make_failing(0, call(fail(errno.EAGAIN)), errno.EAGAIN)
    assert steps(script)[0].text == "accept(3) = -1 EAGAIN"


def test_a_call_without_an_answer_has_no_errno() -> None:
    def function() -> None:
        raise calls.NotAnswered(None, "the process is gone")

    script = make_script()
    with pytest.raises(BrokenOff):
        script.make(0, call(function))
    assert script.surprises == ["accept(3): the process is gone"]
    assert steps(script)[0].text == "accept(3)  (the process is gone)"


def test_an_errno_whose_cause_is_known_has_a_hint() -> None:
    script = make_script()
    with pytest.raises(BrokenOff):
        script.make(0, call(fail(errno.ENETUNREACH)))
    assert "'ip link set lo up'" in script.surprises[0]


def test_a_call_that_returned_nothing_after_waiting_returned_0() -> None:
    script = make_script(reproducible=True)
    one, other = socket.socketpair()
    with one, other:
        begun = script.begin(0, Call("connect(3)", lambda: one.recv(9), lambda _, value: value))
        other.send(b"x")
        begun.end()
    assert [step.text for step in steps(script)] == ["connect(3) …", "connect(3) = 0  (waited)"]


def test_inside_is_looked_at_after_what_the_call_did() -> None:
    seen: list[str] = []
    script = make_script(look=lambda: tuple(seen))
    script.make(0, Call("socket()", lambda: 3, lambda _, fd: seen.append(f"{fd} is there")))
    assert steps(script)[0].inside == ("3 is there",)


def test_a_story_without_steps_is_none() -> None:
    script = make_script()
    script.end_story()
    assert script.stories == []
