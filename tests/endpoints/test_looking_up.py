"""Names are looked up in a thread, once for all who wait."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest
from tests.program import PATIENCE_S

from afunix.endpoints.looking_up import LookUp
from afunix.kernel.host_names import SocketName
from afunix.model.address import Address
from afunix.model.errors import NoSuchSocketError

NAMED = Address.parse("tcp:name:80")
ANSWER: list[SocketName] = [(2, ("192.0.2.1", 80))]


def answering(monkeypatch: pytest.MonkeyPatch, answer: Callable[[Address], list[SocketName]]) -> None:
    monkeypatch.setattr("afunix.endpoints.looking_up.addresses_of", answer)


def test_a_number_is_asked_of_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, lambda address: pytest.fail("asked"))
    found = asyncio.run(LookUp(Address.parse("tcp:127.0.0.1:80")).addresses())
    assert [where for _, where in found] == [("127.0.0.1", 80)]


def test_many_who_wait_ask_once_and_the_next_asks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Address] = []
    may_answer = threading.Event()

    def answer(address: Address) -> list[SocketName]:
        asked.append(address)
        assert may_answer.wait(PATIENCE_S)
        return ANSWER

    async def main() -> None:
        names = LookUp(NAMED)
        waiting = [asyncio.ensure_future(names.addresses()) for _ in range(3)]
        await asyncio.sleep(0)
        may_answer.set()
        assert await asyncio.gather(*waiting) == [ANSWER] * 3
        assert asked == [NAMED]
        assert await names.addresses() == ANSWER
        assert asked == [NAMED] * 2

    answering(monkeypatch, answer)
    asyncio.run(main())


def test_who_gives_up_takes_nothing_from_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    may_answer = threading.Event()

    def answer(address: Address) -> list[SocketName]:
        assert may_answer.wait(PATIENCE_S)
        return ANSWER

    async def main() -> None:
        names = LookUp(NAMED)
        impatient, patient = (asyncio.ensure_future(names.addresses()) for _ in range(2))
        await asyncio.sleep(0)
        impatient.cancel()
        may_answer.set()
        assert await patient == ANSWER
        assert impatient.cancelled()

    answering(monkeypatch, answer)
    asyncio.run(main())


def test_an_unknown_name_is_an_error_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(address: Address) -> list[SocketName]:
        raise NoSuchSocketError("no such host")

    async def main() -> None:
        names = LookUp(NAMED)
        both = await asyncio.gather(names.addresses(), names.addresses(), return_exceptions=True)
        assert [type(one) for one in both] == [NoSuchSocketError] * 2

    answering(monkeypatch, refuse)
    asyncio.run(main())


def test_an_answer_that_comes_after_the_end_harms_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    may_answer = threading.Event()

    def answer(address: Address) -> list[SocketName]:
        assert may_answer.wait(PATIENCE_S)
        return ANSWER

    async def main() -> None:
        waiting = asyncio.ensure_future(LookUp(NAMED).addresses())
        await asyncio.sleep(0)
        waiting.cancel()

    answering(monkeypatch, answer)
    asyncio.run(main())
    (thread,) = (one for one in threading.enumerate() if one.name == "afunix-names")
    may_answer.set()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
