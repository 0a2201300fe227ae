"""What a report comes to: its verdict, and the error that `connect` would raise."""

from __future__ import annotations

import errno

from afunix.model.address import Address
from afunix.model.errors import AfunixError, NoSuchSocketError, TimedOutError
from afunix.model.findings import Code, Finding, Report, Severity
from afunix.model.permission import Person
from afunix.model.surroundings import Facts

FACTS = Facts(Address.pathname("/s"), Person(0, 0))
LIVE = Finding(Code.LIVE, Severity.FACT, "'/s' is live")
MISSING = Finding(
    Code.MISSING,
    Severity.PROBLEM,
    "'/s' does not exist (ENOENT)",
    hint="start its server",
    error=NoSuchSocketError,
    errno=errno.ENOENT,
)


def test_without_a_problem_it_is_reachable_and_no_error() -> None:
    report = Report(FACTS, (LIVE,))
    assert report.is_reachable
    assert (report.verdict, report.error()) == (LIVE, None)


def test_the_first_problem_is_the_error() -> None:
    error = Report(FACTS, (MISSING, LIVE)).error()
    assert isinstance(error, NoSuchSocketError)
    assert (str(error), error.hint, error.errno) == (MISSING.what, MISSING.hint, errno.ENOENT)


def test_after_waiting_it_is_a_timeout_that_names_the_last_obstacle() -> None:
    error = Report(FACTS, (MISSING,), waited=2.0).error()
    assert isinstance(error, TimedOutError)
    assert str(error) == "not reachable within 2 s: '/s' does not exist (ENOENT)"


def test_what_cannot_be_told_is_neither_reachable_for_certain_nor_refused() -> None:
    report = Report(FACTS, (Finding(Code.UNSEEN, Severity.WARNING, "cannot be told", hint="as root"),))
    assert not report.is_certain
    error = report.error()
    assert (type(error), str(error)) == (AfunixError, "cannot be told")
    assert Report(FACTS, (LIVE,)).is_certain
    assert Report(FACTS, (MISSING,)).is_certain
