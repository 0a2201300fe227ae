"""Options for who connects and for who listens do not mix; and who does which."""

from __future__ import annotations

import pytest
from tests.program import run


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("send", "./x", "0", "--mode", "0660"), "--mode is for who listens, and this connects"),
        (("send", "./x", "0", "--listen", "--wait", "1s"), "--wait is for who connects, and this listens"),
        (("receive", "./x", "--require", "me"), "--require is for who connects, and this listens"),
        (("receive", "./x", "--connect", "--deny", "me"), "--deny is for who listens, and this connects"),
        (("receive", "@x", "--mode", "0600"), "--mode is about a socket file, and none is made here"),
        (("receive", "./x", "--type", "dgram", "--backlog", "1"), "--backlog means nothing for a dgram socket"),
        (("send", "./x", "0", "--listen", "--type", "dgram"), "nobody connects to a dgram socket"),
        (("receive", "fd:0"), "'fd:0' is a standard descriptor"),
        (("receive", "./x", "--allow", "nobody"), "'nobody' is no rule"),
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_wrong_use(args: tuple[str, ...], words: str) -> None:
    ended = run("fd", *args)
    assert ended.status == 2
    assert words in ended.err.splitlines()[0]
