"""What a person wants to have sent, as it is written on a command line. Pure.

    3             a descriptor of ours, which the shell has opened: 3<file
    ./log         a path, to be opened; a file that is called 3 is ./3
    NAME=WHAT     either of them with a name; a path with '=' in it is ./a=b

The name is what stands before the first `=`, if there is no slash in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from .descriptor_names import NAMELESS, must_be_name
from .errors import AddressError
from .escaping import quote

_MAX_DIGITS = 9


class Access(Enum):
    """How a path is opened: as the shell's `<`, `>`, `>>` and `<>` do."""

    READ = "read"
    WRITE = "write"
    APPEND = "append"
    READ_WRITE = "read-write"


@dataclass(frozen=True, slots=True)
class Offer:
    """One descriptor to be sent: a `number` of ours, or if that is None a `path` to open."""

    name: str
    number: int | None
    path: str = ""

    @classmethod
    def parse(cls, written: str) -> Offer:
        """Read `3`, `./log`, `log=./log`.

        Raises:
            AddressError: no name, nothing after it, or a number that no descriptor can have.
        """
        name, equals, what = written.partition("=")
        if not equals or "/" in name:
            name, what = NAMELESS, written
        else:
            must_be_name(name)
        if not what:
            raise AddressError(
                f"{quote(written)} names nothing to send: expected the number of a descriptor, or a path",
                hint="for example 3 with 3<file, or ./file; with a name log=./file",
            )
        if not (what.isascii() and what.isdigit()):
            return cls(name, None, what)
        if len(what) > _MAX_DIGITS:
            raise AddressError(
                f"{what} is no descriptor: expected a small number", hint=f"a file called {what} is ./{what}"
            )
        return cls(name, int(what))
