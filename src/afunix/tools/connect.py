"""The work of `afunix connect`: connect, and move bytes both ways until it is over. Values in, a result out.

What is lost, refused or too late is raised as the error that says so; nothing here prints, and STDIN and
STDOUT are numbers that the caller chose. The pumps are made in `directions`, the waiting is `blocking`'s, the
judgement `model.conversation`'s on the facts of `outcome`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

from ..blocking import dialling
from ..blocking.conversation import Conversation
from ..kernel import dial
from ..kernel.descriptor_kind import DescriptorKind
from ..kernel.input import Input
from ..kernel.interrupts import Interrupted, Interrupts
from ..kernel.output import Output
from ..kernel.socket_types import type_word
from ..model.address import Address, AddressKind
from ..model.errors import AddressError, BrokenStreamError
from ..model.escaping import quote
from ..model.patience import Ending
from .directions import Directions

if TYPE_CHECKING:
    from ..kernel.channel import Channel
    from ..kernel.pump import Pump
    from ..kernel.record_pump import RecordPump
    from ..model.events import Observer

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 1.0
"""Between two connections of `--reconnect` that moved nothing: a server that closes at once is not hammered."""


class ConnectSettings(NamedTuple):
    """What `connect` is to do; times in seconds, None: no limit. `escape` is auto, always or never.

    `record_format` is "lines", "null" or "raw" (`formats.records`), for sockets that keep records.
    """

    address: Address
    socket_type: str | None = None
    wait: float | None = None
    connect_timeout: float | None = None
    idle_timeout: float | None = None
    timeout: float | None = None
    keep_open: bool = False
    receive_only: bool = False
    send_only: bool = False
    reconnect: bool = False
    require_user: str | None = None
    zero_copy: bool = False
    escape: str = "auto"
    record_format: str = "lines"
    stdin: int = 0
    stdout: int = 1


class ConnectResult(NamedTuple):
    """Bytes that came and went on the sockets, and the signal that ended it (0: none)."""

    bytes_received: int = 0
    bytes_sent: int = 0
    signal: int = 0


def run(
    settings: ConnectSettings,
    *,
    observer: Observer | None = None,
    note: Callable[[str], None] = lambda line: None,
    dial: Callable[[float | None, Interrupts], Channel] | None = None,
) -> ConnectResult:
    """Connect and converse. Returns when nothing was lost, or when a signal came; main thread only.

    `observer` is told every call on the socket, and makes them the plain ones. `note` gets a line for a
    person. `dial(timeout, interrupts)` connects to what is no Unix socket.

    Raises:
        AfunixError: as `blocking.connect` and `model.conversation.verdict`.
    """
    with Interrupts() as interrupts, ExitStack() as closing:
        try:
            return _Run(settings, observer, note, interrupts, closing, dial).run()
        except Interrupted as interrupted:
            return ConnectResult(signal=interrupted.number)


class _Run:
    """One run: one connection, or with `--reconnect` one after the other."""

    def __init__(
        self,
        settings: ConnectSettings,
        observer: Observer | None,
        note: Callable[[str], None],
        interrupts: Interrupts,
        closing: ExitStack,
        dial: Callable[[float | None, Interrupts], Channel] | None = None,
    ) -> None:
        self.settings = settings
        self.observer = observer
        self.note = note
        self.interrupts = interrupts
        self.closing = closing
        self.dial = dial
        self.name = str(settings.address)
        self.deadline = None if settings.timeout is None else time.monotonic() + settings.timeout
        self.require_uid = None if settings.require_user is None else _uid_of(settings.require_user)
        self.source: Input | None = None
        self.output: Output | None = None
        self.received = 0
        self.sent = 0
        self.resets = 0
        self.pause = _FIRST_PAUSE_S

    def run(self) -> ConnectResult:
        _refuse_own_descriptors(self.settings)
        self._converse_once(self.settings.wait)
        moved = 0
        while self.interrupts.number == 0 and self._has_more_to_do:
            self._pause(self.received + self.sent - moved)
            moved = self.received + self.sent
            self.note(f"connecting to {quote(self.name)} again")
            wait = self.settings.wait
            self._converse_once(math.inf if wait is None else wait)
        if self.resets and not self.interrupts.number:
            raise BrokenStreamError(
                f"{quote(self.name)} closed {self.resets} of the connections without reading all that was sent"
                " (ECONNRESET)",
                bytes_sent=self.sent,
            )
        return ConnectResult(self.received, self.sent, self.interrupts.number)

    @property
    def _has_more_to_do(self) -> bool:
        """After a connection that ended: is another one wanted?"""
        if not self.settings.reconnect:
            return False
        return self.source is None or not self.source.is_exhausted

    def _converse_once(self, wait: float | None) -> None:
        channel = self._connect(wait)
        try:
            self._open_ends()
            self._note_connection(channel)
            conversation = self._prepare(channel)
            ending = conversation.run()
            self._conclude(conversation, ending)
        finally:
            self.received += channel.bytes_received
            self.sent += channel.bytes_sent
            dialling.close(channel, self.observer)

    def _connect(self, wait: float | None) -> Channel:
        settings = self.settings
        limits = [settings.connect_timeout]
        if self.deadline is not None:
            limits.append(max(0.0, self.deadline - time.monotonic()))
        timeout = min((limit for limit in limits if limit is not None), default=None)
        if self.dial is not None:
            return self.dial(timeout, self.interrupts)
        return dialling.connect(
            settings.address,
            timeout=timeout,
            wait=wait,
            socket_type=settings.socket_type,
            require_uid=self.require_uid,
            observer=self.observer,
            interrupts=self.interrupts,
        )

    def _open_ends(self) -> None:
        """After the first socket, so that it is descriptor 3."""
        if self.source is None and not self.settings.receive_only:
            self.source = Input(self.settings.stdin)
            self.closing.callback(self.source.close)
        if self.output is None and not self.settings.send_only:
            self.output = Output(self.settings.stdout)
            self.closing.callback(self.output.close)

    def _note_connection(self, channel: Channel) -> None:
        self.note(f"connected to {quote(self.name)} ({type_word(channel.socket.type)})")

    def _prepare(self, channel: Channel) -> Conversation:
        settings = self.settings
        type_name = type_word(channel.socket.type)
        is_dgram = type_name == "dgram"
        inward: Pump
        outward: Pump | RecordPump | None
        if type_name == "stream":
            _refuse_null(settings)
            inward, outward = self._directions().byte_pumps(channel)
        else:
            inward, outward = self._directions().record_pumps(channel, has_end=not is_dgram)
        return Conversation(
            channel,
            inward,
            outward,
            source=self.source,
            output=self.output,
            interrupts=self.interrupts,
            idle_timeout=settings.idle_timeout,
            deadline=self.deadline,
            ends_with_source=is_dgram and settings.idle_timeout is None and not settings.keep_open,
            has_end=not is_dgram,
            is_shared=self._is_borrowed,
        )

    def _directions(self) -> Directions:
        settings = self.settings
        return Directions(
            self.source,
            self.output,
            is_traced=self.observer is not None,
            is_borrowed=self._is_borrowed,
            escapes=self._escapes,
            zero_copy=settings.zero_copy,
            half_closes=not settings.keep_open,
            record_format=settings.record_format,
        )

    @property
    def _escapes(self) -> bool:
        if self.output is None or self.settings.escape == "never":
            return False
        return self.settings.escape == "always" or self.output.kind is DescriptorKind.TERMINAL

    @property
    def _is_borrowed(self) -> bool:
        """An inherited socket: others may hold it, too."""
        return self.settings.address.kind is AddressKind.INHERITED

    def _conclude(self, conversation: Conversation, ending: Ending) -> None:
        """Raise what was lost or expired, unless a signal ends the run or another connection can make it good."""
        if ending is Ending.ENDED and conversation.is_clean:
            return  # the common case, without the cost of words for the others
        from ..model.conversation import verdict
        from .outcome import outcome_of

        settings = self.settings
        limit = settings.idle_timeout if ending is Ending.IDLE else settings.timeout
        outcome = outcome_of(conversation, ending, name=self.name, limit_s=limit or 0.0)
        error = verdict(outcome)
        if ending is Ending.SIGNAL or error is None:
            return
        if not (settings.reconnect and ending is Ending.ENDED and isinstance(error, BrokenStreamError)):
            raise error
        self.resets += bool(outcome.receive_errno)
        if self.source is not None and conversation.outward is not None:
            self.source.unread(conversation.outward.release())

    def _pause(self, moved: int) -> None:
        """Longer each time that a connection moved nothing."""
        self.pause = _FIRST_PAUSE_S if moved else min(self.pause * 2, _LONGEST_PAUSE_S)
        dialling.pause(self.pause, self.interrupts)


def _uid_of(written: str) -> int:
    """`user:NAME` or `user:1000` to the uid.

    Raises:
        RuleError: it is not of that form, or nobody has the name.
    """
    from ..kernel import names
    from ..model.rules import RuleError, parse_id

    kind, _, name = written.partition(":")
    if kind != "user" or not name:
        raise RuleError(f"{quote(written)} is nobody who can be required: expected user:NAME or user:1000")
    return parse_id(name, kind, names.uid_of)


def _refuse_own_descriptors(settings: ConnectSettings) -> None:
    used = [] if settings.receive_only else [settings.stdin]
    used += [] if settings.send_only else [settings.stdout]
    if dial.is_own_descriptor(settings.address, tuple(used)):
        raise AddressError(
            f"{quote(str(settings.address))} is STDIN or STDOUT itself: it cannot be both ends",
            hint="pass the socket as another descriptor, such as 3<>…",
        )


def _refuse_null(settings: ConnectSettings) -> None:
    if settings.record_format == "null":
        raise AddressError(
            f"{quote(str(settings.address))} is a stream socket, and --null is for records",
            hint="a stream's bytes pass as they are, NUL bytes too",
        )
