"""Does the socket take a connection? Answers of the probe, entries of the table, and those in another namespace."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest
from tests.reachable import (
    FILE,
    LISTENER,
    NGINX,
    ROOT_STEP,
    entry,
    facts,
    first,
)

from afunix.model.errors import NobodyListensError
from afunix.model.ownership import FileKind
from afunix.model.reachability import Code, judge
from afunix.model.socket_table import Owner, TableState
from afunix.model.surroundings import Answer, Bound, Component, Elsewhere, Mount


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


@pytest.mark.parametrize(
    ("probe", "peer", "is_complete", "code"),
    [
        (None, None, True, Code.LIVE),  # connected by others, which makes the kernel call it so
        (None, 9, True, Code.HAS_ITS_PEER),
        (None, 0, True, Code.HAS_ITS_PEER),  # a peer that has ended
        (errno.EPERM, None, False, Code.HAS_ITS_PEER),
        (errno.EACCES, None, False, Code.LIVE),
        (0, None, False, Code.LIVE),
    ],
)
def test_a_datagram_socket_has_its_peer_by_its_peer_and_not_by_its_state(
    probe: int | None, peer: int | None, is_complete: bool, code: Code
) -> None:
    given = entry(type="dgram", state=TableState.CONNECTED, peer=peer)
    assert first(replace(given, probe=probe, is_complete=is_complete)).code is code


def test_a_queue_that_cannot_be_seen_is_told_with_what_would_be_certain() -> None:
    found = first(replace(entry(queued=None, backlog=None), is_complete=False))
    assert found.code is Code.LIVE
    assert found.what.endswith("(stream; its queue cannot be seen from here)")
    assert found.command == "afunix check --probe /run/app.sock"
    answered = replace(entry(queued=None, backlog=None), is_complete=False, answer=Answer(0, "stream", 0.0))
    assert [one.command for one in judge(answered)] == [None, None]


@pytest.mark.parametrize(
    ("unread", "is_full", "codes"),
    [
        (0, None, [Code.LIVE]),
        (6, None, [Code.LIVE, Code.UNREAD]),
        (6, False, [Code.LIVE]),
        (6, True, [Code.LIVE, Code.QUEUE_FULL]),
    ],
)
def test_datagrams_that_wait_are_told_as_far_as_they_are_known(
    unread: int, is_full: bool | None, codes: list[Code]
) -> None:
    found = entry(type="dgram", state=TableState.UNCONNECTED, unread=unread)
    bound = replace(found.bound[0], is_full=is_full)
    assert [one.code for one in judge(replace(found, bound=(bound,), probe=None))] == codes


def test_a_listener_beneath_an_overlay_is_named_and_nothing_removed() -> None:
    found = first(facts(probe=errno.ECONNREFUSED, bound=(), beneath=(LISTENER,)))
    assert (found.code, found.command) == (Code.STALE, None)
    assert found.why is not None
    assert "pid 412 (nginx) has it open by the file beneath" in found.why
    assert "stale" not in found.what


def test_a_descriptor_is_no_name_and_not_to_be_removed() -> None:
    proc = Mount(b"/proc", file_system="proc")
    link = Component(b"/proc/self/fd/3", FileKind.SYMLINK, target=b"socket:[7]", mount=proc)
    found = first(replace(facts(probe=errno.ECONNREFUSED, bound=()), way=(ROOT_STEP, link, FILE)))
    assert (found.code, found.command, found.error) == (Code.DESCRIPTOR, None, NobodyListensError)
    assert found.why is not None
    assert "a descriptor, not a name" in found.why


def test_a_stale_socket_that_a_killed_tap_has_left_is_cured_by_the_one_beside_it() -> None:
    given = facts(probe=errno.ECONNREFUSED, bound=(), tapped=b"/run/app.sock.tapped")
    found = first(given)
    assert (found.code, found.command) == (Code.STALE, "mv /run/app.sock.tapped /run/app.sock")
    assert "'/run/app.sock.tapped'" in (found.why or "")
