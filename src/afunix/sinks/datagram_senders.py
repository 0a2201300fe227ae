"""Those whose datagrams a relay passes on: who is remembered and for how long, and the answers back to each.

A sender who is silent for a while is forgotten, the most silent first when there are too many; if it comes again, it
is new to the server. Nobody is silent for whom a datagram or an answer waits. What the server has answered goes out
before a sender is forgotten, and leaves its socket before anything is sent on it: the send(2) that finds the server
gone empties the queue (unix_dgram_disconnected). What is lost all the same is counted.

Knows nothing of the rules, nor of the sockets that the relay listens on but that answers go out by them.
"""

from __future__ import annotations

import asyncio
import errno
from collections import OrderedDict
from collections.abc import Callable

from ..kernel.datagram_channel import Datagram, DatagramChannel
from ..kernel.descriptor_refusal import unwanted
from ..kernel.relay_trail import RelayTrail
from ..model.address import Address
from ..model.errors import AfunixError, TruncatedError
from ..model.events import Observer, PairFailed
from ..streams.readiness import BATCH, READABLE, WRITABLE, Readiness
from .datagram_sender import FIRST_PAUSE_S, GONE, WAITING_DATAGRAMS, Near, Sender, connect, send

SILENCE_S = 60.0
"""How long a sender is remembered who sends nothing and is sent nothing."""


class Senders:
    """Those who are remembered, `max_senders` at once, and what all have been sent and have sent, in bytes.

    Owns their sockets towards the server. `on_progress()` after answers that waited have gone; `on_held_forgotten()`,
    in a later turn of the loop, when the sender of the datagram in `held` has lost its socket.
    """

    def __init__(
        self,
        server: Address,
        loop: asyncio.AbstractEventLoop,
        readiness: Readiness[Near | Sender],
        *,
        max_senders: int,
        max_fds: int,
        silence_s: float | None,
        on_progress: Callable[[], None],
        on_held_forgotten: Callable[[], None],
        alerts: Observer | None,
    ) -> None:
        self.pairs: OrderedDict[tuple[int, Address], Sender] = OrderedDict()
        self.up = self.down = self.bytes_lost = 0
        self.held: tuple[Sender, Datagram] | None = None  # until the server has room for it
        self.is_ending = False
        self._server = server
        self._loop = loop
        self._readiness = readiness
        self._max_senders = max_senders
        self._max_fds = max_fds
        self._silence_s = SILENCE_S if silence_s is None else silence_s
        self._on_progress = on_progress
        self._on_held_forgotten = on_held_forgotten
        self._alerts = alerts
        self._trail = RelayTrail()
        self._sweep: asyncio.TimerHandle | None = None

    def traffic(self) -> tuple[int, int]:
        return self.up, self.down

    # Who is who

    def find(self, near: Near, name: Address) -> Sender:
        """Whoever has that name, known or new.

        Raises:
            AddressError: it comes round in a circle. AfunixError, OSError: the server cannot be reached.
        """
        key = (near.channel.fd, name)
        sender = self.pairs.get(key)
        if sender is None:
            self._trail.must_be_new_from(name, self._server)
            if len(self.pairs) >= self._max_senders:
                self._forget_most_silent()
            sender = Sender(near, name, self._connect(name))
            self.pairs[key] = sender
            self._begin_hearing(sender)
        elif sender.far.is_closed:  # answers of a server that has gone still wait: they come first
            sender.far = self._connect(name)
            self._begin_hearing(sender)
        self._touch(sender)
        sender.share.on_question()
        return sender

    def _connect(self, name: Address) -> DatagramChannel:
        return connect(self._server, self._trail, name, takes_descriptors=self._max_fds > 0)

    def _begin_hearing(self, sender: Sender) -> None:
        self._readiness.add(sender.far.fd, sender)
        sender.is_read_out = False
        if self.is_ending:
            sender.far.end_receiving()
        self.watch(sender)

    def _touch(self, sender: Sender) -> None:
        self._touch_at(sender, self._loop.time())
        if self._sweep is None:
            self._sweep = self._loop.call_later(self._silence_s, self.forget_silent)

    def _touch_at(self, sender: Sender, now: float) -> None:
        sender.touched = now
        self.pairs.move_to_end(sender.key)

    def is_held(self, sender: Sender) -> bool:
        return self.held is not None and self.held[0] is sender

    def _is_known(self, sender: Sender) -> bool:
        return self.pairs.get(sender.key) is sender

    def forget_silent(self) -> None:
        self._sweep = None
        now = self._loop.time()
        while self.pairs:
            sender = next(iter(self.pairs.values()))
            if self.is_held(sender) or sender.waiting:
                self._touch_at(sender, now)  # not silent: it is the other side that does not listen
            left = sender.touched + self._silence_s - now
            if left > 0:
                if self._sweep is not None:
                    self._sweep.cancel()
                self._sweep = self._loop.call_later(left, self.forget_silent)
                return
            self._part_from(sender)

    def _part_from(self, sender: Sender) -> None:
        """What the server has answered goes out first; a sender that has no room for it stays, without its socket."""
        sender.far.end_receiving()  # so that there is an end of it
        while self.answer(sender):
            pass
        self.fetch(sender)
        self.unplug(sender)

    def _forget_most_silent(self) -> None:
        """Of those for whom no answer waits, if there is one."""
        while (sender := self._most_silent(may_wait=False)) is not None:
            self._part_from(sender)
            if not self._is_known(sender):
                return
        sender = self._most_silent(may_wait=True)
        if sender is not None:
            self.forget(sender)

    def _most_silent(self, *, may_wait: bool) -> Sender | None:
        for sender in self.pairs.values():
            if not self.is_held(sender) and (may_wait or not sender.waiting):
                return sender
        return None

    def forget(self, sender: Sender) -> None:
        """With the answers that it has not got: they are lost, and counted."""
        sender.cancel_timer()
        while sender.waiting:
            self.lose(sender.take())
        if self.is_held(sender):
            self._loop.call_soon(self._on_held_forgotten)  # by another socket
        if self._is_known(sender):
            del self.pairs[sender.key]
        self._close_far(sender)

    def unplug(self, sender: Sender, unread: int = 0) -> None:
        """Give up its socket; it stays as long as answers wait for it. `unread` bytes were in there, and are lost."""
        self._close_far(sender, unread)
        if sender.waiting:
            self._answer_soon(sender)
        elif self._is_known(sender):
            self.forget(sender)

    def _close_far(self, sender: Sender, unread: int = 0) -> None:
        if not sender.far.is_closed:
            self.bytes_lost += max(unread, sender.bytes_unread())
            self._readiness.remove(sender.far.fd)
            sender.far.close()

    # Back to the sender

    def on_answers(self, sender: Sender) -> None:
        """There are some. While others wait these are kept, so that the server has room for everybody else's."""
        if not sender.waiting:
            self.answer(sender)
        elif sender.takes_more:
            self.fetch(sender, BATCH)
            self.watch(sender)

    def answer(self, sender: Sender) -> bool:
        """A batch; True if there may be more."""
        for _ in range(BATCH):
            if not sender.waiting:
                self.fetch(sender, 1)
            if not (sender.waiting and self._give_back(sender)):
                return False
        return True

    def fetch(self, sender: Sender, most: int = WAITING_DATAGRAMS) -> None:
        """Put up to `most` of the server's answers among those that wait, as long as there is room for them."""
        has_failed = False
        while most and not (sender.is_full or sender.far.is_closed or sender.is_read_out):
            dropped = sender.far.descriptors_closed
            try:
                answer = sender.far.try_receive_datagram(max_fds=self._max_fds)
            except TruncatedError as error:
                self.fail(sender.far, errno.EMFILE, str(error))
                self.unplug(sender)
                return
            except OSError:
                if has_failed:
                    self.unplug(sender)
                    return
                has_failed = (
                    True  # the server has disconnected from it: told once, and what it has sent stays
                )
                continue
            if answer is None:
                sender.is_read_out = self.is_ending
                return
            most -= 1
            if sender.far.descriptors_closed != dropped:
                self.lose(answer)
                self.fail(sender.far, errno.EOPNOTSUPP, str(unwanted().strerror))
            else:
                sender.put(answer)

    def secure_answers(self, sender: Sender) -> int:
        """Have them out of the socket before something is sent on it; how many bytes there was no room for."""
        if not sender.is_named or sender.far.is_closed:
            return 0
        self.fetch(sender)
        if sender.waiting:
            self._answer_soon(sender)
        return sender.bytes_unread() if sender.is_full else 0

    def _answer_soon(self, sender: Sender) -> None:
        if sender.timer is None:
            sender.timer = self._loop.call_later(0, self._try_again, sender)
            self.watch(sender)

    def _give_back(self, sender: Sender) -> bool:
        """The answers that wait. False: its queue is full, or it is gone."""
        while sender.waiting:
            answer = sender.waiting[0]
            self._touch(sender)
            try:
                is_sent = sender.share.has_room and send(sender.near.channel, answer, sender.name)
            except (AfunixError, OSError) as error:
                if isinstance(error, AfunixError) or error.errno in GONE:
                    self.forget(sender)
                    return False
                self.lose(sender.take())
                continue
            if not is_sent:
                self._try_later(sender)
                return False
            self.down += len(answer.data)
            sender.share.on_answer(len(answer.data))
            sender.take().close()
            sender.pause_s = FIRST_PAUSE_S
        if sender.far.is_closed:
            self.forget(sender)
        return True

    def _try_later(self, sender: Sender) -> None:
        self.watch(sender)
        if sender.timer is None:
            sender.timer = self._loop.call_later(sender.next_pause_s(), self._try_again, sender)

    def _try_again(self, sender: Sender) -> None:
        sender.timer = None
        if not sender.waiting or self._give_back(sender):
            self.answer(sender)
            self.watch(sender)
        if not sender.waiting:
            self._on_progress()

    def watch(self, sender: Sender) -> None:
        if sender.far.is_closed:
            return
        hears = sender.is_named and sender.takes_more and not self.is_ending
        answers = READABLE if hears else 0
        room = WRITABLE if self.is_held(sender) else 0
        self._readiness.modify(sender.far.fd, answers | room)

    def lose(self, datagram: Datagram) -> None:
        self.bytes_lost += len(datagram.data)
        datagram.close()

    def fail(self, channel: DatagramChannel, number: int, reason: str) -> None:
        if self._alerts is not None:
            self._alerts(PairFailed(channel.fd, 0, number, reason))

    # The stop

    def end_receiving(self) -> None:
        """What the server answers from now on fails there with EPIPE; what is queued stays for `answer()`."""
        self.is_ending = True
        for sender in self.pairs.values():
            if not sender.far.is_closed:
                sender.far.end_receiving()
                self.watch(sender)  # not for reading: after SHUT_RD it is always readable

    def drain(self) -> bool:
        """Give back what can be now; True if no answer waits any more."""
        for sender in tuple(self.pairs.values()):
            while not sender.waiting and self.answer(sender):
                pass
        return not any(sender.waiting for sender in self.pairs.values())

    def bytes_unwritten(self) -> int:
        """Held, lost, kept, and queued in the sockets that the server sends to."""
        held = len(self.held[1].data) if self.held is not None else 0
        kept = sum(sender.bytes_waiting + sender.bytes_unread() for sender in self.pairs.values())
        return self.bytes_lost + held + kept

    def close(self) -> None:
        """Forget all of them, and what is held. Idempotent."""
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        if self.held is not None:
            self.held[1].close()
            self.held = None
        for sender in tuple(self.pairs.values()):
            self.forget(sender)
