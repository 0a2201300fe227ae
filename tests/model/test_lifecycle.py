"""The table of a socket's life: what can follow what."""

from __future__ import annotations

import itertools

import pytest

from afunix.model.lifecycle import TRANSITIONS, Call, OutOfOrder, State, advance

LIVES = [
    ("a server", "socket bind listen accept accept close"),
    ("a server that stops", "socket bind listen accept shutdown accept close"),
    ("a client", "socket connect write read shutdown read close"),
    ("an accepted connection", "accept read write shutdown close"),
    ("a datagram server", "socket bind read write read close"),
    ("a datagram client", "socket bind connect write read close"),
    ("a socket that came to nothing", "socket close"),
]

OUT_OF_ORDER = [
    "bind",
    "socket listen",
    "socket read",
    "socket bind accept",
    "socket bind bind",
    "socket connect listen",
    "socket bind listen connect",
    "socket bind listen read",
    "socket close close",
    "accept accept",
]


def live(calls: str) -> State:
    state = State.ABSENT
    for call in calls.split():
        state = advance(state, Call(call))
    return state


@pytest.mark.parametrize(("who", "calls"), LIVES)
def test_a_life_ends_closed(who: str, calls: str) -> None:
    assert live(calls) is State.CLOSED, who


@pytest.mark.parametrize("calls", OUT_OF_ORDER)
def test_a_call_out_of_order_is_refused(calls: str) -> None:
    *before, last = calls.split()
    state = live(" ".join(before))
    with pytest.raises(OutOfOrder, match=f"^{last} on a socket that is {state.value}: possible are "):
        advance(state, Call(last))


def test_a_refusal_names_the_calls_that_are_possible() -> None:
    with pytest.raises(
        OutOfOrder, match="read on a socket that is created: possible are bind, connect, close"
    ):
        advance(State.CREATED, Call.READ)
    with pytest.raises(OutOfOrder, match="read on a socket that is closed: possible are nothing"):
        advance(State.CLOSED, Call.READ)


def test_every_step_is_in_the_table_and_every_other_is_refused() -> None:
    for state, call in itertools.product(State, Call):
        if (state, call) in TRANSITIONS:
            assert advance(state, call) is TRANSITIONS[state, call]
        else:
            with pytest.raises(OutOfOrder):
                advance(state, call)


def test_every_state_is_reached_and_can_end() -> None:
    reached = {State.ABSENT}
    for _ in State:
        reached |= {after for (before, _), after in TRANSITIONS.items() if before in reached}
    assert reached == {*State}
    assert {s for s, call in TRANSITIONS if call is Call.CLOSE} == {*State} - {State.ABSENT, State.CLOSED}
