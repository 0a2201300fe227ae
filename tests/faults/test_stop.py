"""The end of `serve`: by signals, in any state, and because nobody reads its STDOUT any more. Rows 11, 12, 32."""

from __future__ import annotations

import os
import signal
import socket
import time

import pytest
from tests.faults.running import Serve, connected, litter
from tests.faults.scale import timed
from tests.faults.users import User

STOPS = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]


@pytest.mark.parametrize("number", STOPS)
def test_signal_while_idle_ends_it_with_0_and_no_litter(user: User, place: str, number: int) -> None:
    with Serve(user, f"{place}/s") as serve:
        end = serve.stop(number)
    assert (end.status, end.out, end.err, litter(place)) == (0, b"", "", [])


@pytest.mark.parametrize("number", STOPS)
def test_signal_while_busy_writes_what_was_sent_and_ends_with_0(user: User, place: str, number: int) -> None:
    with Serve(user, f"{place}/s") as serve, connected(f"{place}/s") as client:
        client.sendall(b"1\n")
        serve.wait_for_out(lambda out: out == b"1\n")
        client.sendall(b"an unfinished")
        end = serve.stop(number)
        assert (end.status, end.out, litter(place)) == (0, b"1\nan unfinished", [])
        with pytest.raises(BrokenPipeError):
            client.send(b"too late")


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET])
def test_clients_that_wait_in_the_queue_at_the_signal_are_heard(user: User, place: str, kind: int) -> None:
    """More of them than are accepted in one turn. 20 signals while it is stopped are one: pending ones do not count."""
    path = f"{place}/s"
    word = "stream" if kind == socket.SOCK_STREAM else "seqpacket"
    with Serve(user, "--type", word, path) as serve, connected(path, kind) as busy:
        busy.sendall(b"busy\n")
        serve.wait_for_out(lambda out: out == b"busy\n")
        serve.send(signal.SIGSTOP)
        os.waitid(os.P_PID, serve.pid, os.WSTOPPED)
        waiting = [connected(path, kind) for _ in range(150)]
        for number, client in enumerate([busy, *waiting]):
            client.sendall(b"queued %d\n" % number)
        for _ in range(20):
            serve.send(signal.SIGTERM)
        serve.send(signal.SIGCONT)
        end = serve.end()
        for client in waiting:
            client.close()
    assert (end.status, litter(place)) == (0, [])
    assert sorted(end.out.splitlines()) == sorted(
        [b"busy", *(b"queued %d" % number for number in range(151))]
    )


def test_datagrams_that_wait_at_the_signal_are_heard(user: User, place: str) -> None:
    path = f"{place}/s"
    with Serve(user, "--type", "dgram", path) as serve:
        serve.send(signal.SIGSTOP)
        with connected(path, socket.SOCK_DGRAM) as client:
            for number in range(5):
                client.send(b"%d" % number)
        serve.send(signal.SIGTERM)
        serve.send(signal.SIGCONT)
        end = serve.end()
    assert (end.status, end.out, litter(place)) == (0, b"0\n1\n2\n3\n4\n", [])


def test_storm_of_signals_leaves_no_path_and_no_traceback(user: User, place: str) -> None:
    """The first one stops, another one ends at once: which of both it was is a matter of luck here."""
    with Serve(user, f"{place}/s") as serve, connected(f"{place}/s") as client:
        client.sendall(b"half")
        for _ in range(20):
            serve.send(signal.SIGTERM)
        end = serve.end()
    said = {0: "", -signal.SIGTERM: "afunix: error: 4 bytes could not be handed on before the end\n"}
    assert end.err in ("", said[end.status])
    assert litter(place) == []


def test_second_signal_ends_a_stop_that_waits_for_a_reader(user: User, place: str) -> None:
    out_read, out_write = os.pipe()
    with Serve(user, f"{place}/s", stdout=out_write) as serve, connected(f"{place}/s") as client:
        fill(client)
        serve.send(signal.SIGTERM)
        serve.wait_stopping()
        assert serve.stop(signal.SIGTERM).status == -signal.SIGTERM
    os.close(out_write)
    os.close(out_read)
    assert litter(place) == []


def fill(client: socket.socket) -> int:
    """Send whole lines until nothing moves any more; how many bytes."""
    client.settimeout(0.5)
    sent = 0
    try:
        while True:
            sent += client.send((b"x" * 99 + b"\n") * 100)
    except TimeoutError:
        return sent


def test_stop_with_a_stdout_that_nobody_reads_is_status_8_with_what_was_lost(user: User, place: str) -> None:
    out_read, out_write = os.pipe()
    with Serve(user, f"{place}/s", stdout=out_write) as serve, connected(f"{place}/s") as client:
        sent = fill(client)
        end = serve.stop()
        os.close(out_write)
        with open(out_read, "rb") as reader:
            written = len(reader.read())
    assert (end.status, litter(place)) == (8, [])
    assert f"{sent - written} bytes could not be handed on" in end.err


def test_reader_that_leaves_ends_an_idle_serve_by_sigpipe(user: User, place: str) -> None:
    """`serve | head -c 10`: nothing is sent afterwards."""
    out_read, out_write = os.pipe()
    with Serve(user, f"{place}/s", stdout=out_write) as serve, connected(f"{place}/s") as client:
        os.close(out_write)
        client.sendall(b"0123456789")
        client.sendall(b"\n")
        assert os.read(out_read, 10) == b"0123456789"
        os.close(out_read)
        end = serve.end()
    assert (end.status, end.err, litter(place)) == (-signal.SIGPIPE, "", [])


def test_reader_that_leaves_in_the_middle_of_a_flood_ends_it_by_sigpipe(user: User, place: str) -> None:
    out_read, out_write = os.pipe()
    with Serve(user, f"{place}/s", stdout=out_write) as serve, connected(f"{place}/s") as client:
        os.close(out_write)
        fill(client)
        os.close(out_read)
        end = serve.end()
    assert (end.status, end.err, litter(place)) == (-signal.SIGPIPE, "", [])


def test_reader_that_leaves_a_socket_or_terminal_ends_it_too(user: User, place: str) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, Serve(user, f"{place}/s", stdout=theirs.fileno()) as serve:
        theirs.close()
        ours.close()
        assert serve.end().status == -signal.SIGPIPE
    controller, terminal = os.openpty()
    with Serve(user, f"{place}/s", stdout=terminal) as serve:
        os.close(terminal)
        os.close(controller)
        assert serve.end().status != 0
    assert litter(place) == []


@timed
def test_reader_that_leaves_is_noticed_within_a_second(user: User, place: str) -> None:
    out_read, out_write = os.pipe()
    with Serve(user, f"{place}/s", stdout=out_write) as serve:
        os.close(out_write)
        before = time.monotonic()
        os.close(out_read)
        serve.end()
    assert time.monotonic() - before < 1.0


@timed
def test_stop_with_a_thousand_clients_takes_less_than_a_second(user: User, place: str) -> None:
    with Serve(user, f"{place}/s") as serve:
        clients = [connected(f"{place}/s") for _ in range(1000)]
        for client in clients:
            client.sendall(b"line\nhalf\n"[:7])
        before = time.monotonic()
        end = serve.stop()
        took = time.monotonic() - before
        for client in clients:
            client.close()
    assert end.status == 0
    assert end.out.count(b"line\n") == 1000
    assert took < 1.0
