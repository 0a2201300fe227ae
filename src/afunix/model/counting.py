"""How many of something, in words: `1 byte`, `5 bytes`. Pure, and the one place that knows of plurals in -s."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """`noun` is the word for one."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
