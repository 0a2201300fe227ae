"""Which file system is a file in, by the number that the kernel's own tables use (`s_dev`).

lstat(2) tells the same number for most file systems, but not for those that give a device to each subvolume or layer
(btrfs, overlayfs): then the mount that the file was reached through tells, proc_pid_mountinfo(5).
"""

from __future__ import annotations

import os
import re

from .sighting import PIN

_MOUNT_ID = re.compile(rb"^mnt_id:\t([0-9]+)", re.MULTILINE)


class Superblocks:
    """The mounts as they were when this was made."""

    def __init__(self) -> None:
        self._by_mount = dict(_mounts())
        self._devices = frozenset(self._by_mount.values())

    def device_of(self, path: bytes, file: os.stat_result) -> int:
        """The `s_dev` of what lstat(2) has just told as `file`; its `st_dev` if there is no better."""
        if file.st_dev in self._devices:
            return file.st_dev
        try:
            fd = os.open(path, PIN)
        except OSError:
            return file.st_dev
        try:
            with open(f"/proc/self/fdinfo/{fd}", "rb", buffering=0) as info:
                found = _MOUNT_ID.search(info.read())
        except OSError:
            found = None
        finally:
            os.close(fd)
        return self._by_mount.get(int(found[1]), file.st_dev) if found is not None else file.st_dev


def _mounts() -> list[tuple[int, int]]:
    """Number and device of each mount of this namespace."""
    try:
        with open("/proc/self/mountinfo", "rb") as file:
            rows = [row.split(b" ", 3) for row in file.read().splitlines()]
    except OSError:
        return []
    return [(int(row[0]), _device(row[2])) for row in rows if len(row) > 3]


def _device(written: bytes) -> int:
    major, _, minor = written.partition(b":")
    return os.makedev(int(major), int(minor))
