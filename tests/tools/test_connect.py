"""The work of `connect` in this process: settings in, a result or the error out, events to the observer."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from tests.servers import datagram_socket, echo, read_all, serving

from afunix.model import events
from afunix.model.address import Address
from afunix.model.errors import AddressError, BrokenStreamError, OutputError, TimedOutError
from afunix.model.lifecycle import Call, State, advance
from afunix.tools.connect import ConnectResult, ConnectSettings, run


class Ends:
    """Pipes as STDIN and STDOUT: `question` is what is typed, `answer()` what came out."""

    def __init__(self) -> None:
        self.stdin, self._typing = os.pipe()
        self._shown, self.stdout = os.pipe()

    def type(self, data: bytes) -> None:
        os.write(self._typing, data)

    def end_typing(self) -> None:
        if self._typing >= 0:
            os.close(self._typing)
        self._typing = -1

    def answer(self) -> bytes:
        os.set_blocking(self._shown, False)
        try:
            return os.read(self._shown, 1 << 20)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        self.end_typing()
        for fd in (self.stdin, self._shown, self.stdout):
            os.close(fd)


@pytest.fixture
def ends() -> Iterator[Ends]:
    ends = Ends()
    yield ends
    ends.close()


def settings(path: str, ends: Ends, **options: Any) -> ConnectSettings:
    return ConnectSettings(Address.parse(path), stdin=ends.stdin, stdout=ends.stdout, **options)


def test_result_counts_what_came_and_went(sock_dir: str, ends: Ends) -> None:
    ends.type(b"hello")
    ends.end_typing()
    with serving(f"{sock_dir}/s", echo):
        assert run(settings(f"{sock_dir}/s", ends)) == ConnectResult(5, 5)
    assert ends.answer() == b"hello"


def test_events_are_a_path_through_the_life_cycle(sock_dir: str, ends: Ends) -> None:
    calls = {
        events.Created: Call.SOCKET,
        events.Connected: Call.CONNECT,
        events.BytesRead: Call.READ,
        events.BytesWritten: Call.WRITE,
        events.HalfClosed: Call.SHUTDOWN,
        events.Closed: Call.CLOSE,
    }
    seen: list[events.Event] = []
    ends.type(b"hello")
    ends.end_typing()
    with serving(f"{sock_dir}/s", echo):
        run(settings(f"{sock_dir}/s", ends), observer=seen.append)
    state = State.ABSENT
    for event in seen:
        state = advance(state, calls[type(event)])
    assert state is State.CLOSED
    assert {type(event) for event in seen} == calls.keys()


def test_what_was_not_delivered_is_the_error(sock_dir: str, ends: Ends) -> None:
    ends.type(b"never read")
    with serving(f"{sock_dir}/s", lambda connection: None), pytest.raises(BrokenStreamError):
        run(settings(f"{sock_dir}/s", ends))


def test_stdin_that_is_silent_loses_nothing_when_the_server_leaves(sock_dir: str, ends: Ends) -> None:
    with serving(f"{sock_dir}/s", lambda connection: connection.sendall(b"bye")):
        assert run(settings(f"{sock_dir}/s", ends)).bytes_received == 3
    assert ends.answer() == b"bye"


def test_bytes_unread_in_the_socket_count_as_lost_when_stdout_is_full(sock_dir: str, ends: Ends) -> None:
    server = serving(f"{sock_dir}/s", lambda connection: connection.sendall(bytes(100_000)))
    with server, open("/dev/full", "wb") as full, pytest.raises(OutputError) as raised:
        run(settings(f"{sock_dir}/s", ends, receive_only=True)._replace(stdout=full.fileno()))
    assert 65_536 <= raised.value.bytes_lost <= 100_000


@pytest.mark.parametrize("escape", ["always", "never", "auto"])
def test_escaping_is_what_was_asked_for(sock_dir: str, ends: Ends, escape: str) -> None:
    with serving(f"{sock_dir}/s", lambda connection: connection.sendall(b"\x1b[2J\xff\n")):
        run(settings(f"{sock_dir}/s", ends, receive_only=True, escape=escape))
    assert ends.answer() == (b"^[[2J\\xff\n" if escape == "always" else b"\x1b[2J\xff\n")


def test_whole_timeout_bounds_connecting_too(sock_dir: str, ends: Ends) -> None:
    with pytest.raises(TimedOutError, match=r"no connection within 0\.0"):
        run(settings(f"{sock_dir}/s", ends, wait=60.0, timeout=0.05))


def test_signal_is_a_result(sock_dir: str, ends: Ends) -> None:
    def interrupt(connection: socket.socket) -> None:
        connection.sendall(b"received")
        os.kill(os.getpid(), signal.SIGTERM)
        read_all(connection)

    with serving(f"{sock_dir}/s", interrupt):
        result = run(settings(f"{sock_dir}/s", ends))
    assert (result.signal, result.bytes_received) == (signal.SIGTERM, 8)
    assert ends.answer() == b"received"


def test_signal_while_waiting_for_the_server_is_a_result(sock_dir: str, ends: Ends) -> None:
    def interrupt(event: events.Event) -> None:
        if isinstance(event, events.CallFailed):
            os.kill(os.getpid(), signal.SIGINT)

    result = run(settings(f"{sock_dir}/s", ends, wait=60.0), observer=interrupt)
    assert result == ConnectResult(signal=signal.SIGINT)


def test_datagrams_end_with_stdin_or_with_silence(sock_dir: str, ends: Ends) -> None:
    with datagram_socket(f"{sock_dir}/s") as server:
        answered = threading.Thread(target=lambda: server.sendto(b"answer", server.recvfrom(100)[1]))
        answered.start()
        ends.type(b"question\n")
        ends.end_typing()
        result = run(settings(f"{sock_dir}/s", ends, idle_timeout=0.3))
        answered.join()
    assert (result.bytes_sent, ends.answer()) == (8, b"answer\n")


def test_datagrams_to_a_server_that_left_are_an_error(sock_dir: str, ends: Ends) -> None:
    with datagram_socket(f"{sock_dir}/s") as server:
        ends.type(b"a\n")

        def leave(event: events.Event) -> None:
            if isinstance(event, events.BytesWritten):
                server.close()
                ends.type(b"b\n")

        with pytest.raises(BrokenStreamError, match="ECONNREFUSED"):
            run(settings(f"{sock_dir}/s", ends, idle_timeout=10.0), observer=leave)


def test_notes_tell_what_goes_on(sock_dir: str, ends: Ends) -> None:
    notes: list[str] = []
    ends.end_typing()
    with serving(f"{sock_dir}/s", read_all):
        run(settings(f"{sock_dir}/s", ends), note=notes.append)
    assert notes == [f"connected to '{sock_dir}/s' (stream)"]


def test_rest_of_a_file_that_grew_is_sent_to_the_next_server_in_order(sock_dir: str, ends: Ends) -> None:
    """The first server leaves before a byte is sent; then the file is large enough for a faster way."""
    has_left = threading.Event()
    with open(f"{sock_dir}/file", "w+b", buffering=0) as file:
        file.write(b"first" * 100)
        file.seek(0)

        def leave_once(connection: socket.socket) -> bytes:
            if has_left.is_set():
                return read_all(connection)
            connection.close()
            has_left.set()
            return b""

        def follow(line: str) -> None:
            assert has_left.wait(10)
            if line.endswith("again"):
                os.pwrite(file.fileno(), b"second" * 50_000, 500)

        with serving(f"{sock_dir}/s", leave_once) as server:
            asked = settings(f"{sock_dir}/s", ends, send_only=True, reconnect=True)
            run(asked._replace(stdin=file.fileno()), note=follow)
            assert server.result() == b""
            assert server.result() == b"first" * 100 + b"second" * 50_000


def test_null_records_on_a_stream_are_refused_before_a_byte_is_sent(sock_dir: str, ends: Ends) -> None:
    ends.type(b"x")
    with serving(f"{sock_dir}/s", read_all) as server:
        with pytest.raises(AddressError, match="--null is for records"):
            run(settings(f"{sock_dir}/s", ends, record_format="null"))
        assert server.result() == b""
