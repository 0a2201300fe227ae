"""Values of the kernel's table."""

from __future__ import annotations

import pytest

from afunix.model.address import Address
from afunix.model.socket_table import FileIdentity, Owner, SocketEntry, SocketPath, TableState


def entry(file: FileIdentity | None, name: bytes = b"/run/a.sock") -> SocketEntry:
    return SocketEntry(7, "stream", TableState.LISTENING, Address.pathname(name), file=file)


@pytest.mark.parametrize(
    "file, name, is_of",
    [
        (FileIdentity(1, 50), b"/run/a.sock", True),
        (FileIdentity(1, 50), b"/run/old-name", True),  # it was renamed
        (FileIdentity(2, 50), b"/else/a.sock", True),  # overlayfs: another device, the same name
        (FileIdentity(2, 50), b"/else/b.sock", False),  # two tmpfs: the same number by chance
        (FileIdentity(1, 51), b"/run/a.sock", False),
        (None, b"/run/a.sock", False),
    ],
)
def test_a_file_is_known_by_device_and_inode_or_by_inode_and_name(
    file: FileIdentity | None, name: bytes, is_of: bool
) -> None:
    assert SocketPath(b"/run/a.sock", 1, 50).is_of(entry(file, name)) is is_of


def test_of_a_long_inode_number_the_table_has_32_bits() -> None:
    assert SocketPath(b"/run/a.sock", 1, (9 << 32) + 50).is_of(entry(FileIdentity(1, 50)))


def test_a_process_is_described_with_its_name_escaped() -> None:
    assert Owner(412, 3, "ng\nx").describe() == "pid 412 (ng^Jx)"
    assert Owner(412, 3).describe() == "pid 412"
