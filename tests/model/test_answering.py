"""Does the socket take a connection? Answers of the probe, entries of the table, and those in another namespace."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest
from tests.reachable import (
    FILE,
    LISTENER,
    NGINX,
    entry,
    facts,
    first,
)

from afunix.model.reachability import Code, judge
from afunix.model.socket_table import Owner, TableState
from afunix.model.surroundings import Answer, Bound, Elsewhere


def test_a_full_backlog_names_the_server_and_those_who_wait() -> None:
    client, other = Owner(77, 3, "client"), Owner(78, 3, "other")
    full = Bound(LISTENER.entry._replace(queued=3, backlog=2), (NGINX,), (other, client, client))
    found = first(facts(bound=(full,)))
    assert found.why == (
        "pid 412 (nginx) has it open; 3 wait in a backlog of 2, which lets one more in;"
        " those that can be seen: 2 of pid 77 (client), 1 of pid 78 (other)"
    )
    assert found.command == "afunix check --wait 10s /run/app.sock"
    assert first(facts(bound=(replace(full, stopped=frozenset({412})),))).command == "kill -CONT 412"


def test_a_stopped_server_is_warned_of_after_it_is_called_live() -> None:
    found = judge(facts(bound=(replace(LISTENER, stopped=frozenset({412})),)))
    assert [(one.code, one.command) for one in found] == [(Code.LIVE, None), (Code.STOPPED, "kill -CONT 412")]


def test_an_answer_that_the_facts_foresaw_is_not_told_twice() -> None:
    given = replace(entry(queued=6, backlog=5), answer=Answer(errno.EAGAIN, "stream", 0.0))
    assert [found.code for found in judge(given)] == [Code.BACKLOG_FULL]


@pytest.mark.parametrize(
    ("state", "kind", "wanted", "code"),
    [
        (TableState.LISTENING, "stream", None, Code.LIVE_UNSEEN),
        (TableState.LISTENING, "stream", "stream", Code.LIVE_UNSEEN),
        (TableState.LISTENING, "stream", "seqpacket", Code.WRONG_TYPE),
        (TableState.UNCONNECTED, "stream", None, Code.NOT_LISTENING),
    ],
)
def test_a_socket_of_another_network_namespace_is_judged_by_its_table(
    state: TableState, kind: str, wanted: str | None, code: Code
) -> None:
    found = first(facts(bound=(), wanted_type=wanted, other_networks=(Elsewhere(NGINX, state, kind),)))
    assert found.code is code


def test_a_stale_socket_that_is_mounted_by_itself_has_another_reason_and_no_command() -> None:
    plain = first(facts(probe=errno.ECONNREFUSED))
    mounted = first(facts(replace(FILE, is_mount_point=True), probe=errno.ECONNREFUSED))
    assert plain.command == "rm /run/app.sock"
    assert mounted.command is None
    assert mounted.why is not None
    assert "mounted there by itself" in mounted.why


def test_a_datagram_socket_with_a_peer_is_known_from_the_table_where_the_probe_is_refused() -> None:
    talking = {"type": "dgram", "state": TableState.CONNECTED}
    assert first(replace(entry(**talking), probe=errno.EACCES)).code is Code.HAS_ITS_PEER
    assert first(replace(entry(**talking), probe=0)).code is Code.LIVE
