"""What tests of ends over ssh share: a server of their own, which the process takes for the user's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.sshd import Sshd, serving_ssh


@pytest.fixture
def sshd(sock_dir: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sshd]:
    with serving_ssh(sock_dir) as server:
        for name, value in server.env.items():
            monkeypatch.setenv(name, value)
        yield server
