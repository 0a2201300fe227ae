"""Who bears a name in another namespace: processes that see other abstract names, or other files, than we do.

An abstract name belongs to a network namespace; /proc/PID/net/unix is the table of that process's. A path is looked up
in a mount namespace and a root; /proc/PID/root leads into that process's. One process of each is asked. Both links need
the right to trace the process (ptrace(2)): without root one sees one's own, and `Namespaces.unseen` counts the others.

Facts for the words of a finding: processes come and go, and what is gone is left out.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from ..model.address import Address
from ..model.ownership import FileKind, Sighting, Verdict, judge
from ..model.socket_table import SocketEntry, TableState
from ..model.surroundings import Elsewhere
from .approach import gone_to
from .owners import find_owners, leads_to
from .proc_net_unix import parse
from .processes import alive, all_pids
from .sighting import probe

_MOST_ASKED = 256
"""Namespaces that are looked into: more than a machine full of containers has of interest, and a bound."""


@dataclass(frozen=True, slots=True)
class Namespaces:
    """A process of each other network namespace, and of each place that sees other files; `unseen` are not ours to ask."""

    networks: tuple[int, ...]
    places: tuple[int, ...]
    unseen: int


def other_namespaces() -> Namespaces:
    """Look at every process once."""
    own_network, own_place = _network_of("self"), _place_of("self")
    networks: dict[object, int] = {}
    places: dict[object, int] = {}
    denied = []
    for pid in all_pids():
        try:
            networks.setdefault(_network_of(pid), pid)
            places.setdefault(_place_of(pid), pid)
        except PermissionError:
            denied.append(pid)
        except OSError:
            continue  # it has ended
    networks.pop(own_network, None)
    places.pop(own_place, None)
    return Namespaces(tuple(networks.values()), tuple(places.values()), len(alive(denied)))


def bearers_of_abstract(address: Address, networks: Iterable[int]) -> list[Elsewhere]:
    """Sockets with that abstract name in the network namespaces of those processes; listeners first."""
    found = [
        (pid, entry)
        for pid in _first(networks)
        for entry in _table_of(pid)
        if entry.address == address and entry.is_bound_itself
    ]
    owners = find_owners({entry.inode for _, entry in found}) if found else None
    bearers = []
    for pid, entry in found:
        there = owners.of(entry.inode) if owners is not None else []
        bearers.append(Elsewhere(there[0] if there else None, entry.state, entry.type, through=pid))
    return sorted(bearers, key=lambda one: one.state is not TableState.LISTENING)


def bearers_of_path(address: Address, file: os.stat_result, networks: Iterable[int]) -> list[Elsewhere]:
    """Sockets in the network namespaces of those processes that were bound to that very file."""
    base = os.path.basename(address.name)
    found: list[Elsewhere] = []
    for pid in _first(networks):
        for entry in _table_of(pid):
            if os.path.basename(entry.address.name) == base and entry.is_bound_itself:
                owners = find_owners({entry.inode}).of(entry.inode)
                owner = next((o for o in owners if leads_to(o.pid, entry.address.name, file)), None)
                if owner is not None:
                    found.append(Elsewhere(owner, entry.state, entry.type, through=pid))
    return found


def bearers_in_other_mounts(
    path: bytes, places: Iterable[int], *, is_alive: Callable[[os.stat_result], bool] = lambda file: False
) -> list[Elsewhere]:
    """Sockets at the absolute `path` as those processes see it, that a process has open.

    `is_alive`: whether the caller's table has that file; only one that it does not have is probed.
    """
    found: list[Elsewhere] = []
    known: set[tuple[int, int]] = set()
    for pid in _first(places):
        seen = _socket_at(path, pid, is_alive)
        if seen is not None and (seen[1].st_dev, seen[1].st_ino) not in known:
            way, file = seen
            known.add((file.st_dev, file.st_ino))
            owner = next((one.owner for one in bearers_of_path(Address.pathname(path), file, [pid])), None)
            found.append(Elsewhere(owner, way=way, through=pid))
    return found


def _socket_at(
    path: bytes, pid: int, is_alive: Callable[[os.stat_result], bool]
) -> tuple[bytes, os.stat_result] | None:
    """The way from here, and the file; None if there is no socket that a process holds: a stale one is no help."""
    try:
        with gone_to(path, root=b"/proc/%d/root" % pid) as gone:
            last = gone.way[-1]
            if last.kind is not FileKind.SOCKET or not last.is_final:
                return None
            file = os.fstat(gone.fd)
            if not is_alive(file) and judge(Sighting(FileKind.SOCKET, probe(gone.fd))) is Verdict.STALE:
                return None
            return last.path, file
    except OSError:
        return None  # it has ended


def _first(pids: Iterable[int]) -> Iterator[int]:
    return (pid for _, pid in zip(range(_MOST_ASKED), pids, strict=False))


def _table_of(pid: int) -> list[SocketEntry]:
    try:
        with open(f"/proc/{pid}/net/unix", "rb") as file:
            return parse(file.read())
    except OSError:
        return []


def _network_of(process: int | str) -> str:
    return os.readlink(f"/proc/{process}/ns/net")


def _place_of(process: int | str) -> tuple[str, int, int]:
    root = os.stat(f"/proc/{process}/root")
    return os.readlink(f"/proc/{process}/ns/mnt"), root.st_dev, root.st_ino
