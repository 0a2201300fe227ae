"""The steps of a connection: what they ask to wait for, what they raise, and that nothing stays open."""

from __future__ import annotations

import errno
import math
import os
import socket
import stat
from collections.abc import Callable, Iterator

import pytest

from afunix.kernel import obstacle
from afunix.kernel.dialling import Dialling, Pause, Room, abandon, take_inherited
from afunix.model import events, refusal
from afunix.model.address import Address
from afunix.model.errors import (
    AfunixError,
    NobodyListensError,
    NoSuchSocketError,
    TimedOutError,
    WrongTypeError,
)
from afunix.model.retry import Retry


class Clock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def address(sock_dir: str) -> Address:
    return Address.pathname(f"{sock_dir}/s")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def full(address: Address) -> Iterator[socket.socket]:
    """A listener whose backlog has no room."""
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(address.name)
        listener.listen(0)
        first.connect(address.name)
        yield listener


def connected(dialling: Dialling) -> socket.socket:
    """The socket of a connection for which nothing has to be waited for."""
    with pytest.raises(StopIteration) as end:
        next(dialling.steps())
    sock: socket.socket = end.value.value
    return sock


def test_server_that_is_there_is_connected_without_a_pause(address: Address) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address.name)
        listener.listen()
        with connected(Dialling(address, "stream")) as sock:
            assert sock.getpeername() == os.fsdecode(address.name)
            assert not sock.getblocking()


@pytest.mark.usefixtures("full")
def test_full_backlog_asks_for_longer_and_longer_pauses_of_at_most_50_ms(address: Address) -> None:
    steps = Dialling(address, "stream").steps()
    rooms = [next(steps) for _ in range(40)]
    assert all(isinstance(room, Room) and 0.001 <= room.seconds <= 0.05 for room in rooms)
    assert rooms[0].seconds < 0.003
    late = {room.seconds for room in rooms[20:]}
    assert min(late) >= 0.025
    assert len(late) > 3  # so that many who wait do not come all at once
    steps.close()


def test_room_is_used_as_soon_as_the_steps_go_on(address: Address, full: socket.socket) -> None:
    steps = Dialling(address, "stream").steps()
    next(steps)
    full.accept()[0].close()
    with pytest.raises(StopIteration) as end:
        next(steps)
    end.value.value.close()


@pytest.mark.usefixtures("full")
def test_who_waits_in_connect_sends_its_answer(address: Address) -> None:
    steps = Dialling(address, "stream").steps()
    assert isinstance(next(steps), Room)
    with pytest.raises(NobodyListensError):
        steps.send(errno.ECONNREFUSED)


@pytest.mark.usefixtures("full")
def test_no_pause_goes_past_the_deadline(address: Address, clock: Clock) -> None:
    steps = Dialling(address, "stream", timeout=1, clock=clock).steps()
    clock.now += 0.9995
    room = next(steps)
    assert isinstance(room, Room)
    assert room.seconds == room.left == pytest.approx(0.0005)
    clock.now = 101.0
    with pytest.raises(TimedOutError, match=r"no connection within 1 s: the backlog of .* is full"):
        next(steps)


@pytest.mark.usefixtures("full")
def test_time_out_of_zero_tries_once(address: Address, clock: Clock) -> None:
    with pytest.raises(TimedOutError, match="within 0 s"):
        next(Dialling(address, "stream", timeout=0, clock=clock).steps())


@pytest.mark.usefixtures("full")
def test_steps_that_are_closed_close_the_socket_and_tell_it(address: Address) -> None:
    seen: list[events.Event] = []
    steps = Dialling(address, "stream", observer=seen.append).steps()
    room = next(steps)
    assert isinstance(room, Room)
    fd = room.sock.fileno()
    steps.close()
    assert room.sock.fileno() == -1
    assert seen == [events.Created(fd, "SOCK_STREAM"), events.Closed(fd)]


def test_absent_server_is_an_error_at_once_and_with_wait_a_pause(address: Address, clock: Clock) -> None:
    with pytest.raises(NoSuchSocketError):
        next(Dialling(address, "stream", timeout=9, clock=clock).steps())
    steps = Dialling(address, "stream", wait=9, clock=clock).steps()
    pause = next(steps)
    assert type(pause) is Pause
    assert pause.seconds == 0.005
    clock.now += 9
    with pytest.raises(TimedOutError, match=r"within 9 s: .* does not exist"):
        next(steps)


def test_retry_says_how_long_and_how_often(address: Address, clock: Clock) -> None:
    retry = Retry(math.inf, first_pause=1, longest_pause=3)
    steps = Dialling(address, "stream", wait=retry, clock=clock).steps()
    assert [next(steps).seconds for _ in range(4)] == [1, 2, 3, 3]
    steps.close()


def test_wait_that_is_no_time_is_refused(address: Address) -> None:
    with pytest.raises(TypeError, match="wait is str, expected seconds or a Retry"):
        Dialling(address, wait="2s")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="timeout is -1, expected 0 seconds or more"):
        Dialling(address, timeout=-1)


def test_hints_are_for_who_asks(address: Address) -> None:
    with pytest.raises(NoSuchSocketError) as at_the_shell:
        next(Dialling(address).steps())
    with pytest.raises(NoSuchSocketError) as in_program:
        next(Dialling(address, in_program=True).steps())
    assert "--wait 10s" in str(at_the_shell.value.hint)
    assert "wait=10 " in str(in_program.value.hint)


def test_denial_is_told_from_absence_and_waited_for_too(
    address: Address, as_ordinary_user: Callable[[Callable[[], object]], object]
) -> None:
    path = os.fsdecode(address.name)

    def refusals() -> list[tuple[str, bool]]:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            os.chmod(path, stat.S_IRUSR)
            return [raised_by(Dialling(address, "stream", wait=wait)) for wait in (None, 0)]

    assert obstacle  # is loaded before the child gives up its rights
    assert as_ordinary_user(refusals) == [
        ("DeniedError", True),
        ("TimedOutError", True),
    ]


def raised_by(dialling: Dialling) -> tuple[str, bool]:
    """The error, and whether it is about permission."""
    try:
        next(dialling.steps())
    except AfunixError as error:
        return type(error).__name__, "needs write permission on" in error.message
    raise AssertionError("it did not fail")


@pytest.mark.parametrize(("in_program", "hint"), [(False, "leave --type out"), (True, "connect_packets")])
def test_inherited_socket_of_another_type_is_refused_and_stays_open(
    clock: Clock, in_program: bool, hint: str
) -> None:
    near, far = socket.socketpair()
    with far, near:
        dialling = Dialling(Address.inherited(near.fileno()), "seqpacket", clock=clock, in_program=in_program)
        with pytest.raises(WrongTypeError, match="is a stream socket, and seqpacket was asked for") as caught:
            next(dialling.steps())
        assert hint in (caught.value.hint or "")
        near.send(b"x")


def test_what_is_abandoned_is_closed_unless_it_was_inherited() -> None:
    near, far = socket.socketpair()
    with near, far:
        address = Address.inherited(near.fileno())
        abandon(take_inherited(address, ("stream",)), address)
        near.send(b"x")
        abandon(far, Address.pathname("/x"))
        assert far.fileno() == -1


def test_a_socket_is_prepared_before_it_is_connected(address: Address) -> None:
    prepared: list[socket.SocketType] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address.name)
        with pytest.raises(NobodyListensError):
            connected(Dialling(address, "stream", prepare=prepared.append))
        listener.listen()
        with connected(Dialling(address, "stream", prepare=prepared.append)) as sock:
            assert (len(prepared), prepared[-1]) == (2, sock)


def test_somebody_else_may_make_the_attempts_and_look_at_what_stands_in_the_way(address: Address) -> None:
    made: list[object] = []

    def run(call: Callable[[], object]) -> object:
        made.append(call())
        return made[-1]

    with pytest.raises(NoSuchSocketError):
        connected(Dialling(address, "stream", run=run))
    assert made[0] == errno.ENOENT
    assert isinstance(made[1], refusal.Obstacle)
