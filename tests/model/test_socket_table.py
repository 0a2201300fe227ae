"""Values of the kernel's table."""

from __future__ import annotations

import pytest

from afunix.model.address import Address
from afunix.model.socket_table import FileIdentity, Owner, SocketEntry, SocketPath, TableState


def entry(file: FileIdentity | None, name: bytes = b"/run/a.sock") -> SocketEntry:
    return SocketEntry(7, "stream", TableState.LISTENING, Address.pathname(name), file=file)


@pytest.mark.parametrize(
    "file, is_of",
    [
        (FileIdentity(1, 50), True),
        (FileIdentity(2, 50), False),  # two tmpfs: the same number by chance
        (FileIdentity(1, 51), False),
        (None, False),
    ],
)
def test_a_file_is_known_by_file_system_and_inode_whatever_its_name(
    file: FileIdentity | None, is_of: bool
) -> None:
    assert SocketPath(b"/run/renamed.sock", 1, 50).is_of(entry(file)) is is_of


def test_of_a_long_inode_number_the_table_has_32_bits() -> None:
    assert SocketPath(b"/run/a.sock", 1, (9 << 32) + 50).is_of(entry(FileIdentity(1, 50)))


def test_a_process_is_described_with_its_name_escaped() -> None:
    assert Owner(412, 3, "ng\nx").describe() == "pid 412 (ng^Jx)"
    assert Owner(412, 3).describe() == "pid 412"


@pytest.mark.parametrize(
    "kind, state, is_bound",
    [
        ("stream", TableState.LISTENING, True),
        ("stream", TableState.UNCONNECTED, True),
        ("stream", TableState.CONNECTED, False),
        ("dgram", TableState.CONNECTED, True),
    ],
)
def test_what_was_accepted_bears_the_name_of_another(kind: str, state: TableState, is_bound: bool) -> None:
    assert SocketEntry(7, kind, state, Address.pathname("/run/a.sock")).is_bound_itself is is_bound
