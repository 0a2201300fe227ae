"""All experiments: what they promise a reader, and that they leave nothing and disturb nobody."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.program import environment

from afunix.model.sequence import Outcome
from afunix.tools.demo.experiment import Experiment, perform
from afunix.tools.demo.experiments import EXPERIMENTS
from afunix.tools.demo.stage import Stage

NAMES = (
    "connect-before-listen",
    "connect-before-accept",
    "accept-without-listen",
    "two-clients",
    "full-backlog",
    "half-close",
    "stale-file",
    "stream-vs-datagram",
    "unix-vs-internet",
    "socketpair",
    "abstract",
    "credentials",
    "pass-a-descriptor",
)
EACH = pytest.mark.parametrize("name", NAMES)


def broken(run: object) -> Experiment:
    return Experiment("broken", "?", "", "", (), run)  # type: ignore[arg-type]


def test_the_experiments_are_these() -> None:
    assert tuple(EXPERIMENTS) == NAMES
    assert [experiment.name for experiment in EXPERIMENTS.values()] == [*NAMES]


@EACH
def test_words_are_for_a_reader(name: str) -> None:
    experiment = EXPERIMENTS[name]
    assert experiment.question.endswith("?") and len(experiment.question) <= 80
    assert experiment.plan.endswith(".")
    sentences = re.findall(r".+?\.(?: |$)", experiment.explanation)
    assert 2 <= len(sentences) <= 4 and "".join(sentences) == experiment.explanation
    assert all(len(sentence.split()) <= 25 and ":" not in sentence for sentence in sentences)
    assert not re.search(r"  |\n", experiment.plan + experiment.explanation)
    assert all(re.fullmatch(r"[a-z_]+\([2-8]\)", page) for page in experiment.manual_pages)


@EACH
def test_it_comes_out_as_explained_in_less_than_1_5_seconds(name: str) -> None:
    began = time.monotonic()
    result = perform(EXPERIMENTS[name])
    assert time.monotonic() - began < 1.5
    assert result.surprises == ()
    assert all(story.title and story.steps for story in result.stories)


@EACH
def test_two_runs_are_told_alike_where_that_is_wanted(name: str) -> None:
    first, second = (perform(EXPERIMENTS[name], inside=True, reproducible=True) for _ in range(2))
    assert first == second
    assert any(step.inside for step in first.stories[0].steps)


@EACH
def test_times_never_go_back(name: str) -> None:
    for story in perform(EXPERIMENTS[name]).stories:
        times = [step.at for step in story.steps]
        assert times == sorted(times)


@EACH
def test_causes_stand_before_their_effects(name: str) -> None:
    for story in perform(EXPERIMENTS[name], reproducible=True).stories:
        for index, step in enumerate(story.steps):
            assert step.to is None or (step.to > index and story.steps[step.to].line != step.line)


@EACH
def test_nothing_is_left(name: str, monkeypatch: pytest.MonkeyPatch, sock_dir: str) -> None:
    monkeypatch.setattr(tempfile, "tempdir", sock_dir)
    before = set(threading.enumerate())
    perform(EXPERIMENTS[name])
    assert os.listdir(sock_dir) == []
    assert set(threading.enumerate()) == before


def test_many_at_once_do_not_disturb_each_other() -> None:
    names = [name for name in NAMES if name != "unix-vs-internet"] * 3
    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(lambda name: perform(EXPERIMENTS[name]), names))
    assert [result.surprises for result in results] == [()] * len(names)


def test_an_experiment_that_breaks_off_says_why_and_tells_what_came_before() -> None:
    def run(stage: Stage) -> None:
        with stage.scene("too long"):
            stage.actor("server").socket().bind("none/hello.sock")

    result = perform(broken(run), reproducible=True)
    sentence = 'bind(3, "none/hello.sock") failed with ENOENT, expected it to succeed'
    assert result.surprises == (sentence,)
    assert [step.outcome for step in result.stories[0].steps] == [Outcome.DONE, Outcome.FAILED, Outcome.DONE]


def test_an_error_that_is_no_call_of_the_experiment_is_a_surprise() -> None:
    def run(_: Stage) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    assert perform(broken(run)).surprises == ("the experiment broke off: Permission denied (EACCES)",)


def test_an_ordinary_user_finds_the_same() -> None:
    if os.geteuid() != 0:
        pytest.skip("an ordinary user is who runs this")
    without_child = [name for name in NAMES if name not in ("socketpair", "credentials", "pass-a-descriptor")]
    program = (
        "import json, os\n"
        "from afunix.tools.demo.experiments import EXPERIMENTS\n"
        "from afunix.tools.demo.experiment import perform\n"
        "import afunix.kernel.socket_table, afunix.testing.directory, tempfile, encodings.idna\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        f"results = [perform(EXPERIMENTS[name]) for name in {without_child!r}]\n"
        "print(json.dumps([result.surprises for result in results]))\n"
    )
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, env=environment())
    assert done.stderr == ""
    assert json.loads(done.stdout) == [[]] * len(without_child)
