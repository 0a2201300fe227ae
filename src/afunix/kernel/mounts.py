"""The mounts of this namespace, and which file system a file is in: proc_pid_mountinfo(5).

The kernel's own tables know a file system by the number of its superblock. lstat(2) tells the same number for most file
systems, but not for those that give a device to each subvolume or layer (btrfs, overlayfs): then the mount that the file
was reached through tells.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from ..model.surroundings import Mount
from .sighting import PIN

_OCTAL = re.compile(rb"\\([0-7]{3})")
_MOUNT_ID = re.compile(rb"^mnt_id:\t([0-9]+)", re.MULTILINE)


class Superblocks:
    """The mounts as they were when this was made."""

    def __init__(self) -> None:
        self._mounts = read_mounts()
        self._devices = {mount.device for mount in self._mounts.values()}

    def device_of(self, path: bytes, file: os.stat_result) -> int:
        """The superblock's number of what lstat(2) has just told as `file`; its `st_dev` if there is no better."""
        if file.st_dev in self._devices:
            return file.st_dev
        try:
            fd = os.open(path, PIN)
        except OSError:
            return file.st_dev
        try:
            mount = self._mounts.get(mount_id(fd))
        finally:
            os.close(fd)
        return mount.device if mount is not None else file.st_dev


def read_mounts() -> dict[int, Mount]:
    """Every mount of our namespace by its number; none without /proc."""
    try:
        with open("/proc/self/mountinfo", "rb") as file:
            return dict(parse_mounts(file.read()))
    except OSError:
        return {}


def parse_mounts(table: bytes) -> Iterator[tuple[int, Mount]]:
    """The lines of proc_pid_mountinfo(5): `36 35 98:0 /root /point ro,… shared:1 - ext4 /dev/sda rw`."""
    for row in table.splitlines():
        before, dash, after = row.partition(b" - ")
        fields, origin = before.split(b" "), after.split(b" ")
        if not dash or len(fields) < 6 or len(origin) < 3:
            continue
        options = {*fields[5].split(b","), *origin[2].split(b",")}
        file_system = origin[0].decode("ascii", "replace")
        point, root, is_read_only = _plain(fields[4]), _plain(fields[3]), b"ro" in options
        yield int(fields[0]), Mount(point, root, file_system, is_read_only, _device(fields[2]))


def _device(written: bytes) -> int:
    major, _, minor = written.partition(b":")
    return os.makedev(int(major), int(minor))


def _plain(text: bytes) -> bytes:
    """Blanks, tabs, newlines and backslashes are written in octal."""
    return _OCTAL.sub(lambda found: bytes([int(found[1], 8) & 255]), text)


def mount_id(fd: int) -> int:
    """The number of the mount that the open file was reached through; -1 if it is not known."""
    try:
        with open(f"/proc/self/fdinfo/{fd}", "rb", buffering=0) as file:
            found = _MOUNT_ID.search(file.read())
    except OSError:
        return -1
    return int(found[1]) if found is not None else -1
