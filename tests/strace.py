"""strace as a referee: the calls on Unix sockets that a process really made, beside those that it says it made."""

from __future__ import annotations

import re

STRACED = (
    "socket,bind,listen,accept4,connect,read,write,recvfrom,recvmsg,sendto,sendmsg,shutdown,unlinkat,close"
)
_PLAIN = {"accept4": "accept", "recvfrom": "read", "sendto": "write", "unlinkat": "unlink"}

Call = tuple[str, int, int | None]
"""Name, descriptor (0 for unlink, which has none), and the result where it says something."""


def calls_of_trace(text: str) -> list[Call]:
    calls: list[Call] = []
    for line in text.splitlines():
        name, arguments, result = re.findall(r"^(\w+)\(([^)]*)\)(?: = (-?\d+))?", line)[0]
        calls.append(_call(name, arguments, result))
    return calls


def calls_of_strace(lines: list[str]) -> list[Call]:
    """Those on Unix sockets that were made here and on their files, without attempts that found nothing (EAGAIN)."""
    calls: list[Call] = []
    live: set[int] = set()
    for line in lines:
        found = re.findall(r"(?:^|\s)(\w+)\((.*)\)\s+= (-?\d+)", line)
        if not found or "EAGAIN" in line:
            continue
        name, arguments, result = found[0]
        if name == "connect" and "/nscd/" in arguments:  # the C library asks what a uid is called
            live.discard(calls.pop()[1])
            continue
        call = _call(_PLAIN.get(name, name), arguments, result)
        if call[0] == "unlink":
            if '.lock"' in arguments or result != "0":
                continue
        elif call[0] == "socket" and "AF_UNIX" in arguments:
            live.add(int(result))
        elif call[1] not in live:
            continue
        elif call[0] == "accept":
            live.add(int(result))
        elif call[0] == "close":
            live.discard(call[1])
        calls.append(call)
    return calls


def _call(name: str, arguments: str, result: str) -> Call:
    if name == "unlink":
        return name, 0, None
    fd = int(result) if name == "socket" else int(arguments.split(",")[0])
    return name, fd, int(result) if name in ("accept", "read", "write") else None
