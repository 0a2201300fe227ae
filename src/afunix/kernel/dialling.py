"""Making a connection, as steps: attempt, judge, wait, again. Nothing here waits; a face does, as it can.

`Dialling.steps` yields what to wait for and returns the connected socket. `blocking/dialling` lets connect(2) itself
wait for room in a backlog; a face with an event loop only pauses, for there is nothing to poll for.

A client that starts fast imports this: the words for what stands in the way come when they are needed.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from ..model.address import Address, AddressKind
from ..model.patience import Retrying
from . import dial
from .socket_types import type_word

if TYPE_CHECKING:
    from socket import SocketType, socket

    from ..model.errors import AfunixError
    from ..model.events import Observer
    from ..model.retry import Retry

_TRIED_IN_TURN = ("stream", "seqpacket", "dgram")

_FIRST_BACK_OFF_S = 0.002
_LONGEST_BACK_OFF_S = 0.05
"""Between two looks at a full backlog: twenty a second cost nothing, and room is seldom long in coming."""


class Pause:
    """Sleep `seconds`, then send None into the steps."""

    __slots__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


class Room(Pause):
    """There is no room in the server's backlog. Pause; or let connect(2) wait, and send what it answered.

    For that there is `sock`, which stays the steps' own, and `left`: seconds until the deadline, None without one.
    """

    __slots__ = ("left", "sock")

    def __init__(self, seconds: float, sock: socket, left: float | None) -> None:
        super().__init__(seconds)
        self.sock = sock
        self.left = left


Steps = Generator[Pause, int | None, "socket"]
"""Returns a connected socket, non-blocking, which is then the caller's. Closing the generator leaves nothing open."""


class Dialling:
    """One connection to be made. It begins when it is made: `timeout` and `wait` count from there, by `clock`.

    A full backlog is waited for, `timeout` seconds at most. With `wait` (seconds, or a Retry) also a server that is
    not there yet, for so long. Without `socket_type` the type is found out. An observer is told every call.
    `takes_descriptors`: may the server send any? `in_program`: the hints are for a program, not for the shell.
    `run` makes each attempt, and looks at what stands in the way: as somebody else, if it is `as_client.run_as`'s.
    `prepare` gets each socket before it is to be connected.
    """

    def __init__(
        self,
        address: Address,
        socket_type: str | None = None,
        *,
        timeout: float | None = None,
        wait: float | Retry | None = None,
        takes_descriptors: bool = False,
        observer: Observer | None = None,
        clock: Callable[[], float] = time.monotonic,
        in_program: bool = False,
        run: Callable[[Callable[[], Any]], Any] | None = None,
        prepare: Callable[[SocketType], None] | None = None,
    ) -> None:
        self.address = address
        self._types = (socket_type,) if socket_type is not None else _TRIED_IN_TURN
        self._clock = clock
        self._retrying = _retrying(clock(), timeout, wait)
        self._takes_descriptors = takes_descriptors
        self._observer = observer
        self._in_program = in_program
        self._run = run or _run_here
        self._prepare = prepare

    def steps(self) -> Steps:
        """Connect.

        Raises:
            AfunixError: NoSuchSocket-, NobodyListens-, Denied-, NotASocket-, WrongType-, TimedOut- or AddressError,
                after which nothing is left open.
        """
        if self.address.kind is AddressKind.INHERITED:
            return take_inherited(self.address, self._types, in_program=self._in_program)
        while True:
            answer, word = 0, ""
            for word in self._types:
                sock, answer = yield from self._attempt(word)
                if sock is not None:
                    return sock
                if answer != errno.EPROTOTYPE:
                    break
            yield self._next_pause(answer, word)

    def _attempt(self, word: str) -> Generator[Pause, int | None, tuple[socket | None, int]]:
        sock = dial.open_socket(word, self._observer, takes_descriptors=self._takes_descriptors)
        try:
            if self._prepare is not None:
                self._prepare(sock)
            answer = self._try_connect(sock)
            pauses = _back_off()
            while answer in (errno.EAGAIN, errno.EINTR) and not self._retrying.is_over(self._clock()):
                left = self._retrying.left(self._clock())
                pause = next(pauses) if left is None else min(next(pauses), left)
                answered = yield Room(pause, sock, left)
                answer = self._try_connect(sock) if answered is None else answered
        except BaseException:
            dial.close_socket(sock, self._observer)
            raise
        self._tell(sock, answer)
        if answer == 0:
            return sock, 0
        dial.close_socket(sock, self._observer)
        return None, errno.EAGAIN if answer == errno.EINTR else answer

    def _try_connect(self, sock: socket) -> int:
        answer: int = self._run(lambda: dial.try_connect(sock, self.address))
        return answer

    def _tell(self, sock: socket, answer: int) -> None:
        if self._observer is None:
            return
        from ..model.events import CallFailed, Connected
        from ..model.lifecycle import Call

        fd = sock.fileno()
        self._observer(
            CallFailed(fd, Call.CONNECT, answer, self.address) if answer else Connected(fd, self.address)
        )

    def _next_pause(self, answer: int, word: str) -> Pause:
        """Until the next attempt; or raise what the last one means."""
        from ..model.refusal import WORTH_WAITING_FOR, gave_up

        now = self._clock()
        over = self._retrying.is_over(now)
        if not over and self._retrying.retries and answer in WORTH_WAITING_FOR:
            return Pause(self._retrying.next_pause(now))
        error = self._explain(answer, word)
        if over and self._retrying.limit is not None and answer in WORTH_WAITING_FOR:
            raise gave_up(self._retrying.limit, error)
        raise error

    def _explain(self, answer: int, word: str) -> AfunixError:
        from ..model.refusal import refusal
        from . import obstacle

        found = self._find_type(word) if answer == errno.EPROTOTYPE else None
        facts = self._run(lambda: obstacle.look(self.address, answer, wanted_type=word, found_type=found))
        return refusal(facts, in_program=self._in_program)

    def _find_type(self, wrong: str) -> str | None:
        """The type that the server really has; a stream or seqpacket server sees a client that leaves at
        once.
        """
        for word in reversed(_TRIED_IN_TURN):
            if word != wrong:
                sock = dial.open_socket(word, self._observer)
                answer = self._try_connect(sock)
                self._tell(sock, answer)
                dial.close_socket(sock, self._observer)
                if answer in (0, errno.EAGAIN, errno.EPERM):
                    return word
        return None


def _run_here(call: Callable[[], Any]) -> Any:
    return call()


def _retrying(now: float, timeout: float | None, wait: float | Retry | None) -> Retrying:
    if wait is None or isinstance(wait, (int, float)):
        return Retrying(now, timeout=timeout, wait=wait)
    from ..model.retry import Retry

    if not isinstance(wait, Retry):
        raise TypeError(f"wait is {type(wait).__name__}, expected seconds or a Retry")
    first, longest = wait.first_pause, wait.longest_pause
    return Retrying(now, timeout=timeout, wait=wait.within, first_pause=first, longest_pause=longest)


def take_inherited(address: Address, types: tuple[str, ...], *, in_program: bool = False) -> socket:
    """The connected socket of `fd:3` or `fd:NAME`, of one of `types`; the caller owns it. Its flags stay.

    Raises:
        AddressError: it is no Unix socket, or not connected. WrongTypeError: it is of another type.
            It stays open then, and can be taken by somebody else.
    """
    sock = dial.take_connected(address)
    word = type_word(sock.type)
    if word in types:
        return sock
    from ..model.refusal import Obstacle, refusal

    abandon(sock, address)
    found = Obstacle(address, errno.EPROTOTYPE, wanted_type=types[0], found_type=word)
    raise refusal(found, in_program=in_program)


def abandon(sock: SocketType, address: Address, observer: Observer | None = None) -> None:
    """What `steps` returned for `address` will not do: close it; one that was inherited stays open, its owner's."""
    if address.kind is AddressKind.INHERITED:
        from . import activation

        activation.give_back(sock)
    else:
        dial.close_socket(sock, observer)


def _back_off() -> Generator[float, None, None]:
    """1 to 50 ms: longer each time, and different for each of many that wait for the same server."""
    longest = _FIRST_BACK_OFF_S
    while True:
        yield longest * (1 + os.urandom(1)[0] / 255) / 2
        longest = min(longest * 2, _LONGEST_BACK_OFF_S)
