"""Who listens on a TCP port: for the words of a refusal, and for no decision.

/proc/net/tcp and tcp6 (proc_pid_net(5)) have the inodes of this network namespace's sockets, `owners` who has them open.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..model.ownership import Holder
from .owners import find_owners

_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
_LISTENING = "0A"


def holders_of_port(port: int) -> list[Holder]:
    """Processes that listen on `port`, on any address, by pid; empty if none can be seen."""
    inodes = set(_listening_on(port))
    if not inodes:
        return []
    found = find_owners(inodes).by_inode.values()
    holders = {owner.pid: Holder(owner.pid, owner.comm, owner.uid) for owners in found for owner in owners}
    return [holders[pid] for pid in sorted(holders)]


def _listening_on(port: int) -> Iterator[int]:
    """The inodes; fields are the local address, the remote one, the state …, the inode."""
    ending = f":{port:04X}"
    for table in _TABLES:
        try:
            with open(table, encoding="ascii") as file:
                for line in file.readlines()[1:]:
                    fields = line.split()
                    if fields[1].endswith(ending) and fields[3] == _LISTENING:
                        yield int(fields[9])
        except OSError:
            continue  # no IPv6 here
