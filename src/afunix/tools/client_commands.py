"""`serve --exec`: what is run for a client and what it is told, and what an observer is told of it.

How a process begins and ends is `sinks.commands`', what stands in its environment `model.client_environment`'s.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable

from ..kernel import names
from ..kernel.channel import Channel
from ..kernel.exit_code import words_of
from ..kernel.spawning import Command
from ..model.address import Address
from ..model.client_environment import Caller, Dialect, Host, describe, without_ours
from ..model.errors import errno_name
from ..model.escaping import quote
from ..model.events import (
    AcceptPaused,
    AcceptResumed,
    Closed,
    CommandEnded,
    CommandFailed,
    CommandStarted,
    Observer,
)
from ..model.framing import PieceEnd
from ..sinks.commands import Commands

CALM_S = 5.0
"""How long it takes until a shortage of processes counts as over."""

MAX_COMMANDS = 1000
"""Processes at a time where nobody has said how many: a client costs one, and not a descriptor only."""


class ClientCommands(Commands):
    """The sink of one run. `observer` is told of every process, `alerts` of those that could not be had."""

    def __init__(
        self,
        command: Command,
        loop: asyncio.AbstractEventLoop,
        *,
        limit: int,
        dialect: Dialect | None,
        on_finished: Callable[[Channel, PieceEnd], None],
        hold: Callable[[], None],
        let_go: Callable[[], None],
        observer: Observer | None,
        alerts: Observer | None,
    ) -> None:
        super().__init__(
            command,
            loop,
            limit=limit,
            environment_of=self._environment,
            on_finished=on_finished,
            on_started=self._on_child,
            on_closed=self._on_copy_closed,
            on_ended=self._on_child_ended,
            on_failure=self._on_no_child,
            on_shortage=self._on_no_process,
            on_relief=self._on_process,
        )
        self._path = command.path
        self._numbers = command.numbers
        self._dialect = dialect
        self._observer = observer
        self._alerts = alerts
        self._hold = hold
        self._let_go = let_go
        self._shortage = Shortage(loop, alerts)
        self._host = Host(os.getpid(), os.geteuid(), os.getegid())
        self._inherited = without_ours(os.environb)
        self._of_user: Counter[int] = Counter()

    def _environment(self, channel: Channel) -> dict[bytes, bytes]:
        assert channel.names is not None, "its acceptor knows them"
        peer = channel.peer
        bound_to, theirs = channel.names
        caller = Caller(
            connection=channel.connection,
            local_address=str(bound_to),
            peer_address=str(Address.from_kernel(theirs)) if theirs else "",
            peer=peer,
            user=(names.user_name(peer.uid) or "") if peer.is_known else "",
            of_same_user=self._of_user[peer.uid] + 1,
        )
        return self._inherited | describe(caller, self._host, self._dialect)

    def _on_child(self, channel: Channel, fd: int, pid: int) -> None:
        self._of_user[channel.peer.uid] += 1
        if self._observer is not None:
            self._observer(CommandStarted(fd, channel.connection, pid, self._path, self._numbers))

    def _on_copy_closed(self, fd: int) -> None:
        if self._observer is not None:
            self._observer(Closed(fd))

    def _on_child_ended(self, channel: Channel, pid: int, status: int) -> None:
        uid = channel.peer.uid
        self._of_user[uid] -= 1
        if not self._of_user[uid]:
            del self._of_user[uid]
        if self._observer is not None:
            code = os.waitstatus_to_exitcode(status)
            self._observer(CommandEnded(-1, channel.connection, pid, code, words_of(code)))

    def _on_no_child(self, channel: Channel, error: OSError) -> None:
        if self._alerts is not None:
            reason = f"{quote(self._path)}: {error.strerror or error}"
            self._alerts(CommandFailed(channel.fd, channel.connection, error.errno or 0, reason))

    def _on_no_process(self, error: OSError) -> None:
        self._hold()
        self._shortage.begin(error)

    def _on_process(self) -> None:
        self._let_go()
        self._shortage.end()

    def close(self) -> None:
        self._shortage.close()
        super().close()


class Shortage:
    """Processes that cannot be had: told once, and its end when none has come for CALM_S. With commands that live shortly
    one comes and goes with each.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, alerts: Observer | None) -> None:
        self._loop = loop
        self._alerts = alerts
        self._was_told = False
        self._calm: asyncio.TimerHandle | None = None

    def begin(self, error: OSError) -> None:
        self.close()
        if self._was_told or self._alerts is None:
            return
        self._was_told = True
        why = f"no process can be started: {error.strerror or error} ({errno_name(error.errno)})"
        self._alerts(AcceptPaused(-1, error.errno or 0, why))

    def end(self) -> None:
        self.close()
        self._calm = self._loop.call_later(CALM_S, self._tell_end)

    def _tell_end(self) -> None:
        self._was_told = False
        if self._alerts is not None:
            self._alerts(AcceptResumed(-1))

    def close(self) -> None:
        """Look no further ahead."""
        if self._calm is not None:
            self._calm.cancel()
            self._calm = None
