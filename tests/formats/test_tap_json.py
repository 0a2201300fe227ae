"""tap --json: one ASCII object an event, out of which the bytes come back."""

from __future__ import annotations

import base64
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from afunix.formats.label import format_time
from afunix.formats.tap_json import TapJson
from afunix.model.credentials import UNKNOWN_ID, PeerCredentials
from afunix.model.tapped import Beginning, Opened, Over, Said, SaidAll, Side, TapEvent

STREAM = Beginning("/run/app.sock", "stream", 1_769_860_800_000_001_000)
DATA = st.one_of(st.binary(), st.text().map(str.encode))


def shown(event: TapEvent, max_bytes: int | None = None) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(TapJson(STREAM, max_bytes=max_bytes).render(event))
    return found


@given(DATA, st.sampled_from(Side))
def test_the_bytes_come_back(data: bytes, side: Side) -> None:
    found = shown(Said(1, 0.0, side, data))
    encoded = found.get("data_base64")
    assert (base64.b64decode(encoded) if encoded is not None else found["data"].encode()) == data
    assert (found["from"], found["bytes"], found["omitted"]) == (side.value, len(data), 0)


@given(DATA, st.text(), st.text(), st.floats(0, 1e9))
def test_an_event_is_one_line_of_ascii_that_any_json_reader_takes(
    data: bytes, name: str, descriptor: str, at_s: float
) -> None:
    events = (
        Said(1, at_s, Side.CLIENT, data, (descriptor,)),
        Opened(1, at_s, PeerCredentials(1, 2, 3), name, name),
        SaidAll(1, at_s, Side.CLIENT),
        Over(1, at_s, name),
    )
    for event in events:
        line = TapJson(STREAM).render(event)
        assert line.isascii() and line.endswith(b"}\n") and line.count(b"\n") == 1
        json.dumps(json.loads(line), ensure_ascii=False).encode("utf-8")


def test_lines_are_as_documented() -> None:
    view = TapJson(STREAM)
    assert view.render(Opened(1, 0.0, PeerCredentials(4121, 1000, 100), "ana", "docker")) == (
        b'{"event": "opened", "time": "2026-01-31T12:00:00.000001Z", "at": 0.000000, "connection": 1,'
        b' "pid": 4121, "uid": 1000, "gid": 100, "user": "ana", "comm": "docker"}\n'
    )
    assert view.render(Said(1, 1.000132, Side.CLIENT, b"hello", ("socket",))) == (
        b'{"event": "said", "time": "2026-01-31T12:00:01.000133Z", "at": 1.000132, "connection": 1,'
        b' "from": "client", "bytes": 5, "data": "hello", "omitted": 0, "descriptors": ["socket"]}\n'
    )
    assert view.render(SaidAll(1, 2.0, Side.SERVER)) == (
        b'{"event": "half-closed", "time": "2026-01-31T12:00:02.000001Z", "at": 2.000000, "connection": 1,'
        b' "from": "server"}\n'
    )
    assert view.render(Over(1, 2.0, "reset by the server")).endswith(b'"reason": "reset by the server"}\n')


def test_what_is_not_known_is_null() -> None:
    nobody = shown(Opened(1, 0.0, PeerCredentials(None, UNKNOWN_ID, UNKNOWN_ID)))
    assert [nobody[key] for key in ("pid", "uid", "gid", "user", "comm")] == [None] * 5
    assert shown(Over(1, 0.0))["reason"] is None


def test_names_that_no_json_string_can_hold_are_escaped() -> None:
    assert shown(Said(1, 0.0, Side.CLIENT, b"", ("/tmp/\udcff",)))["descriptors"] == ["/tmp/\\xff"]
    assert shown(Opened(1, 0.0, PeerCredentials(1, 2, 3), "", "\udcff"))["comm"] == "\\xff"


def test_of_a_long_message_the_beginning_is_given_and_the_rest_counted() -> None:
    found = shown(Said(1, 0.0, Side.CLIENT, "a€b".encode()), max_bytes=2)
    assert (found["data"], found["bytes"], found["omitted"]) == ("a", 5, 4)


@given(st.lists(st.floats(0, 1e5), max_size=5))
def test_times_are_dates_to_the_microsecond(times: list[float]) -> None:
    view = TapJson(Beginning("", "stream", 0))
    for at_s in times:
        date = json.loads(view.render(SaidAll(1, at_s, Side.CLIENT)))["time"]
        assert date == format_time(round(at_s * 1e6) / 1e6)
