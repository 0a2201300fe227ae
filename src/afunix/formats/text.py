"""Bytes of a stream as a terminal may be shown them; counterpart of `model.escaping`, whose table it uses.

A client's bytes come in pieces that do not respect characters, so each client has a decoder of its own that holds
back the first bytes of a character until the rest is there. Newline and tab pass; everything else that a terminal
would obey, and what is not UTF-8, is shown instead (``^X``, ``\\u…``, ``\\xHH``).
"""

from __future__ import annotations

import codecs

from ..model.escaping import CONTROL_PICTURES

_STREAM_PICTURES = {code: shown for code, shown in CONTROL_PICTURES.items() if code not in (0x09, 0x0A)}

_Decoder = codecs.getincrementaldecoder("utf-8")


class TerminalText:
    """One client's bytes to what the terminal is given; keeps at most three bytes between calls."""

    __slots__ = ("_decoder",)

    def __init__(self) -> None:
        self._decoder = _Decoder("surrogateescape")

    def show(self, data: bytes, final: bool = False) -> bytes:
        """`data` made harmless. With `final`, an unfinished character is shown as its bytes instead of held."""
        return self._decoder.decode(data, final).translate(_STREAM_PICTURES).encode("utf-8")
