"""`afunix serve`: listeners, an acceptor and a sink on one loop, from the first bind to the last byte written.

    open        sockets before the loop, so that the listener is the first descriptor
    run         accept, collect (or echo, or talk), until a signal, a deadline, `--once`, or an output that broke
    stop        refuse new clients, take those that wait, free the path; then end what they are saying, and write it

Values in, events and a ServeResult out; what a status is, `cli` knows. Signal handlers and descriptor limits are
this process's own, so one `serve` at a time.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Protocol

from ..kernel import activation
from ..kernel.channel import Channel, TracedChannel
from ..kernel.input import Input
from ..kernel.limits import raise_descriptor_limit
from ..kernel.listener import Listener, Ownership
from ..kernel.output import Output, OutputKind
from ..kernel.socket_types import TYPE_NUMBERS
from ..model.address import Address
from ..model.errors import AddressError, AfunixError
from ..model.events import Closed, LineOpened, Observer, PeerReset, Stopping, WentIdle
from ..model.framing import PieceEnd
from ..model.rules import Rules
from ..sinks.collector import Client, Collector
from ..sinks.echo import Echo
from ..sinks.records import DatagramCollector, RecordCollector, accept_credentials
from ..sinks.talk import Talk
from ..streams.acceptor import Acceptor
from ..streams.idle import IdleWatch
from ..streams.readiness import Readiness
from ..streams.signals import watch_signals
from .listeners import open_listeners
from .presentation import Presentation, record_frame, record_framing, stream_framing

STOP_PATIENCE_S = 5.0
"""How long a stop waits for an output, or a client, that takes nothing at all."""

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""There is nothing to reload yet, so SIGHUP stops too."""


class Use(Enum):
    """What is done with clients."""

    COLLECT = "collect"
    ECHO = "echo"
    TALK = "talk"


class Cause(Enum):
    """What ended a run."""

    SIGNAL = "signal"
    ONCE = "the one client has gone"
    TIMEOUT = "timeout"
    OUTPUT_GONE = "the reader of STDOUT has gone"
    OUTPUT_FAILED = "STDOUT failed"
    ACCEPT_FAILED = "accept failed"


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """The options of `serve`. `stream_only` names those given that mean nothing to datagrams."""

    addresses: tuple[Address, ...]
    socket_type: str | None = None
    use: Use = Use.COLLECT
    presentation: Presentation = field(default_factory=Presentation)
    once: bool = False
    max_clients: int | None = None
    max_per_user: int | None = None
    rules: Rules = field(default_factory=Rules)
    ownership: Ownership = field(default_factory=Ownership)
    backlog: int | None = None
    idle_timeout_s: float | None = None
    timeout_s: float | None = None
    drain_s: float | None = None
    stream_only: tuple[str, ...] = ()
    is_traced: bool = False


@dataclass(slots=True)
class ServeResult:
    """How a run ended. `signal_number` for SIGNAL; `is_forced` if a second one came; `error` for the failures."""

    cause: Cause = Cause.SIGNAL
    signal_number: int = 0
    is_forced: bool = False
    error: OSError | None = None
    bytes_lost: int = 0
    connected: int = 0
    served: int = 0
    idle_s: float | None = None
    left_behind: list[AfunixError] = field(default_factory=list)


class Sink(Protocol):
    """Where channels, or datagrams, go."""

    on_progress: Callable[[], None]

    def drain(self) -> bool: ...

    def bytes_unwritten(self) -> int: ...

    def close(self) -> None: ...


def serve(
    settings: ServeSettings,
    *,
    observer: Observer | None = None,
    alerts: Observer | None = None,
    on_unmatched: Callable[[Address, int], None] = lambda address, count: None,
    on_ready: Callable[[list[Listener]], None] = lambda listeners: None,
) -> ServeResult:
    """Serve until something ends it. STDOUT is descriptor 1, STDIN (only for TALK) 0; they stay open.

    `observer` is told of every call and client, `alerts` only of what somebody should know. `on_ready` is called
    once clients can connect.

    Raises:
        AfunixError: the listeners cannot be had; nothing is left behind.
    """
    if settings.socket_type is not None:
        _check_type(settings, TYPE_NUMBERS[settings.socket_type])
    max_clients = _max_clients(settings)
    # Between bind and the handlers of signals these wait, or they would leave the path behind.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        listeners = open_listeners(
            settings.addresses,
            socket_type=settings.socket_type,
            ownership=settings.ownership,
            backlog=settings.backlog,
            configure=accept_credentials if settings.socket_type == "dgram" else lambda sock: None,
            on_unmatched=on_unmatched,
            observer=observer,
        )
        try:
            _check_type(settings, listeners[0].type)
            loop = asyncio.new_event_loop()
            try:
                run = _Run(settings, listeners, loop, max_clients, observer, alerts)
                return run.run(on_ready, partial(signal.pthread_sigmask, signal.SIG_SETMASK, mask))
            finally:
                loop.close()
        finally:
            for listener in listeners:
                listener.close()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _max_clients(settings: ServeSettings) -> int:
    limit = raise_descriptor_limit()
    return limit if settings.max_clients is None else settings.max_clients


def _check_type(settings: ServeSettings, number: int) -> None:
    """Refuse options that mean nothing to sockets of that type; before anything is bound where that is known."""
    if settings.presentation.null and number == socket.SOCK_STREAM:
        raise AddressError(
            "--null separates records, and a stream has none", hint="use it with --type dgram or seqpacket"
        )
    given = [*settings.stream_only, *(["--talk"] if settings.use is Use.TALK else [])]
    if given and number == socket.SOCK_DGRAM:
        raise AddressError(
            f"{given[0]} means nothing for a dgram socket: datagrams come without connections",
            hint="use --type seqpacket for records with connections",
        )


class _Run:
    """One run of `serve` on one loop."""

    def __init__(
        self,
        settings: ServeSettings,
        listeners: list[Listener],
        loop: asyncio.AbstractEventLoop,
        max_clients: int,
        observer: Observer | None,
        alerts: Observer | None,
    ) -> None:
        self._settings = settings
        self._listeners = listeners
        self._loop = loop
        self._observer = observer
        self._alerts = alerts
        self._result = ServeResult()
        self._stopping = False
        self._ending = False
        self._patience: asyncio.TimerHandle | None = None
        self._progress_seen = -1
        self._told_open: set[int] = set()
        self._output = Output(1)
        self._stdin = Input(0) if settings.use is Use.TALK else None
        self._hang_up: Readiness[Output] = Readiness(loop, self._on_output_gone)
        self._is_datagram = listeners[0].type == socket.SOCK_DGRAM
        self._idle: IdleWatch[Client] | None = None
        self._sink = self._make_sink()
        self._acceptor = self._make_acceptor(max_clients)

    # What it is made of

    def _make_sink(self) -> Collector | Echo | Talk | DatagramCollector:
        if self._is_datagram:
            return self._make_datagram_sink()
        settings = self._settings
        records = self._listeners[0].type == socket.SOCK_SEQPACKET
        clock = self._active_time if settings.idle_timeout_s is not None else None
        if settings.use is Use.ECHO:
            return Echo(self._loop, on_finished=self._on_finished, records=records, clock=clock)
        if settings.use is Use.TALK:
            assert self._stdin is not None
            return Talk(
                self._stdin,
                self._output,
                self._loop,
                records=settings.presentation.record_format if records else None,
                escapes=settings.presentation.escapes,
                on_finished=self._on_finished,
                on_failure=self._on_output_failure,
                clock=clock,
            )
        make = RecordCollector if records else Collector
        collector = make(
            self._output,
            self._loop,
            on_finished=self._on_finished,
            on_failure=self._on_output_failure,
            clock=clock,
        )
        if records:
            collector.framing = record_framing(settings.presentation, collector)
        else:
            collector.framing = stream_framing(
                settings.presentation,
                collector,
                splices=not settings.is_traced,
                on_open=self._on_open_line,
            )
        return collector

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

    def _make_acceptor(self, max_clients: int) -> Acceptor:
        settings = self._settings
        make_channel: Callable[[socket.SocketType, int], Channel] = Channel
        if settings.is_traced and self._observer is not None:
            make_channel = partial(TracedChannel, observer=self._observer)
        return Acceptor(
            [] if self._is_datagram else self._listeners,
            self._on_channel if settings.once or settings.idle_timeout_s else self._direct(),
            self._loop,
            rules=settings.rules,
            max_clients=1 if settings.use is Use.TALK else max_clients,
            max_per_user=settings.max_per_user,
            make_channel=make_channel,
            on_fault=self._on_accept_fault,
            observer=self._observer,
            alerts=self._alerts,
        )

    def _direct(self) -> Callable[[Channel], None]:
        """Where channels go when there is nothing to do before: half a microsecond for each of many."""
        return self._on_channel if isinstance(self._sink, DatagramCollector) else self._sink.on_channel

    def _active_time(self) -> float:
        """The clock of idleness: it stands still while STDOUT takes nothing, for then nobody is read."""
        sink = self._sink
        return self._loop.time() - (sink.outflow.stalled_s() if isinstance(sink, Collector) else 0.0)

    # Run

    def run(
        self, on_ready: Callable[[list[Listener]], None], take_signals: Callable[[], object]
    ) -> ServeResult:
        settings = self._settings
        self._watch_output()
        watch_signals(self._loop, STOP_SIGNALS, self._on_signal)
        take_signals()
        take_signals()
        if settings.timeout_s is not None:
            self._loop.call_later(settings.timeout_s, self._stop, Cause.TIMEOUT, "--timeout")
        if settings.idle_timeout_s is not None and not isinstance(self._sink, DatagramCollector):
            self._idle = IdleWatch(
                self._loop,
                settings.idle_timeout_s,
                self._active_time,
                self._sink.clients.values,  # type: ignore[arg-type]
                self._on_idle,
            )
        try:
            if isinstance(self._sink, DatagramCollector):
                self._sink.start()
            else:
                self._acceptor.start()
            on_ready(self._listeners)
            activation.notify("READY=1")
            self._loop.run_forever()
        finally:
            self._close()
        self._result.served = self._acceptor.accepted
        return self._result

    def _watch_output(self) -> None:
        if self._settings.use is not Use.ECHO and self._output.kind not in (
            OutputKind.FILE,
            OutputKind.DEVICE,
        ):
            self._hang_up.add(self._output.fd, self._output, events=0)

    def _close(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
        if self._idle is not None:
            self._idle.close()
        self._acceptor.close()
        self._sink.close()
        self._hang_up.close()
        self._output.close()
        if self._stdin is not None:
            self._stdin.close()
        self._unlink()

    def _unlink(self) -> None:
        for listener in self._listeners:
            obstacle = listener.unlink()
            if obstacle is not None:
                self._result.left_behind.append(obstacle)

    # Clients

    def _on_channel(self, channel: Channel) -> None:
        assert not isinstance(self._sink, DatagramCollector)
        if self._settings.once and not self._stopping:
            self._acceptor.pause()
            for listener in self._listeners:
                listener.close()
        if self._ending:
            channel.end_receiving()
        if self._idle is not None:
            self._idle.wake()
        self._sink.on_channel(channel)

    def _on_finished(self, channel: Channel, end: PieceEnd) -> None:
        if self._observer is not None:
            if end is PieceEnd.RESET:
                self._observer(PeerReset(channel.fd, channel.connection))
            self._observer(Closed(channel.fd, channel.connection, channel.bytes_received, channel.bytes_sent))
        self._acceptor.release(channel)
        if self._settings.once:
            self._stop(Cause.ONCE, "--once")
        elif self._stopping:
            self._loop.call_soon(self._go_on_stopping)

    def _on_open_line(self, client: Client, held: int) -> None:
        connection = client.channel.connection
        if self._alerts is not None and connection not in self._told_open:
            self._told_open.add(connection)
            self._alerts(
                LineOpened(client.channel.fd, connection, held, self._settings.presentation.max_line)
            )

    def _on_idle(self, client: Client) -> None:
        limit_s = self._settings.idle_timeout_s or 0.0
        if self._observer is not None:
            self._observer(WentIdle(client.channel.fd, client.channel.connection, limit_s))
        if self._settings.once:
            self._result.idle_s = limit_s
        assert not isinstance(self._sink, DatagramCollector)
        self._sink.drop(client, PieceEnd.EOF)  # type: ignore[arg-type]

    # The output

    def _on_output_gone(self, output: Output, events: int) -> None:
        self._on_output_failure(BrokenPipeError(32, "Broken pipe"))

    def _on_output_failure(self, error: OSError) -> None:
        self._hang_up.remove(self._output.fd)
        gone = isinstance(error, BrokenPipeError | ConnectionResetError)
        self._result.cause = Cause.OUTPUT_GONE if gone else Cause.OUTPUT_FAILED
        self._result.error = error
        self._tell_stopping(self._result.cause.value)
        self._give_up()

    def _on_accept_fault(self, error: OSError) -> None:
        self._result.error = error
        self._stop(Cause.ACCEPT_FAILED, "accept")

    # Stop

    def _on_signal(self, number: int) -> None:
        if self._stopping and self._result.cause is Cause.SIGNAL:
            self._result.is_forced = True
            self._result.signal_number = number
            self._give_up()
            return
        self._result.signal_number = number
        self._stop(Cause.SIGNAL, signal.Signals(number).name)

    def _stop(self, cause: Cause, words: str) -> None:
        """Refuse new clients, take those that wait, free the path for a successor; then end the conversations."""
        if self._stopping:
            return
        self._stopping = True
        self._result.cause = cause
        self._result.connected = self._acceptor.live
        self._tell_stopping(words)
        activation.notify("STOPPING=1")
        self._acceptor.pause()
        if cause is not Cause.ONCE:
            for listener in self._listeners:
                listener.refuse_new()
            self._acceptor.accept_queued()
        self._unlink()
        if self._settings.drain_s and self._acceptor.live:
            self._loop.call_later(self._settings.drain_s, self._end_conversations)
        else:
            self._end_conversations()
        self._go_on_stopping()

    def _end_conversations(self) -> None:
        """What was sent is still received, and what they send from now on fails with EPIPE: nothing is lost."""
        self._ending = True
        self._acceptor.on_channel = self._on_channel
        if isinstance(self._sink, DatagramCollector):
            self._sink.receive_queued()
        else:
            for client in tuple(self._sink.clients.values()):
                client.channel.end_receiving()  # type: ignore[attr-defined]
        self._wait_patiently()

    def _go_on_stopping(self) -> None:
        self._sink.on_progress = self._go_on_stopping
        if isinstance(self._sink, DatagramCollector):
            self._sink.receive_queued()
        elif not self._acceptor.accept_queued() or self._sink.clients:
            return
        if self._sink.drain():
            self._result.bytes_lost = self._sink.bytes_unwritten()
            self._loop.stop()

    def _wait_patiently(self) -> None:
        """Every so often: has anything moved? If nothing has, it never will."""
        progress = self._progress()
        if progress == self._progress_seen:
            self._give_up()
            return
        self._progress_seen = progress
        self._patience = self._loop.call_later(STOP_PATIENCE_S, self._wait_patiently)

    def _progress(self) -> int:
        sink = self._sink
        written = sink.outflow.written if isinstance(sink, Collector | DatagramCollector) else 0
        return written - sink.bytes_unwritten() - self._output.stranded()

    def _give_up(self) -> None:
        self._result.bytes_lost = self._sink.bytes_unwritten()
        self._loop.stop()

    def _tell_stopping(self, words: str) -> None:
        if self._observer is not None:
            self._observer(Stopping(-1, words))
