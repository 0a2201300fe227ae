"""After a path could not be bound or removed: where the way to it ends, and for whom. Facts for `model.bind_refusal`.

Everything is looked at a moment later, so a fact may be newer than the errno; it is for the words only. Nothing
is changed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from ..model.address import Address
from ..model.bind_refusal import Hindrance, bind_refusal, removal_refusal
from ..model.errors import AfunixError
from .pathname import parent_of


def explain(error: OSError, address: Address) -> OSError | AfunixError:
    """The typed error for `error`; one that is not about the path (EMFILE) comes back, its filename set."""
    explained = bind_refusal(look(address, error.errno or 0))
    if explained is not None:
        return explained
    error.filename = address.format()
    return error


def cannot_remove(error: OSError, address: Address) -> AfunixError:
    """The typed error for a socket file, stale or ours, whose removal or replacement was refused."""
    return removal_refusal(address, error.errno or 0, os.geteuid())


def look(address: Address, number: int) -> Hindrance:
    """The facts behind errno `number`, for the user that we are."""
    directory = parent_of(address)
    reached = _last_reachable(directory)
    return Hindrance(
        address,
        number,
        directory=directory,
        reached=reached,
        may_search=os.access(reached, os.X_OK, effective_ids=True),
        uid=os.geteuid(),
    )


def _last_reachable(directory: bytes) -> bytes:
    """The longest leading part of its path that can be looked up: where the obstacle is."""
    reached = b"/" if directory.startswith(b"/") else b"."
    for part in _leading_parts(directory):
        try:
            os.stat(part)
        except OSError:
            break
        reached = part
    return reached


def _leading_parts(path: bytes) -> Iterator[bytes]:
    """`/a`, `/a/b`, `/a/b/c` for `/a/b/c`."""
    end = path.find(b"/", 1)
    while end > 0:
        yield path[:end]
        end = path.find(b"/", end + 1)
    yield path
