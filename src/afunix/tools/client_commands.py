"""`serve --exec`: what is run for a client and what it is told, and what an observer is told of it.

How a process begins and ends is `sinks.commands`', what stands in its environment `model.client_environment`'s.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Sequence

from ..kernel import names
from ..kernel.channel import Channel
from ..kernel.exit_code import words_of
from ..kernel.listener import Listener
from ..kernel.spawning import Command
from ..model.address import Address
from ..model.client_environment import Caller, Dialect, Host, describe, without_ours
from ..model.events import Closed, CommandEnded, CommandFailed, CommandStarted, Observer
from ..model.framing import PieceEnd
from ..sinks.commands import Commands

MAX_COMMANDS = 1000
"""Processes at a time where nobody has said how many: a client costs one, and not a descriptor only."""


class ClientCommands(Commands):
    """The sink of one run. `observer` is told of every process, `alerts` of those that could not be had."""

    def __init__(
        self,
        command: Command,
        loop: asyncio.AbstractEventLoop,
        listeners: Sequence[Listener],
        *,
        limit: int,
        dialect: Dialect | None,
        on_finished: Callable[[Channel, PieceEnd], None],
        on_shortage: Callable[[OSError], None],
        on_relief: Callable[[], None],
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
            on_ended=self._on_child_ended,
            on_failure=self._on_no_child,
            on_shortage=on_shortage,
            on_relief=on_relief,
        )
        self._path = command.path
        self._dialect = dialect
        self._observer = observer
        self._alerts = alerts
        self._host = Host(os.getpid(), os.geteuid(), os.getegid())
        self._inherited = without_ours(os.environb)
        # A path too long for the kernel is bound by another name, which nobody could connect to.
        self._addresses = {listener.socket.getsockname(): str(listener.address) for listener in listeners}
        self._of_user: Counter[int] = Counter()

    def _environment(self, channel: Channel) -> dict[bytes, bytes]:
        peer = channel.peer
        local = channel.socket.getsockname()
        theirs = channel.socket.getpeername()
        caller = Caller(
            connection=channel.connection,
            local_address=self._addresses.get(local) or str(Address.from_kernel(local)),
            peer_address=str(Address.from_kernel(theirs)) if theirs else "",
            peer=peer,
            user=(names.user_name(peer.uid) or "") if peer.is_known else "",
            of_same_user=self._of_user[peer.uid] + 1,
        )
        return self._inherited | describe(caller, self._host, self._dialect)

    def _on_child(self, channel: Channel, fd: int, pid: int) -> None:
        self._of_user[channel.peer.uid] += 1
        if self._observer is not None:
            self._observer(CommandStarted(fd, channel.connection, pid, self._path))
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
            reason = f"{self._path}: {error.strerror or error}"
            self._alerts(CommandFailed(channel.fd, channel.connection, error.errno or 0, reason))
