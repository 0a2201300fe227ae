"""`afunix ls --json`: a row of the list as one JSON object in ASCII, with every fact. Pure.

Written out by hand: json.dumps would take as long as everything else together. A name that is not what is shown comes
as `name_base64` too, so that `read_address` gives back every address.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from ..model.address import Address, AddressKind
from ..model.escaping import escape
from ..model.listing import End, Row
from ..model.socket_table import FileIdentity, Owner, Shutdown

_REMEMBERED = 1 << 14


class ListingJson:
    """Rows to objects. `user_name(uid)` is the user's name or None."""

    def __init__(self, user_name: Callable[[int], str | None]) -> None:
        self._user_name = user_name

    def line(self, row: Row, **more: str) -> str:
        """One object in ASCII, without a newline; `more` (`time`, `change`) comes first. See `read_address`."""
        listener = row.server.entry if row.server is not None else None
        pairs = [f'"{key}": {_text(value)}' for key, value in more.items()]
        pairs.append(
            f'"state": "{row.state.value}", "type": {_text(row.type)}, {_address(row.address)},'
            f' "file": {_text(row.file.value if row.file is not None else None)},'
            f' "server": {self._end(row.server)}, "client": {self._end(row.client)},'
            f' "queued": {_number(listener and listener.queued)},'
            f' "backlog": {_number(listener and listener.backlog)}'
        )
        if row.file_owner is not None:
            user = self._user(row.file_owner)
            pairs.append(f'"file_owner": {{"uid": {row.file_owner}, "user": {user}}}')
        return "{" + ", ".join(pairs) + "}"

    def _end(self, end: End | None) -> str:
        if end is None:
            return "null"
        entry = end.entry
        return (
            f'{{"inode": {entry.inode}, "peer": {_number(entry.peer)}, {_address(entry.address)},'
            f' "uid": {_number(entry.uid)}, "user": {self._user(entry.uid)},'
            f' "unread": {_number(entry.unread)}, "charged": {_number(entry.charged)},'
            f' "shutdown": {_SHUTDOWNS[entry.shutdown]}, "file": {_file(entry.file)},'
            f' "waiting": {list(entry.waiting)},'
            f' "processes": [{", ".join(map(self._owner, end.owners))}]}}'
        )

    def _owner(self, owner: Owner) -> str:
        return (
            f'{{"pid": {owner.pid}, "fd": {owner.fd}, "comm": {_name(owner.comm)},'
            f' "uid": {_number(owner.uid)}, "user": {self._user(owner.uid)}}}'
        )

    def _user(self, uid: int | None) -> str:
        return _name(self._user_name(uid) if uid is not None else None)


def read_address(found: Mapping[str, Any]) -> Address:
    """The address that an object of `ListingJson.line` (or an end in it) stands for."""
    encoded = found.get("name_base64")
    kind = AddressKind(found["kind"])
    if encoded is not None:
        return Address(kind, binascii.a2b_base64(encoded))
    return Address(kind) if found["address"] is None else Address.parse(found["address"])


def _number(number: int | None) -> str:
    return "null" if number is None else str(number)


@lru_cache(_REMEMBERED)
def _text(text: str | None) -> str:
    from json import dumps  # most lists are no JSON, and do not wait for it

    return dumps(text)


@lru_cache(_REMEMBERED)
def _name(name: str | None) -> str:
    """Escaped, since a process may call itself by bytes that no JSON string can hold."""
    return _text(None if name is None else escape(name))


@lru_cache(_REMEMBERED)
def _address(address: Address) -> str:
    """`address` and `kind`; also `name_base64` where the address cannot be read back from what is shown."""
    written = None if address.kind is AddressKind.UNNAMED else address.format()
    shown = None if written is None else escape(written)
    pairs = f'"address": {_text(shown)}, "kind": "{address.kind.value}"'
    if shown == written:
        return pairs
    return f'{pairs}, "name_base64": "{binascii.b2a_base64(address.name, newline=False).decode("ascii")}"'


@lru_cache(_REMEMBERED)
def _file(file: FileIdentity | None) -> str:
    return "null" if file is None else f'{{"device": {file.device}, "inode": {file.inode}}}'


_SHUTDOWNS = {
    None: "null",
    Shutdown.NOTHING: "[]",
    Shutdown.RECEIVING: '["receiving"]',
    Shutdown.SENDING: '["sending"]',
    Shutdown.BOTH: '["receiving", "sending"]',
}
