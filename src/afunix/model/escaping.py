"""How untrusted bytes are shown: the one function for names, labels and paths in messages and logs.

A socket's name, a process's name and a client's bytes are chosen by somebody else, and a terminal obeys what
it is told to print. What is escaped: C0 controls (as ``^X``), DEL (``^?``), C1 controls and the characters that
change the direction of text (``\\u…``), and bytes that are not UTF-8 (``\\xHH``).

The result is for reading; it is not meant to be turned back into bytes. `formats.text` uses the same table for
streams, where a character may arrive in two pieces.
"""

from __future__ import annotations

_BIDIRECTIONAL = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_LINE_BREAKING = (0x2028, 0x2029)

CONTROL_PICTURES: dict[int, str] = {
    **{code: f"^{chr(code + 0x40)}" for code in range(0x20)},
    0x7F: "^?",
    **{code: f"\\u{code:04x}" for code in (*range(0x80, 0xA0), *_BIDIRECTIONAL, *_LINE_BREAKING)},
    **{0xDC00 + byte: f"\\x{byte:02x}" for byte in range(0x80, 0x100)},
}
"""Code point to what is shown instead; every other character is shown as it is. For `str.translate`.

The last group are the surrogates that stand for bytes which are not UTF-8 (PEP 383).
"""


_INVISIBLE = (
    0xAD,
    0x180E,
    0x200B,
    *range(0x2060, 0x2065),
    0xFEFF,
    *range(0xFFF9, 0xFFFC),
    *range(0xE0000, 0xE0080),
)

_PICTURES_IN_NAMES = {
    **CONTROL_PICTURES,
    **{code: f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}" for code in _INVISIBLE},
}
"""In a name also what nobody sees: two that look alike are not one. In a stream it may be somebody's text."""


def escape(name: str | bytes) -> str:
    """`name` on one line, with nothing in it that a terminal or a log reader would obey, or that cannot be seen."""
    text = name.decode("utf-8", "surrogateescape") if isinstance(name, bytes) else name
    if text.isascii() and text.isprintable():
        return text
    shown = text.translate(_PICTURES_IN_NAMES)
    return shown.encode("utf-8", "backslashreplace").decode("utf-8")


def quote(name: str | bytes) -> str:
    """`name` escaped and between single quotes, as every message shows a thing that somebody typed or sent."""
    return f"'{escape(name)}'"
