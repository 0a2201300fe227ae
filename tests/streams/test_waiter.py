"""A Waiter stands in for a Future: everything that a task, asyncio or a debugger may call on it."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import sys
import warnings
from collections.abc import Callable
from contextlib import closing

import pytest
from tests.loops import HandTurned
from tests.streams.event_loops import LOOPS, run_in, turns

from afunix.streams.waiter import Waiter, is_waiting


async def wait(waiter: Waiter, log: list[str], name: str = "woken") -> None:
    await waiter
    log.append(name)


def test_a_task_waits_until_it_is_woken_and_goes_on_in_that_very_step(loop: HandTurned) -> None:
    waiter, log = Waiter(loop), list[str]()
    task = loop.create_task(wait(waiter, log))
    loop.turn(3)
    assert is_waiting(waiter)

    def wake() -> None:
        waiter.wake()
        log.append("after it")

    loop.call_soon(wake)
    loop.turn()
    assert (log, task.done(), is_waiting(waiter)) == (["woken", "after it"], True, False)


def test_a_waiter_serves_wait_after_wait(loop: HandTurned) -> None:
    waiter, log = Waiter(loop), list[str]()

    async def wait_thrice() -> None:
        for number in range(3):
            await wait(waiter, log, str(number))

    task = loop.create_task(wait_thrice())
    for _ in range(3):
        loop.turn()
        loop.call_soon(waiter.wake)
        loop.turn()
    assert (log, task.done()) == (["0", "1", "2"], True)


def test_waking_nobody_is_nothing(loop: HandTurned) -> None:
    waiter = Waiter(loop)
    waiter.wake()
    waiter.wake_soon()
    assert waiter.cancel() is False
    assert (waiter.done(), waiter.cancelled(), is_waiting(waiter), is_waiting(None)) == (
        True,
        False,
        False,
        False,
    )


def test_a_task_is_woken_in_the_next_turn_from_within_another(loop: HandTurned) -> None:
    waiter, log = Waiter(loop), list[str]()
    loop.create_task(wait(waiter, log))
    loop.turn()

    async def wake() -> None:
        waiter.wake_soon()
        log.append("waking")

    loop.create_task(wake())
    loop.turn(2)
    assert log == ["waking", "woken"]


def test_a_cancelled_task_gets_the_message(loop: HandTurned) -> None:
    waiter = Waiter(loop)
    task = loop.create_task(wait(waiter, []))
    loop.turn()
    task.cancel("enough")
    assert (waiter.done(), waiter.cancelled()) == (True, True)
    loop.turn(2)
    assert task.cancelled()
    with pytest.raises(asyncio.CancelledError, match="enough"):
        task.result()
    assert not is_waiting(waiter)


@pytest.mark.parametrize("event", [Waiter.wake, Waiter.wake_soon], ids=["wake", "wake_soon"])
def test_an_event_in_the_turn_of_the_cancellation_does_not_undo_it(
    loop: HandTurned, event: Callable[[Waiter], None]
) -> None:
    waiter, log = Waiter(loop), list[str]()
    task = loop.create_task(wait(waiter, log))
    loop.turn()
    loop.call_soon(task.cancel)
    loop.call_soon(event, waiter)
    loop.turn(3)
    assert (task.cancelled(), log, is_waiting(waiter)) == (True, [], False)


def test_a_cancellation_in_the_turn_of_the_event_reaches_the_task_at_its_next_wait(loop: HandTurned) -> None:
    waiter, log = Waiter(loop), list[str]()

    async def wait_twice() -> None:
        await wait(waiter, log)
        await wait(waiter, log)

    task = loop.create_task(wait_twice())
    loop.turn()
    loop.call_soon(waiter.wake_soon)
    loop.call_soon(task.cancel)
    loop.turn(4)
    assert (task.cancelled(), log, is_waiting(waiter)) == (True, [], False)


def test_cancelling_twice_is_one_cancellation(loop: HandTurned) -> None:
    waiter, log = Waiter(loop), list[str]()

    async def survive() -> None:
        with pytest.raises(asyncio.CancelledError):
            await waiter
        await asyncio.sleep(0)
        log.append("survived")

    task = loop.create_task(survive())
    loop.turn()
    task.cancel()
    task.cancel()
    assert task.cancelling() == 2
    loop.turn(4)
    assert (task.done(), log) == (True, ["survived"])


def test_a_task_that_was_cancelled_is_there_until_it_was_told(loop: HandTurned) -> None:
    waiter = Waiter(loop)
    task = loop.create_task(wait(waiter, []))
    loop.turn()
    task.cancel()
    assert is_waiting(waiter)
    loop.turn(2)
    assert not is_waiting(waiter)


def test_a_task_that_catches_its_cancellation_can_wait_again(loop: HandTurned) -> None:
    waiter, log = Waiter(loop), list[str]()

    async def persist() -> None:
        try:
            await waiter
        except asyncio.CancelledError:
            await wait(waiter, log)

    task = loop.create_task(persist())
    loop.turn()
    task.cancel()
    loop.turn(2)
    loop.call_soon(waiter.wake)
    loop.turn()
    assert (log, task.done()) == (["woken"], True)


def test_a_task_that_cancels_itself_before_it_waits_does_not_wait(loop: HandTurned) -> None:
    waiter, log = Waiter(loop), list[str]()

    async def cancel_myself() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await wait(waiter, log)

    task = loop.create_task(cancel_myself())
    loop.turn(3)
    assert (task.cancelled(), log, is_waiting(waiter)) == (True, [], False)


def test_a_waiter_of_another_loop_is_an_error_and_not_a_hang(loop: HandTurned) -> None:
    with closing(asyncio.SelectorEventLoop()) as other, pytest.raises(RuntimeError, match="different loop"):
        other.run_until_complete(wait(Waiter(loop), []))


def test_a_waiting_task_can_be_looked_at(loop: HandTurned) -> None:
    waiter = Waiter(loop)
    task = loop.create_task(wait(waiter, []))
    loop.turn()
    assert "Waiter" in repr(task)
    assert task in asyncio.all_tasks(loop)
    assert len(task.get_stack()) == 1
    task.print_stack(file=sys.stderr)
    assert waiter.get_loop() is loop
    assert asyncio.isfuture(waiter)
    task.cancel()
    loop.turn(2)


def test_a_callback_can_be_taken_back(loop: HandTurned) -> None:
    waiter = Waiter(loop)

    def callback(_: Waiter) -> None:
        raise AssertionError

    waiter.add_done_callback(callback)
    assert waiter.remove_done_callback(lambda _: None) == 0
    assert waiter.remove_done_callback(callback) == 1
    assert not is_waiting(waiter)


def test_a_task_is_woken_in_its_own_context(loop: HandTurned) -> None:
    variable = contextvars.ContextVar("variable", default="nobody's")
    waiter, seen = Waiter(loop), list[str]()

    async def look() -> None:
        variable.set("mine")
        await waiter
        seen.append(variable.get())

    loop.create_task(look())
    loop.turn()
    loop.call_soon(waiter.wake)
    loop.turn()
    assert (seen, variable.get()) == (["mine"], "nobody's")


def test_tasks_that_share_a_context_wake_one_after_the_other(loop: HandTurned) -> None:
    context, log = contextvars.copy_context(), list[str]()
    waiters = [Waiter(loop), Waiter(loop)]
    for number, waiter in enumerate(waiters):
        loop.create_task(wait(waiter, log, str(number)), context=context)
    loop.turn()
    for waiter in waiters:
        loop.call_soon(waiter.wake)
    loop.turn()
    assert log == ["0", "1"]


def test_an_interrupt_in_the_tasks_step_stops_the_loop_and_leaves_the_waiter_free(loop: HandTurned) -> None:
    waiter = Waiter(loop)

    async def interrupted() -> None:
        await waiter
        raise KeyboardInterrupt

    task = loop.create_task(interrupted())
    loop.turn()
    loop.call_soon(waiter.wake)
    with pytest.raises(KeyboardInterrupt):
        loop.turn()
    assert task.done()
    assert not is_waiting(waiter)
    assert isinstance(task.exception(), KeyboardInterrupt)


def test_when_the_loop_is_closed_nobody_goes_on() -> None:
    loop = HandTurned()
    waiter = Waiter(loop)
    task = loop.create_task(wait(waiter, []))
    loop.turn()
    loop.set_exception_handler(lambda *_: None)  # that the task was pending is its maker's fault
    loop.close()
    waiter.wake_soon()
    assert not is_waiting(waiter)
    with warnings.catch_warnings(action="ignore"):
        del task
        gc.collect()


@pytest.mark.parametrize("kind", LOOPS)
def test_a_waiter_is_bounded_by_a_timeout_which_is_the_tasks_own(kind: str) -> None:
    async def main() -> None:
        waiter = Waiter(asyncio.get_running_loop())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await waiter
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        assert not is_waiting(waiter)

    run_in(kind, main())


@pytest.mark.parametrize("kind", LOOPS)
def test_a_neighbours_failure_cancels_who_waits_in_a_group(kind: str) -> None:
    async def fail() -> None:
        raise ValueError("neighbour")

    async def main() -> None:
        waiter, log = Waiter(asyncio.get_running_loop()), list[str]()
        with pytest.raises(ExceptionGroup, match="unhandled"):
            async with asyncio.TaskGroup() as group:
                group.create_task(wait(waiter, log))
                group.create_task(fail())
        assert (log, is_waiting(waiter)) == ([], False)

    run_in(kind, main())


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
@pytest.mark.parametrize("kind", LOOPS)
def test_an_eager_task_waits_as_any_other(kind: str) -> None:
    async def main() -> None:
        loop, log = asyncio.get_running_loop(), list[str]()
        waiter = Waiter(loop)
        task = asyncio.Task(wait(waiter, log), loop=loop, eager_start=True)  # type: ignore[call-arg,unused-ignore]
        assert is_waiting(waiter)
        waiter.wake_soon()
        await turns()
        assert (log, task.done()) == (["woken"], True)

    run_in(kind, main())
