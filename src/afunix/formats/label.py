"""`--label`: who sent a line, put in front of it. Pure: facts in, bytes out.

The default is ``{connection} {user} {comm}[{pid}]: ``; the fields are connection, pid, uid, gid, user, comm and
time, and ``{{`` is a brace. Names come from other processes and are escaped here, so that a label is always one
line. What is not known is ``?``.
"""

from __future__ import annotations

import datetime
import string
from collections.abc import Callable
from dataclasses import dataclass

from ..model.errors import AddressError
from ..model.escaping import escape, quote

DEFAULT_LABEL = "{connection} {user} {comm}[{pid}]: "


@dataclass(frozen=True, slots=True)
class Sender:
    """What is known of a client when its bytes are shown; None where the kernel or the system does not say."""

    connection: int | None
    pid: int | None
    uid: int | None
    gid: int | None
    user: str | None
    comm: str | None


class LabelError(AddressError):
    """A label format that cannot be meant."""


FIELDS: dict[str, Callable[[Sender], object]] = {
    "connection": lambda sender: sender.connection,
    "pid": lambda sender: sender.pid,
    "uid": lambda sender: sender.uid,
    "gid": lambda sender: sender.gid,
    "user": lambda sender: sender.user if sender.user is not None else sender.uid,
    "comm": lambda sender: sender.comm,
}
"""Every field but `time`, which is not the sender's."""


class Label:
    """A parsed label format. `needs` names the fields that it uses."""

    def __init__(self, written: str = DEFAULT_LABEL) -> None:
        """Raises LabelError for an unknown field, a conversion, or a brace that is not closed."""
        try:
            parts = list(string.Formatter().parse(written))
        except ValueError as error:
            raise LabelError(
                f"the label {quote(written)} cannot be read: {error}",
                hint="a brace itself is written {{ or }}",
            ) from None
        for _, field, spec, conversion in parts:
            if field is not None and (field not in (*FIELDS, "time") or spec or conversion):
                shown = field + (f"!{conversion}" if conversion else "") + (f":{spec}" if spec else "")
                raise LabelError(
                    f"the label has no field {quote('{' + shown + '}')}: there are {', '.join((*FIELDS, 'time'))}"
                )
        self._parts = [(literal, field) for literal, field, _, _ in parts]
        self.needs = frozenset(field for _, field in self._parts if field is not None)

    def render(self, sender: Sender, now: float) -> bytes:
        """The label for `sender`'s bytes at `now` (seconds since the epoch)."""
        text = "".join(literal + self._value(field, sender, now) for literal, field in self._parts)
        return text.encode("utf-8", "backslashreplace")

    def _value(self, field: str | None, sender: Sender, now: float) -> str:
        if field is None:
            return ""
        if field == "time":
            return format_time(now)
        value = FIELDS[field](sender)
        return "?" if value is None else escape(str(value))


def format_time(now: float) -> str:
    """RFC 3339 in UTC with microseconds: ``2026-01-31T12:00:00.000001Z``."""
    moment = datetime.datetime.fromtimestamp(now, datetime.UTC)
    return moment.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"
