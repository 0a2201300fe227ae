"""`afunix tap --json`: one ASCII object an event, one a line, in the words of `jsonl`. Reversible, unless cut short. Pure.

{"event": "opened", "time": "…Z", "at": 0.000000, "connection": 1, "pid": 4121, "uid": 1000, "gid": 1000, "user": "ana",
 "comm": "docker"}
{"event": "said", "time": "…Z", "at": 0.000132, "connection": 1, "from": "client", "bytes": 5, "data": "hello",
 "omitted": 0, "descriptors": []}
{"event": "half-closed", "time": "…Z", "at": 0.004100, "connection": 1, "from": "client"}
{"event": "closed", "time": "…Z", "at": 0.005200, "connection": 1, "reason": null}

`at` is in seconds since the tap began; `bytes` is how many were said, `omitted` how many of them are not in `data` (or
`data_base64`, if it is not UTF-8). What is not known is null.
"""

from __future__ import annotations

import base64
from json import dumps

from ..model.escaping import escape
from ..model.tapped import Beginning, Opened, Over, Said, SaidAll, TapEvent
from .label import format_time
from .tap_text import cut

_NS_PER_US = 1_000


class TapJson:
    """Renders events as objects."""

    def __init__(
        self,
        beginning: Beginning,
        *,
        max_bytes: int | None = None,
        colour: bool = False,
        width: int | None = None,
    ) -> None:
        """Of a message at most `max_bytes` are given. `colour` and `width` are for people: they change nothing here."""
        self._began_us = beginning.began_ns // _NS_PER_US
        self._max_bytes = max_bytes
        self._second = -1
        self._shown_second = ""

    def render(self, event: TapEvent) -> bytes:
        """The object of `event`, with a newline."""
        if type(event) is Said:
            return self._object("said", event, self._said(event))
        if type(event) is Opened:
            return self._object("opened", event, _opened(event))
        if type(event) is SaidAll:
            return self._object("half-closed", event, f'"from": "{event.side.value}"')
        assert type(event) is Over
        return self._object("closed", event, f'"reason": {_name(event.reason)}')

    def _object(self, kind: str, event: TapEvent, rest: str) -> bytes:
        return (
            f'{{"event": "{kind}", "time": "{self._time(event.at_s)}", "at": {event.at_s:.6f},'
            f' "connection": {event.connection}, {rest}}}\n'
        ).encode("ascii")

    def _said(self, event: Said) -> str:
        data = cut(event.data, self._max_bytes)
        try:
            shown = f'"data": {dumps(data.decode("utf-8"))}'
        except UnicodeDecodeError:
            shown = f'"data_base64": "{base64.b64encode(data).decode("ascii")}"'
        descriptors = dumps(list(map(escape, event.descriptors))) if event.descriptors else "[]"
        return (
            f'"from": "{event.side.value}", "bytes": {len(event.data)}, {shown},'
            f' "omitted": {len(event.data) - len(data)}, "descriptors": {descriptors}'
        )

    def _time(self, at_s: float) -> str:
        """As `format_time`, which is asked once a second: it takes as long as all the rest."""
        second, microseconds = divmod(self._began_us + round(at_s * 1e6), 1_000_000)
        if second != self._second:
            self._second = second
            self._shown_second = format_time(second)[: -len("000000Z")]
        return f"{self._shown_second}{microseconds:06}Z"


def _opened(event: Opened) -> str:
    peer = event.peer
    uid, gid = (peer.uid, peer.gid) if peer.is_known else (None, None)
    return (
        f'"pid": {dumps(peer.pid)}, "uid": {dumps(uid)}, "gid": {dumps(gid)},'
        f' "user": {_name(event.user)}, "comm": {_name(event.command)}'
    )


def _name(name: str) -> str:
    """Escaped, since a process may call itself by bytes that no JSON string can hold."""
    return dumps(escape(name)) if name else "null"
