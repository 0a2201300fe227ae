"""Socket files in directories, and whether anybody is behind them. Nothing is changed.

A file is looked at and probed through one descriptor (`sighting`), so that both answers are about the same inode.
Links are not followed, and directories that may not be read are passed over. A search has its bounds, because
/tmp can hold a million files; `Search.cut_short` names the directories that were not searched to their end, and
`unreadable` those that may not be read.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ..model.ownership import FileKind, Sighting, Verdict, judge
from ..model.socket_table import SocketPath
from .mounts import Superblocks
from .sighting import PIN, probe

CUSTOMARY_ENTRIES = 20_000
"""Directory entries that a search of a customary place looks at: some 50 ms."""

MOST_ENTRIES = 1_000_000
"""And of a directory that somebody has named: a few seconds."""

_SOME_SOCKETS_ARE_IN = (b"/run", b"/tmp", b"/var/run", b"/var/tmp", b"/dev/shm")


@dataclass(frozen=True, slots=True)
class FoundFile(SocketPath):
    """A socket file, the uid of its `owner`, and the device as lstat(2) tells it."""

    owner: int
    lstat_device: int


@dataclass(slots=True)
class Search:
    """What was found below some directories."""

    files: list[FoundFile] = field(default_factory=list)
    cut_short: list[bytes] = field(default_factory=list)
    unreadable: list[bytes] = field(default_factory=list)

    def add(self, other: Search) -> None:
        """Take in what another search found."""
        self.files.extend(other.files)
        self.cut_short.extend(other.cut_short)
        self.unreadable.extend(other.unreadable)


def usual_directories() -> list[bytes]:
    """Where socket files are kept by custom (hier(7)), each directory once."""
    named = [*_SOME_SOCKETS_ARE_IN, os.fsencode(os.environ.get("XDG_RUNTIME_DIR", ""))]
    real = {os.path.realpath(path): None for path in named if os.path.isabs(path)}
    return [path for path in real if not any(path.startswith(other + b"/") for other in real)]


def search(directories: Iterable[bytes], *, max_entries: int = MOST_ENTRIES) -> Search:
    """Every socket file below `directories`, nearer ones first; at most `max_entries` are looked at in each."""
    found = Search()
    superblocks = Superblocks()
    for directory in directories:
        _search_one(directory, max_entries, found, superblocks)
    return found


def _search_one(start: bytes, left: int, found: Search, superblocks: Superblocks) -> None:
    ahead = deque([start])
    while ahead:
        directory = ahead.popleft()
        try:
            with os.scandir(directory) as entries:
                for entry in entries:
                    if not left:
                        found.cut_short.append(start)
                        return
                    left -= 1
                    if _is_regular(entry):
                        continue  # as most are
                    if _is_directory(entry):
                        ahead.append(entry.path)
                    elif not entry.is_symlink():
                        found.files.extend(look_at([entry.path], superblocks))
        except PermissionError:
            found.unreadable.append(directory)
        except OSError:
            continue  # it is gone


def look_at(paths: Iterable[bytes], superblocks: Superblocks | None = None) -> Iterator[FoundFile]:
    """Those of `paths` that are socket files themselves."""
    superblocks = superblocks or Superblocks()
    for path in paths:
        try:
            file = os.lstat(path)
        except OSError:
            continue
        if stat.S_ISSOCK(file.st_mode):
            device = superblocks.device_of(path, file)
            yield FoundFile(path, device, file.st_ino, file.st_uid, file.st_dev)


def verdict_on(file: FoundFile) -> Verdict:
    """Is anybody behind it? FREE if it is gone or another file by now, UNKNOWN if it may not be asked."""
    try:
        fd = os.open(file.path, PIN)
    except OSError:
        return Verdict.FREE
    try:
        now = os.fstat(fd)
        if (now.st_dev, now.st_ino) != (file.lstat_device, file.inode):
            return Verdict.FREE
        return judge(Sighting(FileKind.of(now.st_mode), probe(fd)))
    finally:
        os.close(fd)


def _is_directory(entry: os.DirEntry[bytes]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def _is_regular(entry: os.DirEntry[bytes]) -> bool:
    try:
        return entry.is_file(follow_symlinks=False)
    except OSError:
        return False
