"""Which events of a tap are shown."""

from __future__ import annotations

import pytest

from afunix.model.credentials import UNKNOWN_ID, PeerCredentials
from afunix.model.tap_filter import TapFilter
from afunix.model.tapped import Opened, Over, Said, SaidAll, Side, TapEvent


def conversation(connection: int, pid: int, uid: int, command: str) -> list[TapEvent]:
    return [
        Opened(connection, 0.0, PeerCredentials(pid, uid, uid), "", command),
        Said(connection, 0.1, Side.CLIENT, b"ping"),
        Said(connection, 0.2, Side.SERVER, b"pong"),
        SaidAll(connection, 0.3, Side.SERVER),
        Over(connection, 0.4),
    ]


EVENTS = [
    *conversation(1, 10, 0, "redis-cli"),
    *conversation(2, 20, 1000, "redis-server"),
    *conversation(3, 30, 1000, "sh"),
]


def connections(chosen: TapFilter) -> list[int]:
    """Those of which all is shown; of the others nothing may be."""
    shown = [event for event in EVENTS if chosen.shows(event)]
    found = sorted({event.connection for event in shown})
    assert [event for event in EVENTS if event.connection in found] == shown
    return found


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (TapFilter(), [1, 2, 3]),
        (TapFilter(connections=[2, 3]), [2, 3]),
        (TapFilter(pids=[10]), [1]),
        (TapFilter(uids=[1000]), [2, 3]),
        (TapFilter(uids=[0]), [1]),
        (TapFilter(commands=["sh"]), [3]),
        (TapFilter(commands=["redis"]), []),
        (TapFilter(commands=["redis*"]), [1, 2]),
        (TapFilter(commands=["*-cli", "s[gh]"]), [1, 3]),
        (TapFilter(uids=[1000], commands=["redis*"]), [2]),
        (TapFilter(connections=[1], pids=[20]), []),
    ],
)
def test_all_of_those_that_match_and_nothing_of_others_is_shown(
    chosen: TapFilter, expected: list[int]
) -> None:
    assert connections(chosen) == expected


def test_a_side_hides_what_the_other_says_and_nothing_else() -> None:
    shown = [event for event in conversation(1, 10, 0, "sh") if TapFilter(side=Side.CLIENT).shows(event)]
    assert [type(event) for event in shown] == [Opened, Said, Over]
    both = TapFilter(side=Side.SERVER, pids=[10])
    assert [both.shows(event) for event in conversation(1, 10, 0, "sh")] == [True, False, True, True, True]


def test_a_connection_is_forgotten_when_it_is_over() -> None:
    chosen = TapFilter(pids=[10])
    assert all(map(chosen.shows, conversation(1, 10, 0, "sh")))
    assert not any(map(chosen.shows, conversation(1, 11, 0, "sh")))


def test_a_name_that_the_kernel_cut_is_found_by_the_whole_of_it() -> None:
    opened = Opened(1, 0.0, PeerCredentials(1, 2, 3), "", "systemd-resolve")
    assert TapFilter(commands=["systemd-resolved"]).shows(opened)
    assert not TapFilter(commands=["systemd-resol"]).shows(opened)


def test_nobody_known_is_no_user() -> None:
    opened = Opened(1, 0.0, PeerCredentials(None, UNKNOWN_ID, UNKNOWN_ID))
    assert not TapFilter(uids=[UNKNOWN_ID]).shows(opened)


def test_what_began_unseen_is_nobodys() -> None:
    assert not TapFilter(pids=[1]).shows(Said(7, 0.0, Side.CLIENT, b""))
    assert TapFilter().shows(Said(7, 0.0, Side.CLIENT, b""))


def test_a_filter_is_true_if_it_can_hide_something() -> None:
    assert not TapFilter()
    assert all([TapFilter(side=Side.CLIENT), TapFilter(pids=[1]), TapFilter(commands=["sh"])])
