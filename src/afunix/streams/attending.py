"""One task for each client of a server: begun, counted, and its stream closed for it. Counterpart: `acceptor`.

The descriptor is ours from `attend` on. A handler that fails is told of, and concerns nobody else.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import copy_context
from socket import SOCK_SEQPACKET
from typing import Any, NamedTuple, cast

from ..kernel.channel import Channel
from ..model.errors import ClosedError, EndOfStream, TimedOutError
from ..model.escaping import quote
from ..model.events import Closed, Dropped, HandlerFailed, Observer, Queued, WentIdle
from ..model.patience import show_seconds
from .lobby import Lobby
from .stillness import StillnessWatch, Watched
from .stream import Stream

Handler = Callable[[Any], Awaitable[object]]
"""Serves one client: it is given a Stream, or a PacketStream where the listener's sockets are of type seqpacket."""

_CAN_BEGIN_AT_ONCE = sys.version_info >= (3, 12)


class AttendSettings(NamedTuple):
    """How clients are served; times in seconds, None: no limit. See `serve`."""

    max_clients: int | None = None
    queue_timeout: float | None = None
    idle_timeout: float | None = None
    send_timeout: float | None = None
    accept_fds: int = 0
    kind: type[Stream] | None = None
    """What a handler is given. None: a Stream or a PacketStream, as the socket is."""


class Attendance:
    """The clients that are being served. Counters: `failed`, `dropped`, and the bytes of all, live or gone.

    `attend(channel)` serves a client that came, now or when there is a place. `on_left(channel)`, set by whoever
    brings them, is called for each that has left. `observer` is told of everything; failures go to
    `on_failure(stream, error)`.
    """

    def __init__(
        self,
        handler: Handler,
        settings: AttendSettings,
        loop: asyncio.AbstractEventLoop,
        *,
        on_failure: Callable[[Stream, BaseException], None],
        observer: Observer | None,
    ) -> None:
        self._handler = handler
        self._settings = settings
        self._loop = loop
        self.on_left: Callable[[Channel], None] = lambda channel: None
        self._on_failure = on_failure
        self._observer = observer
        self._live: dict[Stream, asyncio.Task[None] | None] = {}  # None: its task is being made
        self._unbegun: set[Stream] = (
            set()
        )  # whose task has had no step yet: cancelled now, it would never have one
        self._lobby = self._make_lobby()
        self.attend = self._begin if self._lobby is None else self._lobby.enter
        self._stillness = self._make_stillness()
        # A task that begins at once saves a turn of the loop: a short conversation is over before anybody waited.
        self._begins_at_once = _CAN_BEGIN_AT_ONCE and loop.get_task_factory() is None
        # That of the server's start, for every handler: who made room for a client is none of its business.
        self._context = copy_context()
        self._emptied = asyncio.Event()
        self._is_awaited = False
        self._is_receiving_ended = False
        self._is_over = False
        self.failed = 0
        self.dropped = 0
        self._bytes_received = 0
        self._bytes_sent = 0
        self._unread: dict[Stream, int] = {}

    def _make_lobby(self) -> Lobby | None:
        places, timeout_s = self._settings.max_clients, self._settings.queue_timeout
        if places is None or timeout_s is None:
            return None
        return Lobby(self._loop, places, timeout_s, self._begin, self._on_queued, self._on_dropped)

    def _make_stillness(self) -> StillnessWatch | None:
        limit_s = self._settings.idle_timeout
        return (
            None if limit_s is None else StillnessWatch(self._loop, limit_s, self._live.keys, self._on_still)
        )

    @property
    def live(self) -> int:
        return len(self._live)

    @property
    def waiting(self) -> int:
        return 0 if self._lobby is None else len(self._lobby)

    @property
    def is_empty(self) -> bool:
        """Is nobody served, and does nobody wait for a place?"""
        return not self._live and not self.waiting

    async def wait_until_empty(self) -> None:
        self._is_awaited = True
        while not self.is_empty:
            self._emptied.clear()
            await self._emptied.wait()

    @property
    def bytes_received(self) -> int:
        return self._bytes_received + sum(stream._channel.bytes_received for stream in self._live)

    @property
    def bytes_sent(self) -> int:
        return self._bytes_sent + sum(stream._channel.bytes_sent for stream in self._live)

    def have_read(self) -> bool:
        """Has a client read, since this was asked last, something of what it had been sent before?"""
        before = self._unread
        self._unread = {stream: stream._unread_by_peer for stream in self._live}
        return any(unread < before.get(stream, 0) for stream, unread in self._unread.items())

    # Who comes

    def admit_all(self) -> None:
        """Serve those who wait for a place, too: for a stop, which turns nobody away."""
        if self._lobby is not None:
            self._lobby.admit_all()

    def _begin(self, channel: Channel) -> None:
        # Written out, as `_leave` is: every connection comes by here.
        conversation = None
        try:
            stream = self._make_stream(channel)
            if self._is_receiving_ended:
                stream.end_receiving()
            if self._stillness is not None:
                self._stillness.wake()
            conversation = self._attend(stream, channel)
            context = self._context.copy()
            self._live[stream] = None
            if self._begins_at_once:
                task = asyncio.Task(conversation, loop=self._loop, context=context, eager_start=True)  # type: ignore[call-arg,unused-ignore]
            else:
                self._unbegun.add(stream)
                task = context.run(self._loop.create_task, conversation)
        except BaseException:
            if not channel.is_closed:  # else its first step ended the loop, and it has left
                self._give_up(channel, conversation)
            raise
        if not task.done():
            self._live[stream] = task
            if self._is_over:  # its own first step has ended the server
                task.cancel()

    def _give_up(self, channel: Channel, conversation: Coroutine[Any, Any, None] | None) -> None:
        """A client whose service could not begin: the host's task factory failed."""
        if conversation is not None:
            conversation.close()
        for stream in [stream for stream in self._live if stream._channel is channel]:
            del self._live[stream]
            self._unbegun.discard(stream)
        channel.close()
        self._make_room(channel)

    def _make_stream(self, channel: Channel) -> Stream:
        assert channel.names is not None
        local, remote = channel.names
        channel.note_peer()
        make = self._settings.kind or Stream
        if self._settings.kind is None and channel.socket.type == SOCK_SEQPACKET:
            from .packets import PacketStream

            make = cast("type[Stream]", PacketStream)
        return make(
            channel,
            local,
            remote,
            loop=self._loop,
            accept_fds=self._settings.accept_fds,
            send_timeout=self._settings.send_timeout,
            observer=self._observer,
        )

    async def _attend(self, stream: Stream, channel: Channel) -> None:
        try:
            if self._unbegun:
                self._unbegun.discard(stream)
            conversation = self._handler(stream)
            if conversation is None:
                raise TypeError(f"{_name_of(self._handler)} returned None, expected a coroutine: 'async def'")
            await conversation
        except GeneratorExit:
            raise  # the loop is gone
        except asyncio.CancelledError as error:
            if _is_being_cancelled():
                raise
            self._tell_failure(stream, error)  # it awaited something that somebody else had cancelled
        except (Exception, BaseExceptionGroup) as error:
            failure = _failure_in(error, stream)
            if failure is not None:
                self._tell_failure(stream, failure)
        except BaseException as error:  # asyncio ends the loop by it, or reports it as the task's
            self._note_failure(stream, error)
            raise
        finally:
            self._leave(stream, channel)

    # Who leaves

    def _leave(self, stream: Stream, channel: Channel) -> None:
        if channel.fd >= 0:
            stream.close()
        self._bytes_received += channel.bytes_received
        self._bytes_sent += channel.bytes_sent
        del self._live[stream]
        self.on_left(channel)
        if self._lobby is not None:
            self._lobby.leave()
        if self._is_awaited and not self._live:
            self._emptied.set()  # who waits for it looks whether somebody waits for a place

    def _make_room(self, channel: Channel) -> None:
        """The same for one that has not been served."""
        self.on_left(channel)
        if self._lobby is not None:
            self._lobby.leave()
        self._emptied.set()

    def end_receiving(self) -> None:
        """Let nobody send any more, those included who are served from now on; idempotent."""
        if not self._is_receiving_ended:
            self._is_receiving_ended = True
            for stream in [*self._live]:
                stream.end_receiving()

    def end_all(self) -> None:
        """Close every stream and cancel its task; who waits for a place is closed, too. Idempotent."""
        self._is_over = True
        self._unread = {}
        if self._stillness is not None:
            self._stillness.close()
        if self._lobby is not None:
            self._lobby.close()
        for stream, task in [*self._live.items()]:
            if task is not None:
                task.cancel()
            stream._end_by(ClosedError("the server of this stream has ended"))
            if stream in self._unbegun:
                self._unbegun.discard(stream)
                self._leave(stream, stream._channel)

    # What is told

    def _tell_failure(self, stream: Stream, error: BaseException) -> None:
        self._note_failure(stream, error)
        self._on_failure(stream, error)

    def _note_failure(self, stream: Stream, error: BaseException) -> None:
        self.failed += 1
        if self._observer is not None:
            channel = stream._channel
            self._observer(HandlerFailed(channel.fd, channel.connection, error))

    def _on_queued(self, channel: Channel) -> None:
        if self._observer is not None:
            self._observer(Queued(channel.fd, channel.connection))

    def _on_dropped(self, channel: Channel, seconds: float, had_left: bool) -> None:
        self.dropped += 1
        fd = channel.fd
        if self._observer is not None:
            self._observer(Dropped(fd, channel.connection, seconds, had_left))
        channel.close()
        if self._observer is not None:
            self._observer(Closed(fd, channel.connection))
        self.on_left(channel)
        self._emptied.set()

    def _on_still(self, watched: Watched) -> None:
        stream = cast(Stream, watched)
        seconds = self._settings.idle_timeout or 0.0
        if self._observer is not None:
            self._observer(WentIdle(stream._channel.fd, stream._channel.connection, seconds))
        stream._end_by(TimedOutError(f"no byte has moved for {show_seconds(seconds)}: the client was closed"))


def _failure_in(error: BaseException, stream: Stream) -> BaseException | None:
    """What of `error` is a failure: not that the client has left, nor that its server closed this stream.

    The end of another stream (a server behind this one) is one. A TaskGroup's errors are looked at one by one.
    """
    if isinstance(error, BaseExceptionGroup):
        return error.split(lambda each: _is_end_of(stream, each))[1]
    return None if _is_end_of(stream, error) else error


def _is_end_of(stream: Stream, error: BaseException) -> bool:
    has_ended = isinstance(error, EndOfStream) and stream._channel.receive_ended
    return has_ended or error is stream._fate


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _name_of(handler: Handler) -> str:
    return f"the handler {quote(getattr(handler, '__qualname__', type(handler).__name__))}"


def failure_reporter(loop: asyncio.AbstractEventLoop) -> Callable[[Stream, BaseException], None]:
    """For servers that nobody observes: a handler's failure goes where the loop's exceptions go."""

    def report(stream: Stream, error: BaseException) -> None:
        where = quote(str(stream.local_address))
        loop.call_exception_handler(
            {"message": f"the handler of a client of {where} failed", "exception": error, "stream": stream}
        )

    return report
