"""Reports to a story: causes before effects, runs as one step, and the same order in every run if asked for."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afunix.model import events, storytelling
from afunix.model.address import Address
from afunix.model.causality import Process, Report, ReportedCall, bytes_moved
from afunix.model.credentials import PeerCredentials
from afunix.model.lifecycle import Call
from afunix.model.sequence import Lifeline, Outcome, Step, Story
from afunix.model.storytelling import MANY, tell

PLACE = Address.parse("x.sock")
PROCESSES = [Process("server", 10), Process("client 1", 11), Process("client 2", 12)]


def words(event: events.Event) -> str | None:
    if isinstance(event, events.Stopping):
        return None
    count = getattr(event, "count", None)
    return f"{type(event).__name__} {event.fd}" + ("" if count is None else f" = {count}")


def told(*reports: Report, reproducible: bool = False, waited_for: tuple[tuple[int, int], ...] = ()) -> Story:
    return tell("t", PROCESSES, reports, words=words, waited_for=waited_for, reproducible=reproducible)


def texts(story: Story) -> list[tuple[int, str]]:
    return [(step.line, step.text) for step in story.steps]


def of_server(at: float = 0.0) -> list[Report]:
    made = (events.Created(3, "SOCK_STREAM"), events.Bound(3, PLACE), events.Listening(3, PLACE, 5))
    return [Report(0, at + number / 1000, event) for number, event in enumerate(made)]


def of_client(line: int, at: float, *counts: int) -> list[Report]:
    made = [
        events.Created(3, "SOCK_STREAM"),
        events.Connected(3, PLACE),
        *(events.BytesWritten(3, count) for count in counts),
        events.HalfClosed(3, events.Direction.SENDING),
        events.BytesRead(3, 0),
        events.Closed(3),
    ]
    return [Report(line, at + number / 1000, event) for number, event in enumerate(made)]


def of_connection(fd: int, pid: int, at: float, *counts: int) -> list[Report]:
    made = [
        events.Accepted(fd, 3, 1, PeerCredentials(pid, 0, 0)),
        *(events.BytesRead(fd, count) for count in counts),
        events.BytesRead(fd, 0),
        events.Closed(fd),
    ]
    return [Report(0, at + number / 1000, event) for number, event in enumerate(made)]


def test_story_has_life_lines_with_pids_and_times_from_its_beginning() -> None:
    story = told(*of_server(at=100.0))
    assert story.lifelines[:2] == (Lifeline("server", "pid 10"), Lifeline("client 1", "pid 11"))
    assert [step.at for step in story.steps] == pytest.approx([0.0, 0.001, 0.002])


def test_reproducible_story_has_neither_times_nor_pids() -> None:
    story = told(*of_server(at=100.0), reproducible=True)
    assert {line.detail for line in story.lifelines} == {""}
    assert {step.at for step in story.steps} == {0.0}


def test_no_reports_are_a_story_without_steps() -> None:
    assert told().steps == ()


def test_arrows_lead_from_causes_to_effects() -> None:
    story = told(*of_server(), *of_client(1, 1.0, 6), *of_connection(7, 11, 1.0015, 6))
    arrows = {(s.text, story.steps[s.to].text, s.arrow) for s in story.steps if s.to is not None}
    assert arrows == {
        ("Connected 3", "Accepted 7", ""),
        ("BytesWritten 3 = 6", "BytesRead 7 = 6", "6 bytes"),
        ("HalfClosed 3", "BytesRead 7 = 0", "end of file"),
        ("Closed 7", "BytesRead 3 = 0", "end of file"),
    }


def test_cause_stands_before_an_effect_that_was_reported_earlier() -> None:
    story = told(*of_server(), *of_client(1, 1.0, 6), *of_connection(7, 11, 0.5, 6))
    order = [step.text for step in story.steps]
    assert order.index("Connected 3") < order.index("Accepted 7")
    assert order.index("BytesWritten 3 = 6") < order.index("BytesRead 7 = 6")
    times = [step.at for step in story.steps]
    assert times == sorted(times)


def test_many_writes_and_reads_are_one_step_each_with_their_total() -> None:
    story = told(*of_server(), *of_client(1, 1.0, *[10] * 1000), *of_connection(7, 11, 1.0, *[20] * 500))
    write = next(step for step in story.steps if step.text == "write(3) ×1,000 = 10,000 bytes")
    assert write.arrow == "10,000 bytes"
    assert write.to is not None
    assert story.steps[write.to].text == "read(7) ×500 = 10,000 bytes"
    assert len(story.steps) == 3 + 6 + 4


def test_arrows_to_many_reads_lead_forward_from_every_write() -> None:
    reads = of_connection(7, 11, 1.0015, *[1] * 20)
    late = [*of_client(1, 1.0, 10)[:3], Report(1, 1.01, events.BytesWritten(3, 10)), *of_client(1, 1.02)[2:]]
    story = told(*of_server(), *late, *reads)
    writes = [(index, step) for index, step in enumerate(story.steps) if step.text == "BytesWritten 3 = 10"]
    assert len(writes) == 2
    assert all(step.to is not None and step.to > index for index, step in writes)


def test_few_writes_stay_what_they_are() -> None:
    story = told(*of_server(), *of_client(1, 1.0, *[1] * MANY), *of_connection(7, 11, 1.0, MANY))
    assert sum(step.text == "BytesWritten 3 = 1" for step in story.steps) == MANY


def test_failed_call_and_one_out_of_order_are_marked() -> None:
    story = told(
        Report(0, 0.0, events.Created(3, "SOCK_STREAM")),
        Report(0, 1.0, events.CallFailed(3, Call.BIND, 98, PLACE)),
        Report(0, 2.0, events.Listening(3, PLACE, 5)),
    )
    assert [step.outcome for step in story.steps] == [Outcome.DONE, Outcome.FAILED, Outcome.FAILED]


def test_what_is_no_call_is_left_out_and_inside_stays() -> None:
    story = told(
        Report(0, 0.0, events.Stopping(-1, "x")), Report(0, 1.0, events.Created(3, "S"), ("inode 1",))
    )
    assert story.steps == (Step(0, "Created 3", 0.0, inside=("inode 1",)),)


def test_what_was_held_back_stands_after_what_was_awaited() -> None:
    reports = [*of_server(at=5.0), *of_client(1, 1.0)]
    story = told(*reports, waited_for=((2, 3),), reproducible=True)
    assert texts(story)[:4] == [(0, "Created 3"), (0, "Bound 3"), (0, "Listening 3"), (1, "Created 3")]


def test_reports_that_contradict_each_other_are_told_all_the_same() -> None:
    reports = of_server()
    assert len(told(*reports, waited_for=((2, 0),)).steps) == 3


def two_clients_at_once() -> tuple[list[Report], list[list[Report]]]:
    """The accepts in one order, and what the server does for each client afterwards."""
    first, second = of_connection(7, 11, 2.0, 6), of_connection(8, 12, 2.0, 6)
    return [first[0], second[0]], [first[1:], second[1:]]


@given(st.randoms(use_true_random=False))
def test_reproducible_story_does_not_depend_on_whom_the_server_turned_to_first(chance: random.Random) -> None:
    accepts, lives = two_clients_at_once()
    mixed = []
    while any(lives):
        mixed.append(chance.choice([life for life in lives if life]).pop(0))
    server = [*of_server(), *accepts, *mixed, Report(0, 9.0, events.Closed(3))]
    chains = [server, of_client(1, 1.0, 6), of_client(2, 1.0, 6)]
    reports = []
    while any(chains):
        reports.append(chance.choice([chain for chain in chains if chain]).pop(0))
    assert texts(told(*reports, reproducible=True)) == EXPECTED


EXPECTED = texts(
    told(
        *of_server(),
        *of_connection(7, 11, 2.0, 6)[:1],
        *of_connection(8, 12, 2.0, 6),
        *of_connection(7, 11, 3.0, 6)[1:],
        Report(0, 9.0, events.Closed(3)),
        *of_client(1, 1.0, 6),
        *of_client(2, 1.0, 6),
        reproducible=True,
    )
)


def test_order_of_one_process_is_kept() -> None:
    accepts, lives = two_clients_at_once()
    server = [*of_server(), *accepts, *lives[1], *lives[0]]
    story = told(*server, *of_client(1, 1.0, 6), *of_client(2, 1.0, 6))
    assert [text for line, text in texts(story) if line == 0] == [words(report.event) for report in server]


def test_long_runs_are_added_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0

    def count_and_ask(call: ReportedCall) -> int:
        nonlocal asked
        asked += 1
        return bytes_moved(call)

    monkeypatch.setattr(storytelling, "bytes_moved", count_and_ask)
    many = [10] * 2000
    story = told(*of_server(), *of_client(1, 1, *many), *of_connection(5, 11, 2, *many))
    assert [step.arrow for step in story.steps if "×" in step.text] == ["20,000 bytes", ""]
    assert asked < 10 * len(many)


def test_notes_stand_at_the_foot() -> None:
    assert tell("t", PROCESSES, (), words=words, notes=["one", "two"]).notes == ("one", "two")
