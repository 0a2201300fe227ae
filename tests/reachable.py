"""Facts about a server that is in order, to be changed one at a time: what tests of judgements start from."""

from __future__ import annotations

import errno
from dataclasses import replace

from afunix.model.address import Address
from afunix.model.ownership import FileKind
from afunix.model.permission import Person, Rights
from afunix.model.reachability import Facts, Finding, judge
from afunix.model.socket_table import Owner, SocketEntry, TableState
from afunix.model.surroundings import Bound, Component

ADDRESS = Address.pathname("/run/app.sock")
ROOT = Person(0, 0, may_override=True, may_search=True, name="root")
ANA = Person(1000, 1000, name="ana")
OPEN_DIRECTORY = Rights(0o755, 0, 0, is_directory=True)
NGINX = Owner(412, 6, "nginx", 0)

ROOT_STEP = Component(b"/", FileKind.DIRECTORY, OPEN_DIRECTORY)
RUN_STEP = Component(b"/run", FileKind.DIRECTORY, OPEN_DIRECTORY)
FILE = Component(b"/run/app.sock", FileKind.SOCKET, Rights(0o666, 0, 0), is_final=True)
LISTENER = Bound(
    SocketEntry(7, "stream", TableState.LISTENING, ADDRESS, queued=0, backlog=5, uid=0), (NGINX,)
)


def facts(last: Component = FILE, **others: object) -> Facts:
    whole = {"way": (ROOT_STEP, RUN_STEP, last), "probe": errno.EPROTOTYPE, "bound": (LISTENER,), **others}
    return Facts(ADDRESS, ROOT, **whole)  # type: ignore[arg-type]


def ending(number: int, path: bytes = b"/run/app.sock", **others: object) -> Facts:
    last = Component(path, error=number, **{"is_final": True, **others})  # type: ignore[arg-type]
    return facts(last, probe=None, bound=())


def entry(**changes: object) -> Facts:
    return facts(bound=(replace(LISTENER, entry=LISTENER.entry._replace(**changes)),))  # type: ignore[arg-type]


def first(given: Facts) -> Finding:
    return judge(given)[0]
