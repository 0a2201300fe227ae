"""One attempt a call on a datagram socket: who sent it, what came with it, what is refused."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator

import pytest
from tests.rival import Rival

from afunix.kernel.datagram_channel import DatagramChannel, ask_for_credentials, open_probe
from afunix.model import events
from afunix.model.address import Address, AddressKind
from afunix.model.errors import TruncatedError
from afunix.model.lifecycle import Call


@pytest.fixture
def told() -> list[events.Event]:
    return []


@pytest.fixture
def channel(sock_dir: str, told: list[events.Event]) -> Iterator[DatagramChannel]:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    ask_for_credentials(sock)
    sock.bind(f"{sock_dir}/here")
    channel = DatagramChannel(sock, credentials=True, observer=told.append)
    yield channel
    channel.close()


@pytest.fixture
def far(sock_dir: str, channel: DatagramChannel) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as far:
        far.bind(f"{sock_dir}/far")
        far.setblocking(False)
        far.connect(f"{sock_dir}/here")
        yield far


def test_nothing_there_yet_is_none(channel: DatagramChannel) -> None:
    assert channel.try_receive_datagram() is None


def test_a_datagram_says_who_sent_it(channel: DatagramChannel, far: socket.socket, sock_dir: str) -> None:
    far.send(b"hello")
    datagram = channel.try_receive_datagram()
    assert datagram is not None
    assert (datagram.data, datagram.sender) == (b"hello", Address.parse(f"{sock_dir}/far"))
    assert datagram.peer is not None
    assert (datagram.peer.pid, datagram.peer.uid, datagram.peer.gid) == (
        os.getpid(),
        os.getuid(),
        os.getgid(),
    )


def test_a_sender_without_a_name_is_unnamed(channel: DatagramChannel, sock_dir: str) -> None:
    sender, closed = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with sender, closed:
        sender.sendto(b"", f"{sock_dir}/here")
        datagram = channel.try_receive_datagram()
    assert datagram is not None
    assert (datagram.data, datagram.sender.kind) == (b"", AddressKind.UNNAMED)


def test_without_credentials_there_is_no_peer(far: socket.socket, channel: DatagramChannel) -> None:
    plain = DatagramChannel(channel.socket, credentials=False)
    far.send(b"x")
    datagram = plain.try_receive_datagram()
    assert datagram is not None
    assert datagram.peer is None


def test_descriptors_come_with_their_datagram_and_the_credentials(
    channel: DatagramChannel, far: socket.socket
) -> None:
    with open(os.devnull) as null:
        socket.send_fds(far, [b""], [null.fileno()] * 3)
    with pytest.raises(TruncatedError):
        channel.try_receive_datagram(max_fds=2)
    datagram = channel.try_receive_datagram(max_fds=3)
    assert datagram is not None
    with datagram:
        assert (len(datagram.fds), datagram.data) == (3, b"")
        assert not any(os.get_inheritable(fd.fileno()) for fd in datagram)
        assert datagram.peer is not None
        assert datagram.peer.pid == os.getpid()
    assert channel.descriptors_closed == 0


@pytest.mark.parametrize("count", [1, 253])
@pytest.mark.parametrize("credentials", [True, False])
def test_descriptors_nobody_asked_for_are_closed_and_counted(
    channel: DatagramChannel, far: socket.socket, count: int, credentials: bool
) -> None:
    channel.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, credentials)
    before = len(os.listdir("/proc/self/fd"))
    with open(os.devnull) as null:
        socket.send_fds(far, [b"x"], [null.fileno()] * count)
    datagram = channel.try_receive_datagram()
    assert datagram is not None
    assert channel.descriptors_closed >= 1
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_datagram_longer_than_asked_for_stays(channel: DatagramChannel, far: socket.socket) -> None:
    far.send(bytes(100))
    with pytest.raises(TruncatedError, match="100 bytes long"):
        channel.try_receive_datagram(99)
    datagram = channel.try_receive_datagram(100)
    assert datagram is not None
    assert len(datagram.data) == 100


@pytest.fixture
def shared(channel: DatagramChannel) -> DatagramChannel:
    """The same socket, and another process takes away what was looked at."""
    channel.socket = Rival.of(channel.socket)
    return channel


def send_file_of(size: int, far: socket.socket, data: bytes, times: int = 1) -> None:
    with tempfile.TemporaryFile() as file:
        file.truncate(size)
        socket.send_fds(far, [data], [file.fileno()] * times)


def test_a_datagram_is_whole_though_another_process_took_the_one_before_it(
    shared: DatagramChannel, far: socket.socket
) -> None:
    for data in (b"short", b"short", b"x" * 5000):
        far.send(data)
    received = [shared.try_receive_datagram(), shared.try_receive_datagram(5000)]
    assert [datagram and datagram.data for datagram in received] == [b"short", b"x" * 5000]


def test_descriptors_are_those_of_their_datagram_though_another_process_took_the_one_before_it(
    shared: DatagramChannel, far: socket.socket
) -> None:
    send_file_of(1, far, b"one")
    send_file_of(2, far, b"two")
    datagram = shared.try_receive_datagram(max_fds=1)
    assert datagram is not None
    with datagram:
        assert (datagram.data, [os.fstat(fd.fileno()).st_size for fd in datagram]) == (b"two", [2])


def test_a_datagram_that_took_the_place_of_the_one_looked_at_is_kept_until_enough_is_asked_for(
    shared: DatagramChannel, far: socket.socket, sock_dir: str
) -> None:
    send_file_of(1, far, b"1")
    send_file_of(2, far, b"22", times=2)
    for max_bytes, max_fds in ((None, 1), (1, 2), (1, 0)):
        with pytest.raises(TruncatedError):
            shared.try_receive_datagram(max_bytes, max_fds)
    datagram = shared.try_receive_datagram(2, 2)
    assert datagram is not None
    with datagram:
        assert (datagram.data, len(datagram.fds)) == (b"22", 2)
        assert datagram.sender == Address.parse(f"{sock_dir}/far")
        assert datagram.peer is not None
        assert datagram.peer.pid == os.getpid()
    assert shared.try_receive_datagram() is None


@pytest.mark.parametrize("is_received", [True, False])
def test_descriptors_of_a_kept_datagram_are_closed_if_nobody_asks_for_them(
    shared: DatagramChannel, far: socket.socket, is_received: bool
) -> None:
    before = len(os.listdir("/proc/self/fd"))
    send_file_of(1, far, b"1")
    send_file_of(2, far, b"22", times=2)
    with pytest.raises(TruncatedError):
        shared.try_receive_datagram(max_fds=1)
    if is_received:
        datagram = shared.try_receive_datagram()
        assert datagram is not None
        assert (datagram.data, datagram.fds, shared.descriptors_closed) == (b"22", (), 2)
    shared.close()
    assert len(os.listdir("/proc/self/fd")) == before - 1


def test_a_full_receiver_is_false_and_nothing_is_counted(channel: DatagramChannel, sock_dir: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(f"{sock_dir}/other")
        to = Address.parse(f"{sock_dir}/other")
        taken = 0
        while channel.try_send_datagram(b"12", to):
            taken += 1
        assert channel.bytes_sent == 2 * taken > 0


def test_what_happens_is_told(
    channel: DatagramChannel, far: socket.socket, told: list[events.Event], sock_dir: str
) -> None:
    far.send(b"12")
    channel.try_receive_datagram()
    channel.try_send_datagram(b"123", Address.parse(f"{sock_dir}/far"))
    with pytest.raises(FileNotFoundError):
        channel.try_send_datagram(b"", Address.parse(f"{sock_dir}/nobody"))
    assert told == [
        events.BytesRead(channel.fd, 2),
        events.BytesWritten(channel.fd, 3),
        events.CallFailed(channel.fd, Call.WRITE, 2),
    ]


def test_descriptors_are_told_with_their_datagram(
    channel: DatagramChannel, far: socket.socket, told: list[events.Event], sock_dir: str
) -> None:
    socket.send_fds(far, [b"12"], [0])
    datagram = channel.try_receive_datagram(max_fds=1)
    assert datagram is not None
    datagram.close()
    assert channel.try_send_datagram(b"3", Address.parse(f"{sock_dir}/far"), [0, 0])
    assert told == [events.DescriptorsReceived(channel.fd, 2, 1), events.DescriptorsSent(channel.fd, 1, 2)]


def test_a_probe_disturbs_nobody_and_is_none_where_nobody_is(channel: DatagramChannel, sock_dir: str) -> None:
    probe = open_probe(Address.parse(f"{sock_dir}/here"))
    assert probe is not None
    probe.close()
    assert channel.try_receive_datagram() is None
    assert open_probe(Address.parse(f"{sock_dir}/nobody")) is None
