"""`demo --send`: the files that go in, what comes out of the server, and whether they are the same bytes.

One client's bytes come out of `serve` exactly as they are. Those of several come out as `--json`, which says of each
piece whose it is, and from which the bytes can be had back, whatever they are. Only digests are kept.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import IO

from ...formats.jsonl import read_piece
from ...model.errors import AfunixError
from ...model.escaping import quote


@dataclass(frozen=True, slots=True)
class Delivery:
    """One file: bytes and sha256 as they are in it, and as they came out."""

    path: str
    sent_bytes: int
    sent_sha256: str
    came_bytes: int
    came_sha256: str

    @property
    def is_same(self) -> bool:
        return (self.sent_bytes, self.sent_sha256) == (self.came_bytes, self.came_sha256)


@contextmanager
def open_files(paths: Sequence[str]) -> Iterator[list[IO[bytes]]]:
    """All of `paths` for reading, closed at the end.

    Raises:
        OSError: one cannot be read. AfunixError: one is no regular file, and could not be read twice.
    """
    with ExitStack() as opened:
        files: list[IO[bytes]] = []
        for path in paths:
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a FIFO would make us wait for a writer
            opened.callback(os.close, fd)
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise AfunixError(
                    f"{quote(path)} is no regular file, and what was sent has to be read again to be compared",
                    hint="write it to a file first",
                )
            files.append(open(fd, "rb", buffering=0, closefd=False))
        yield files


@dataclass(slots=True)
class _Digest:
    count: int = 0
    sha256: hashlib._Hash = field(default_factory=hashlib.sha256)

    def add(self, data: bytes) -> None:
        self.count += len(data)
        self.sha256.update(data)


class Outlet:
    """Takes what the server writes. `is_shared`: several clients' pieces as JSON, else one client's bytes."""

    def __init__(self, *, is_shared: bool) -> None:
        self.is_shared = is_shared
        self._unread = b""
        self._digests: dict[int, _Digest] = defaultdict(_Digest)

    def take(self, data: bytes) -> None:
        """The next bytes; an empty piece adds nothing."""
        if not self.is_shared:
            self._digests[0].add(data)
            return
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            self._digests[json.loads(line)["pid"]].add(read_piece(line))

    def deliver(self, path: str, file: IO[bytes], pid: int) -> Delivery:
        """How it came out of the server what the client `pid` had sent from `file`, which is read once more."""
        sent = _Digest()
        file.seek(0)
        while data := file.read(1 << 20):
            sent.add(data)
        came = self._digests[pid if self.is_shared else 0]
        return Delivery(path, sent.count, sent.sha256.hexdigest(), came.count, came.sha256.hexdigest())
