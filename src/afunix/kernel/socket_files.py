"""Socket files in directories, and whether anybody is behind them. Nothing is changed, and no server notices.

A file is looked at and probed through one descriptor (`sighting`), so that both answers are about the same inode.
Links are not followed, and directories that may not be read are passed over. A search has its bounds, because
/tmp can hold a million files; `Search.cut_short` names the directories that were not searched to their end.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ..model.ownership import FileKind, Sighting, Verdict, judge
from ..model.socket_table import SocketPath
from .sighting import PIN, probe

MAX_ENTRIES = 20_000
"""Directory entries that one search looks at: some 50 ms."""

_SOME_SOCKETS_ARE_IN = (b"/run", b"/tmp", b"/var/run", b"/var/tmp", b"/dev/shm")


@dataclass(frozen=True, slots=True)
class FoundFile(SocketPath):
    """A socket file, and the uid of its `owner`."""

    owner: int


@dataclass(slots=True)
class Search:
    """What was found below some directories."""

    files: list[FoundFile] = field(default_factory=list)
    cut_short: list[bytes] = field(default_factory=list)

    def add(self, other: Search) -> None:
        """Take in what another search found."""
        self.files.extend(other.files)
        self.cut_short.extend(other.cut_short)


def usual_directories() -> list[bytes]:
    """Where socket files are kept by custom (hier(7)), each directory once."""
    named = [*_SOME_SOCKETS_ARE_IN, os.fsencode(os.environ.get("XDG_RUNTIME_DIR", ""))]
    real = {os.path.realpath(path): None for path in named if os.path.isabs(path)}
    return [path for path in real if not any(path.startswith(other + b"/") for other in real)]


def search(directories: Iterable[bytes], *, max_entries: int = MAX_ENTRIES) -> Search:
    """Every socket file below `directories`, nearer ones first."""
    found = Search()
    ahead = deque((directory, directory) for directory in directories)
    left = max_entries
    while ahead and left > 0:
        directory, start = ahead.popleft()
        for entry in _entries(directory):
            if left <= 0:
                ahead.append((directory, start))
                break
            left -= 1
            if _is_regular(entry):
                continue  # as most are
            if _is_directory(entry):
                ahead.append((entry.path, start))
            elif not entry.is_symlink():
                found.files.extend(look_at([entry.path]))
    found.cut_short.extend({start: None for _, start in ahead})
    return found


def look_at(paths: Iterable[bytes]) -> Iterator[FoundFile]:
    """Those of `paths` that are socket files themselves."""
    for path in paths:
        try:
            file = os.lstat(path)
        except OSError:
            continue
        if stat.S_ISSOCK(file.st_mode):
            yield FoundFile(path, file.st_dev, file.st_ino, file.st_uid)


def verdict_on(file: FoundFile) -> Verdict:
    """Is anybody behind it? FREE if it is gone or another file by now, UNKNOWN if it may not be asked."""
    try:
        fd = os.open(file.path, PIN)
    except OSError:
        return Verdict.FREE
    try:
        now = os.fstat(fd)
        if (now.st_dev, now.st_ino) != (file.device, file.inode):
            return Verdict.FREE
        return judge(Sighting(FileKind.of(now.st_mode), probe(fd)))
    finally:
        os.close(fd)


def _entries(directory: bytes) -> Iterator[os.DirEntry[bytes]]:
    try:
        with os.scandir(directory) as entries:
            yield from entries
    except OSError:
        return


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
