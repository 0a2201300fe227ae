"""`--talk`: one client at a time has the terminal. STDIN goes to it, what it says goes to STDOUT.

The two directions end by themselves, as in `connect`: after the client's end of file it still gets STDIN, after
STDIN's end it is still listened to. The conversation is over when both have ended or the client is gone. STDIN
that was taken for a client who left is lost, and counted: it was not meant for the next one.
"""

from __future__ import annotations

import asyncio
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
from ..streams.readiness import Readiness


class Conversation:
    """One client and the terminal; `touched` is there for the idle watch."""

    def __init__(self, channel: Channel, up: Pump | RecordPump, down: Pump) -> None:
        self.channel = channel
        self.up = up
        self.down = down
        self.tasks: list[PumpTask] = []
        self.touched = 0.0


class Talk:
    """Owns the channels it is given; the acceptor must hand over one at a time (`max_clients` 1)."""

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
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.clients: dict[int, Conversation] = {}
        self.bytes_lost = 0
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
        self._clock = clock
        self._hang_ups: Readiness[Conversation] = Readiness(loop, self._on_hang_up)

    def on_channel(self, channel: Channel) -> None:
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
            lambda data: self._output.try_write((data,)),
            transform=text.show if self._escapes else None,
            is_flushed=lambda: not self._output.stranded(),
        )

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
        """End a conversation from our side."""
        channel = conversation.channel
        for task in conversation.tasks:
            task.close()
        self._hang_ups.remove(channel.fd)
        self._moved += conversation.down.moved
        self.bytes_lost += conversation.up.held + conversation.down.held
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
        return not self.clients and not self._output.stranded()

    def bytes_written(self) -> int:
        return self._moved + sum(talk.down.moved for talk in self.clients.values())

    def stalled_s(self) -> float:
        """Not known here: its pumps wait by themselves."""
        return 0.0

    def bytes_unwritten(self) -> int:
        """What the present client said and STDOUT has not taken, and what was taken from STDIN for it."""
        talking = self.clients.values()
        return self.bytes_lost + sum(
            talk.up.held + talk.down.held + talk.channel.queued() for talk in talking
        )

    def close(self) -> None:
        """Close every channel and watch nothing any more."""
        for conversation in self.clients.values():
            for task in conversation.tasks:
                task.close()
            conversation.channel.close()
        self.clients.clear()
        self._hang_ups.close()
