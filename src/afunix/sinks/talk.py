"""`--talk`: one client at a time has the terminal. STDIN goes to it, what it says goes to STDOUT.

The two directions end by themselves, as in `connect`: after the client's end of file it still gets STDIN, after
STDIN's end it is still listened to. The conversation is over when both have ended or the client is gone. STDIN
that was taken for a client who left is lost, and counted: it was not meant for the next one.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Iterable
from functools import partial

from ..formats.records import RecordFormat, RecordSplitter, frame
from ..formats.text import TerminalText
from ..kernel.channel import Channel
from ..kernel.input import Input
from ..kernel.output import Output
from ..kernel.pump import Pump
from ..kernel.record_pump import FramedRecords, RecordPump
from ..model.framing import PieceEnd
from ..streams.pumping import PumpTask
from ..streams.readiness import Readiness, RoomWatch


class Conversation:
    """One client and the terminal; `touched` is there for the idle watch."""

    def __init__(self, channel: Channel, up: Pump | RecordPump, down: Pump) -> None:
        self.channel = channel
        self.up = up
        self.down = down
        self.tasks: list[PumpTask] = []
        self.touched = 0.0


class Talk:
    """Owns the channels it is given; the acceptor must hand over one at a time (`max_clients` 1).

    `on_failure(error)` is told of an output that broke; `on_stdin_failure(channel, error)` of STDIN that cannot be
    read, or of a record in it that is too long (EMSGSIZE): the client gets its end of file, and is still heard.
    """

    def __init__(
        self,
        stdin: Input,
        output: Output,
        loop: asyncio.AbstractEventLoop,
        *,
        records: RecordFormat | None,
        escapes: bool,
        on_finished: Callable[[Channel, PieceEnd], None],
        on_failure: Callable[[OSError], None],
        on_stdin_failure: Callable[[Channel, OSError], None] = lambda channel, error: None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.clients: dict[int, Conversation] = {}
        self.bytes_lost = 0
        self._stalled_at: float | None = None
        self._stalled_before_s = 0.0
        self._moved = 0
        self._ending = False
        self.on_progress: Callable[[], None] = lambda: None
        self._stdin = stdin
        self._output = output
        self._loop = loop
        self._records = records
        self._escapes = escapes
        self._on_finished = on_finished
        self._on_failure = on_failure
        self._on_stdin_failure = on_stdin_failure
        self._clock = clock
        self._hang_ups: Readiness[Conversation] = Readiness(loop, self._on_hang_up)
        self._room = RoomWatch(loop, self._on_room)

    def on_channel(self, channel: Channel) -> None:
        self._room.cancel()  # its own pump waits for the output from now on
        conversation = Conversation(channel, self._pump_up(channel), self._pump_down(channel))
        self.clients[channel.fd] = conversation
        if self._clock is not None:
            conversation.touched = self._clock()
        conversation.tasks = [
            PumpTask(
                conversation.up,
                self._loop,
                source_fd=lambda: self._stdin.wait_fd,
                sink_fd=lambda: channel.fd,
                on_finished=partial(self._on_up_finished, conversation),
            ),
            PumpTask(
                conversation.down,
                self._loop,
                source_fd=lambda: channel.fd,
                sink_fd=lambda: self._output.wait_fd,
                on_finished=partial(self._on_down_finished, conversation),
            ),
        ]
        for task in conversation.tasks:
            task.start()

    def _pump_up(self, channel: Channel) -> Pump | RecordPump:
        receive = self._touching(channel, self._stdin.try_receive)
        if self._records is None:
            return Pump(receive, channel.try_send, at_end=channel.end_sending)
        return RecordPump(receive, channel, RecordSplitter(self._records), at_end=channel.end_sending)

    def _pump_down(self, channel: Channel) -> Pump:
        receive = channel.try_receive
        if self._records is not None:
            receive = FramedRecords(channel, partial(frame, record_format=self._records)).try_receive
        text = TerminalText()
        return Pump(
            self._touching(channel, receive),
            self._write,
            transform=text.show if self._escapes else None,
            is_flushed=self._is_flushed,
        )

    def _write(self, data: memoryview) -> int:
        taken = self._output.try_write((data,))
        self._note_stall(taken < len(data))
        return taken

    def _is_flushed(self) -> bool:
        is_flushed = self._output.is_flushed()
        self._note_stall(not is_flushed)
        return is_flushed

    def _note_stall(self, is_stalled: bool) -> None:
        """From now on the output takes nothing, or it has taken something: until then the clock stood still."""
        now = self._loop.time()
        if self._stalled_at is not None:
            self._stalled_before_s += now - self._stalled_at
        self._stalled_at = now if is_stalled else None

    def _touching(
        self, channel: Channel, receive: Callable[[int], bytes | None]
    ) -> Callable[[int], bytes | None]:
        """`receive`, noting for the idle watch that something came."""
        clock = self._clock
        if clock is None:
            return receive

        def receive_and_touch(max_bytes: int) -> bytes | None:
            data = receive(max_bytes)
            if data and channel.fd in self.clients:
                self.clients[channel.fd].touched = clock()
            return data

        return receive_and_touch

    def _on_up_finished(self, conversation: Conversation) -> None:
        error = _stdin_failure(conversation.up)
        if error is not None:
            conversation.channel.end_sending()
            self._on_stdin_failure(conversation.channel, error)
        if conversation.down.is_finished:
            self._finish(conversation)

    def _on_down_finished(self, conversation: Conversation) -> None:
        if conversation.down.sink_error is not None:
            self._on_failure(conversation.down.sink_error)
        elif self._ending or conversation.down.source_error is not None or conversation.up.is_finished:
            self._finish(conversation)
        else:
            # A half-close: it may still listen. Its whole close is a hang-up, whenever that comes.
            self._hang_ups.add(conversation.channel.fd, conversation, events=0)

    def _on_hang_up(self, conversation: Conversation, events: int) -> None:
        self._finish(conversation)

    def _finish(self, conversation: Conversation) -> None:
        reset = conversation.down.source_error is not None or conversation.up.sink_error is not None
        self.drop(conversation, PieceEnd.RESET if reset else PieceEnd.EOF)

    def drop(self, conversation: Conversation, end: PieceEnd) -> None:
        """End a conversation from our side; what was taken for it, or sent by it and not read, is lost and counted."""
        channel = conversation.channel
        for task in conversation.tasks:
            task.close()
        self._hang_ups.remove(channel.fd)
        self._moved += conversation.down.moved
        self._note_stall(False)
        self.bytes_lost += _unmoved(conversation)
        del self.clients[channel.fd]
        self._on_finished(channel, end)
        channel.close()

    def connected(self) -> Iterable[Conversation]:
        return self.clients.values()

    def end_conversations(self) -> None:
        """What the client said still comes out; then it is over, whatever STDIN would have to say."""
        self._ending = True
        for conversation in tuple(self.clients.values()):
            if conversation.down.is_finished:
                self._finish(conversation)
            else:
                conversation.channel.end_receiving()

    def drain(self) -> bool:
        """True if nobody is there and STDOUT has everything; what a thread still writes for us is waited for."""
        if self.clients:
            return False
        try:
            is_through = self._output.is_flushed()
        except OSError as error:
            self._on_failure(error)
            return False
        if not is_through and self._output.wait_fd is not None:
            self._room.wait(self._output.wait_fd)
        return is_through

    def _on_room(self) -> None:
        self.on_progress()

    def bytes_written(self) -> int:
        return self._moved + sum(talk.down.moved for talk in self.clients.values())

    def stalled_s(self) -> float:
        now = 0.0 if self._stalled_at is None else self._loop.time() - self._stalled_at
        return self._stalled_before_s + now

    def bytes_unwritten(self) -> int:
        """What clients said and STDOUT has not got, and what was taken from STDIN for one who did not get it."""
        return self.bytes_lost + self._output.stranded() + sum(map(_unmoved, self.clients.values()))

    def close(self) -> None:
        """Close every channel and watch nothing any more."""
        for conversation in self.clients.values():
            for task in conversation.tasks:
                task.close()
            conversation.channel.close()
        self.clients.clear()
        self._hang_ups.close()
        self._room.cancel()


def _unmoved(conversation: Conversation) -> int:
    """Bytes that were taken from STDIN for it, or sent by it, and have not arrived."""
    return conversation.up.held + conversation.down.held + conversation.channel.queued()


def _stdin_failure(up: Pump | RecordPump) -> OSError | None:
    """Why no more of STDIN goes to the client, if that is STDIN's fault."""
    if up.too_long:
        return OSError(
            errno.EMSGSIZE,
            f"a record of at least {up.too_long} bytes; at most {up.max_record_bytes} can be sent",
        )
    return up.source_error
