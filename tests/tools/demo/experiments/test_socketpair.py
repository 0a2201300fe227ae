"""The calls of `socketpair`: a connection without a name, to a child."""

from __future__ import annotations

from tests.tools.demo.telling import arrows, calls, result_of


def test_the_calls_of_socketpair() -> None:
    story = result_of("socketpair").stories[0]
    assert story.title == "a socketpair"
    assert calls(story) == [
        "parent: socketpair(AF_UNIX, SOCK_STREAM) = [3, 4]",
        'parent: getpeername(3) = ""',
        "parent: vfork() = CHILD",
        'child: execve("python3")',
        "parent: close(4)",
        "parent: write(3) = 6",
        "child: read(4) = 6",
        "child: write(4) = 2",
        "child: close(4)",
        "parent: read(3) = 2",
        "parent: read(3) = 0 (end of file)",
        "parent: write(3) = -1 EPIPE",
        "parent: and the signal SIGPIPE",
        "parent: close(3)",
    ]


def test_the_arrows_of_socketpair() -> None:
    story = result_of("socketpair").stories[0]
    assert arrows(story) == [
        'vfork() = CHILD → execve("python3")',
        'write(3) = 6 → read(4) = 6 ["2 + 2\\n"]',
        'write(4) = 2 → read(3) = 2 ["4\\n"]',
        "close(4) → read(3) = 0 (end of file) [end of file]",
    ]
