"""One run of `serve`: an acceptor and a sink on one loop, until a signal, a deadline, `--once`, or a broken output.

What it is made of is chosen from the settings; then it only passes on what happens. How it ends is `stop`'s.
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

from ..kernel.channel import Channel
from ..kernel.descriptor_kind import DescriptorKind
from ..kernel.input import Input
from ..kernel.listener import Listener
from ..kernel.output import Output
from ..kernel.spawning import Command
from ..kernel.traced_channel import TracedChannel
from ..model.events import Closed, LineOpened, Observer, PeerReset, StdinFailed, Stopping, WentIdle
from ..model.framing import PieceEnd
from ..model.service_status import Crowd
from ..sinks.base import Sink
from ..sinks.collector import Client, Collector
from ..sinks.datagrams import DatagramCollector
from ..sinks.echo import Echo
from ..sinks.records import RecordCollector
from ..sinks.talk import Talk
from ..streams.acceptor import Acceptor
from ..streams.idle import IdleWatch, Touched
from ..streams.readiness import Readiness
from ..streams.service_manager import ServiceManager
from ..streams.signals import watch_signals
from .client_commands import ClientCommands
from .presentation import record_frame, record_framing, stream_framing
from .settings import Cause, ServeResult, ServeSettings, Use
from .stop import Stop

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""There is nothing to reload yet, so SIGHUP stops too."""


class Service:
    """One run of `serve` on one loop. The listeners are their owner's, but for the names, which go at the stop."""

    def __init__(
        self,
        settings: ServeSettings,
        listeners: list[Listener],
        loop: asyncio.AbstractEventLoop,
        max_clients: int,
        command: Command | None,
        observer: Observer | None,
        alerts: Observer | None,
    ) -> None:
        self._settings = settings
        self._listeners = listeners
        self._loop = loop
        self._observer = observer
        self._alerts = alerts
        self._result = ServeResult()
        self._manager = ServiceManager(loop, [str(each.address) for each in listeners], self._crowd)
        self._output = Output(1)
        self._stdin = Input(0) if settings.use is Use.TALK else None
        self._hang_up: Readiness[Output] = Readiness(loop, self._on_output_gone)
        self._sink = (
            self._make_sink(listeners[0].type)
            if command is None
            else self._make_commands(command, max_clients)
        )
        self._acceptor = self._make_acceptor(listeners[0].type, max_clients)
        self._stop = Stop(
            loop,
            self._acceptor,
            listeners,
            self._sink,
            drain_s=settings.drain_s,
            on_finished=self._on_finished,
            on_end=self._on_end,
        )
        self._idle: IdleWatch[Touched] | None = None
        if settings.idle_timeout_s is not None:
            self._idle = IdleWatch(
                loop, settings.idle_timeout_s, self._active_time, self._sink.connected, self._on_idle
            )

    # What it is made of

    def _make_sink(self, number: int) -> Sink:
        if number == socket.SOCK_DGRAM:
            return self._make_datagram_sink()
        has_records = number == socket.SOCK_SEQPACKET
        if self._settings.use is Use.ECHO:
            return Echo(self._loop, on_finished=self._on_finished, records=has_records, clock=self._clock())
        if self._settings.use is Use.TALK:
            return self._make_talk(has_records)
        return self._make_collector(has_records)

    def _make_commands(self, command: Command, limit: int) -> ClientCommands:
        return ClientCommands(
            command,
            self._loop,
            limit=limit,
            dialect=self._settings.dialect,
            on_finished=lambda channel, end: self._release(channel),
            hold=lambda: self._acceptor.hold(),
            let_go=lambda: self._acceptor.let_go(),
            observer=self._observer,
            alerts=self._alerts,
        )

    def _make_collector(self, has_records: bool) -> Collector:
        make = RecordCollector if has_records else Collector
        collector = make(
            self._output,
            self._loop,
            on_finished=self._on_finished,
            on_failure=self._on_output_failure,
            clock=self._clock(),
        )
        presentation = self._settings.presentation
        if has_records:
            collector.framing = record_framing(presentation, collector)
        else:
            collector.framing = stream_framing(
                presentation, collector, splices=not self._settings.is_traced, on_open=self._on_open_line
            )
        return collector

    def _make_talk(self, has_records: bool) -> Talk:
        assert self._stdin is not None
        presentation = self._settings.presentation
        return Talk(
            self._stdin,
            self._output,
            self._loop,
            records=presentation.record_format if has_records else None,
            escapes=presentation.escapes,
            on_finished=self._on_finished,
            on_failure=self._on_output_failure,
            on_stdin_failure=self._on_stdin_failure,
            clock=self._clock(),
        )

    def _make_datagram_sink(self) -> DatagramCollector:
        settings = self._settings
        return DatagramCollector(
            self._listeners,
            self._output,
            self._loop,
            record_frame(settings.presentation),
            needs_sender=settings.presentation.needs_sender,
            escapes=settings.presentation.escapes,
            echo=settings.use is Use.ECHO,
            rules=settings.rules,
            on_failure=self._on_output_failure,
            observer=self._observer if settings.is_traced else None,
            alerts=self._alerts,
        )

    def _make_acceptor(self, number: int, max_clients: int) -> Acceptor:
        settings = self._settings
        make_channel: Callable[[socket.SocketType, int], Channel] = Channel
        if settings.is_traced and self._observer is not None:
            make_channel = partial(TracedChannel, observer=self._observer)
        needs_us = settings.once or settings.idle_timeout_s is not None or self._manager.is_there
        return Acceptor(
            [] if number == socket.SOCK_DGRAM else self._listeners,
            self._on_channel if needs_us else self._sink.on_channel,
            self._loop,
            rules=settings.rules,
            max_clients=1 if settings.use is Use.TALK else max_clients,
            max_per_user=settings.max_per_user,
            make_channel=make_channel,
            on_fault=self._on_accept_fault,
            observer=self._observer,
            alerts=self._alerts,
        )

    def _clock(self) -> Callable[[], float] | None:
        return None if self._settings.idle_timeout_s is None else self._active_time

    def _active_time(self) -> float:
        """The clock of idleness: it stands still while STDOUT takes nothing, for then nobody is read."""
        return self._loop.time() - self._sink.stalled_s()

    # Run

    def run(
        self, on_ready: Callable[[list[Listener]], None], take_signals: Callable[[], object]
    ) -> ServeResult:
        """From the first client to the end. `take_signals()` lets those come that waited until somebody listens."""
        settings = self._settings
        self._loop.set_exception_handler(self._on_fault)
        self._watch_output()
        watch_signals(self._loop, STOP_SIGNALS, self._on_signal)
        take_signals()
        if settings.timeout_s is not None:
            self._loop.call_later(settings.timeout_s, self._on_timeout)
        try:
            if isinstance(self._sink, DatagramCollector):
                self._sink.start()
            self._acceptor.start()
            on_ready(self._listeners)
            self._manager.ready()
            self._loop.run_forever()
        finally:
            self._close()
        self._result.served = self._acceptor.accepted
        return self._result

    def _watch_output(self) -> None:
        """Notice that the reader of STDOUT has gone also when there is nothing to write."""
        never_gone = self._output.kind in (DescriptorKind.FILE, DescriptorKind.DEVICE)
        uses_it = self._settings.use not in (Use.ECHO, Use.EXEC)
        if uses_it and not never_gone:
            self._hang_up.add(self._output.fd, self._output, events=0)

    def _crowd(self) -> Crowd | None:
        if isinstance(self._sink, DatagramCollector):
            return None
        return Crowd(self._acceptor.live, self._acceptor.accepted)

    def _close(self) -> None:
        self._manager.close()
        if self._idle is not None:
            self._idle.close()
        self._stop.close()
        self._acceptor.close()
        self._sink.close()
        if isinstance(self._sink, ClientCommands):
            self._result.commands_cut = self._sink.cut
            self._result.commands_left = self._sink.left
        self._hang_up.close()
        self._output.close()
        if self._stdin is not None:
            self._stdin.close()
        self._result.left_behind = self._stop.left_behind
        self._result.turned_away = self._stop.turned_away

    # What happens

    def _on_channel(self, channel: Channel) -> None:
        if self._settings.once:
            self._acceptor.pause()
            self._stop.unlink()
            for listener in self._listeners:
                listener.close()
        if self._idle is not None:
            self._idle.wake()
        self._manager.changed()
        self._sink.on_channel(channel)

    def _on_finished(self, channel: Channel, end: PieceEnd) -> None:
        fd = channel.fd
        channel.close()  # before it is told: what is told has happened
        if self._observer is not None:
            if end is PieceEnd.RESET:
                self._observer(PeerReset(fd, channel.connection))
            self._observer(Closed(fd, channel.connection, channel.bytes_received, channel.bytes_sent))
        self._release(channel)

    def _release(self, channel: Channel) -> None:
        self._acceptor.release(channel)
        self._manager.changed()
        if self._settings.once:
            self._begin_stop(Cause.ONCE, "--once")
        elif self._stop.has_begun:
            self._loop.call_soon(self._stop.go_on)

    def _on_open_line(self, client: Client, held: int) -> None:
        connection = client.channel.connection
        if self._alerts is not None and not client.was_told:
            client.was_told = True
            limit = self._settings.presentation.max_line
            self._alerts(LineOpened(client.channel.fd, connection, held, limit))

    def _on_idle(self, client: Any) -> None:
        if client.channel.queued():
            client.touched = self._active_time()  # it has spoken, and it is we who have not listened yet
            return
        limit_s = self._settings.idle_timeout_s or 0.0
        if self._observer is not None:
            self._observer(WentIdle(client.channel.fd, client.channel.connection, limit_s))
        if self._settings.once:
            self._result.idle_s = limit_s
        self._sink.drop(client, PieceEnd.EOF)

    def _on_stdin_failure(self, channel: Channel, error: OSError) -> None:
        if self._alerts is not None:
            reason = error.strerror or str(error)
            self._alerts(StdinFailed(channel.fd, channel.connection, error.errno or 0, reason))

    def _on_output_gone(self, output: Output, events: int) -> None:
        self._on_output_failure(BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)))

    def _on_output_failure(self, error: OSError) -> None:
        self._hang_up.remove(self._output.fd)
        gone = isinstance(error, BrokenPipeError | ConnectionResetError)
        self._result.cause = Cause.OUTPUT_GONE if gone else Cause.OUTPUT_FAILED
        self._result.error = error
        self._tell_stopping(self._result.cause.value)
        self._stop.give_up()

    def _on_accept_fault(self, error: OSError) -> None:
        self._result.error = error
        self._begin_stop(Cause.ACCEPT_FAILED, "accept")
        self._result.cause = Cause.ACCEPT_FAILED  # also if a stop had begun: who waits in the queue is lost

    def _on_fault(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What no callback expected: end with it, for going on could be a spin. The first one is the cause."""
        fault = context.get("exception")
        if self._result.fault is None:
            self._result.fault = fault if isinstance(fault, Exception) else RuntimeError(context["message"])
            self._result.cause = Cause.FAULT
        self._stop.give_up()

    def _on_signal(self, number: signal.Signals) -> None:
        """The first stops, or, if something else has begun the stop, ends its waiting; the second ends all."""
        is_first = not self._result.signal_number
        self._result.signal_number = number
        if not self._stop.has_begun:
            self._begin_stop(Cause.SIGNAL, number.name)
        elif is_first:
            self._stop.end_drain()
        else:
            self._result.cause = Cause.SIGNAL
            self._result.is_forced = True
            self._stop.give_up()

    def _on_timeout(self) -> None:
        """The whole run is over, so there is no draining either."""
        if self._stop.has_begun:
            self._stop.end_drain()
            return
        self._begin_stop(Cause.TIMEOUT, "--timeout")
        self._stop.end_drain()

    def _begin_stop(self, cause: Cause, words: str) -> None:
        if self._stop.has_begun:
            return
        self._result.cause = cause
        self._result.connected = self._acceptor.live
        self._tell_stopping(words)
        self._manager.stopping(words)
        self._stop.begin()

    def _tell_stopping(self, words: str) -> None:
        if self._observer is not None:
            self._observer(Stopping(-1, words))

    def _on_end(self, bytes_lost: int) -> None:
        self._result.bytes_lost = bytes_lost
        self._loop.stop()
