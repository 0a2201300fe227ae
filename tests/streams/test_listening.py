"""A listener of one's own: who is accepted, how it ends, and what it says when it is misused."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import resource
import socket
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import pytest
from tests.sharing import Shared, can_refuse, shared
from tests.streams.event_loops import LOOPS, run_in, turns
from tests.streams.visitors import Visitor, echo, until, visitors

import afunix
from afunix.events import Accepted, BytesRead, Closed, Event, Observer, Refused
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


# Rules


def test_whom_the_rules_refuse_is_closed_unread_and_the_next_is_taken(run: Run, path: str) -> None:
    async def main() -> None:
        told: list[Event] = []
        rules = afunix.Rules(f"deny user:{os.geteuid()}")
        with afunix.listen(path, rules=rules, observer=told.append) as listener, Visitor(path) as visitor:
            accepting = asyncio.create_task(listener.accept())
            assert await visitor.is_turned_away()
            await turns()
            assert not accepting.done()
            assert listener.refused == 1
            assert any(isinstance(event, Refused) and event.peer.pid == os.getpid() for event in told)
            accepting.cancel()

    run(main())


def test_whom_the_rules_admit_is_served(run: Run, path: str) -> None:
    async def main() -> None:
        with afunix.listen(path, rules=afunix.Rules("allow me")) as listener, Visitor(path):
            (await listener.accept()).close()
            assert listener.refused == 0

    run(main())


def test_rules_are_not_lost_in_a_server(run: Run, path: str) -> None:
    async def main() -> None:
        with afunix.listen(path, rules=afunix.Rules("deny any")) as listener:
            with pytest.raises(ValueError, match=r"give them to the server"):
                await afunix.serve(echo, listener).start()
            assert not listener.is_closed

    run(main())


# Forgotten


def test_a_forgotten_listener_warns_where_it_was_opened_and_removes_its_path(run: Run, path: str) -> None:
    async def main() -> None:
        listener = afunix.listen(path)
        with Visitor(path):
            (await listener.accept()).close()  # it is in the hub by now
            with pytest.warns(ResourceWarning, match=rf"unclosed <afunix.Listener .* opened at {__file__}:"):
                del listener
                gc.collect()
        assert not os.path.exists(path)

    run(main())


def test_a_listener_that_a_server_has_is_not_forgotten(run: Run, path: str) -> None:
    async def main() -> None:
        async with afunix.serve(echo, afunix.listen(path)):
            gc.collect()
            with Visitor(path) as visitor:
                assert await visitor.ask(b"hello") == b"hello"

    run(main())


# Inherited listeners


def test_accept_goes_on_waiting_while_another_process_was_faster(
    run: Run, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main(shared_one: Shared) -> None:
        with afunix.listen(f"fd:{shared_one.copy()}") as listener:
            accepting = asyncio.create_task(listener.accept())
            shared_one.let_the_other_win(monkeypatch)
            shared_one.connect()
            await until(lambda: bool(shared_one.lost))
            await asyncio.to_thread(shared_one.until_thread_waits)
            assert not accepting.done()
            shared_one.connect().send(b"x")
            async with await accepting as stream:
                assert await stream.receive() == b"x"
        assert os.get_blocking(shared_one.socket.fileno())

    with shared(path) as shared_one:
        run(main(shared_one))


def test_close_ends_an_accept_whose_client_another_process_took(
    run: Run, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main(shared_one: Shared) -> None:
        listener = afunix.listen(f"fd:{shared_one.copy()}")
        accepting = asyncio.create_task(listener.accept())
        shared_one.let_the_other_win(monkeypatch)
        shared_one.connect()
        await until(lambda: bool(shared_one.lost))
        await asyncio.to_thread(shared_one.until_thread_waits)
        listener.close()
        with pytest.raises(afunix.ClosedError):
            await accepting

    with shared(path) as shared_one:
        run(main(shared_one))


@pytest.mark.skipif(not can_refuse(), reason="SO_PASSRIGHTS needs Linux 6.16")
def test_descriptors_come_in_through_an_inherited_listener_that_refused_them(run: Run, path: str) -> None:
    async def main() -> None:
        with closing(afunix.bind_socket(path)) as parents:
            fd = f"fd:{os.dup(parents.fileno())}"
            with afunix.listen(fd, accept_fds=1) as listener:
                async with await afunix.connect(path) as client, await listener.accept() as stream:
                    await client.send_fds(b"x", [0])
                    with await stream.receive_fds() as received:
                        assert len(received.fds) == 1

    run(main())


def test_a_shortage_while_it_joins_the_loop_is_waited_for_and_leaves_nothing_behind(
    run: Run, path: str
) -> None:
    async def main() -> None:
        with shared(path) as other, afunix.listen(f"{path}2") as anybody:
            waiting = asyncio.create_task(anybody.accept())  # the hub has its descriptor
            await turns()
            members = hub.Hub.of(asyncio.get_running_loop())._members
            fd = other.copy()
            with afunix.listen(f"fd:{fd}") as listener:
                client = other.connect()
                with no_descriptors_left():
                    accepting = asyncio.create_task(listener.accept())
                    await asyncio.wait([accepting], timeout=0.2)
                    assert not accepting.done()
                    assert hub.Hub.of(asyncio.get_running_loop())._members == members
                async with await accepting as stream:
                    client.send(b"x")
                    assert await stream.receive() == b"x"
            waiting.cancel()
            await asyncio.wait([waiting])

    run(main())
