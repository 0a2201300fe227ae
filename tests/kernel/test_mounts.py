"""The file system of a file by the kernel's number, also where lstat(2) tells another."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest
from tests import program
from tests.peers import require

from afunix.kernel.mounts import Superblocks, mount_id, parse_mounts, read_mounts
from afunix.kernel.socket_table import entry_of
from afunix.model.surroundings import Mount


def test_it_is_the_device_that_the_table_of_sockets_tells(sock_dir: str) -> None:
    path = os.fsencode(f"{sock_dir}/s")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
        entry = entry_of(os.fstat(sock.fileno()).st_ino)
        assert entry is not None and entry.file is not None
        assert Superblocks().device_of(path, os.lstat(path)) == entry.file.device


OVERLAY = """
import os, socket, sys
from afunix.kernel.socket_table import entry_of
from afunix.kernel.mounts import Superblocks, mount_id, parse_mounts, read_mounts
path = os.fsencode(sys.argv[1])
with socket.socket(socket.AF_UNIX) as sock:
    sock.bind(path)
    entry = entry_of(os.fstat(sock.fileno()).st_ino)
    print(Superblocks().device_of(path, os.lstat(path)) == entry.file.device)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_so_it_is_on_overlayfs(sock_dir: str) -> None:
    require("mount")
    for name in ("lower", "tmp", "merged"):
        os.mkdir(f"{sock_dir}/{name}")
    script = (
        'mount -t tmpfs none "$1/tmp" && mkdir "$1/tmp/upper" "$1/tmp/work" && mount -t overlay none'
        ' -o "lowerdir=$1/lower,upperdir=$1/tmp/upper,workdir=$1/tmp/work" "$1/merged" && exec "$2" -c "$3" "$1/merged/s"'
    )
    ended = subprocess.run(
        [require("unshare"), "-m", "sh", "-c", script, "sh", sock_dir, sys.executable, OVERLAY],
        capture_output=True,
        text=True,
        timeout=20,
        env=program.environment(),
    )
    if "overlay" in ended.stderr:
        pytest.skip(f"no overlayfs here: {ended.stderr.strip()}")
    assert (ended.stdout, ended.stderr) == ("True\n", "")


def test_a_file_that_is_gone_keeps_what_lstat_told(sock_dir: str) -> None:
    file = os.lstat(sock_dir)
    unknown = os.stat_result([*file[:2], 12345, *file[3:]])
    assert Superblocks().device_of(b"/no/such/file", unknown) == 12345


def test_mounts_are_read_with_their_escapes_and_options() -> None:
    table = (
        b"36 35 98:0 /a /mnt\\040x rw,noatime shared:1 - ext4 /dev/sda ro\n"
        b"40 35 0:5 /s//deleted /run/s ro - tmpfs tmpfs rw\nnonsense\n1 2 3\n"
    )
    assert dict(parse_mounts(table)) == {
        36: Mount(b"/mnt x", b"/a", "ext4", True, os.makedev(98, 0)),
        40: Mount(b"/run/s", b"/s//deleted", "tmpfs", True, os.makedev(0, 5)),
    }


def test_an_open_file_knows_its_mount_and_that_its_point(sock_dir: str) -> None:
    fd = os.open("/proc", os.O_PATH)
    try:
        assert read_mounts()[mount_id(fd)].point == b"/proc"
    finally:
        os.close(fd)
    assert mount_id(9999) == -1
