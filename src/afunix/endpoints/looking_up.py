"""Looking up a host's name without holding up the loop: a thread for it, and one question for all who wait for it.

A daemon's thread: a name server that never answers holds up no exit. Numeric hosts are asked of nobody.
"""

from __future__ import annotations

import asyncio
import threading

from ..kernel.host_names import SocketName, addresses_of, numeric
from ..model.address import Address
from ..model.errors import AfunixError

Answer = list[SocketName] | AfunixError


class LookUp:
    """The addresses of one TCP address's host, asked for again with each connection: they may change."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._numeric = numeric(address)
        self._running: asyncio.Future[Answer] | None = None

    async def addresses(self) -> list[SocketName]:
        """In the order in which they are to be tried; at least one. Cancelled, it goes on for the others who wait.

        Raises:
            NoSuchSocketError, TimedOutError: as `host_names.addresses_of`.
        """
        if self._numeric is not None:
            return self._numeric
        if self._running is None:
            self._running = self._ask(asyncio.get_running_loop())
        answer = await asyncio.shield(self._running)
        if isinstance(answer, AfunixError):
            raise answer
        return answer

    def _ask(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[Answer]:
        future: asyncio.Future[Answer] = loop.create_future()

        def tell(answer: Answer) -> None:
            self._running = None
            future.set_result(answer)

        def ask() -> None:
            answer = _answer_for(self._address)
            try:
                loop.call_soon_threadsafe(tell, answer)
            except RuntimeError:
                pass  # the loop is closed: nobody waits any more

        threading.Thread(target=ask, name="afunix-names", daemon=True).start()
        return future


def _answer_for(address: Address) -> Answer:
    try:
        return addresses_of(address)
    except AfunixError as error:
        return error
