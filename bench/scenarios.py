"""What is measured: one entry for each row of goals, with its contenders, its figures and what to reach.

A goal compares one figure of afunix's with a factor of another contender's in the same run, or with a bound.
This file holds no measuring; a new row is a new entry here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench import bulk, commands, contenders, crowd, databases, looking, relays, startup
from bench.bulk import Sample, Stdout
from bench.contenders import Contender
from bench.workplace import Workplace

Measure = Callable[[Workplace, Contender], Sample]


@dataclass(frozen=True, slots=True)
class Column:
    """A figure of a sample: its key, its heading with the unit, which way is better, and its decimals."""

    key: str
    heading: str
    higher_is_better: bool = True
    decimals: int = 2


@dataclass(frozen=True, slots=True)
class Goal:
    """`subject` is to be `factor` times better than the best of `against` (all peers, if empty) in `column`.

    With `at_most` it is a bound instead.
    """

    words: str
    column: str
    factor: float = 1.0
    against: tuple[str, ...] = ()
    subject: str = "afunix"
    at_most: float | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """A table of the report. The first column has the ratios; `limit` is the contender of the second.

    `verify` is one more pass for each contender, not timed; its figures stand in the columns too.
    """

    name: str
    title: str
    contenders: Sequence[Contender]
    measure: Measure
    columns: Sequence[Column]
    goals: Sequence[Goal]
    limit: str = ""
    verify: Measure | None = None


_SPEED = Column("gb_per_s", "GB/s")
_SERVER_COST = Column("cpu_s_per_gb", "server CPU, s/GB", higher_is_better=False)
_BULK = (_SPEED, Column("wall_s", "s, with the client's start", higher_is_better=False), _SERVER_COST)
_COPYING_LIMIT = "C write, splice"
_ZERO_COPY = "afunix --zero-copy"
_SPLICE_RELAY = "C splice relay"
_EPOLL_RELAY = "C epoll relay"
_PROXYD = "systemd-socket-proxyd"
_SOCAT_262144 = "socat -b262144"
_NOISE = 0.95
_CLICK = "python -c 'import click'"
_S6 = "s6-ipcserver"
_SPAWN = "C posix_spawn, 2 threads, no clients"


def _at_least(factor: float) -> str:
    return f"≥ {factor:g} × the best peer"


def _best_peer(factor: float, column: str, subject: str = "afunix") -> Goal:
    words = f"`--zero-copy` {_at_least(factor)}" if subject == _ZERO_COPY else _at_least(factor)
    return Goal(words, column, factor, subject=subject)


def _of_limit(factor: float, limit: str) -> Goal:
    return Goal(f"≥ {factor:g} × {limit}", "gb_per_s", factor, (limit,))


def _bulk(name: str, words: str, stdout: Stdout, goals: Sequence[Goal]) -> Scenario:
    title = f"2 GiB from a file, one client → STDOUT on {words}"
    return Scenario(name, title, contenders.PAIRS, bulk.transfer(stdout), _BULK, goals, _COPYING_LIMIT)


def _lines(clients: int, how: str) -> Scenario:
    many = f"{clients} client{'s' if clients > 1 else ''}"
    return Scenario(
        f"lines-{clients}" if how == "write" else f"lines-{clients}-{how}",
        f"{many}, 100-byte lines sent with {how}, whole lines → pipe",
        contenders.LINE_SERVERS,
        crowd.lines(clients, how),
        (
            _SPEED,
            _SERVER_COST,
            Column("torn", "torn", False, 0),
            Column("missing", "missing", False, 0),
            Column("disordered", "out of order", False, 0),
        ),
        (
            Goal("0 torn", "torn", at_most=0),
            Goal("0 missing", "missing", at_most=0),
            Goal("0 out of order", "disordered", at_most=0),
            _best_peer(2.5, "gb_per_s"),
            _of_limit(0.75, "C line keeper"),
        ),
        "C line keeper",
        crowd.verify_lines(clients),
    )


def _relay_echo(clients: int) -> Scenario:
    return Scenario(
        f"relay-echo-{clients}",
        f"ping-pong through a relay: {clients} connection{'s' if clients > 1 else ''} × 64 bytes",
        contenders.RELAYS,
        relays.echo(clients),
        (
            Column("per_s", "round trips/s", decimals=0),
            Column("cpu_us", "relay CPU, µs a round trip", higher_is_better=False),
        ),
        (Goal("≥ the best peer, within noise", "per_s", _NOISE),),
        _EPOLL_RELAY,
    )


SCENARIOS: tuple[Scenario, ...] = (
    _bulk("bulk-pipe", "a pipe", Stdout.PIPE, (_best_peer(2.2, "gb_per_s"), _of_limit(0.9, _COPYING_LIMIT))),
    _bulk(
        "bulk-null",
        "/dev/null",
        Stdout.NULL,
        (_best_peer(1.0, "gb_per_s"), _best_peer(2.0, "gb_per_s", _ZERO_COPY)),
    ),
    _bulk(
        "bulk-file",
        "a file (tmpfs, its pages touched before)",
        Stdout.FILE,
        (_best_peer(1.0, "gb_per_s"), _best_peer(1.05, "gb_per_s", _ZERO_COPY)),
    ),
    Scenario(
        "serve-pipe",
        "the server alone: 2 GiB from a C writer → pipe",
        contenders.SERVERS,
        bulk.fed_by_c_writer,
        (_SPEED, _SERVER_COST),
        (_best_peer(2.0, "gb_per_s"), _of_limit(0.9, "C splice")),
        "C splice",
    ),
    *(_lines(clients, how) for how in ("write", "sendfile") for clients in (1, 8, 64)),
    Scenario(
        "messages",
        "8 clients × 200,000 separate 64-byte writes → pipe",
        contenders.MESSAGE_SERVERS,
        crowd.messages,
        (
            Column("cpu_us", "server CPU, µs a message", higher_is_better=False, decimals=3),
            Column("per_s", "messages/s", decimals=0),
        ),
        (Goal("less server CPU than any peer", "cpu_us"),),
        "C epoll",
    ),
    Scenario(
        "short",
        "short connections: connect, 64 bytes, wait for the close, 16 at a time",
        contenders.SHORT_SERVERS,
        crowd.short_connections,
        (
            Column("cpu_us", "server CPU, µs a connection", higher_is_better=False, decimals=1),
            Column("per_s", "connections/s", decimals=0),
        ),
        (
            Goal("server CPU ≤ nc and ncat", "cpu_us", 1.0, ("nc", "ncat")),
            Goal("≥ 15 × socat fork, connections/s", "per_s", 15, ("socat",)),
            Goal("with 5,000 idle clients within 20 %", "cpu_us", 1 / 1.2, ("afunix",), "afunix, 5,000 idle"),
        ),
        "C epoll",
    ),
    Scenario(
        "echo",
        "echo, 64 clients × 64 bytes",
        contenders.ECHO_SERVERS,
        crowd.echo,
        (
            Column("per_s", "round trips/s", decimals=0),
            Column("cpu_us", "server CPU, µs a round trip", higher_is_better=False),
        ),
        (_best_peer(1.5, "per_s", "afunix --echo"),),
        "C epoll",
    ),
    Scenario(
        "idle",
        "10,000 idle clients",
        contenders.IDLE_SERVERS,
        crowd.idle,
        (
            Column("kib_each", "KiB a client", higher_is_better=False),
            Column("clients", "clients", decimals=0),
            Column("mib", "MiB in all", higher_is_better=False, decimals=1),
            Column("processes", "processes", higher_is_better=False, decimals=0),
            Column("cpu_s", "CPU s in 2 s", higher_is_better=False),
        ),
        (
            Goal("≤ 32 MiB in all", "mib", at_most=32),
            Goal("one process", "processes", at_most=1),
            Goal("0 CPU", "cpu_s", at_most=0),
        ),
        "C epoll",
    ),
    Scenario(
        "start-connect",
        "one line: `echo hi` into a client, the whole process",
        contenders.CLIENTS,
        startup.one_line,
        (Column("ms", "ms", higher_is_better=False, decimals=1),),
        (Goal("≤ 50 ms where `import click` takes 34", "ms", 34 / 50, (_CLICK,), "afunix connect"),),
        _CLICK,
    ),
    Scenario(
        "start-serve",
        "from a server's start until it can be connected to",
        contenders.STARTERS,
        startup.connectable,
        (Column("ms", "ms", higher_is_better=False, decimals=1),),
        (Goal("≤ 110 ms where `import click` takes 34", "ms", 34 / 110, (_CLICK,)),),
        _CLICK,
    ),
    Scenario(
        "list",
        "10,000 sockets with their processes, all in one list",
        contenders.LISTERS,
        looking.looking(),
        (Column("ms", "ms", higher_is_better=False, decimals=0),),
        (
            Goal("≤ 1,500 ms", "ms", subject="afunix ls", at_most=1500),
            Goal("≤ 3 × ss -xp", "ms", 1 / 3, ("ss -xp",), "afunix ls"),
        ),
        _CLICK,
    ),
    Scenario(
        "check",
        "is it reachable, while there are 10,000 other sockets",
        contenders.CHECKERS,
        looking.looking(),
        (Column("ms", "ms", higher_is_better=False, decimals=0),),
        (),
        _CLICK,
    ),
    Scenario(
        "relay-bulk",
        "2 GiB through a relay, from a C writer to a C reader",
        contenders.BULK_RELAYS,
        relays.bulk,
        (_SPEED, Column("cpu_s_per_gb", "relay CPU, s/GB", higher_is_better=False, decimals=3)),
        (
            Goal(f"≥ 3 × {_SOCAT_262144}", "gb_per_s", 3, (_SOCAT_262144,)),
            Goal(f"≥ 1 × {_PROXYD}", "gb_per_s", 1, (_PROXYD,)),
            _of_limit(0.9, _SPLICE_RELAY),
            Goal(f"CPU ≤ 1.2 × {_PROXYD}", "cpu_s_per_gb", 1 / 1.2, (_PROXYD,)),
        ),
        _SPLICE_RELAY,
    ),
    *(_relay_echo(clients) for clients in (1, 16)),
    Scenario(
        "relay-idle",
        "1,000 idle pairs in a relay",
        contenders.IDLE_RELAYS,
        relays.idle,
        (
            Column("kib_each", "KiB a pair", higher_is_better=False),
            Column("pairs", "pairs", decimals=0),
            Column("mib", "MiB in all", higher_is_better=False, decimals=1),
            Column("processes", "processes", higher_is_better=False, decimals=0),
            Column("cpu_s", "CPU s in 2 s", higher_is_better=False),
        ),
        (
            Goal("≤ 24 MiB in all", "mib", at_most=24),
            Goal("one process", "processes", at_most=1),
            Goal("0 CPU", "cpu_s", at_most=0),
        ),
        _EPOLL_RELAY,
    ),
    Scenario(
        "relay-redis",
        "redis-benchmark through a relay: 50 connections, no pipelining",
        contenders.RELAYS,
        databases.redis,
        (Column("get_per_s", "GET/s", decimals=0), Column("set_per_s", "SET/s", decimals=0)),
        (_best_peer(1, "get_per_s"), _best_peer(1, "set_per_s")),
        _EPOLL_RELAY,
    ),
    Scenario(
        "tap-redis",
        "redis-benchmark through what shows or keeps the traffic: 50 connections, no pipelining",
        contenders.TAPS,
        databases.redis,
        (Column("get_per_s", "GET/s", decimals=0), Column("set_per_s", "SET/s", decimals=0)),
        (
            Goal("costs ≤ 25 % of the rate", "get_per_s", 0.75, ("no relay",), subject="afunix tap --write"),
            Goal(
                "costs ≤ 25 % of a relay's rate", "get_per_s", 0.75, ("afunix",), subject="afunix tap --write"
            ),
        ),
        _EPOLL_RELAY,
    ),
    Scenario(
        "tap-bulk",
        "1 GiB through what shows or keeps the traffic",
        contenders.TAPS,
        relays.bulk,
        (_SPEED, Column("cpu_s_per_gb", "CPU, s/GB", higher_is_better=False, decimals=3)),
        (
            Goal("≥ 10 × socat -x", "gb_per_s", 10, ("socat -x",), subject="afunix tap --write"),
            Goal("≥ 10 × socat -x", "gb_per_s", 10, ("socat -x",), subject="afunix tap --hex"),
        ),
        _EPOLL_RELAY,
    ),
    Scenario(
        "relay-pgbench",
        "pgbench (select only) through a relay: 8 connections",
        contenders.RELAYS,
        databases.pgbench,
        (
            Column("per_s", "transactions/s", decimals=0),
            Column("ms", "ms each", higher_is_better=False, decimals=3),
        ),
        (_best_peer(1, "per_s"),),
        _EPOLL_RELAY,
    ),
    Scenario(
        "exec",
        "a command for each client, which ends at once, 8 clients at a time",
        contenders.EXECUTORS,
        commands.visits,
        (
            Column("per_s", "connections/s", decimals=0),
            Column(
                "cpu_us", "CPU, µs a connection, the command's included", higher_is_better=False, decimals=0
            ),
        ),
        (Goal(f"≥ 1.3 × {_S6}", "per_s", 1.3, (_S6,), "afunix --exec"),),
        _SPAWN,
    ),
)
