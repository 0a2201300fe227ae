"""An observer that keeps events, and waits for them."""

from __future__ import annotations

import asyncio
import threading

import pytest

from afunix import TimedOutError
from afunix.events import BytesRead, Closed, Event, Stopping
from afunix.testing import Recorder


def test_events_are_kept_in_their_order() -> None:
    recorder = Recorder()
    told: list[Event] = [BytesRead(3, 5), Closed(3)]
    for event in told:
        recorder(event)
    assert recorder.events == told


def test_events_of_one_type_are_picked() -> None:
    recorder = Recorder()
    recorder(BytesRead(3, 5))
    recorder(Closed(3))
    assert recorder.of(Closed) == [Closed(3)]


def test_what_happened_can_be_forgotten() -> None:
    recorder = Recorder()
    recorder(Closed(3))
    recorder.clear()
    assert recorder.events == []


def test_what_happened_already_is_not_waited_for() -> None:
    recorder = Recorder()
    recorder(Closed(3))
    assert asyncio.run(recorder.wait_for(Closed, timeout=0)) == Closed(3)


def test_what_has_not_happened_is_waited_for() -> None:
    async def main() -> None:
        recorder = Recorder()
        waiting = asyncio.create_task(recorder.wait_for(Closed))
        await asyncio.sleep(0)
        recorder(BytesRead(3, 5))
        await asyncio.sleep(0)
        recorder(Closed(3))
        assert await waiting == Closed(3)

    asyncio.run(main())


def test_the_second_one_can_be_waited_for() -> None:
    async def main() -> None:
        recorder = Recorder()
        recorder(Closed(3))
        waiting = asyncio.create_task(recorder.wait_for(Closed, count=2))
        await asyncio.sleep(0)
        assert not waiting.done()
        recorder(Closed(4))
        assert await waiting == Closed(4)

    asyncio.run(main())


def test_it_can_be_waited_for_by_a_function() -> None:
    recorder = Recorder()
    recorder(BytesRead(3, 1))
    recorder(BytesRead(3, 0))
    assert asyncio.run(recorder.wait_for(lambda event: getattr(event, "count", 1) == 0)) == BytesRead(3, 0)


def test_two_tasks_can_wait() -> None:
    async def main() -> None:
        recorder = Recorder()
        waiting = [asyncio.create_task(recorder.wait_for(kind)) for kind in (Closed, BytesRead)]
        await asyncio.sleep(0)
        recorder(BytesRead(3, 5))
        recorder(Closed(3))
        assert await asyncio.gather(*waiting) == [Closed(3), BytesRead(3, 5)]

    asyncio.run(main())


def test_it_may_be_told_from_another_thread() -> None:
    async def main() -> None:
        recorder = Recorder()
        waiting = asyncio.create_task(recorder.wait_for(Closed))
        await asyncio.sleep(0)
        thread = threading.Thread(target=recorder, args=[Closed(3)])
        thread.start()
        assert await waiting == Closed(3)
        thread.join()

    asyncio.run(main(), debug=True)  # which finds calls from the wrong thread


def test_what_does_not_come_is_told_with_what_came_instead() -> None:
    recorder = Recorder()
    recorder(Stopping(-1, "SIGTERM"))
    with pytest.raises(
        TimedOutError, match=r"Closed did not happen 2 times within 0.001 s(.|\n)*Stopping\(fd=-1"
    ):
        asyncio.run(recorder.wait_for(Closed, count=2, timeout=0.001))


def test_repr_has_an_event_a_line() -> None:
    recorder = Recorder()
    recorder(BytesRead(3, 5))
    recorder(Closed(3))
    assert repr(recorder).splitlines()[:2] == ["<Recorder: 2 events>", "    1 BytesRead(fd=3, count=5)"]
