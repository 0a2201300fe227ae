"""Addresses: what a person writes, what it means, and back. One parser, one formatter, `parse(format(a)) == a`.

    /run/app.sock  ./a b,c.sock  hello.sock    a pathname, taken literally: no escapes, no mini-language
    unix:PATH                                  the same, for a PATH that would be read as something else
    @name          unix:@name                  an abstract name; a file that is really called @name is ./@name
    unix-abstract:NAME                         an abstract name with %XX for any byte, %00 included
    fd:3           fd:NAME                     an inherited socket, by number or by its name in LISTEN_FDNAMES
    tcp:HOST:PORT  ssh:[USER@]HOST[:PORT]:/PATH  -      ends beyond this machine, and STDIN with STDOUT

    refused: ''  'a<NUL>b'  'http:x' (an unknown word; ./http:x is a file)  '@' (no name)  'fd:'  'unix:'

Grammar only: whether anything is there is for `kernel.socket_file` to find out. Lengths that the kernel cannot
hold are refused here (unix(7): an abstract name has at most 107 bytes); long pathnames are not, because there is
a way to bind them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from .errors import AddressError
from .escaping import escape, quote

MAX_NAME_BYTES = 107
"""What `sockaddr_un.sun_path` holds: 108 bytes, of which one is the NUL (after a pathname, before an abstract name)."""

_WORD = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_TCP_HOST = r"\[[^\]\s]+\]|[^:/\s\[\]]+"
"""A name, an IPv4 address or `*`; an IPv6 address stands in brackets."""
_SSH_HOST = r"(?:[^:/]+@)?(?:\[[^\]/]+\]|[^@:/\[\]-][^@:/\[\]]*)(?::[0-9]{1,5})?"
"""[USER@]HOST[:PORT]; a HOST is no option, an IPv6 address stands in brackets."""


class AddressKind(Enum):
    """What sort of end an address names; the first three words are those of unix(7)."""

    PATHNAME = "pathname"
    ABSTRACT = "abstract"
    UNNAMED = "unnamed"
    INHERITED = "inherited"
    TCP = "tcp"
    SSH = "ssh"
    STDIO = "stdio"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a socket is named. `name` holds the bytes as the kernel has them (abstract: without the leading NUL)."""

    kind: AddressKind
    name: bytes = b""

    @classmethod
    def of(cls, given: Address | str | bytes | os.PathLike[str] | os.PathLike[bytes]) -> Address:
        """`given` itself if it is an address already, otherwise `parse(given)`.

        Raises:
            AddressError: as `parse`. TypeError: it is nothing that a path can be.
        """
        return given if isinstance(given, Address) else cls.parse(given)

    @classmethod
    def parse(cls, text: str | bytes | os.PathLike[str] | os.PathLike[bytes]) -> Address:
        """Read what a person wrote.

        Raises:
            AddressError: with a hint, if it is empty, holds a NUL byte or starts with an unknown `word:`.
        """
        written = _to_text(os.fspath(text))
        if not written:
            raise AddressError(
                "the address is empty",
                hint="write a path such as ./hello.sock, or @name for an abstract name",
            )
        if "\0" in written:
            raise AddressError(
                f"{quote(written)} holds a NUL byte, which no path can",
                hint="an abstract name with a NUL byte is written unix-abstract:NAME, with %00 for it",
            )
        word = _WORD.match(written)
        if word is None:
            return cls._parse_unix(written)
        parse_rest = _WORDS.get(word[0])
        if parse_rest is not None:
            return parse_rest(written[word.end() :])
        if "/" in written:
            return cls.pathname(_to_bytes(written))
        raise AddressError(
            f"{quote(written)} starts with {quote(word[0])}, which is no kind of address (those are"
            f" {', '.join(sorted(_WORDS))})",
            hint=f"for a file of that name write ./{escape(written)}",
        )

    @classmethod
    def pathname(cls, path: str | bytes) -> Address:
        """A pathname from a program: never read as anything else, so `@x` becomes the file `./@x`."""
        name = _to_bytes(path)
        if not name or b"\0" in name:
            raise AddressError(f"{quote(name)} is no path: it is empty or holds a NUL byte")
        return cls(AddressKind.PATHNAME, b"./" + name if name.startswith(b"@") else name)

    @classmethod
    def abstract(cls, name: str | bytes) -> Address:
        """An abstract name without its leading NUL; any bytes, at most 107 of them (unix(7))."""
        raw = _to_bytes(name)
        if len(raw) > MAX_NAME_BYTES:
            raise AddressError(
                f"the abstract name {quote(raw)} is {len(raw)} bytes long, an abstract name may have"
                f" {MAX_NAME_BYTES}",
                hint="choose a shorter name, or a path: those may be longer",
            )
        return cls(AddressKind.ABSTRACT, raw)

    @classmethod
    def inherited(cls, which: int | str) -> Address:
        """A socket that the parent opened: its number, or its name in LISTEN_FDNAMES."""
        return cls._parse_inherited(str(which))

    @classmethod
    def from_kernel(cls, name: str | bytes | None) -> Address:
        """What `getsockname`, `getpeername` and `accept` return: unnamed, `\\0` and an abstract name, or a path."""
        raw = _to_bytes(name or b"")
        if not raw:
            return cls(AddressKind.UNNAMED)
        return cls.abstract(raw[1:]) if raw.startswith(b"\0") else cls.pathname(raw)

    @classmethod
    def _parse_unix(cls, written: str) -> Address:
        if written == "-":
            return cls(AddressKind.STDIO)
        if written.startswith("@"):
            return cls._parse_at(written)
        return cls.pathname(written)

    @classmethod
    def _parse_at(cls, written: str) -> Address:
        if len(written) == 1:
            raise AddressError(
                "'@' is an abstract name without a name", hint="write @name; a file called @ is ./@"
            )
        return cls.abstract(written[1:])

    @classmethod
    def _parse_prefixed(cls, rest: str) -> Address:
        if not rest:
            raise AddressError("'unix:' names nothing", hint="write unix:PATH or unix:@name")
        return cls._parse_at(rest) if rest.startswith("@") else cls.pathname(rest)

    @classmethod
    def _parse_abstract(cls, rest: str) -> Address:
        return cls.abstract(_unquote(rest))

    @classmethod
    def _parse_inherited(cls, rest: str) -> Address:
        if not rest or ":" in rest:
            raise AddressError(
                f"{quote('fd:' + rest)} names no descriptor",
                hint="write fd:3, or fd:NAME as in LISTEN_FDNAMES",
            )
        if rest.isascii() and rest.isdigit():
            if len(rest) > 9:
                raise AddressError(f"{quote('fd:' + rest)}: no process has that many descriptors")
            rest = str(int(rest))
        return cls(AddressKind.INHERITED, _to_bytes(rest))

    @classmethod
    def _parse_tcp(cls, rest: str) -> Address:
        host, _, port = rest.rpartition(":")
        why = ""
        if not re.fullmatch(_TCP_HOST, host):
            found = f"{quote(host)} is no host" if host else "it has no host, or no port"
            why = f"{found}, expected a name or an address (an IPv6 address in brackets)"
        elif not re.fullmatch("[0-9]{1,5}", port) or not 0 < int(port) < 65536:
            found = f"{quote(port)} is no port" if port else "it has no port"
            why = f"{found}, expected a number from 1 to 65535"
        if why:
            raise AddressError(
                f"{quote('tcp:' + rest)} is no TCP address: {why}",
                hint="write tcp:HOST:PORT, e.g. tcp:127.0.0.1:8080 or tcp:[::1]:8080",
            )
        return cls(AddressKind.TCP, _to_bytes(f"{host}:{int(port)}"))

    @classmethod
    def _parse_ssh(cls, rest: str) -> Address:
        host, colon, path = rest.partition(":/")
        if not colon or not re.fullmatch(_SSH_HOST, host):
            raise AddressError(
                f"{quote('ssh:' + rest)} is no ssh address", hint="write ssh:[USER@]HOST[:PORT]:/PATH"
            )
        return cls(AddressKind.SSH, _to_bytes(f"{host}:/{path}"))

    @property
    def descriptor(self) -> int | None:
        """The number, where an inherited socket is named by one; None for every other address."""
        if self.kind is AddressKind.INHERITED and self.name.isdigit():
            return int(self.name)
        return None

    @property
    def is_unix(self) -> bool:
        """A name that a Unix socket can be bound to or reached by: a pathname or an abstract name."""
        return self.kind in (AddressKind.PATHNAME, AddressKind.ABSTRACT)

    def format(self) -> str:
        """The address as a person may write it; undecodable bytes as surrogates, as Python's paths have them.

        UNNAMED cannot be written: it is shown as `(unnamed)`, which would be read as a path.
        """
        return _FORMATS[self.kind](self.name)

    def __str__(self) -> str:
        return self.format()


def _to_text(written: str | bytes) -> str:
    return os.fsdecode(written) if isinstance(written, bytes) else written


def _to_bytes(name: str | bytes) -> bytes:
    if isinstance(name, bytes):
        return name
    try:
        return os.fsencode(name)
    except UnicodeEncodeError:
        raise AddressError(
            f"{quote(name)} cannot be written as bytes: it holds half of a character"
        ) from None


def _unquote(written: str) -> bytes:
    """`%XX` to its byte, every other character to its own bytes; a lone `%` is an error."""
    raw = _to_bytes(written)
    bad = re.search(rb"%(?![0-9A-Fa-f]{2})", raw)
    if bad is not None:
        raise AddressError(
            f"{quote(written)}: '%' must be followed by two hexadecimal digits", hint="a '%' itself is %25"
        )
    return re.sub(rb"%([0-9A-Fa-f]{2})", lambda found: bytes.fromhex(found[1].decode()), raw)


def _format_pathname(name: bytes) -> str:
    text = os.fsdecode(name)
    return f"unix:{text}" if text == "-" or _WORD.match(text) else text


def _format_abstract(name: bytes) -> str:
    text = os.fsdecode(name)
    if text and text.isprintable():
        return f"@{text}"
    quoted = "".join(chr(b) if 0x21 <= b < 0x7F and b != 0x25 else f"%{b:02X}" for b in name)
    return f"unix-abstract:{quoted}"


def _prefixed(prefix: str, name: bytes) -> str:
    return prefix + os.fsdecode(name)


_WORDS: dict[str, Callable[[str], Address]] = {
    "unix:": Address._parse_prefixed,
    "unix-abstract:": Address._parse_abstract,
    "fd:": Address._parse_inherited,
    "tcp:": Address._parse_tcp,
    "ssh:": Address._parse_ssh,
}

_FORMATS: dict[AddressKind, Callable[[bytes], str]] = {
    AddressKind.PATHNAME: _format_pathname,
    AddressKind.ABSTRACT: _format_abstract,
    AddressKind.UNNAMED: lambda _: "(unnamed)",
    AddressKind.INHERITED: lambda name: _prefixed("fd:", name),
    AddressKind.TCP: lambda name: _prefixed("tcp:", name),
    AddressKind.SSH: lambda name: _prefixed("ssh:", name),
    AddressKind.STDIO: lambda _: "-",
}
