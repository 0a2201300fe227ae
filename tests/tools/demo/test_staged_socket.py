"""Sockets on a stage: each method is one call, told as --trace tells it."""

from __future__ import annotations

import errno
import os
import signal
import socket
from collections.abc import Iterator

import pytest
from tests.tools.demo.telling import arrows, calls

from afunix.formats.trace import TraceFormat
from afunix.model import events
from afunix.model.address import Address
from afunix.model.lifecycle import Call
from afunix.tools.demo.stage import BrokenOff, Stage
from afunix.tools.demo.staged_socket import StagedSocket


@pytest.fixture
def stage() -> Iterator[Stage]:
    with Stage(reproducible=True) as stage:
        yield stage


def connected(stage: Stage) -> tuple[StagedSocket, StagedSocket, StagedSocket]:
    """A listener, its client 4 and the accepted 5."""
    server, client = stage.actor("server"), stage.actor("client")
    listener = server.socket()
    listener.bind("s")
    listener.listen(8)
    sock = client.socket()
    sock.connect("s")
    return listener, sock, listener.accept()


def told(stage: Stage) -> list[str]:
    return calls(stage.result().stories[-1])


def test_the_wording_is_that_of_trace(stage: Stage) -> None:
    with stage.scene("all calls"):
        _, sock, conversation = connected(stage)
        sock.write(b"hello\n")
        conversation.read(b"hello\n")
        sock.shut_down_sending()
        conversation.read(b"")
        sock.connect("none", expect=errno.ENOENT)
    trace = TraceFormat(lambda _: None, lambda _: None)
    path = Address.pathname("s")
    made = [
        events.Created(3, "SOCK_STREAM"),
        events.Bound(3, path),
        events.Listening(3, path, 8),
        events.Created(4, "SOCK_STREAM"),
        events.Connected(4, path),
        events.BytesWritten(4, 6),
        events.BytesRead(5, 6),
        events.HalfClosed(4, events.Direction.SENDING),
        events.BytesRead(5, 0),
        events.CallFailed(4, Call.CONNECT, errno.ENOENT, Address.pathname("none")),
        events.Closed(3, 0, 0, 0),
    ]
    texts = [line.partition(": ")[2] for line in told(stage)]
    assert texts.pop(5) == "accept(3) = 5"  # who it is, is told by getsockopt here
    assert texts[: len(made)] == [trace.line(event) for event in made]


def test_what_is_read_is_compared(stage: Stage) -> None:
    with stage.scene("read"):
        _, sock, conversation = connected(stage)
        sock.write(b"hello\n")
        conversation.read(b"good bye\n")
    assert stage.result().surprises == ("read(5) gave b'hello\\n', expected b'good bye\\n'",)


def test_a_write_without_a_reader_is_told_with_its_signal_which_has_no_effect(stage: Stage) -> None:
    signals: list[int] = []
    before = signal.signal(signal.SIGPIPE, lambda number, _: signals.append(number))
    try:
        with stage.scene("write"):
            _, sock, conversation = connected(stage)
            conversation.close()
            sock.write(b"anybody?", expect=errno.EPIPE)
    finally:
        signal.signal(signal.SIGPIPE, before)
    at = told(stage).index("client: write(4) = -1 EPIPE")
    assert told(stage)[at + 1] == "client: and the signal SIGPIPE"
    assert signals == []


def test_a_close_with_unread_bytes_is_a_reset(stage: Stage) -> None:
    with stage.scene("reset"):
        _, sock, conversation = connected(stage)
        sock.write(b"unread")
        conversation.close()
        sock.fail_to_read(errno.ECONNRESET)
    assert "client: read(4) = -1 ECONNRESET" in told(stage)
    assert arrows(stage.result().stories[0]) == ['connect(4, "s") → accept(3) = 5']


def test_clients_are_accepted_in_the_order_in_which_they_came(stage: Stage) -> None:
    with stage.scene("two"):
        server, client = stage.actor("server"), stage.actor("client")
        listener = server.socket()
        listener.bind("s")
        listener.listen(8)
        for data in (b"1", b"2"):
            sock = client.socket()
            sock.connect("s")
            sock.write(data)
        for data in (b"1", b"2"):
            listener.accept().read(data)
    assert arrows(stage.result().stories[0]) == [
        'connect(4, "s") → accept(3) = 6',
        'write(4) = 1 → read(6) = 1 ["1"]',
        'connect(5, "s") → accept(3) = 7',
        'write(5) = 1 → read(7) = 1 ["2"]',
    ]


def test_a_connected_datagram_socket_leads_to_the_mailbox(stage: Stage) -> None:
    with stage.scene("datagrams"):
        mailbox = stage.actor("server").socket("dgram")
        mailbox.bind("log")
        sock = stage.actor("client").socket("dgram")
        sock.connect("log")
        sock.write(b"one")
        mailbox.receive(9, b"one")
    assert arrows(stage.result().stories[0]) == ['write(4) = 3 → recvmsg(3) = 3 "one" ["one"]']
    assert stage.result().is_as_explained


def test_a_descriptor_that_arrives_is_close_on_exec(stage: Stage) -> None:
    with stage.scene("descriptors"):
        _, sock, conversation = connected(stage)
        sock.send_descriptor(b"F", sock)
        received = conversation.receive_descriptor(b"F")
        assert not os.get_inheritable(received.fd)
        assert os.path.samestat(os.fstat(received.fd), os.fstat(sock.fd))
    assert "server: recvmsg(5) = 1, 1 descriptor: 6" in told(stage)


def test_bytes_without_a_descriptor_break_off(stage: Stage) -> None:
    with stage.scene("descriptors"), pytest.raises(BrokenOff):
        _, sock, conversation = connected(stage)
        sock.write(b"F")
        conversation.receive_descriptor(b"F")
    assert stage.result().surprises == ("recvmsg(5) brought 0 descriptors, expected 1",)


def test_credentials_are_those_that_the_kernel_tells(stage: Stage) -> None:
    with stage.scene("credentials"):
        _, _, conversation = connected(stage)
        found = conversation.peer_credentials()
    assert (found.pid, found.uid, found.gid) == (os.getpid(), os.geteuid(), os.getegid())


def test_a_socket_that_asked_too_late_knows_no_sender(stage: Stage) -> None:
    with stage.scene("credentials"):
        _, sock, conversation = connected(stage)
        sock.write(b"early")
        conversation.ask_for_credentials()
        found = conversation.receive_credentials(b"early")
    assert found is not None and found.pid is None


def test_names_are_those_that_the_kernel_tells(stage: Stage) -> None:
    with stage.scene("names"):
        listener, sock, conversation = connected(stage)
        assert (listener.own_address(), conversation.peer_name(), sock.peer_name()) == ("s", '""', '"s"')
    assert 'client: getpeername(4) = "s"' in told(stage)


def test_no_call_on_a_staged_socket_waits_for_ever(stage: Stage) -> None:
    with stage.scene("limits"):
        for sock in connected(stage):
            for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
                assert any(sock.sock.getsockopt(socket.SOL_SOCKET, option, 16))


def test_what_a_read_got_is_written_down_where_it_is_wanted(stage: Stage) -> None:
    with stage.scene("read"):
        _, sock, conversation = connected(stage)
        sock.write(b"hello")
        conversation.read(b"hell", max_bytes=4, is_shown=True)
        conversation.read(b"o")
    assert told(stage)[-5:-3] == ['server: read(5) = 4 "hell"', "server: read(5) = 1"]


def test_a_tcp_socket_knows_nobody_and_that_is_what_the_kernel_says(stage: Stage) -> None:
    with stage.scene("TCP"):
        server, client = stage.actor("server"), stage.actor("client")
        listener = server.socket(family=socket.AF_INET)
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        client.socket(family=socket.AF_INET).connect(listener.own_address())
        listener.accept().peer_credentials()
    assert "server: getsockopt(5, SO_PEERCRED) = pid 0 uid -1 gid -1  (nobody known)" in told(stage)


def test_a_connect_that_goes_on_leads_from_its_end_to_the_accept(stage: Stage) -> None:
    with stage.scene("TCP"):
        server, client = stage.actor("server"), stage.actor("client")
        listener = server.socket(family=socket.AF_INET)
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        sock = client.socket(family=socket.AF_INET, non_blocking=True)
        sock.connect(listener.own_address(), expect=errno.EINPROGRESS)
        sock.is_writable(1000, True)
        sock.let_block()
        assert os.get_blocking(sock.fd)
        listener.accept()
    assert arrows(stage.result().stories[0]) == ["poll(4, POLLOUT, 1000 ms) = 1 → accept(3) = 5"]
    assert stage.result().is_as_explained
