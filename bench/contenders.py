"""Who is measured: a table of command lines for each kind of work.

A contender is afunix itself (ours), a program that people use today (peer), or a C program that does one
thing as cheaply as the kernel lets it (limit). This file knows nothing of how they are measured.
"""

from __future__ import annotations

import enum
import shutil
import subprocess
from dataclasses import dataclass


class Role(enum.Enum):
    OURS = "afunix"
    PEER = "peer"
    LIMIT = "limit"


@dataclass(frozen=True, slots=True)
class Contender:
    """A server (and for some work its client) as command lines; see workplace for what stands in braces.

    `share` is the part of the work that a slow one is given; all figures are per unit of work. `cannot` says
    why it takes no part at all. `idle` clients are connected and silent meanwhile.
    """

    name: str
    role: Role
    server: str
    client: str = ""
    program: str = "cc"
    share: float = 1.0
    stderr_is_stdout: bool = False
    idle: int = 0
    cannot: str = ""

    def absence(self) -> str:
        """Why it cannot be measured here, or nothing."""
        if self.cannot:
            return self.cannot
        if shutil.which(self.program) is None:
            return "not installed"
        if self.program == "nc" and b"OpenBSD" not in _help_of_nc():
            return "this nc is not OpenBSD's"
        return ""


def _help_of_nc() -> bytes:
    return subprocess.run(["nc", "-h"], capture_output=True, check=False).stderr


_S6_STDOUT = "sh -c 'exec cat >&2'"  # descriptor 1 of its child is the socket; only STDERR leads out
_ASYNCIO = "{python} {peers}/asyncio_streams.py {sock}"
_SPLICE = "{c}/splice_server {sock}"


def _ours(name: str, server: str, client: str = "") -> Contender:
    return Contender(name, Role.OURS, server, client, program="sh")


PAIRS = (
    _ours("afunix", "{afunix} serve -q {sock}", "{afunix} connect {sock}"),
    _ours("afunix --zero-copy", "{afunix} serve -q {sock}", "{afunix} connect --zero-copy {sock}"),
    Contender(
        "socat",
        Role.PEER,
        "socat -u UNIX-LISTEN:{sock},fork STDOUT",
        "socat -u STDIN UNIX-CONNECT:{sock}",
        "socat",
    ),
    Contender(
        "socat -b262144",
        Role.PEER,
        "socat -u -b262144 UNIX-LISTEN:{sock},fork STDOUT",
        "socat -u -b262144 STDIN UNIX-CONNECT:{sock}",
        "socat",
    ),
    Contender("nc", Role.PEER, "nc -lkU {sock}", "nc -NU {sock}", "nc"),
    Contender("ncat", Role.PEER, "ncat -lkU {sock}", "ncat -U --send-only {sock}", "ncat"),
    Contender(
        "s6-ipcserver, cat",
        Role.PEER,
        f"s6-ipcserver {{sock}} {_S6_STDOUT}",
        "s6-ipcclient {sock} sh -c 'exec cat >&7'",
        "s6-ipcserver",
        stderr_is_stdout=True,
    ),
    Contender(
        "asyncio streams, C write client",
        Role.PEER,
        f"{_ASYNCIO} collect",
        "{c}/write_client {sock} 262144",
        share=1 / 4,
    ),
    Contender("C read/write, 64 KiB", Role.PEER, "{c}/rw_server {sock}", "{c}/write_client {sock} 65536"),
    Contender(
        "C read/write, 100 bytes",
        Role.PEER,
        "{c}/rw_server {sock} 100",
        "{c}/write_client {sock} 100",
        share=1 / 64,
    ),
    Contender("C write, splice", Role.LIMIT, _SPLICE, "{c}/write_client {sock} 262144"),
    Contender("C sendfile, splice", Role.LIMIT, _SPLICE, "{c}/write_client {sock} sendfile"),
)
"""One client's file to STDOUT: each with its own server and client."""

_SOCAT = Contender("socat", Role.PEER, "socat -u UNIX-LISTEN:{sock},fork STDOUT", program="socat")
_NC = Contender("nc", Role.PEER, "nc -lkU {sock}", program="nc")
_NCAT = Contender("ncat", Role.PEER, "ncat -lkU {sock}", program="ncat")
_S6 = Contender(
    "s6-ipcserver, cat",
    Role.PEER,
    f"s6-ipcserver -c 128 -C 128 {{sock}} {_S6_STDOUT}",
    program="s6-ipcserver",
    stderr_is_stdout=True,
)
_STREAMS = Contender("asyncio streams", Role.PEER, f"{_ASYNCIO} collect", share=1 / 4)
_EPOLL = Contender("C epoll", Role.LIMIT, "{c}/epoll_server {sock} collect")
_AFUNIX = _ours("afunix", "{afunix} serve -q {sock}")

_COLLECTING_PEERS = (
    _SOCAT,
    Contender(
        "socat -b262144", Role.PEER, "socat -u -b262144 UNIX-LISTEN:{sock},fork STDOUT", program="socat"
    ),
    _NC,
    _NCAT,
    _S6,
    _STREAMS,
    Contender("C read/write, 64 KiB", Role.PEER, "{c}/rw_server {sock}"),
)

SERVERS = (
    *((_AFUNIX, *_COLLECTING_PEERS)),
    Contender("C splice", Role.LIMIT, _SPLICE),
)
"""One client's bytes to STDOUT, the client a C program."""

LINE_SERVERS = (
    _AFUNIX,
    *_COLLECTING_PEERS,
    Contender("C line keeper", Role.LIMIT, "{c}/lines_server {sock}"),
)
"""Many clients' lines to STDOUT. nc and the C loop keep lines whole by serving one client at a time."""

MESSAGE_SERVERS = (_AFUNIX, *_COLLECTING_PEERS, _EPOLL)

_IDLE = 5000


def _with_idle(contender: Contender) -> Contender:
    return Contender(
        f"{contender.name}, {_IDLE:,} idle",
        contender.role,
        contender.server,
        program=contender.program,
        share=contender.share,
        idle=_IDLE,
    )


SHORT_SERVERS = (
    _AFUNIX,
    _with_idle(_AFUNIX),
    Contender("socat", Role.PEER, _SOCAT.server, program="socat", share=1 / 16),
    _NC,
    Contender("nc, 5,000 idle", Role.PEER, "", program="nc", cannot="serves one client at a time"),
    _NCAT,
    Contender("ncat, 5,000 idle", Role.PEER, "", program="ncat", cannot="ends at 1,024 descriptors"),
    Contender(
        "s6-ipcserver, cat",
        Role.PEER,
        _S6.server,
        program="s6-ipcserver",
        share=1 / 16,
        stderr_is_stdout=True,
    ),
    _STREAMS,
    _with_idle(_STREAMS),
    Contender("C read/write, 64 KiB", Role.PEER, "{c}/rw_server {sock}"),
    _EPOLL,
    _with_idle(_EPOLL),
)

ECHO_SERVERS = (
    _ours("afunix --echo", "{afunix} serve -q --echo {sock}"),
    Contender("socat PIPE", Role.PEER, "socat UNIX-LISTEN:{sock},fork PIPE", program="socat"),
    Contender("nc", Role.PEER, "", program="nc", cannot="has no echo"),
    Contender("ncat -e cat", Role.PEER, "ncat -lkU -e /bin/cat {sock}", program="ncat"),
    Contender(
        "s6-ipcserver, cat", Role.PEER, "s6-ipcserver -c 128 -C 128 {sock} cat", program="s6-ipcserver"
    ),
    Contender("asyncio streams", Role.PEER, f"{_ASYNCIO} echo"),
    Contender("C epoll", Role.LIMIT, "{c}/epoll_server {sock} echo"),
)

IDLE_SERVERS = (
    _AFUNIX,
    Contender("socat", Role.PEER, _SOCAT.server, program="socat", share=1 / 10),
    Contender("nc", Role.PEER, "", program="nc", cannot="serves one client at a time"),
    Contender("ncat", Role.PEER, "ncat -lkU -m 1000 {sock}", program="ncat", share=1 / 10),
    Contender(
        "s6-ipcserver, cat",
        Role.PEER,
        f"s6-ipcserver -c 1000 -C 1000 {{sock}} {_S6_STDOUT}",
        program="s6-ipcserver",
        share=1 / 10,
        stderr_is_stdout=True,
    ),
    Contender("asyncio streams", Role.PEER, f"{_ASYNCIO} collect"),
    _EPOLL,
)
"""ncat ends at 1,024 descriptors, s6-ipcserver at 1,000 clients; socat's 10,000 processes are too many."""

CLIENTS = (
    _ours("afunix connect", "", "{afunix} connect {sock}"),
    Contender("socat", Role.PEER, "", "socat STDIO UNIX-CONNECT:{sock}", program="socat"),
    Contender("nc -N", Role.PEER, "", "nc -NU {sock}", program="nc"),
    Contender("ncat", Role.PEER, "", "ncat -U --send-only {sock}", program="ncat"),
    Contender("python -c 'import click'", Role.LIMIT, "", "{python} -c 'import click'"),
    Contender("python -c 'import socket'", Role.LIMIT, "", "{python} -c 'import socket'"),
)
"""`echo hi | CLIENT`, whole processes; the limits are what Python needs to begin."""

STARTERS = (
    _AFUNIX,
    _SOCAT,
    _NC,
    _NCAT,
    _S6,
    _STREAMS,
    Contender("python -c 'import click'", Role.LIMIT, "", "{python} -c 'import click'"),
)
"""How long after its start a server can be connected to."""

LISTERS = (
    _ours("afunix ls", "", "{afunix} ls"),
    _ours("afunix ls --json", "", "{afunix} ls --json"),
    _ours("afunix ls --tree", "", "{afunix} ls --tree"),
    Contender("ss -xp", Role.PEER, "", "ss -xp", "ss"),
    Contender("lsof -U +E", Role.PEER, "", "lsof -U +E", "lsof"),
    Contender("python -c 'import click'", Role.LIMIT, "", "{python} -c 'import click'"),
)
"""Every socket of the machine with its processes, to /dev/null."""

CHECKERS = (
    _ours("afunix check", "", "{afunix} check {sock}"),
    Contender("python -c 'import click'", Role.LIMIT, "", "{python} -c 'import click'"),
)
"""What there is to be said of one socket."""

_TO = "UNIX-LISTEN:{sock},fork,backlog=4096 UNIX-CONNECT:{sock}.up"
_RELAY = _ours("afunix", "{afunix} relay -q {sock} {sock}.up")
_PROXYD = Contender(
    "systemd-socket-proxyd",
    Role.PEER,
    "systemd-socket-activate --listen={sock} /lib/systemd/systemd-socket-proxyd"
    " --connections-max=2000 {sock}.up",
    program="/lib/systemd/systemd-socket-proxyd",
)
_SOCAT_RELAY = Contender("socat", Role.PEER, f"socat {_TO}", program="socat")
_EPOLL_RELAY = Contender("C epoll relay", Role.LIMIT, "{c}/epoll_relay {sock} {sock}.up")
_NO_RELAY = Contender("no relay", Role.LIMIT, "")

BULK_RELAYS = (
    _RELAY,
    _SOCAT_RELAY,
    Contender("socat -b262144", Role.PEER, f"socat -b262144 {_TO}", program="socat"),
    _PROXYD,
    Contender("C copy relay", Role.LIMIT, "{c}/relay {sock} {sock}.up copy"),
    Contender("C splice relay", Role.LIMIT, "{c}/relay {sock} {sock}.up splice"),
    _NO_RELAY,
)
"""Between a client at {sock} and a server at {sock}.up."""

RELAYS = (_RELAY, _SOCAT_RELAY, _PROXYD, _EPOLL_RELAY, _NO_RELAY)
"""The same for small messages."""

_BETWEEN = "UNIX-LISTEN:{sock},fork,backlog=4096 UNIX-CONNECT:{sock}.up"
_TAP = "{afunix} tap -q --listen {sock}"
_HALF = 1 / 2

TAPS = (
    Contender("afunix tap --write", Role.OURS, f"{_TAP} --write {{sock}}.pcapng {{sock}}.up", share=_HALF),
    Contender("afunix tap --hex", Role.OURS, f"{_TAP} --hex {{sock}}.up", share=_HALF),
    Contender("afunix tap", Role.OURS, f"{_TAP} {{sock}}.up", share=_HALF),
    Contender(
        "socat -v", Role.PEER, f"sh -c 'exec socat -v {_BETWEEN} 2>/dev/null'", program="socat", share=1 / 32
    ),
    Contender(
        "socat -x", Role.PEER, f"sh -c 'exec socat -x {_BETWEEN} 2>/dev/null'", program="socat", share=1 / 64
    ),
    _RELAY,
    _EPOLL_RELAY,
    _NO_RELAY,
)
"""What lets one look at the traffic: to a file, or to /dev/null."""

IDLE_RELAYS = (
    _RELAY,
    Contender("socat", Role.PEER, _SOCAT_RELAY.server, program="socat", share=1 / 10),
    _PROXYD,
    _EPOLL_RELAY,
)

_NOTHING = "{c}/nothing"

EXECUTORS = (
    _ours("afunix --exec", f"{{afunix}} serve -q --exec {{sock}} -- {_NOTHING}"),
    Contender(
        "s6-ipcserver", Role.PEER, f"s6-ipcserver -c 1000 -C 1000 {{sock}} {_NOTHING}", program="s6-ipcserver"
    ),
    Contender(
        "unixserver", Role.PEER, f"unixserver -q -c 1000 -b 4096 {{sock}} {_NOTHING}", program="unixserver"
    ),
    Contender(
        "socat EXEC",
        Role.PEER,
        f"socat UNIX-LISTEN:{{sock}},fork,backlog=4096 EXEC:{_NOTHING}",
        program="socat",
        share=1 / 2,
    ),
    Contender(
        "systemd-socket-activate",
        Role.PEER,
        f"systemd-socket-activate --accept --inetd --listen={{sock}} {_NOTHING}",
        program="systemd-socket-activate",
    ),
    *(
        Contender(
            f"C {how}, {threads} threads, no clients",
            Role.LIMIT,
            "",
            f"{{c}}/spawn {word} {threads} {_NOTHING}",
        )
        for how, word, threads in (
            ("posix_spawn", "spawn", 2),
            ("posix_spawn", "spawn", 8),
            ("vfork", "vfork", 8),
            ("fork", "fork", 2),
        )
    ),
)
"""A command for each client, which ends at once; the limits only start it and wait for it."""
