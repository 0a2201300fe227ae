"""The text of /proc/net/unix, with all that a name can do to it."""

from __future__ import annotations

import socket

from hypothesis import given
from hypothesis import strategies as st

from afunix.kernel.proc_net_unix import answers, parse
from afunix.model.address import Address
from afunix.model.socket_table import TableState

HEADER = b"Num       RefCount Protocol Flags    Type St Inode Path\n"
UNNAMED = Address.from_kernel(b"")


def row(inode: int, name: bytes = b"", *, flags: int = 0, kind: int = 1, state: int = 1) -> bytes:
    start = b"0000000000000000: 00000002 00000000 %08X %04X %02X %5d" % (flags, kind, state, inode)
    return start + (b" " + name if name else b"") + b"\n"


def test_states_types_and_names_are_told() -> None:
    listener, client, bound = parse(
        HEADER + row(7, b"/run/a.sock", flags=0x10000) + row(8, state=3) + row(9, b"@a@b", kind=5)
    )
    assert (listener.state, listener.type, listener.address) == (
        TableState.LISTENING,
        "stream",
        Address.pathname("/run/a.sock"),
    )
    assert (client.state, client.address) == (TableState.CONNECTED, UNNAMED)
    assert (bound.state, bound.type, bound.address) == (
        TableState.UNCONNECTED,
        "seqpacket",
        Address.abstract("a@b"),
    )


def test_what_was_never_accepted_has_no_inode_and_is_left_out() -> None:
    assert parse(HEADER + row(0, b"/run/a.sock", state=2)) == []


def test_a_forged_row_takes_the_name_of_the_real_one_away_but_gives_it_none() -> None:
    forged = row(7, b"/run/trusted.sock").removesuffix(b"\n")
    (victim, evil) = parse(HEADER + row(7, b"/run/real.sock") + row(8, b"evil\n" + forged))
    assert (victim.inode, victim.address) == (7, UNNAMED)
    assert (evil.inode, evil.address) == (8, Address.pathname("evil"))


def test_a_table_of_nothing_is_empty() -> None:
    assert parse(b"") == parse(HEADER) == []


@given(st.binary(max_size=400))
def test_no_bytes_make_it_fail(noise: bytes) -> None:
    inodes = [entry.inode for entry in parse(HEADER + noise + b"\n" + row(7, b"x"))]
    assert len(inodes) == len(set(inodes))


def test_a_name_answers_while_its_socket_is_there(sock_dir: str) -> None:
    path = Address.pathname(f"{sock_dir}/s")
    assert not answers(path)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path.name)
        assert answers(path)
    assert not answers(path)
    assert not answers(Address.pathname("/x" * 200))
