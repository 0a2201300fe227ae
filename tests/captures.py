"""Recordings read back: a pcapng reader of a few lines that checks what it reads, and tshark.

`read_capture` fails on a wrong length, order or checksum, so whatever a test reads with it is valid.
"""

from __future__ import annotations

import struct
import subprocess
from dataclasses import dataclass, field

from tests.peers import require

from afunix.formats.pcapng import CLIENT_PORTS, FIRST_CLIENT_PORT
from afunix.model.credentials import PeerCredentials
from afunix.model.tapped import Beginning, Opened, Over, Said, SaidAll, Side, TapEvent

BEGAN_NS = 1_700_000_000_123_456_789
ANA = PeerCredentials(4121, 1000, 100)
C, S = Side.CLIENT, Side.SERVER
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
_RAW = 101


def beginning(path: str = "/run/app.sock") -> Beginning:
    return Beginning(path, "stream", BEGAN_NS)


def opened(connection: int = 1, user: str = "ana", command: str = "curl") -> Opened:
    return Opened(connection, 0.5, ANA, user, command)


def conversation(*said: tuple[Side, bytes], connection: int = 1) -> list[TapEvent]:
    """An orderly one, a tenth of a second between two messages."""
    talk = [Said(connection, 1 + i / 10, side, data) for i, (side, data) in enumerate(said)]
    ends = [SaidAll(connection, 60.0, side) for side in Side]
    return [opened(connection), *talk, *ends, Over(connection, 60.5)]


@dataclass(frozen=True)
class Packet:
    """A TCP packet of a capture: its time, its two ends (address, port), and what it says."""

    time_ns: int
    source: tuple[int, int]
    target: tuple[int, int]
    sequence: int
    acknowledged: int
    flags: int
    data: bytes
    comment: str


@dataclass
class Capture:
    """All of a file. `about` has the options of its two first blocks by number."""

    packets: list[Packet] = field(default_factory=list)
    about: dict[int, bytes] = field(default_factory=dict)

    def streams(self) -> dict[tuple[int, Side], bytes]:
        """What each side of each connection said, by the number that its client's port tells. A gap fails."""
        said: dict[tuple[int, Side], bytes] = {}
        expected: dict[tuple[tuple[int, int], tuple[int, int]], int] = {}
        for packet in self.packets:
            way = packet.source, packet.target
            assert expected.get(way, packet.sequence) == packet.sequence, "a gap"
            is_syn, is_fin = bool(packet.flags & SYN), bool(packet.flags & FIN)
            data = b"" if is_syn else packet.data
            expected[way] = (packet.sequence + len(data) + is_syn + is_fin) % 2**32
            if packet.flags & ACK:
                assert packet.acknowledged == expected.get(way[::-1], packet.acknowledged)
            if data:
                name = self._name(packet)
                said[name] = said.get(name, b"") + data
        return said

    @staticmethod
    def _name(packet: Packet) -> tuple[int, Side]:
        side = C if packet.source[1] >= FIRST_CLIENT_PORT else S
        address, port = packet.source if side is C else packet.target
        return (address - 0x7F000001) * CLIENT_PORTS + port - FIRST_CLIENT_PORT + 1, side


def read_capture(data: bytes) -> Capture:
    """What is in the file. Every length, padding and checksum is checked."""
    capture, position, kinds = Capture(), 0, []
    while position < len(data):
        kind, length = struct.unpack_from(">II", data, position)
        assert length % 4 == 0
        assert data[position + length - 4 : position + length] == struct.pack(">I", length), "a torn block"
        _read_block(capture, kind, data[position + 8 : position + length - 4])
        kinds.append(kind)
        position += length
    assert kinds[:2] == [0x0A0D0D0A, 1]
    assert {*kinds[2:]} <= {6}
    return capture


def _read_block(capture: Capture, kind: int, body: bytes) -> None:
    if kind == 6:
        capture.packets.append(_read_packet(body))
    elif kind == 1:
        assert struct.unpack_from(">HHI", body) == (_RAW, 0, 0)
        capture.about |= _options(body[8:])
    else:
        assert body[:8] == bytes.fromhex("1A2B3C4D00010000")
        capture.about |= _options(body[16:])


def _options(body: bytes) -> dict[int, bytes]:
    found, position = {}, 0
    while position < len(body):
        code, length = struct.unpack_from(">HH", body, position)
        found[code] = body[position + 4 : position + 4 + length]
        position += 4 + length + -length % 4
    assert position == len(body)
    return found


def _read_packet(body: bytes) -> Packet:
    interface, time_ns, kept, size = struct.unpack_from(">IQII", body)
    assert (interface, kept) == (0, size)
    packet = body[20 : 20 + size]
    assert (packet[0], struct.unpack_from(">H", packet, 2)[0], packet[9]) == (0x45, size, 6)
    assert _folded(packet[:20]) == 0xFFFF, "the checksum of IP"
    pseudo = packet[12:20] + struct.pack(">HH", 6, size - 20)
    assert _folded(pseudo + packet[20:]) == 0xFFFF, "the checksum of TCP"
    source, target = struct.unpack_from(">II", packet, 12)
    source_port, target_port, sequence, acknowledged, words = struct.unpack_from(">HHIIH", packet, 20)
    comment = _options(body[20 + size + -size % 4 :]).get(1, b"").decode("utf-8")
    return Packet(
        *(time_ns, (source, source_port), (target, target_port), sequence, acknowledged),
        *(words & 0x3F, packet[20 + (words >> 12) * 4 :], comment),
    )


def _folded(data: bytes) -> int:
    """RFC 1071, word by word."""
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def tshark(path: str, *args: str) -> str:
    """What tshark prints of the file; it has checked every checksum, and complains about nothing that it finds cut."""
    checks = ["-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE"]
    done = subprocess.run(
        [require("tshark"), "-n", *checks, "-r", path, *args], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "cut short" not in done.stderr, done.stderr
    return done.stdout


def complaints(path: str) -> str:
    """What tshark's experts have against the file: a gap, a retransmission, a wrong checksum; "" as it has to be."""
    return tshark(path, "-Y", "tcp.analysis.flags || tcp.checksum.status == Bad || ip.checksum.status == Bad")


def follow(path: str, stream: int = 0) -> tuple[bytes, bytes]:
    """The two sides of a conversation, client first, as "follow stream" has them."""
    lines = tshark(path, "-q", "-z", f"follow,tcp,raw,{stream}").splitlines()
    body = [line for line in lines if line.strip() and all(c in "0123456789abcdef\t" for c in line)]
    sides = [b"", b""]
    for line in body:
        sides[line.startswith("\t")] += bytes.fromhex(line.strip())
    return sides[0], sides[1]
