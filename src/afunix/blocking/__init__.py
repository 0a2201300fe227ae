"""The poll driver: for `afunix connect`, and for programs that have no event loop.

    channel = blocking.connect("/run/app.sock", timeout=3)

`dialling` makes the connection, with a deadline; `conversation` moves bytes both ways until it is over. Here
it is decided what to wait for and when to stop waiting: the bytes are the pumps' (`kernel.pump`), the clocks
are `model.patience`.
"""

from __future__ import annotations

from .dialling import connect

__all__ = ["connect"]
