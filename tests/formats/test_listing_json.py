"""A row as JSON: every fact is in it, and every address comes back from it."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from tests.listed import ADDRESSES, CONNECTION, LISTENER, NAMES, PATH, UNNAMED, USERS, entry

from afunix.formats.listing_json import ListingJson, read_address
from afunix.model.address import Address
from afunix.model.listing import End, FileState, Row, RowState
from afunix.model.socket_table import FileIdentity, Owner, Shutdown


@given(ADDRESSES, NAMES)
def test_a_row_is_one_line_of_ascii_and_the_address_comes_back(address: Address, comm: str) -> None:
    end = End(entry(address=address), (Owner(1, 2, comm, 0),))
    text = ListingJson(USERS.get).line(Row(RowState.LISTENING, "stream", address, end))
    assert text.isascii() and text.isprintable()
    found = json.loads(text)
    assert read_address(found) == read_address(found["server"]) == address
    json.dumps(found, ensure_ascii=False).encode("utf-8")


def test_an_object_has_every_fact() -> None:
    server = End(
        entry(11, peer=12, unread=5, charged=768, shutdown=Shutdown.RECEIVING, file=FileIdentity(3, 4)),
        (Owner(412, 9, "app", 1000),),
    )
    row = CONNECTION._replace(state=RowState.HALF_CLOSED, server=server, file=FileState.THERE)
    found = json.loads(ListingJson(USERS.get).line(row))
    assert {key: found[key] for key in ("state", "type", "address", "kind", "file", "queued", "backlog")} == {
        "state": "half-closed",
        "type": "stream",
        "address": "/run/app.sock",
        "kind": "pathname",
        "file": "there",
        "queued": None,
        "backlog": None,
    }
    assert found["server"] == {
        "inode": 11,
        "peer": 12,
        "address": "/run/app.sock",
        "kind": "pathname",
        "uid": 1000,
        "user": "ana",
        "unread": 5,
        "charged": 768,
        "shutdown": ["receiving"],
        "file": {"device": 3, "inode": 4},
        "waiting": [],
        "processes": [{"pid": 412, "fd": 9, "comm": "app", "uid": 1000, "user": "ana"}],
    }
    assert found["client"]["kind"] == "unnamed" and found["client"]["address"] is None


def test_a_listener_and_a_stale_file_have_what_is_theirs() -> None:
    of = ListingJson(USERS.get)
    listener = json.loads(of.line(LISTENER, time="now", change="came"))
    assert [*listener][:2] == ["time", "change"]
    assert (listener["queued"], listener["backlog"], listener["server"]["waiting"]) == (1, 4096, [9])
    stale = json.loads(of.line(Row(RowState.STALE, None, PATH, file_owner=1001)))
    assert (stale["server"], stale["type"], stale["file_owner"]) == (None, None, {"uid": 1001, "user": "bob"})


@given(st.sampled_from(RowState), st.sampled_from([None, *Shutdown]), st.integers(0, 1 << 32) | st.none())
def test_an_object_is_valid_whatever_is_known(
    state: RowState, shutdown: Shutdown | None, number: int | None
) -> None:
    end = End(entry(shutdown=shutdown, unread=number, peer=number, queued=number), (Owner(1, 2),))
    found = json.loads(ListingJson(USERS.get).line(Row(state, None, UNNAMED, None, end)))
    assert (found["state"], found["client"]["unread"]) == (state.value, number)
