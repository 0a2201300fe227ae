"""After a connect(2) that failed: what is there, and where the way to it ends. Facts for `model.refusal`.

Everything is looked at a moment later, so a fact may be newer than the errno; it is for the words only.
Nothing is changed, and no server notices: the probe of `sighting` is made only after ECONNREFUSED, where no datagram
server can be met.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator

from ..model.address import Address, AddressKind
from ..model.ownership import FileKind, Sighting, Verdict, judge
from ..model.refusal import Obstacle, describe_user
from . import names


def look(address: Address, number: int, *, wanted_type: str, found_type: str | None = None) -> Obstacle:
    """The facts behind errno `number`; `found_type` is what the caller knows of the server's type."""
    if address.kind is not AddressKind.PATHNAME:
        return Obstacle(address, number, wanted_type=wanted_type, found_type=found_type)
    obstructed = _obstructed(address.name)
    file = _stat(obstructed or address.name)
    return Obstacle(
        address,
        number,
        kind=FileKind.of(file.st_mode) if file is not None and obstructed is None else FileKind.NOTHING,
        link_target=_link_target(address.name),
        obstructed=obstructed,
        is_bound=file is not None and number == errno.ECONNREFUSED and _is_bound(address.name),
        mode=stat.S_IMODE(file.st_mode) if file is not None else 0,
        owner=_user(file.st_uid) if file is not None else "",
        person=_person(),
        wanted_type=wanted_type,
        found_type=found_type,
    )


def _obstructed(path: bytes) -> bytes | None:
    """The first directory on the way that is missing, is none, or may not be searched."""
    for part in _directories(path):
        file = _stat(part)
        if file is None or not stat.S_ISDIR(file.st_mode) or not _may_search(part):
            return part
    return None


def _directories(path: bytes) -> Iterator[bytes]:
    """`/`, `/a`, `/a/b` for `/a/b/c`; `a` for `a/b`."""
    end = path.find(b"/")
    while end >= 0:
        yield path[:end] or b"/"
        end = path.find(b"/", end + 1)


def _stat(path: bytes) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None


def _may_search(directory: bytes) -> bool:
    return os.access(directory, os.X_OK, effective_ids=os.access in os.supports_effective_ids)


def _link_target(path: bytes) -> bytes | None:
    try:
        return os.readlink(path)
    except OSError:
        return None


def _is_bound(path: bytes) -> bool:
    """Does a process hold the socket? One that is stale refuses also the wrong type."""
    from .sighting import probe

    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return judge(Sighting(FileKind.SOCKET, probe(fd))) is Verdict.LIVE
    finally:
        os.close(fd)


def _user(uid: int) -> str:
    return names.user_name(uid) or f"uid {uid}"


def _person() -> str:
    uid = os.geteuid()
    return describe_user(uid, names.user_name(uid))
