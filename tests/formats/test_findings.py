"""A report as lines: the verdict, the words around each finding, and how they are broken."""

from __future__ import annotations

import errno
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afunix.formats.findings import Line, render, verdict_of
from afunix.model.address import Address
from afunix.model.findings import Code, Finding, Report, Severity
from afunix.model.permission import Person
from afunix.model.surroundings import Component, Facts

ME = Person(1000, 1000, name="ana")
STALE = Finding(
    Code.STALE,
    Severity.PROBLEM,
    "'/s' exists but nobody listens",
    why="its server ended and left the file",
    command="rm /s",
    hint="start its server",
)
LIVE = Finding(Code.LIVE, Severity.FACT, "'/s' is live")
NEAR = Finding(Code.NEAR_MISS, Severity.WARNING, "there is a socket '/S'", hint="did you mean that one?")
UNSEEN = Finding(Code.UNSEEN, Severity.WARNING, "whether anybody listens on '/s' cannot be told from here")


def report(*findings: Finding, person: Person = ME, waited: float | None = None) -> Report:
    return Report(Facts(Address.pathname("/s"), person), findings, waited)


def text(lines: list[Line]) -> list[str]:
    return ["".join(piece for piece, _ in line) for line in lines]


def test_reasons_and_the_command_are_under_the_finding() -> None:
    assert text(render(report(STALE))) == [
        "not reachable: '/s' exists but nobody listens",
        "  why: its server ended and left the file",
        "  hint: start its server",
        "  $ rm /s",
    ]


def test_further_findings_say_what_they_are() -> None:
    lines = text(render(report(STALE, STALE, NEAR)))
    assert [line for line in lines if line and not line.startswith(" ")] == [
        "not reachable: '/s' exists but nobody listens",
        "then: '/s' exists but nobody listens",
        "note: there is a socket '/S'",
    ]
    assert text(render(report(LIVE, LIVE)))[-1] == "also: '/s' is live"


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        (report(LIVE), ("reachable", "good")),
        (report(STALE), ("not reachable", "bad")),
        (report(UNSEEN), ("cannot be told", "unsure")),
        (report(STALE, waited=0.5), ("not reachable within 0.5 s", "bad")),
        (report(LIVE, person=Person(5, 5, is_me=False)), ("reachable for uid 5", "good")),
        (report(LIVE, person=Person(5, 5, name="b\x1b", is_me=False)), ("reachable for b^[", "good")),
    ],
)
def test_verdict_is_one_of_three_and_names_who_was_asked_for(shown: Report, words: tuple[str, str]) -> None:
    assert verdict_of(shown) == words


def test_words_that_stand_out_have_a_style() -> None:
    styles = {style: piece for line in render(report(STALE, NEAR)) for piece, style in line}
    assert (styles["bad"], styles["unsure"], styles["command"]) == ("not reachable: ", "note: ", "rm /s")


@given(st.text("ab ,'/", max_size=200), st.integers(20, 120))
def test_lines_fit_and_lose_no_word(sentence: str, width: int) -> None:
    found = Finding(Code.LIVE, Severity.FACT, f"x {sentence}", why=sentence, command="c" * 300)
    lines = text(render(report(found), width=width))
    assert all(len(line) <= width for line in lines if not line.startswith("  $ "))
    assert f"  $ {'c' * 300}" in lines
    letters = "".join(lines).replace("  why: ", "", 1)
    assert re.sub(r"\s", "", letters) == re.sub(
        r"\s", "", f"reachable: x {sentence}{sentence}  $ {'c' * 300}"
    )


def test_facts_are_broken_too_but_the_steps_of_the_way_are_rows() -> None:
    way = (Component(b"/" + b"x" * 90, error=errno.ENOENT),)
    facts = Facts(
        Address.pathname("/s"), Person(5, 5, groups=frozenset(range(900, 930)), name="ana"), way=way
    )
    lines = text(render(Report(facts, (LIVE,)), width=60, verbose=True))
    assert f"  - - -  /{'x' * 90}  ENOENT" in lines
    sentence = lines[lines.index(f"  - - -  /{'x' * 90}  ENOENT") + 1 :]
    assert sentence[0].startswith("  you are uid 5 (ana)")
    assert len(sentence) > 1
    assert all(len(line) <= 60 for line in sentence)
