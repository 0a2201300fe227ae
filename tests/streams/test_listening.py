"""A listener of one's own: who is accepted, how it ends, and what it says when it is misused."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import socket
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from tests.streams.event_loops import LOOPS, run_in, turns
from tests.streams.visitors import Visitor, echo, visitors

import afunix
from afunix.events import Accepted, BytesRead, Closed, Event, Observer
from afunix.streams import hub
from afunix.streams.waiting import TURN_EVERY

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    yield lambda main: run_in(request.param, main)
    assert not hub._HUBS  # nobody stayed in one


@pytest.fixture
def path(sock_dir: str) -> str:
    return f"{sock_dir}/s"


@contextmanager
def no_descriptors_left() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = next(fd for fd in range(1 << 20) if not os.path.exists(f"/proc/self/fd/{fd}"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# Accepting


def test_accept_gives_the_next_client_in_order(run: Run, path: str) -> None:
    async def main() -> None:
        with afunix.listen(path) as listener, ExitStack() as stack:
            for number, visitor in enumerate(visitors(path, 3, stack)):
                visitor.send(b"%d" % number)
            for number in range(3):
                async with await listener.accept() as stream:
                    assert await stream.receive() == b"%d" % number
                    assert stream.local_address == listener.address
                    assert stream.peer.pid == os.getpid()
                    assert not os.get_inheritable(stream.fileno())

    run(main())


def test_accept_waits_for_a_client(run: Run, path: str) -> None:
    async def main() -> None:
        with afunix.listen(path) as listener:
            for _ in range(2):
                accepting = asyncio.create_task(listener.accept())
                await turns()
                assert not accepting.done()
                with Visitor(path):
                    (await accepting).close()

    run(main())


def test_async_for_ends_when_the_listener_is_closed(run: Run, path: str) -> None:
    async def main() -> None:
        count = 0
        listener = afunix.listen(path)
        with ExitStack() as stack:
            visitors(path, 3, stack)
            async for stream in listener:
                stream.close()
                count += 1
                if count == 3:
                    asyncio.get_running_loop().call_soon(listener.close)
        assert (count, os.path.exists(path)) == (3, False)

    run(main())


def test_a_flood_of_clients_lets_others_have_a_turn(run: Run, path: str) -> None:
    async def main() -> None:
        ran = asyncio.Event()
        asyncio.get_running_loop().call_soon(ran.set)
        with afunix.listen(path) as listener:
            for _ in range(TURN_EVERY + 2):
                with Visitor(path):
                    (await listener.accept()).close()
        assert ran.is_set()

    run(main())


def test_a_cancelled_accept_takes_nobody(run: Run, path: str) -> None:
    async def main() -> None:
        with afunix.listen(path) as listener:
            for _ in range(3):
                accepting = asyncio.create_task(listener.accept())
                await turns()
                with Visitor(path) as visitor:  # it is there when the cancellation comes
                    accepting.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await accepting
                    visitor.send(b"x")
                    async with await listener.accept() as stream:
                        assert await stream.receive() == b"x"

    run(main())


def test_seqpacket_clients_are_packet_streams(run: Run, path: str) -> None:
    async def main() -> None:
        with afunix.listen_packets(path) as listener, Visitor(path, socket.SOCK_SEQPACKET) as visitor:
            visitor.send(b"")
            async with await listener.accept() as stream:
                assert isinstance(stream, afunix.PacketStream)
                assert await stream.receive() == b""

    run(main())


def test_an_observer_is_told_of_each_client(run: Run, path: str) -> None:
    told: list[Event] = []

    async def main() -> None:
        with afunix.listen(path, observer=told.append) as listener, Visitor(path) as visitor:
            visitor.send(b"abc")
            async with await listener.accept() as stream:
                fd = stream.fileno()
                await stream.receive()
                assert told[-2:] == [Accepted(fd, listener.fileno(), 1, stream.peer), BytesRead(fd, 3)]
            assert told[-1] == Closed(fd, 1, 3, 0)

    run(main())


@pytest.mark.parametrize("observer", [None, lambda event: None])
def test_descriptors_nobody_takes_are_counted_whoever_observes(
    run: Run, path: str, observer: Observer | None
) -> None:
    async def main() -> None:
        with afunix.listen(path, accept_fds=1, observer=observer) as listener, Visitor(path) as visitor:
            socket.send_fds(visitor.sock, [b"abc"], [0])
            async with await listener.accept() as stream:
                assert await stream.receive() == b"abc"
                assert stream.stats.descriptors_closed == 1

    run(main())


def test_a_refused_flag_is_an_error_of_the_caller_and_leaves_no_path(path: str) -> None:
    for options, error in (
        ({"backlog": -1}, ValueError),
        ({"mode": 0o1777}, ValueError),
        ({"accept_fds": -1}, ValueError),
        ({"owner": "nobody-has-this-name"}, ValueError),
    ):
        with pytest.raises(error):
            afunix.listen(path, **options)
        assert not os.path.exists(path)


# Shortage and faults


def test_out_of_descriptors_is_waited_for_without_a_spin(run: Run, path: str) -> None:
    async def main() -> None:
        with afunix.listen(path) as listener:
            accepting = asyncio.create_task(listener.accept())
            await turns()
            with Visitor(path), no_descriptors_left():
                before = time.process_time()
                await asyncio.sleep(0.4)
                assert time.process_time() - before < 0.1
                assert not accepting.done()
                with pytest.raises(afunix.BusyError):
                    await listener.accept()
            (await accepting).close()

    # Not within the limit: joining the loop's hub takes a descriptor, too.
    async def joined() -> None:
        with afunix.listen(f"{path}2") as other:
            waiting = asyncio.create_task(other.accept())
            await turns()
            await main()
            waiting.cancel()
            await asyncio.wait([waiting])

    run(joined())


def test_close_during_a_shortage_is_told_at_once(
    run: Run, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        with afunix.listen(path) as listener, Visitor(path):
            monkeypatch.setattr(listener._core, "accept_named", failing(errno.EMFILE))
            accepting = asyncio.create_task(listener.accept())
            await turns()
            listener.close()
            await turns()
            assert accepting.done()
            with pytest.raises(afunix.ClosedError):
                await accepting

    run(main())


def failing(number: int) -> Callable[[], Any]:
    def fail() -> Any:
        raise OSError(number, os.strerror(number))

    return fail


def test_a_fault_of_accept_is_the_callers(run: Run, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        with afunix.listen(path) as listener:
            with monkeypatch.context() as patch, pytest.raises(OSError, match="Input/output error"):
                patch.setattr(listener._core, "accept_named", failing(errno.EIO))
                await listener.accept()
            with Visitor(path):
                (await listener.accept()).close()

    run(main())


# Ends


def test_close_wakes_who_is_accepting(run: Run, path: str) -> None:
    async def main() -> None:
        listener = afunix.listen(path)
        accepting = asyncio.create_task(listener.accept())
        await turns()
        listener.close()
        with pytest.raises(afunix.ClosedError, match="is closed"):
            await accepting
        assert not os.path.exists(path)

    run(main())


def test_close_is_idempotent_and_what_comes_after_is_told(run: Run, path: str) -> None:
    async def main() -> None:
        async with afunix.listen(path) as listener:
            listener.close()
            listener.close()
            for use in (listener.fileno, listener._take):
                with pytest.raises(afunix.ClosedError):
                    use()
            with pytest.raises(afunix.ClosedError):
                await listener.accept()
            assert listener.address == afunix.Address.pathname(path)

    run(main())


def test_who_waits_in_the_backlog_of_a_closed_listener_is_reset(run: Run, path: str) -> None:
    async def main() -> None:
        listener = afunix.listen(path)
        with ExitStack() as stack:
            waiting = visitors(path, 3, stack)
            listener.close()
            for visitor in waiting:
                assert await visitor.is_turned_away()

    run(main())


def test_a_listener_needs_no_loop_and_outlives_none_that_accepted(path: str) -> None:
    listener = afunix.listen(path)
    run_in("asyncio", accept_one(listener))
    with Visitor(path), pytest.raises(afunix.WrongLoopError, match="belongs to another event loop"):
        run_in("asyncio", accept_one(listener))
    listener.close()
    assert not hub._HUBS
    assert not os.path.exists(path)


async def accept_one(listener: afunix.Listener) -> None:
    with Visitor(os.fsencode(str(listener.address))):
        (await listener.accept()).close()


# Misuse


def test_a_second_task_is_refused_and_the_first_unharmed(run: Run, path: str) -> None:
    async def main() -> None:
        with afunix.listen(path) as listener:
            accepting = asyncio.create_task(listener.accept())
            await turns()
            with pytest.raises(afunix.BusyError, match="another task is accepting"):
                await listener.accept()
            with pytest.raises(afunix.BusyError, match="a task is accepting"):
                await afunix.serve(echo, listener).start()
            with Visitor(path):
                (await accepting).close()

    run(main())


def test_two_tasks_after_a_row_of_clients_do_not_forget_each_other(run: Run, path: str) -> None:
    """A turn that is given before a client is taken lets the other task in: one of them has to learn of it."""

    async def main() -> None:
        with afunix.listen(path) as listener:
            for _ in range(TURN_EVERY):
                with Visitor(path):
                    (await listener.accept()).close()
            tasks = [asyncio.create_task(listener.accept()) for _ in range(2)]
            done, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            assert [type(task.exception()) for task in done] == [afunix.BusyError]
            with Visitor(path):
                (await waiting.pop()).close()

    run(main())


def test_another_thread_may_not_close_it(run: Run, path: str) -> None:
    async def main() -> None:
        with afunix.listen(path) as listener:
            accepting = asyncio.create_task(listener.accept())
            await turns()
            with pytest.raises(afunix.WrongLoopError):
                await asyncio.to_thread(listener.close)
            with Visitor(path):
                (await accepting).close()

    run(main())


def test_a_forked_child_only_closes_its_own(run: Run, path: str) -> None:
    async def main() -> None:
        with afunix.listen(path) as listener:
            accepting = asyncio.create_task(listener.accept())
            await turns()
            pid = os.fork()
            if not pid:
                status = 1
                try:
                    with pytest.raises(afunix.WrongLoopError):
                        asyncio.run(accept_one(listener))
                    listener.close()
                    status = 0
                finally:
                    os._exit(status)
            assert os.waitpid(pid, 0)[1] == 0
            with Visitor(path):
                (await accepting).close()

    run(main())
