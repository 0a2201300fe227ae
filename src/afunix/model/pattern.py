"""What a word after `afunix ls` asks for. Pure; `tools` or `cli` say which words are directories and files.

/run/app.sock  ./app.sock   @name  unix:…    that address, or whatever is bound to that very file
/run  .                                      (a directory) everything below it
*.sock  '@app-*'                             a glob over the whole address, or over its last part
redis  docker.sock                           any address with it in its name, any process that is called so
"""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from functools import cached_property

from .address import Address, AddressKind
from .errors import AddressError
from .escaping import quote
from .listing import End, Row
from .socket_table import SocketPath

_GLOB = re.compile(r"[*?\[]")
_LISTED = (AddressKind.PATHNAME, AddressKind.ABSTRACT)


@dataclass(frozen=True)
class Pattern:
    """What to look for: an `address`, a `glob` (with an `address` too, if a file is called so) or a `word`.

    Of a pathname, `paths` are the ways to write it that were found, `is_directory` says that it is one, and `files`
    are the socket files there or below, so that those are found whatever name they were bound to.
    """

    text: str
    address: Address | None = None
    glob: str | None = None
    word: str | None = None
    paths: tuple[bytes, ...] = ()
    is_directory: bool = False
    files: tuple[SocketPath, ...] = ()

    @property
    def is_anywhere(self) -> bool:
        """Can what it asks for be in any directory?"""
        return self.glob is not None or self.word is not None

    def matches(self, row: Row) -> bool:
        """Is the row asked for?"""
        if self.word is not None:
            return self._has_word(row)
        if self.glob is not None and self._is_like(row):
            return True
        return any(map(self._is_at, _addresses(row))) or any(map(self._has_file, row.ends))

    def _is_at(self, address: Address) -> bool:
        if address.kind is not AddressKind.PATHNAME:
            return address == self.address
        if self.is_directory:
            return any(address.name.startswith(path.rstrip(b"/") + b"/") for path in self.paths)
        return address.name in self.paths

    def _has_file(self, end: End) -> bool:
        file = end.entry.file
        candidates = self._by_inode.get(file.inode, ()) if file is not None else ()
        return any(candidate.is_of(end.entry) for candidate in candidates)

    @cached_property
    def _by_inode(self) -> dict[int, list[SocketPath]]:
        found: dict[int, list[SocketPath]] = {}
        for file in self.files:
            found.setdefault(file.inode & 0xFFFFFFFF, []).append(file)
        return found

    def _is_like(self, row: Row) -> bool:
        return any(
            self._regular_expression.match(text) is not None
            for address in _addresses(row)
            if address.kind in _LISTED
            for text in (address.format(), address.format().rpartition("/")[2])
        )

    @cached_property
    def _regular_expression(self) -> re.Pattern[str]:
        return re.compile(fnmatch.translate(self.glob or ""))

    def _has_word(self, row: Row) -> bool:
        word = self.word or ""
        return any(word in address.format() for address in _addresses(row) if address.kind in _LISTED) or any(
            owner.comm is not None and word in owner.comm for end in row.ends for owner in end.owners
        )


def _addresses(row: Row) -> list[Address]:
    return [row.address, *(end.entry.address for end in row.ends)]


def parse_pattern(text: str) -> Pattern:
    """Read one word. A pathname without a glob becomes an `address`; whether it is a directory is not known here.

    Raises:
        AddressError: it is empty, or an address that no row can have (fd:, tcp:, ssh:, -).
    """
    if _GLOB.search(text):
        # A file may really be called like that.
        literal = None if text.startswith("@") else Address.pathname(text.removeprefix("unix:"))
        return Pattern(text, literal, glob=text.removeprefix("unix:"))
    address = Address.parse(text)
    if address.kind not in _LISTED:
        raise AddressError(
            f"{quote(text)} names no socket in the kernel's table",
            hint="a path, @name, a glob such as '*.sock', or a part of a name is looked for",
        )
    if (
        address.kind is AddressKind.PATHNAME
        and text not in (".", "..")
        and "/" not in text
        and ":" not in text
    ):
        return Pattern(text, word=text)
    return Pattern(text, address=address)
