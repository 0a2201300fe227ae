"""What a tap saw, in numbers: how much went each way, the longest silence, the slowest answer, who spoke most. Pure.

A silence is any time in which an open connection did not stir: from its beginning, between two events, to its end. An
answer takes from the last word of the client to the next of the server on the same connection; what was not answered is
none. Clients are told apart by user and command, since a program that is run again and again is one client to a person.

Memory is bounded by the connections that are open, and by MOST_TALKERS.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from .tapped import Opened, Over, Said, Side, TapEvent

MOST_TALKERS = 1024
"""So many are remembered; then those who said least are forgotten, one half of them."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """What one side said on all connections."""

    messages: int = 0
    bytes: int = 0
    descriptors: int = 0


@dataclass(frozen=True, slots=True)
class Stretch:
    """Some time of a connection, in seconds, and when it began."""

    connection: int
    began_s: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Talker:
    """A client and what it said. `pid` is None if there were several, or it is not known; `uid` if nobody knows."""

    user: str
    uid: int | None
    command: str
    pid: int | None
    connections: int
    messages: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Summary:
    """All of it. `broken` connections ended with a reason, `still_open` have not ended."""

    seconds: float
    connections: int
    broken: int
    still_open: int
    client: Spoken
    server: Spoken
    longest_silence: Stretch | None
    slowest_answer: Stretch | None
    most_talkative: Talker | None


class _Counted:
    __slots__ = ("bytes", "descriptors", "messages")

    def __init__(self) -> None:
        self.messages = self.bytes = self.descriptors = 0


class _Client:
    """A user's command: the mutable side of a Talker."""

    __slots__ = ("bytes", "connections", "messages", "opened")

    def __init__(self, opened: Opened) -> None:
        self.opened: Opened = opened
        self.connections = self.messages = self.bytes = 0

    def talker(self) -> Talker:
        opened = self.opened
        uid = opened.peer.uid if opened.peer.is_known else None
        return Talker(
            opened.user, uid, opened.command, opened.peer.pid, self.connections, self.messages, self.bytes
        )


class _Connection:
    __slots__ = ("asked_at", "client", "last_at")

    def __init__(self, at_s: float, client: _Client) -> None:
        self.client = client
        self.last_at = at_s
        self.asked_at: float | None = None


class TapSummary:
    """Counts the events of a tap, given in their order."""

    def __init__(self) -> None:
        self._connections = self._broken = 0
        self._said = {side: _Counted() for side in Side}
        self._open: dict[int, _Connection] = {}
        self._clients: dict[tuple[int, str], _Client] = {}
        self._silence: Stretch | None = None
        self._answer: Stretch | None = None

    def note(self, event: TapEvent) -> None:
        """Count `event`. One of a connection whose Opened was not seen counts for nobody."""
        if type(event) is Opened:
            self._opened(event)
            return
        connection = self._open.get(event.connection)
        if connection is not None:
            self._stirred(event, connection)
        if type(event) is Said:
            self._said_more(event, connection)
        elif type(event) is Over and connection is not None:
            self._broken += bool(event.reason)
            del self._open[event.connection]

    def finish(self, at_s: float) -> Summary:
        """The numbers at that time; connections that are open have been silent until then. Counting can go on."""
        silences = [
            Stretch(number, connection.last_at, at_s - connection.last_at)
            for number, connection in self._open.items()
        ]
        if self._silence is not None:
            silences.append(self._silence)
        clients = {*self._clients.values(), *(connection.client for connection in self._open.values())}
        loudest = max(clients, key=lambda client: (client.bytes, client.messages), default=None)
        return Summary(
            seconds=at_s,
            connections=self._connections,
            broken=self._broken,
            still_open=len(self._open),
            client=_spoken(self._said[Side.CLIENT]),
            server=_spoken(self._said[Side.SERVER]),
            longest_silence=max(silences, key=lambda silence: silence.seconds, default=None),
            slowest_answer=self._answer,
            most_talkative=loudest.talker() if loudest is not None and loudest.messages else None,
        )

    def _opened(self, event: Opened) -> None:
        key = (event.peer.uid, event.command)
        client = self._clients.get(key)
        if client is None:
            client = _Client(event)
            if len(self._clients) >= MOST_TALKERS:
                self._forget_the_quiet()
            self._clients[key] = client
        elif client.opened.peer.pid != event.peer.pid:
            client.opened = _without_pid(client.opened)
        client.connections += 1
        self._connections += 1
        self._open[event.connection] = _Connection(event.at_s, client)

    def _forget_the_quiet(self) -> None:
        loudest = sorted(self._clients.items(), key=lambda item: item[1].bytes, reverse=True)
        self._clients = dict(loudest[: MOST_TALKERS // 2])

    def _stirred(self, event: TapEvent, connection: _Connection) -> None:
        silent_for = event.at_s - connection.last_at
        if self._silence is None or silent_for > self._silence.seconds:
            self._silence = Stretch(event.connection, connection.last_at, silent_for)
        connection.last_at = event.at_s

    def _said_more(self, event: Said, connection: _Connection | None) -> None:
        count = len(event.data)
        said = self._said[event.side]
        said.messages += 1
        said.bytes += count
        said.descriptors += len(event.descriptors)
        if connection is None:
            return
        if event.side is Side.CLIENT:
            connection.asked_at = event.at_s
            connection.client.messages += 1
            connection.client.bytes += count
        elif connection.asked_at is not None:
            waited = event.at_s - connection.asked_at
            if self._answer is None or waited > self._answer.seconds:
                self._answer = Stretch(event.connection, connection.asked_at, waited)
            connection.asked_at = None


def _spoken(said: _Counted) -> Spoken:
    return Spoken(said.messages, said.bytes, said.descriptors)


def _without_pid(opened: Opened) -> Opened:
    return opened._replace(peer=replace(opened.peer, pid=None))
