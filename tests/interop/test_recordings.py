"""Recordings of real conversations in tshark: followed, they are what was said; decoded, they are what was meant."""

from __future__ import annotations

import http.server
import os
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator

import pytest
from tests.captures import C, S, beginning, complaints, follow, opened, tshark
from tests.faults.users import USERS
from tests.interop.programs import connect
from tests.interop.test_databases import (
    TERMINATE,
    Cluster,
    command,
    postgres,
    query,
    redis,
    service_dir,
    startup,
)
from tests.peers import require
from tests.program import PATIENCE_S

from afunix.formats.pcapng import Pcapng
from afunix.model.tapped import Over, Said, SaidAll, TapEvent
from afunix.sinks.recording import Recording
from afunix.sinks.recording_file import RecordingFile

__all__ = ["postgres", "redis", "service_dir"]  # fixtures

Question = tuple[bytes, Callable[[bytes], bool]]
"""What is sent, and when its answer is there; the last one's is there when the server ends."""


def never(_: bytes) -> bool:
    return False


def talk(path: str, *questions: Question) -> list[TapEvent]:
    """A real conversation with the server at `path`, as a tap tells it."""
    events: list[TapEvent] = [opened()]
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE_S)
        client.connect(path)
        for question, is_there in questions:
            client.sendall(question)
            events.append(Said(1, float(len(events)), C, question))
            answer = b""
            while not is_there(answer) and (piece := client.recv(1 << 16)):
                events.append(Said(1, float(len(events)), S, piece))
                answer += piece
    at_s = float(len(events))
    return [*events, SaidAll(1, at_s, S), SaidAll(1, at_s, C), Over(1, at_s)]


@pytest.fixture
def capture(sock_dir: str) -> Iterator[str]:
    require("tshark")
    yield f"{sock_dir}/talk.pcapng"


def record(path: str, capture: str, events: list[TapEvent]) -> None:
    """Write it, and see that tshark has nothing against it and gives every byte back."""
    recording = Recording(RecordingFile.open(capture, Pcapng(beginning(path))))
    for event in events:
        recording.record(event)
    assert recording.close().is_complete
    sides = [b"".join(e.data for e in events if isinstance(e, Said) and e.side is side) for side in (C, S)]
    assert complaints(capture) == ""
    assert follow(capture) == tuple(sides)


def fields(capture: str, which: str, *names: str) -> list[str]:
    arguments = [word for name in names for word in ("-e", name)]
    return tshark(capture, "-Y", which, "-T", "fields", *arguments).splitlines()


def test_redis_is_decoded(redis: str, capture: str) -> None:
    connect(USERS[-1], redis, stdin=b"PING\r\n")  # which waits until it listens
    value = os.urandom(200_000)
    record(
        redis,
        capture,
        talk(
            redis,
            (command(b"SET", b"k", value), lambda answer: answer == b"+OK\r\n"),
            (command(b"GET", b"k"), lambda answer: len(answer) == 200_011),
            (command(b"NONSENSE"), lambda answer: answer.endswith(b"\r\n")),
            (command(b"QUIT"), never),
        ),
    )
    assert fields(capture, "resp.string", "resp.string") == ["OK", "OK"]
    assert "unknown command" in fields(capture, "resp.error", "resp.error")[0]


def test_postgresql_is_decoded(postgres: Cluster, capture: str) -> None:
    def is_ready(answer: bytes) -> bool:
        return answer[-6:-1] == b"Z\0\0\0\x05"

    sum_of = b"SELECT sum(n) FROM generate_series(1, 9) n"
    events = talk(postgres.path, (startup(), is_ready), (query(sum_of), is_ready), (TERMINATE, never))
    record(postgres.path, capture, events)
    assert fields(capture, "pgsql.query", "pgsql.query") == [sum_of.decode()]
    assert "3435" in fields(capture, "pgsql.val.data", "pgsql.val.data")[-1]  # "45"


class _Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"hello " * 30_000
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return ""

    def log_message(self, *_: object) -> None:
        pass


def test_http_is_decoded(sock_dir: str, capture: str) -> None:
    path = f"{sock_dir}/docker.sock"
    with socketserver.UnixStreamServer(path, _Hello) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        try:
            events = talk(path, (b"GET /v1/info HTTP/1.0\r\nHost: docker\r\n\r\n", never))
        finally:
            server.shutdown()
            serving.join()
    record(path, capture, events)
    assert fields(capture, "http.request", "http.request.method", "http.request.uri") == ["GET\t/v1/info"]
    assert fields(capture, "http.response", "http.response.code", "http.file_data") != []
    assert fields(capture, "http.response", "http.content_length") == ["180000"]


def test_comments_are_shown(sock_dir: str, capture: str) -> None:
    events: list[TapEvent] = [
        opened(),
        Said(1, 1.0, C, b"x", ("/var/log/x",)),
        Over(1, 2.0, "reset by the client"),
    ]
    record("/run/app.sock", capture, events)
    comments = fields(capture, "frame.comment", "frame.comment")
    assert comments[0].startswith("connection 1 to '/run/app.sock': curl, pid 4121, user ana")
    assert comments[1:] == ["with a descriptor: /var/log/x", "reset by the client"]


def test_many_connections_are_as_many_streams(capture: str) -> None:
    events: list[TapEvent] = []
    for number in range(1, 101):
        events += [opened(number), Said(number, 1.0, C, b"%d" % number)]
    events += [Over(number, 9.0) for number in range(1, 101)]
    recording = Recording(RecordingFile.open(capture, Pcapng(beginning())))
    for event in events:
        recording.record(event)
    recording.close()
    assert complaints(capture) == ""
    assert len(set(fields(capture, "tcp.flags.syn == 1", "tcp.stream"))) == 100
    assert follow(capture, 41) == (b"42", b"")


def test_four_gibibytes_of_one_side_go_round_the_sequence_numbers(capture: str) -> None:
    """Without writing them: the numbers are set to shortly before their end."""
    form = Pcapng(beginning())
    form.render(opened())
    form._clients[1].sequence = form._servers[1].sequence = 2**32 - 70_000
    first = form.header() + form.render(Said(1, 1.0, C, b"a" * 50_000)) + form.render(Said(1, 1.0, S, b"b"))
    with open(capture, "wb") as file:
        file.write(first + form.render(Said(1, 2.0, C, b"c" * 50_000)) + form.render(Over(1, 3.0)))
    assert complaints(capture) == ""
    assert follow(capture) == (b"a" * 50_000 + b"c" * 50_000, b"b")
