"""What stands in a tap's view in place of messages that were not shown, since nobody read the ones before. Pure.

[…]  12.345678  1,234 messages (5.5 MiB) not shown: STDOUT took no more
{"event": "not-shown", "time": "…Z", "at": 12.345678, "messages": 1234, "bytes": 5767168}

As every line of `tap_lines` it begins with `[`, which what was said never does.
"""

from __future__ import annotations

from ..model.counting import counted
from ..model.tapped import Beginning
from .label import format_time
from .traffic import show_bytes


def show_gap(beginning: Beginning, at_s: float, messages: int, count: int) -> bytes:
    """`messages` of together `count` bytes are missing before what happened at `at_s`."""
    words = f"{counted(messages, 'message')} ({show_bytes(count)}) not shown: STDOUT took no more"
    return f"[…]{at_s:11.6f}  {words}\n".encode()


def render_gap_json(beginning: Beginning, at_s: float, messages: int, count: int) -> bytes:
    """The same as an object."""
    time = format_time(beginning.began_ns / 1e9 + at_s)
    return (
        f'{{"event": "not-shown", "time": "{time}", "at": {at_s:.6f},'
        f' "messages": {messages}, "bytes": {count}}}\n'
    ).encode("ascii")
