"""`open_datagrams` and its `DatagramSocket`: datagrams in an asyncio task. They have no connection and no end.

What one attempt does is `kernel.datagram_channel`'s; how a task waits to receive is `waiting`'s, and for a receiver
that is full, `room`'s.
"""

from __future__ import annotations

import asyncio
import errno
import os
import warnings
from collections.abc import Sequence
from typing import TypeAlias

from ..kernel.ancillary import accept_fds_within
from ..kernel.datagram_channel import Datagram, DatagramChannel, open_probe
from ..kernel.datagram_opening import Wishes, cannot_send, connect, open_named, open_nameless, prepare_given
from ..kernel.descriptors import Descriptor, explain_not_open, numbers_of
from ..kernel.listener import Listener, Ownership
from ..kernel.packet_steps import message_too_long
from ..kernel.steps import Data, Need, Steps, as_bytes_view, must_be_positive
from ..model.address import Address, AddressKind
from ..model.errors import AddressError, ClosedError, DescriptorsNotAcceptedError, WrongLoopError
from ..model.escaping import quote
from ..model.events import Observer
from ..model.patience import must_be_limit
from .observing import observer_for
from .room import Room
from .waiting import Waiting, caller

Addressed: TypeAlias = Address | str | bytes | os.PathLike[str] | os.PathLike[bytes]

_OF_THE_RECEIVER = frozenset(
    {
        *(errno.ECONNREFUSED, errno.ENOENT, errno.EACCES, errno.EPERM),
        *(errno.EPROTOTYPE, errno.ELOOP, errno.ENOTDIR),
    }
)
"""What send(2) says of whoever should have got it."""

_PRIVATE = b"/proc/self/fd/"
"""How a path of more than 107 bytes is bound: it means something only in the process that did."""


def open_datagrams(
    local: Addressed | Listener | None = None,
    *,
    to: Addressed | None = None,
    mode: int = 0o600,
    owner: str | int | None = None,
    group: str | int | None = None,
    replace: bool = False,
    keep: bool = False,
    accept_fds: int = 0,
    credentials: bool = True,
    send_timeout: float | None = None,
    observer: Observer | None = None,
) -> DatagramSocket:
    """A datagram socket in the running loop; the caller owns it: `async with open_datagrams(…) as sock`. Never waits.

    local          what it is bound to: a path, which is then its own to remove, `@name`, `fd:3` or a listener of
                   `systemd.listeners`, which is never unlinked. A relative path is made absolute, for it is what
                   others reply to. None: a free abstract name, so that they can.
    to             whom it is connected to: it gets datagrams from there only, and `send` sends there.
    mode, owner, group, replace, keep      of the path, as for `listen`: the mode holds from its first instant on.
                   With `replace` others are told a temporary name as the sender, which cannot be replied to.
    accept_fds     so many descriptors may come with one datagram, at most 253; 0: none can be sent here.
    credentials    have the kernel say with each datagram which process sent it (SO_PASSCRED).
    send_timeout   see `DatagramSocket.send`.
    observer       is told of every call. None: `logging` at debug level, if that is on.

    Raises:
        AddressInUseError: something live is bound at `local`; by whom, is in the message.
        NoSuchSocketError, NobodyListensError, DeniedError, NotASocketError, WrongTypeError: `to` cannot be sent to, or
            `local` cannot be had.
        AddressError: an address, mode, owner or group that cannot be meant. TypeError, ValueError: another argument.
        WrongLoopError: no event loop is running here. OSError: out of descriptors.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        raise WrongLoopError(
            "open_datagrams() needs a running event loop, and none runs in this thread"
        ) from None
    accept_fds_within(accept_fds)
    must_be_limit(send_timeout, "send_timeout")
    observer = observer_for(observer)
    remote = None if to is None else Address.of(to)
    ownership = Ownership.of(mode, owner, group, replace, keep)
    bound = _open(local, ownership, Wishes(accept_fds > 0, credentials, observer))
    try:
        if remote is not None:
            connect(bound.socket, remote)
        return DatagramSocket(
            DatagramChannel(bound.socket, credentials=credentials, observer=observer),
            bound,
            remote,
            loop=loop,
            accept_fds=accept_fds,
            send_timeout=send_timeout,
            observer=observer,
            opened_at=caller(),
        )
    except BaseException:
        if bound is not local:
            bound.close()
        raise


def _open(local: Addressed | Listener | None, ownership: Ownership, wishes: Wishes) -> Listener:
    if local is None:
        return open_nameless(wishes)
    if isinstance(local, Listener):
        prepare_given(local, wishes)
        return local
    return open_named(Address.of(local), ownership, wishes)


class DatagramSocket(Waiting):
    """A datagram socket. `open_datagrams` makes it.

    It belongs to the event loop in which it was made. One task receives at a time; any number may send, for a datagram
    goes whole or not at all, and one receiver that is full does not hold up what goes to others. Every call can be
    bounded by `asyncio.timeout`: a receive that is cancelled loses nothing, a send that is cancelled while it waits
    for room has sent nothing.

    Several processes may receive from one inherited socket: every datagram goes to one of them, whole, with its own
    descriptors. What is refused (TruncatedError) may then be kept here instead of in the queue, until it is received
    or the socket closed; only descriptors for which there is no room in our table (EMFILE) can be lost that way.

    Owns its descriptor, and the path if it bound it, until `close`; use it with `async with`. One that is forgotten
    warns (ResourceWarning), and leaves its path.
    """

    __slots__ = ("_bound", "_rooms", "_to")

    _what = "datagram socket"
    _moved_by = "open one in each loop"
    _channel: DatagramChannel

    def __init__(
        self,
        channel: DatagramChannel,
        bound: Listener,
        to: Address | None,
        *,
        loop: asyncio.AbstractEventLoop,
        accept_fds: int = 0,
        send_timeout: float | None = None,
        observer: Observer | None = None,
        opened_at: str | None = None,
    ) -> None:
        """Not for users: see `open_datagrams`."""
        self._bound = bound
        self._to = to
        self._rooms: set[Room] = set()
        super().__init__(
            channel,
            bound.address,
            to or Address(AddressKind.UNNAMED),
            loop=loop,
            accept_fds=accept_fds,
            send_timeout=send_timeout,
            observer=observer,
            opened_at=opened_at,
        )

    @property
    def max_datagram_bytes(self) -> int:
        """The longest datagram that can be sent from here: SO_SNDBUF less the 32 bytes that unix(7) sets aside.

        Raises:
            ClosedError: it is closed.
        """
        self._open_socket()
        return self._channel.max_record_bytes()

    # Receiving

    async def receive(self, max_bytes: int | None = None) -> Datagram:
        """The next datagram, whole, and who sent it; its data may be b"". Waits for it.

        Descriptors that come with it are closed.

        Raises:
            TruncatedError: it is longer than `max_bytes`. It stays: a receive that asks for more gets it.
            BusyError: another task is receiving; it goes on.
            ClosedError: closed here, before or meanwhile.
        """
        return await self._run(self._receive_steps(max_bytes, 0))

    async def receive_fds(self, *, max_fds: int | None = None, max_bytes: int | None = None) -> Datagram:
        """The same with the descriptors that came with it, at most `max_fds` (by default as many as the `accept_fds`
        that it was opened with). `with` the Datagram closes those that nobody took.

        Raises:
            TruncatedError: more came, or it is longer than `max_bytes`. It stays, with all its descriptors.
            AfunixError: it was opened without `accept_fds`. Otherwise as `receive`.
        """
        return await self._run(self._receive_steps(max_bytes, self._fds_limit(max_fds)))

    def __aiter__(self) -> DatagramSocket:
        return self

    async def __anext__(self) -> Datagram:
        """The datagrams one by one, until the socket is closed."""
        try:
            return await self.receive()
        except ClosedError:
            raise StopAsyncIteration from None

    def _receive_steps(self, max_bytes: int | None, max_fds: int) -> Steps[Datagram]:
        if max_bytes is not None:
            must_be_positive(max_bytes, "max_bytes")
        self._begin_receiving()
        try:
            while True:
                self._open_socket()
                datagram = self._channel.try_receive_datagram(max_bytes, max_fds)
                if datagram is not None:
                    return datagram
                yield Need.READABLE
        finally:
            self._receiving = False

    # Sending

    async def send(self, data: Data, to: Addressed | None = None) -> None:
        """`data` as one datagram, which may be empty, to `to`; without, to whom the socket is connected. Waits while
        that one's queue is full, as long as it takes, or `send_timeout`.

        When it returns the receiver's queue has it. Whatever it raises, nothing went, and the socket can be used.

        Raises:
            NobodyListensError: whoever was bound there is gone (ECONNREFUSED). A connected socket looks for a new one
                with its next send.
            NoSuchSocketError: nothing is there. DeniedError: no permission, or it takes only what its own peer sends.
            WrongTypeError: it is no datagram socket. NotASocketError: another kind of file.
            MessageTooLongError: longer than `max_datagram_bytes` (EMSGSIZE).
            AddressError: `to` is no name, as that of a sender who has none. ValueError: `to` is needed.
            TimedOutError: there was no room for `send_timeout`.
            ClosedError: closed here, before or meanwhile.
        """
        await self._send(data, (), to)

    async def send_fds(self, data: Data, fds: Sequence[Descriptor], to: Addressed | None = None) -> None:
        """The same with `fds`, at most 253. They are borrowed until it returns.

        Raises:
            DescriptorsNotAcceptedError: the receiver takes none (EPERM, Linux 6.16). Before that its kernel drops
                them. OSError: EBADF (one is closed), ETOOMANYREFS (too many are under way). Otherwise as `send`.
        """
        await self._send(data, fds, to)

    async def _send(self, data: Data, descriptors: Sequence[Descriptor], to: Addressed | None) -> None:
        view, fds = as_bytes_view(data), numbers_of(descriptors)
        target = self._target(to)
        self._must_fit()
        await self._take_turns()
        if not self._try_send(view, target, fds):
            await self._send_when_there_is_room(view, target, fds)

    def _target(self, to: Addressed | None) -> Address | None:
        if to is None:
            if self._to is None:
                raise ValueError("this datagram socket is not connected: `to` says where to send")
            return None
        target = Address.of(to)
        if target.kind is AddressKind.UNNAMED:
            raise AddressError(
                "the sender has no name, so nobody can reply to it",
                hint="it has to bind its socket first; open_datagrams() always does",
            )
        if target.name.startswith(_PRIVATE) and target.kind is AddressKind.PATHNAME:
            raise AddressError(
                f"{quote(str(target))} means something only in the process that is bound there",
                hint="its path is longer than 107 bytes; a shorter one can be replied to",
            )
        return target

    def _try_send(self, view: memoryview, target: Address | None, fds: Sequence[int]) -> bool:
        self._open_socket()
        try:
            return self._channel.try_send_datagram(view, target, fds)
        except OSError as error:
            if error.errno == errno.ENOTCONN and target is None and self._to is not None:
                connect(self._channel.socket, self._to)  # the kernel has let go of the one that is gone
                return self._channel.try_send_datagram(view, None, fds)
            raise self._why_not_sent(error, view, target, fds) from None

    def _why_not_sent(
        self, error: OSError, view: memoryview, target: Address | None, fds: Sequence[int]
    ) -> Exception:
        if error.errno == errno.EMSGSIZE:
            return message_too_long("datagram", len(view), self._channel.max_record_bytes())
        to = target or self._to
        if error.errno == errno.EPERM and fds:
            return DescriptorsNotAcceptedError(
                f"{quote(str(to))} does not take descriptors (EPERM)",
                hint="it has to ask for them: accept_fds",
                errno=error.errno,
            )
        if error.errno in _OF_THE_RECEIVER and to is not None:
            return cannot_send(to, error.errno or 0)
        return self._send_failed(explain_not_open(error, fds), 0)

    async def _send_when_there_is_room(
        self, view: memoryview, target: Address | None, fds: Sequence[int]
    ) -> None:
        deadline = None if self.send_timeout is None else self._loop.time() + self.send_timeout
        room = self._open_room(target)
        try:
            while True:
                room.prepare()
                if self._try_send(view, target, fds):
                    return
                left = None if deadline is None else deadline - self._loop.time()
                if left is not None and left <= 0:
                    raise self._no_progress(0, len(view))
                await room.wait(left)
        finally:
            self._rooms.discard(room)
            room.close()

    def _open_room(self, target: Address | None) -> Room:
        if self._watch is None:
            self._join_hub()
        assert self._hub is not None
        room = Room(self._hub, self._loop, self._channel.fd, None if target is None else open_probe(target))
        self._rooms.add(room)
        return room

    # Ends

    def _leave_hub(self) -> None:
        for room in self._rooms:
            room.close()
        super()._leave_hub()

    def _close_channel(self) -> None:
        problem = self._bound.unlink()
        if problem is not None:
            warnings.warn(f"the socket file stays: {problem}", ResourceWarning, source=self, stacklevel=3)
        self._bound.release()  # it is closed with the channel
        super()._close_channel()
