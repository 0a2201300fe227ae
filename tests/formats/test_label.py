"""Labels: the fields, the refusals, and names that were chosen to do harm."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afunix.formats.label import FIELDS, Label, LabelError, Sender, format_time

ANA = Sender(connection=3, pid=4121, uid=1000, gid=100, user="ana", comm="afunix")
NOBODY = Sender(connection=None, pid=None, uid=None, gid=None, user=None, comm=None)
NOON = 1_769_860_800.000001


def test_the_default_says_who_sends() -> None:
    assert Label().render(ANA, NOON) == b"3 ana afunix[4121]: "


def test_every_field_can_be_shown() -> None:
    label = Label("{connection} {pid} {uid} {gid} {user} {comm} {time}|")
    assert label.render(ANA, NOON) == b"3 4121 1000 100 ana afunix 2026-01-31T12:00:00.000001Z|"
    assert label.needs == {*FIELDS, "time"}


def test_what_is_not_known_is_a_question_mark() -> None:
    assert Label().render(NOBODY, NOON) == b"? ? ?[?]: "


def test_a_user_without_a_name_is_shown_by_number() -> None:
    assert Label("{user}").render(dataclasses.replace(ANA, user=None), NOON) == b"1000"


def test_a_label_needs_only_its_own_fields() -> None:
    assert Label("{pid}{pid}").needs == {"pid"}
    assert Label("> ").needs == set()


@pytest.mark.parametrize(
    ("written", "shown"),
    [("", ""), ("> ", "> "), ("{{{pid}}}", "{4121}"), ("é{pid}", "é4121"), ("%s\\n", "%s\\n")],
)
def test_everything_else_is_literal(written: str, shown: str) -> None:
    assert Label(written).render(ANA, NOON) == shown.encode()


@pytest.mark.parametrize(
    ("written", "field"),
    [
        ("{name}", "{name}"),
        ("{}", "{}"),
        ("{0}", "{0}"),
        ("{PID}", "{PID}"),
        ("{pid.real}", "{pid.real}"),
        ("{pid[0]}", "{pid[0]}"),
        ("{pid!r}", "{pid!r}"),
        ("{pid:>5}", "{pid:>5}"),
        ("{pid:{uid}}", "{pid:{uid}}"),
        ("{\x1b}", "{^[}"),
    ],
)
def test_a_field_that_there_is_not_is_refused_with_those_there_are(written: str, field: str) -> None:
    with pytest.raises(LabelError) as caught:
        Label(written)
    assert str(caught.value) == (
        f"the label has no field '{field}': there are connection, pid, uid, gid, user, comm, time"
    )


@pytest.mark.parametrize("written", ["{", "}", "{pid", "pid}", "{pid!}", "a{{}"])
def test_a_brace_that_is_not_closed_is_refused_with_how_to_write_one(written: str) -> None:
    with pytest.raises(LabelError, match="cannot be read: ") as caught:
        Label(written)
    assert caught.value.hint == "a brace itself is written {{ or }}"


@given(st.text())
def test_whatever_is_written_is_a_label_or_a_label_error(written: str) -> None:
    try:
        label = Label(written)
    except LabelError:
        return
    assert isinstance(label.render(ANA, NOON), bytes)


@pytest.mark.parametrize(
    ("comm", "shown"), [("a\nb", b"a^Jb"), ("\x1b[2J", b"^[[2J"), ("\udcff", b"\\xff"), ("{pid}", b"{pid}")]
)
def test_a_hostile_name_is_shown_and_not_obeyed(comm: str, shown: bytes) -> None:
    assert Label("{comm}").render(dataclasses.replace(ANA, comm=comm), NOON) == shown
    assert Label("{user}").render(dataclasses.replace(ANA, user=comm), NOON) == shown


@given(st.text(), st.text())
def test_a_label_is_one_line_whatever_a_process_calls_itself(user: str, comm: str) -> None:
    label = Label().render(dataclasses.replace(ANA, user=user, comm=comm), NOON)
    assert len(f"x{label.decode()}x".splitlines()) == 1
    assert b"\x1b" not in label


@pytest.mark.parametrize(
    ("now", "shown"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (NOON, "2026-01-31T12:00:00.000001Z"),
        (1.5, "1970-01-01T00:00:01.500000Z"),
    ],
)
def test_a_time_is_in_utc_with_microseconds(now: float, shown: str) -> None:
    assert format_time(now) == shown
