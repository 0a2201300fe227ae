"""`afunix check` for people: a verdict, what was found in the order of connecting, then what was looked at. Pure.

    not reachable: '/run/app.sock' exists but nobody listens (stale socket file, ECONNREFUSED)
      why: no process has this socket open: its server ended and left the file
      hint: start its server; 'afunix serve' replaces stale socket files
      $ rm /run/app.sock

`then:` is a problem that comes up once the one before is mended, `note:` a warning, `also:` a fact. Sentences are
broken where the terminal ends, a command never is: it is there to be pasted. The texts of findings come escaped from
`model.reachability`; what was looked at is `formats.surroundings`, the same for programs `formats.findings_json`.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..model.escaping import escape
from ..model.findings import Finding, Report, Severity
from ..model.patience import show_seconds
from ..model.permission import Person
from .surroundings import looked_at
from .wrapping import wrap

Line = list[tuple[str, str]]
"""Pieces of text, each with its style-word: good, bad, unsure, label, command, problem, or empty."""

_LEADS = {Severity.PROBLEM: "then", Severity.WARNING: "note", Severity.FACT: "also"}
_STYLES = {Severity.PROBLEM: "bad", Severity.WARNING: "unsure", Severity.FACT: "good"}
_INDENT = 2
_HANG = 6


def render(report: Report, *, width: int | None = None, verbose: bool = False) -> list[Line]:
    """The lines, for a terminal of `width` columns; None: sentences are not broken. `verbose`: every fact."""
    first, *others = report.findings
    word, style = verdict_of(report)
    lines = _told(f"{word}: ", style, first, width)
    for finding in others:
        lines += [[], *_told(f"{_LEADS[finding.severity]}: ", _STYLES[finding.severity], finding, width)]
    facts = looked_at(report.facts, verbose=verbose)
    if facts:
        lines += [[], [("looked at:", "label")]]
        for line in facts:
            lines += _fact(line, width)
    return lines


def verdict_of(report: Report) -> tuple[str, str]:
    """The first words of all, and their style."""
    asked = report.facts.person
    person = "" if asked.is_me else f" for {_called(asked)}"
    if not report.is_certain:
        return f"cannot be told{person}", "unsure"
    if report.is_reachable:
        return f"reachable{person}", "good"
    within = "" if report.waited is None else f" within {show_seconds(report.waited)}"
    return f"not reachable{person}{within}", "bad"


def _called(person: Person) -> str:
    return escape(person.name) if person.name is not None else f"uid {person.uid}"


def _told(lead: str, style: str, finding: Finding, width: int | None) -> list[Line]:
    return [*_broken(lead, style, finding.what, width), *_reasons(finding, width)]


def _reasons(finding: Finding, width: int | None) -> Iterator[Line]:
    for label, text in (("why", finding.why), ("hint", finding.hint)):
        if text is not None:
            yield from _broken(f"{' ' * _INDENT}{label}: ", "label", text, width)
    if finding.command is not None:
        yield [(f"{' ' * _INDENT}$ ", "label"), (finding.command, "command")]


def _fact(line: Line, width: int | None) -> list[Line]:
    """A sentence is broken; a step of the way, which has several pieces, stays a line: it is a row of a table."""
    if width is None or len(line) > 1:
        return [[("  ", ""), *line]]
    ((text, style),) = line
    return [[(part, style)] for part in wrap(f"  {text}", width, indent=_HANG)]


def _broken(lead: str, style: str, text: str, width: int | None) -> list[Line]:
    """`lead` in its style and `text` after it, the further lines indented."""
    if width is None:
        return [[(lead, style), (text, "")]]
    first, *more = wrap(lead + text, max(width, len(lead) + 1), indent=_HANG)
    return [[(lead, style), (first.removeprefix(lead), "")], *([(line, "")] for line in more)]
