"""What descriptors that are handed over are called: the names of LISTEN_FDNAMES (sd_listen_fds(3)). Pure.

    log:socket      one name a descriptor, in their order, between colons
    unknown         one without a name, as systemd writes it

A name is 1 to 255 printable ASCII characters, none of them a colon: that is what systemd takes, and nothing in it can
end a line or reach for a terminal.
"""

from __future__ import annotations

from collections.abc import Sequence

from .errors import AddressError
from .escaping import quote

NAMELESS = "unknown"

_SEPARATOR = ":"
_MAX_LENGTH = 255
"""FDNAME_MAX of systemd."""


def is_name(text: str) -> bool:
    """Can a descriptor be called that?"""
    is_plain = text.isascii() and text.isprintable()
    return is_plain and 0 < len(text) <= _MAX_LENGTH and _SEPARATOR not in text


def must_be_name(text: str) -> str:
    """`text`, if it is a name.

    Raises:
        AddressError: no.
    """
    if is_name(text):
        return text
    raise AddressError(
        f"{quote(text)} is no name for a descriptor: expected 1 to {_MAX_LENGTH} printable ASCII characters"
        " without a colon",
        hint="NAME=WHAT names it; a path with '=' in it is written ./a=b",
    )


def join_names(names: Sequence[str]) -> str:
    """As LISTEN_FDNAMES has them."""
    return _SEPARATOR.join(names)


def names_line(names: Sequence[str]) -> bytes:
    """What `afunix fd send` sends along with the descriptors: `join_names`, and a newline."""
    return f"{join_names(names)}\n".encode("ascii")


def names_in(data: bytes, count: int) -> list[str]:
    """The names of `count` descriptors that came with `data`, if that is a line of `names_line`; else all nameless.

    Other programs send other things beside descriptors, and those are no names.
    """
    if data.endswith(b"\n"):
        names = data[:-1].decode("latin-1").split(_SEPARATOR)
        if len(names) == count and all(map(is_name, names)):
            return names
    return [NAMELESS] * count
