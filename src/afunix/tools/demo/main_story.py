"""The main story of `demo`: a real server and real clients as processes of their own, and what they report.

Nothing is scripted: processes are started, their STDIN is fed, the server is told to stop; every call in the story is
one that its process made and reported. Clients are started one after the other, each when the one before was
accepted, and get their input when all are connected, so that descriptors have the same numbers in every run; with
files to send they are started at once.
"""

from __future__ import annotations

import re
import signal
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ...formats.trace import TraceFormat
from ...kernel.interrupts import Interrupts
from ...kernel.limits import require_descriptors
from ...model import events
from ...model.lifecycle import Call
from ...model.sequence import Story
from ...model.storytelling import tell
from . import held
from .company import Company, Player
from .delivery import Delivery, Outlet, open_files

ADDRESS = "hello.sock"

_PREFIX = "afunix-demo-"
_HELD = "The server is held up after listen and accept, so that others can be seen waiting."

_LEFT_OUT = (
    "Left out: the sockets are non-blocking, and each process waits in epoll or poll until there is something to do;"
    " a read that finds nothing yet (EAGAIN) is no step."
)

_DESCRIPTORS = 28
_DESCRIPTORS_OF_A_CLIENT = 3

_Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class MainStory:
    """What happened, and what came out of the server's STDOUT."""

    story: Story
    came_out: bytes


@dataclass(frozen=True, slots=True)
class SentFiles:
    """What happened, and what became of each file."""

    story: Story
    deliveries: tuple[Delivery, ...]


def tell_main_story(
    *,
    clients: int = 2,
    inside: bool = False,
    reproducible: bool = False,
    interrupts: Interrupts | None = None,
) -> MainStory:
    """Each client sends a line to one server. `inside`: the server waits in some places, so that others are seen waiting.

    Takes about 0.2 s and 0.1 s a client. Works in a temporary directory; nothing of it is left, nor any process (see
    `Company` for what holds if this process is killed).

    Raises:
        AfunixError: a process failed, with its own words, or RLIMIT_NOFILE is too low.
        OSError: no process or directory can be made.
        Interrupted: one of `interrupts` came.
    """
    require_descriptors(_descriptors(clients))
    with (
        tempfile.TemporaryDirectory(prefix=_PREFIX) as place,
        Company(place, inside, interrupts) as company,
    ):
        came_out = bytearray()
        server = _start_server(company, came_out.extend, is_held=inside)
        players = _connect_one_by_one(company, server, clients, is_held=inside)
        for number, player in enumerate(players, 1):
            _feed(player, b"hello\n" if clients == 1 else f"hello from client {number}\n".encode())
        if inside:
            for player in players:
                company.wait_for(player, events.HalfClosed)
            company.give_sign(server)
        before_stop = _end(company, server, players)
    story = tell(
        _title(clients),
        company.processes(),
        company.reports,
        words=words,
        waited_for=_waited_for(company, server, players, before_stop, one_by_one=True),
        reproducible=reproducible,
        notes=[
            *_notes(company),
            *([_HELD] if inside else []),
            *(held.notes(has_times=not reproducible) if inside else []),
        ],
    )
    return MainStory(_number_inodes(story) if reproducible else story, bytes(came_out))


def send_files(
    paths: Sequence[str], *, inside: bool = False, interrupts: Interrupts | None = None
) -> SentFiles:
    """A client for each file, all at once, to one server; what comes out is compared with what went in.

    Raises:
        AfunixError: a process failed, a path is no regular file, or RLIMIT_NOFILE is too low.
        OSError: a file cannot be read.
        Interrupted: one of `interrupts` came.
    """
    require_descriptors(_descriptors(len(paths)))
    outlet = Outlet(is_shared=len(paths) > 1)
    with open_files(paths) as files:
        with (
            tempfile.TemporaryDirectory(prefix=_PREFIX) as place,
            Company(place, inside, interrupts) as company,
        ):
            server = _start_server(company, outlet.take, as_json=outlet.is_shared)
            players = [
                company.start("connect", _name(number, len(files)), ADDRESS, stdin=file)
                for number, file in enumerate(files, 1)
            ]
            before_stop = _end(company, server, players)
        sent = zip(paths, files, players, strict=True)
        deliveries = tuple(outlet.deliver(path, file, player.pid) for path, file, player in sent)
    story = tell(
        _title(len(files), as_json=outlet.is_shared),
        company.processes(),
        company.reports,
        words=words,
        waited_for=_waited_for(company, server, players, before_stop, one_by_one=False),
        notes=[*_notes(company), *(held.notes(has_times=True) if inside else [])],
    )
    return SentFiles(story, deliveries)


def _number_inodes(story: Story) -> Story:
    """Every inode by a number that is the same in every run: 1001 and so on, as they are first told of."""
    numbers: dict[str, str] = {}

    def number(found: re.Match[str]) -> str:
        return found[1] + numbers.setdefault(found[2], str(1001 + len(numbers)))

    def renumber(line: str) -> str:
        return re.sub(r"(\binode |⇄ )(\d+)", number, line)

    steps = [replace(step, inside=tuple(map(renumber, step.inside))) for step in story.steps]
    return replace(story, steps=tuple(steps))


def words(event: events.Event) -> str | None:
    """How a step is written: as `--trace` writes it, but who was accepted is told by the arrow."""
    if isinstance(event, events.Accepted):
        return f"{Call.ACCEPT.value}({event.listener}) = {event.fd}"
    return _TRACE.line(event)


_TRACE = TraceFormat(lambda pid: None, lambda uid: None)


def _notes(company: Company) -> list[str]:
    """What the drawing leaves out, and why the first client's descriptor is not the next number."""
    accepted = next(company.events(events.Accepted))
    own = range(accepted.listener + 1, accepted.fd)
    if not own:
        return [_LEFT_OUT]
    numbers = f"{own[0]} to {own[-1]}" if len(own) > 1 else str(own[0])
    return [
        _LEFT_OUT,
        f"accept(2) gives the lowest free number: {accepted.fd}, for the server has {numbers} open for its own work"
        " (its event loop, the directory of its socket file).",
    ]


def _descriptors(clients: int) -> int:
    """Enough for the server, and for us; both have some for each client."""
    return _DESCRIPTORS + _DESCRIPTORS_OF_A_CLIENT * clients


def _title(clients: int, *, as_json: bool = False) -> str:
    return f"afunix serve {'--json ' if as_json else ''}{ADDRESS}, and " + (
        f"afunix connect {ADDRESS}" if clients == 1 else f"{clients} times afunix connect {ADDRESS}"
    )


def _name(number: int, clients: int) -> str:
    return "client" if clients == 1 else f"client {number}"


def _start_server(
    company: Company, take: Callable[[bytes], None], *, is_held: bool = False, as_json: bool = False
) -> Player:
    """It listens when this returns; `take` gets what it writes to STDOUT."""
    server = company.start(
        "serve", "server", ADDRESS, stdout=subprocess.PIPE, is_held=is_held, as_json=as_json
    )
    assert server.process.stdout is not None
    company.listen_to(server.process.stdout, take)
    company.wait_for(server, events.Listening)
    return server


def _connect_one_by_one(company: Company, server: Player, clients: int, *, is_held: bool) -> list[Player]:
    """Each is started when the one before was accepted. A held server goes on when one waits to be accepted."""
    players = []
    for number in range(1, clients + 1):
        player = company.start("connect", _name(number, clients), ADDRESS, stdin=subprocess.PIPE)
        players.append(player)
        if is_held:
            company.wait_for(player, events.Connected)
            company.give_sign(server)
        company.wait_for(server, events.Accepted, number)
    return players


def _feed(player: Player, line: bytes) -> None:
    stdin = player.process.stdin
    assert stdin is not None
    try:
        stdin.write(line)
        stdin.close()
    except BrokenPipeError:
        pass  # it has ended, and is heard about that


def _end(company: Company, server: Player, players: Sequence[Player]) -> int:
    """Wait for the clients, stop the server when it has seen them off, and wait for it.

    Returns how many reports the server had made before it was told to stop.
    """
    for player in players:
        company.wait_for_end(player)
    company.wait_for(server, events.Closed, len(players))
    before_stop = company.count(server)
    server.process.send_signal(signal.SIGTERM)
    company.wait_for_end(server)
    company.wait_until(lambda: not company.is_listening_to_streams, "the rest of what the server wrote")
    return before_stop


def _waited_for(
    company: Company, server: Player, players: Sequence[Player], before_stop: int, *, one_by_one: bool
) -> list[_Place]:
    """What was held back until something else was seen: starting a client, feeding it, stopping the server."""
    of_server = _places(company, server)
    listening = _places(company, server, events.Listening)[0]
    accepted = _places(company, server, events.Accepted)
    stop = of_server[before_stop : before_stop + 1]
    found: list[_Place] = []
    for number, player in enumerate(players):
        mine = _places(company, player)
        found.append((accepted[number - 1] if one_by_one and number else listening, mine[0]))
        found += [(mine[-1], place) for place in stop]
        if company.inside and one_by_one:
            found += [
                (shut, read)
                for shut in _places(company, player, events.HalfClosed)[:1]
                for read in _places(company, server, events.BytesRead)
            ]
        if one_by_one:
            found += [(accepted[-1], place) for place in _places(company, player, events.BytesWritten)[:1]]
    return found


def _places(company: Company, player: Player, kind: type[events.Event] = events.Event) -> list[int]:
    return [
        place
        for place, report in enumerate(company.reports)
        if report.process == player.number and isinstance(report.event, kind)
    ]
