"""Words of a command that a person is to paste: what the shell makes of them are exactly the bytes that were meant.

A path with a control character in it cannot be shown as it is, and escaped for the eye it would be another path. Such
a word is written `"$(printf '…')"`, which every POSIX shell reads. It loses newlines at the end; a word that ends so is
written `$'…'`, which bash, zsh, ksh and POSIX.1-2024 read. Every other one is quoted as usual.
"""

from __future__ import annotations

import os
import re
import shlex

from .address import Address, AddressKind
from .escaping import escape

_PLAIN = re.compile(rb"[ \"-$&(-\[\]-~]")
"""What stands for itself in both forms: printable ASCII but the quote, the backslash, the
`%` of printf(1), and the `!` that an interactive bash looks for between double quotes."""


def shell_word(word: str | bytes) -> str:
    """`word` as a shell reads it back, byte for byte; it holds nothing that a terminal would obey."""
    text = os.fsdecode(word)
    if escape(text) == text:
        return shlex.quote(text)
    raw = os.fsencode(word)
    written = "".join(map(_character, (raw[at : at + 1] for at in range(len(raw)))))
    if raw.endswith(b"\n"):
        return f"$'{written}'"
    if written.startswith("-"):
        written = f"\\055{written[1:]}"  # printf(1) would take it for an option
    return f"\"$(printf '{written}')\""


def shell_line(*words: str | bytes) -> str:
    """The words of a command, each quoted where it must be."""
    return " ".join(map(shell_word, words))


def path_word(path: bytes) -> str:
    """A path as an argument that no command takes for an option."""
    return shell_word(b"./" + path if path.startswith(b"-") else path)


def address_word(address: Address) -> str:
    """An address as an argument of `afunix`."""
    written = address.format()
    if address.kind is AddressKind.PATHNAME and written.startswith("-"):
        written = f"./{written}"
    return shell_word(written)


def _character(byte: bytes) -> str:
    return byte.decode() if _PLAIN.fullmatch(byte) else f"\\{byte[0]:03o}"
