"""Descriptors through a relay, with programs that pass them; and that nobody misses them without being told."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing

import pytest
from tests.faults.running import Relay
from tests.faults.users import User
from tests.peers import require
from tests.program import PATIENCE_S, environment
from tests.relaying import relaying
from tests.sharing import can_refuse

EXAMPLE = os.path.join(os.path.dirname(__file__), "..", "..", "examples", "pass_descriptor.py")


@pytest.fixture
def server(sock_dir: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"{sock_dir}/s")
        sock.listen()
        sock.settimeout(PATIENCE_S)
        yield sock


def connect(path: str, kind: int = socket.SOCK_STREAM) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, kind)
    sock.settimeout(PATIENCE_S)
    sock.connect(path)
    return sock


def test_the_example_gives_a_file_through_a_relay(sock_dir: str) -> None:
    with open(f"{sock_dir}/file", "wb") as file:
        file.write(b"what is in it\n")
    giving = subprocess.Popen(
        [sys.executable, EXAMPLE, "give", f"{sock_dir}/file", f"{sock_dir}/s"], env=environment()
    )
    try:
        with relaying(f"{sock_dir}/r", f"{sock_dir}/s", pass_fds=True, wait=PATIENCE_S):
            taken = subprocess.run(
                [sys.executable, EXAMPLE, "take", f"{sock_dir}/r"],
                env=environment(),
                capture_output=True,
                timeout=PATIENCE_S,
            )
        assert taken.stdout == b"what is in it\n", taken.stderr
        assert giving.wait(PATIENCE_S) == 0
    finally:
        giving.kill()
        giving.wait()


@pytest.mark.skipif(not can_refuse(), reason="the kernel refuses descriptors since Linux 6.16")
def test_unasked_the_kernel_refuses_them_and_the_conversation_goes_on(
    sock_dir: str, server: socket.socket
) -> None:
    with (
        relaying(f"{sock_dir}/r", f"{sock_dir}/s"),
        connect(f"{sock_dir}/r") as client,
        server.accept()[0] as upstream,
    ):
        for end in (client, upstream):
            with pytest.raises(PermissionError):
                socket.send_fds(end, [b"x"], [0])
        client.send(b"hello")
        assert upstream.recv(10) == b"hello"


OLD = {"AFUNIX_FORCE_FALLBACK": "passrights"}


@pytest.mark.parametrize("is_traced", [False, True])
@pytest.mark.parametrize("from_client", [True, False])
def test_where_the_kernel_refuses_none_the_connection_ends_and_that_is_said(
    sock_dir: str, server: socket.socket, from_client: bool, is_traced: bool
) -> None:
    with relaying(f"{sock_dir}/r", f"{sock_dir}/s", env=OLD, is_traced=is_traced) as relay:
        with connect(f"{sock_dir}/r") as client, server.accept()[0] as upstream:
            upstream.settimeout(PATIENCE_S)
            client.send(b"before")
            assert upstream.recv(100) == b"before"
            sender, receiver = (client, upstream) if from_client else (upstream, client)
            socket.send_fds(sender, [b"with one"], [0])
            assert receiver.recv(100) == b""
            with pytest.raises(ConnectionResetError):  # it was not taken
                sender.recv(100)
        assert "descriptors were sent, and none are passed on" in relay.stop()


def test_records_with_unwanted_descriptors_end_the_connection_too(sock_dir: str) -> None:
    number = socket.SOCK_SEQPACKET
    with socket.socket(socket.AF_UNIX, number) as server:
        server.bind(f"{sock_dir}/s")
        server.listen()
        with relaying(f"{sock_dir}/r", f"{sock_dir}/s", env=OLD, socket_type="seqpacket") as relay:
            with connect(f"{sock_dir}/r", number) as client, server.accept()[0] as upstream:
                socket.send_fds(client, [b"with one"], [0])
                assert upstream.recv(100) == b""
            assert "descriptors were sent, and none are passed on" in relay.stop()


def test_records_and_their_descriptors_pass_both_ways(sock_dir: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        server.bind(f"{sock_dir}/s")
        server.listen()
        with (
            relaying(f"{sock_dir}/r", f"{sock_dir}/s", socket_type="seqpacket", pass_fds=True),
            connect(f"{sock_dir}/r", socket.SOCK_SEQPACKET) as client,
            server.accept()[0] as upstream,
        ):
            for sender, receiver in ((client, upstream), (upstream, client)):
                sender.send(b"one")
                sender.send(b"")
                socket.send_fds(sender, [b"two"], [0, 1])
                assert (receiver.recv(10), receiver.recv(10)) == (b"one", b"")
                data, fds, _, _ = socket.recv_fds(receiver, 10, 5)
                for fd in fds:
                    os.close(fd)
                assert (data, len(fds)) == (b"two", 2)


def test_datagrams_are_answered_through_a_relay(sock_dir: str) -> None:
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client,
    ):
        for sock, name in ((server, "s"), (client, "c")):
            sock.bind(f"{sock_dir}/{name}")
            sock.settimeout(PATIENCE_S)
        with relaying(f"{sock_dir}/r", f"{sock_dir}/s", socket_type="dgram"):
            client.sendto(b"ask", f"{sock_dir}/r")
            data, name = server.recvfrom(10)
            server.sendto(data + b" and answer", name)
            assert client.recv(100) == b"ask and answer"


# D-Bus, https://dbus.freedesktop.org/doc/dbus-specification.html


class Bus:
    """A client of a D-Bus daemon that has agreed to be sent descriptors; `name` is its own there."""

    def __init__(self, path: str, uid: int) -> None:
        """`uid` is who the daemon sees: the relay's user."""
        self.socket = connect(path)
        self._serial = 0
        self.socket.sendall(b"\0AUTH EXTERNAL " + str(uid).encode().hex().encode() + b"\r\n")
        assert self._line().startswith(b"OK ")
        self.socket.sendall(b"NEGOTIATE_UNIX_FD\r\n")
        assert self._line() == b"AGREE_UNIX_FD\r\n"
        self.socket.sendall(b"BEGIN\r\n")
        self.call("org.freedesktop.DBus", "/org/freedesktop/DBus", "Hello")
        body, _ = self.receive(kind=2)
        self.name = body[4:-1].decode()

    def _line(self) -> bytes:
        line = b""
        while not line.endswith(b"\r\n"):
            line += self.socket.recv(1)
        return line

    def call(self, to: str, path: str, member: str, fd: int | None = None) -> None:
        """A method call; with `fd` that descriptor is its argument."""
        self._serial += 1
        fields = [(1, b"o", _string(path)), (2, b"s", _string("org.freedesktop.DBus"))]
        fields += [(3, b"s", _string(member)), (6, b"s", _string(to))]
        body = b""
        if fd is not None:
            fields += [(8, b"g", b"\x01h\0"), (9, b"u", struct.pack("<I", 1))]
            body = struct.pack("<I", 0)
        packed = b""
        for code, signature, value in fields:
            packed = _aligned(packed) + bytes([code, 1]) + signature + b"\0" + value
        head = struct.pack("<BBBBIII", ord("l"), 1, 0, 1, len(body), self._serial, len(packed))
        message = head + _aligned(packed) + body
        if fd is None:
            self.socket.sendall(message)
        else:
            socket.send_fds(self.socket, [message], [fd])

    def receive(self, kind: int) -> tuple[bytes, list[int]]:
        """The body of the next message of that kind, and its descriptors. Each is read exactly, as libdbus does."""
        while True:
            fds: list[int] = []
            head = self._exactly(16, fds)
            body_length, _, fields_length = struct.unpack("<III", head[4:])
            self._exactly(-(-fields_length // 8) * 8, fds)
            body = self._exactly(body_length, fds)
            if head[1] == kind:
                return body, fds
            for fd in fds:
                os.close(fd)

    def _exactly(self, count: int, fds: list[int]) -> bytes:
        data = b""
        while len(data) < count:
            part, more, _, _ = socket.recv_fds(self.socket, count - len(data), 16)
            assert part, "the daemon has closed the connection"
            data += part
            fds += more
        return data

    def close(self) -> None:
        self.socket.close()


def _string(text: str) -> bytes:
    return struct.pack("<I", len(text)) + text.encode() + b"\0"


def _aligned(data: bytes) -> bytes:
    return data + bytes(-len(data) % 8)


@pytest.fixture
def bus(place: str) -> Iterator[str]:
    """Open to every user; where it listens."""
    config = f"{place}/bus.conf"
    with open(config, "w") as file:
        file.write(
            f"<busconfig><type>session</type><listen>unix:path={place}/bus</listen><auth>EXTERNAL</auth>"
            '<policy context="default"><allow user="*"/><allow own="*"/>'
            '<allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/></policy></busconfig>'
        )
    daemon = subprocess.Popen(
        [require("dbus-daemon"), f"--config-file={config}", "--nofork", "--print-address"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert daemon.stdout is not None and daemon.stdout.readline()
        yield f"{place}/bus"
    finally:
        daemon.terminate()
        daemon.communicate(timeout=PATIENCE_S)


def test_dbus_passes_a_descriptor_between_two_clients_behind_a_relay(
    user: User, place: str, bus: str
) -> None:
    with Relay(user, "-q", "--pass-fds", f"{place}/r", bus) as relay:
        reading, writing = os.pipe()
        with (
            closing(Bus(f"{place}/r", user.uid)) as giver,
            closing(Bus(f"{place}/r", user.uid)) as taker,
        ):
            for _ in range(20):
                giver.call(
                    "org.freedesktop.DBus", "/org/freedesktop/DBus", "GetId"
                )  # plain bytes before them
                giver.call(taker.name, "/", "Take", reading)
                _, fds = taker.receive(kind=1)
                assert [os.fstat(fd).st_ino for fd in fds] == [os.fstat(reading).st_ino]
                os.close(fds[0])
        os.close(reading)
        os.close(writing)
        end = relay.stop()
    assert (end.status, end.err) == (0, "")
