"""What a tap sees as a pcapng file: each connection becomes a TCP conversation that Wireshark can follow and decode.

Nothing of TCP was ever on a wire: handshake, sequence numbers, acknowledgements and checksums are made up, and right, so
that no reader has anything to complain about. What TCP has no place for is in comments: who the client is, which
descriptors came with the bytes, why it ended. Sequence numbers go on over what was not kept, so a reader sees the gap.
All of the file is big-endian, as its packets are: block and headers are one `struct`. draft-ietf-opsawg-pcapng, RFC 9293.
What becomes of the bytes is no question for this file; `sinks.recording_file` writes them.
"""

from __future__ import annotations

import struct

from ..model.credentials import PeerCredentials
from ..model.escaping import escape, quote
from ..model.tapped import RESETS, Beginning, Opened, Over, Said, SaidAll, Side, TapEvent
from .likely_port import likely_port

MAX_SEGMENT = 0xFFFF - 40
"""What an IPv4 packet can hold after its header and that of TCP."""

FIRST_CLIENT_PORT = 50001
"""Connection 1 has it, connection 2 the next. No decoder is known by any number of the range."""

CLIENT_PORTS = 6000
"""After so many the ports begin again, at the next address: the pair of both is a connection's alone."""

FIRST_SEQUENCE = 1_000_000_000
"""So that the number of a byte can be read off: 1000000001 is the first one of either side."""

_LOCALHOST = 0x7F000001
_LINKTYPE_RAW = 101
_SEQUENCE_MASK = 0xFFFF_FFFF
_SEGMENTS_PER_ACK = 32
"""Of one side only, without a word of the other: readers hold what is not acknowledged in memory."""

_HEADER_WORDS = 0x5000  # the TCP header's length, above its flags
_FIN, _SYN, _RST, _PSH, _ACK = 0x01, 0x02, 0x04, 0x08, 0x10
_PLAIN = _HEADER_WORDS | _ACK
_PUSHED = _PLAIN | _PSH
_SYN_OPTIONS = struct.pack(">BBHBBBB", 2, 4, MAX_SEGMENT, 3, 3, 14, 1)  # segment size; window × 2^14; padding
_SYN_HEADER_WORDS = 0x7000
_WINDOW = 0xFFFF

_PACKET = struct.Struct(">III QII HH6sH12s IIHHHH").pack
"""Enhanced packet block (length, interface, time, lengths), IPv4 header, TCP header: 28 + 20 + 20 bytes."""

_IP_CONSTANTS = b"\0\0\x40\0\x40\x06"  # identification, do not fragment, time to live, TCP
_IP_SUM = 0x4500 + 0x4000 + 0x4006
_BLOCK_BYTES = 28 + 4  # around a packet
_LENGTH = struct.Struct(">I").pack
_PADDED_LENGTH = tuple(struct.Struct(f">{-size % 4}xI").pack for size in range(4))
_MAX_OPTION = 60_000
_LONG = 1024  # from here on a copy saved is worth more than a call

_from_bytes = int.from_bytes
_CLIENT = Side.CLIENT

_FOLDS = tuple((240 * count, (1 << 240 * count) - 1) for count in (1096, 550, 276, 140, 70, 36))
"""Halvings of a full segment: 240 bits are whole words of a checksum and whole digits of Python's integers."""


class Pcapng:
    """Events to blocks; knows the sequence numbers of the connections that are not over yet, and nothing else."""

    def __init__(self, beginning: Beginning, *, port: int | None = None) -> None:
        """`port` is the server's, which decides how readers decode; by default `likely_port` of the path."""
        self._beginning = beginning
        self._began_ns = beginning.began_ns
        self._port = likely_port(beginning.path) if port is None else port
        self._clients: dict[int, _Flow] = {}
        self._servers: dict[int, _Flow] = {}

    def header(self) -> bytes:
        """What the file begins with: the section and the one interface. Without any event it is a valid file."""
        path = escape(self._beginning.path)
        about = f"afunix tap of '{path}', a {self._beginning.socket_type} socket; its TCP is synthesized"
        section = struct.pack(">IHHq", 0x1A2B3C4D, 1, 0, -1) + _option(1, about) + _option(4, "afunix tap")
        interface = struct.pack(">HHI", _LINKTYPE_RAW, 0, 0) + _option(2, path)
        interface += struct.pack(">HHBxxx", 9, 1, 9)  # times are in nanoseconds
        return _block(0x0A0D0D0A, section) + _block(1, interface)

    def render(self, event: TapEvent) -> bytes:
        """The blocks of `event`, whole; b"" if there is nothing to say. A connection that is over is forgotten."""
        if type(event) is Said:
            return self._said(event)
        if type(event) is Opened:
            return self._opened(event)
        if type(event) is SaidAll:
            return self._said_all(event)
        assert type(event) is Over
        return self._over(event)

    def _opened(self, event: Opened) -> bytes:
        client = self._start(event.connection)
        server, at_ns = client.peer, self._time(event.at_s)
        syn = client.packet(at_ns, _SYN_HEADER_WORDS | _SYN, _SYN_OPTIONS, _comment(self._introduce(event)))
        client.advance(1)
        answer = server.packet(at_ns, _SYN_HEADER_WORDS | _SYN | _ACK, _SYN_OPTIONS)
        server.advance(1)
        return syn + answer + client.packet(at_ns, _PLAIN)

    def _start(self, connection: int) -> _Flow:
        address, port = divmod(connection - 1, CLIENT_PORTS)
        client_end = struct.pack(">I", _LOCALHOST + address), struct.pack(">H", FIRST_CLIENT_PORT + port)
        server_end = struct.pack(">I", _LOCALHOST), struct.pack(">H", self._port)
        client, server = _Flow(client_end, server_end), _Flow(server_end, client_end)
        client.peer, server.peer = server, client
        self._clients[connection], self._servers[connection] = client, server
        return client

    def _introduce(self, event: Opened) -> str:
        names = f"connection {event.connection} to {quote(self._beginning.path)}"
        return f"{names}: {describe_client(event.peer, event.user, event.command)}"

    def _said(self, event: Said) -> bytes:
        flow = (self._clients if event.side is _CLIENT else self._servers).get(event.connection)
        if flow is None:
            flow = self._missed_start(event)
        data, at_ns = event.data, self._began_ns + int(event.at_s * 1e9)
        comment = _comment(_describe_descriptors(event.descriptors)) if event.descriptors else b""
        if len(data) > MAX_SEGMENT:
            return flow.long_message(at_ns, data, comment)
        blocks = flow.packet(at_ns, _PUSHED, data, comment)
        flow.sequence = (flow.sequence + len(data)) & _SEQUENCE_MASK
        flow.unacknowledged += 1
        flow.peer.unacknowledged = 0
        return blocks if flow.unacknowledged < _SEGMENTS_PER_ACK else blocks + flow.acknowledge(at_ns)

    def _missed_start(self, event: Said | SaidAll) -> _Flow:
        """Whoever listens from the middle on is heard; only the handshake and the introduction are missing."""
        client = self._start(event.connection)
        return client if event.side is _CLIENT else client.peer

    def _said_all(self, event: SaidAll) -> bytes:
        flow = (self._clients if event.side is _CLIENT else self._servers).get(event.connection)
        return (flow or self._missed_start(event)).end(self._time(event.at_s))

    def _over(self, event: Over) -> bytes:
        client = self._clients.pop(event.connection, None)
        if client is None:
            return b""
        server = self._servers.pop(event.connection)
        at_ns = self._time(event.at_s)
        if not event.reason:
            return client.end(at_ns) + server.end(at_ns)
        breaker = client if event.reason == RESETS[_CLIENT] else server
        return breaker.packet(at_ns, _PLAIN | _RST, b"", _comment(escape(event.reason)))

    def _time(self, at_s: float) -> int:
        return self._began_ns + int(at_s * 1e9)


class _Flow:
    """One direction of a conversation: whose packets, how far, and how many the other side has not acknowledged."""

    __slots__ = ("_ends", "_ip_sum", "_tcp_sum", "has_ended", "peer", "sequence", "unacknowledged")

    peer: _Flow

    def __init__(self, source: tuple[bytes, bytes], target: tuple[bytes, bytes]) -> None:
        self._ends = source[0] + target[0] + source[1] + target[1]
        addresses = _from_bytes(self._ends[:8], "big") % 0xFFFF
        self._ip_sum = _IP_SUM + addresses
        self._tcp_sum = 6 + 20 + _from_bytes(self._ends, "big") % 0xFFFF + _WINDOW
        self.sequence = FIRST_SEQUENCE
        self.unacknowledged = 0
        self.has_ended = False

    def packet(self, at_ns: int, flags: int, data: bytes = b"", comment: bytes = b"") -> bytes:
        """A block with one packet. `flags` has the header's length too: what is beyond 20 bytes is in `data`."""
        length = len(data)
        size = 40 + length
        total = _BLOCK_BYTES + size + (-size & 3) + len(comment)
        sequence = self.sequence
        acknowledged = self.peer.sequence if flags & _ACK else 0
        words = self._tcp_sum + length + flags + sequence + acknowledged
        if length:
            words += _sum(data, length)
        head = _PACKET(
            *(6, total, 0, at_ns, size, size),
            *(0x4500, size, _IP_CONSTANTS, -(self._ip_sum + size) % 0xFFFF, self._ends),
            *(sequence, acknowledged, flags, _WINDOW, -words % 0xFFFF, 0),
        )
        if comment or length > _LONG:
            return b"".join((head, data, b"\0\0\0"[: -size & 3], comment, _LENGTH(total)))
        return head + data + _PADDED_LENGTH[size & 3](total)

    def advance(self, count: int) -> None:
        self.sequence = (self.sequence + count) & _SEQUENCE_MASK

    def long_message(self, at_ns: int, data: bytes, comment: bytes) -> bytes:
        """As many segments as it takes, pushed at the end, and acknowledged."""
        blocks = []
        last = (len(data) - 1) // MAX_SEGMENT * MAX_SEGMENT
        for start in range(0, len(data), MAX_SEGMENT):
            piece = data[start : start + MAX_SEGMENT]
            blocks.append(self.packet(at_ns, _PUSHED if start == last else _PLAIN, piece, comment))
            self.advance(len(piece))
            comment = b""
        self.peer.unacknowledged = 0
        blocks.append(self.acknowledge(at_ns))
        return b"".join(blocks)

    def acknowledge(self, at_ns: int) -> bytes:
        """The other side has all of it."""
        self.unacknowledged = 0
        return self.peer.packet(at_ns, _PLAIN)

    def end(self, at_ns: int) -> bytes:
        """This side says no more, and the other side has seen it; b"" the second time."""
        if self.has_ended:
            return b""
        self.has_ended = True
        last = self.packet(at_ns, _PLAIN | _FIN)
        self.advance(1)
        return last + self.acknowledge(at_ns)


def _sum(data: bytes, length: int) -> int:
    """The words of `data` added up modulo 65,535, as RFC 1071 does: 65,536 is 1 there, so the number itself will do."""
    number = _from_bytes(data, "big")
    if length & 1:
        number <<= 8
    if length > 8192:
        for bits, mask in _FOLDS:  # division by one digit takes longer than adding the halves
            number = (number & mask) + (number >> bits)
    return number % 0xFFFF


def describe_client(peer: PeerCredentials, user: str, command: str) -> str:
    """`nginx, pid 412, user ana (uid 1000, gid 1000)`, as far as it is known; escaped."""
    parts = [escape(command)] if command else []
    parts += [f"pid {peer.pid}"] if peer.pid is not None else []
    if peer.is_known:
        ids = f"uid {peer.uid}, gid {peer.gid}"
        parts.append(f"user {escape(user)} ({ids})" if user else ids)
    return ", ".join(parts) or "unknown client"


def _describe_descriptors(descriptors: tuple[str, ...]) -> str:
    count = "a descriptor" if len(descriptors) == 1 else f"{len(descriptors)} descriptors"
    return f"with {count}: {', '.join(map(escape, descriptors))}"


def _comment(text: str) -> bytes:
    """The options of a packet's block: one comment, and their end."""
    return _option(1, text) + b"\0\0\0\0"


def _option(code: int, text: str) -> bytes:
    value = text.encode("utf-8", "replace")
    if len(value) > _MAX_OPTION:  # of the 65,535 that its length can say
        value = value[:_MAX_OPTION].decode("utf-8", "ignore").encode("utf-8") + b" ..."
    return struct.pack(">HH", code, len(value)) + value + bytes(-len(value) % 4)


def _block(kind: int, body: bytes) -> bytes:
    """A block of few: options that are not ended by a word are ended by the block."""
    length = _LENGTH(len(body) + 12)
    return _LENGTH(kind) + length + body + length
