"""Arguments that have to be whole numbers: refused by name before anything is made with them.

What a number means, and how large it may be, is known by whoever asks for it.
"""

from __future__ import annotations


def must_be_int(value: object, name: str, expected: str) -> None:
    """Refuse what is no number, and True and False, which Python takes for some.

    Raises:
        TypeError: naming it, and what was found.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} is {type(value).__name__}, expected {expected}")
