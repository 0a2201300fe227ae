"""`--json`: one ASCII object a piece, one piece a line. Reversible: `data` or `data_base64`, and `end`, give the bytes back.

{"time": "…Z", "connection": 1, "pid": 4121, "uid": 1000, "gid": 1000, "user": "ana", "comm": "afunix",
 "data": "hello", "end": "newline"}
"""

from __future__ import annotations

import base64
import json

from ..model.escaping import escape
from ..model.framing import PieceEnd
from .label import Sender, format_time


def render_piece(sender: Sender, data: bytes, end: PieceEnd, now: float) -> bytes:
    """One line of JSON, with its newline. `data` is without its own newline; not UTF-8 becomes `data_base64`."""
    piece: dict[str, object] = {
        "time": format_time(now),
        "connection": sender.connection,
        "pid": sender.pid,
        "uid": sender.uid,
        "gid": sender.gid,
        "user": _name(sender.user),
        "comm": _name(sender.comm),
    }
    try:
        piece["data"] = data.decode("utf-8")
    except UnicodeDecodeError:
        piece["data_base64"] = base64.b64encode(data).decode("ascii")
    piece["end"] = end.value
    return json.dumps(piece).encode("ascii") + b"\n"


def _name(name: str | None) -> str | None:
    """Escaped, since a process may call itself by bytes that no JSON string can hold."""
    return None if name is None else escape(name)


def read_piece(line: bytes) -> bytes:
    """The bytes that a line of `--json` stands for, with the newline that ended them, if one did."""
    piece = json.loads(line)
    encoded = piece.get("data_base64")
    data: bytes = piece["data"].encode("utf-8") if encoded is None else base64.b64decode(encoded)
    return data + (b"\n" if piece["end"] == PieceEnd.NEWLINE.value else b"")
