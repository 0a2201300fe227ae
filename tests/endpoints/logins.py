"""A login on the server of a test, asked one thing and closed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tests.sshd import Sshd

from afunix.endpoints.ssh_login import Login
from afunix.model.address import Address

T = TypeVar("T")


def ask(sshd: Sshd, question: Callable[[Login], Awaitable[T]], written: str = "") -> T:
    async def run() -> T:
        login = Login(Address.parse(written or f"ssh:far:{sshd.folder}/s"))
        try:
            return await question(login)
        finally:
            await login.close()

    return asyncio.run(run())


def log_in(sshd: Sshd) -> None:
    ask(sshd, Login.connection)
