"""Descriptors that somebody sent, for the one to whom `afunix fd receive` shows them: a line each, or JSON. Pure.

1  log   write  file      /var/log/app.log
2  sock  read-write  socket  stream, listening on './app.sock'
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import NamedTuple

from ..model.credentials import PeerCredentials
from ..model.escaping import escape


class Shown(NamedTuple):
    """One of them: its name, and what it is, in the words of `kernel.descriptor_report`."""

    name: str
    access: str
    kind: str
    what: str


class Sender(NamedTuple):
    """Who sent them, and with which bytes."""

    peer: PeerCredentials
    user: str | None
    data: bytes


def as_lines(descriptors: Sequence[Shown]) -> str:
    """In columns, numbered in their order from 1, each line with its newline."""
    rows = [
        (str(number), escape(each.name), each.access, each.kind, escape(each.what))
        for number, each in enumerate(descriptors, 1)
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n"
        for row in rows
    )


def as_json(descriptors: Sequence[Shown], sender: Sender) -> str:
    """One ASCII object a line for each; `data` or `data_base64` is what came along with all of them."""
    peer = sender.peer
    by = {
        "pid": peer.pid,
        "uid": peer.uid if peer.is_known else None,
        "gid": peer.gid if peer.is_known else None,
        "user": None if sender.user is None else escape(sender.user),
    }
    return "".join(
        json.dumps({"number": number, **_fields(each), **by, **_data(sender.data)}) + "\n"
        for number, each in enumerate(descriptors, 1)
    )


def _fields(each: Shown) -> dict[str, str]:
    return {"name": each.name, "kind": each.kind, "access": each.access, "what": escape(each.what)}


def _data(data: bytes) -> dict[str, str]:
    try:
        return {"data": data.decode("utf-8")}
    except UnicodeDecodeError:
        return {"data_base64": base64.b64encode(data).decode("ascii")}
