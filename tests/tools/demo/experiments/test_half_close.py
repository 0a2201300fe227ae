"""The calls of `half-close`: an answer after the end of file."""

from __future__ import annotations

from tests.tools.demo.telling import arrows, calls, result_of


def test_the_calls_of_half_close() -> None:
    story = result_of("half-close").stories[0]
    assert story.title == "half-close"
    assert calls(story) == [
        "server: socket(AF_UNIX, SOCK_STREAM) = 3",
        'server: bind(3, "hello.sock")',
        "server: listen(3, 8)",
        "client: socket(AF_UNIX, SOCK_STREAM) = 4",
        'client: connect(4, "hello.sock")',
        "server: accept(3) = 5",
        "client: write(4) = 6",
        "client: shutdown(4, SHUT_WR)",
        "server: read(5) = 6",
        "server: read(5) = 0 (end of file)",
        "server: write(5) = 6",
        "client: read(4) = 6",
        "client: write(4) = -1 EPIPE",
        "client: and the signal SIGPIPE",
        "server: close(5)",
        "client: read(4) = 0 (end of file)",
        "server: close(3)",
        "client: close(4)",
    ]


def test_the_arrows_of_half_close() -> None:
    story = result_of("half-close").stories[0]
    assert arrows(story) == [
        'connect(4, "hello.sock") → accept(3) = 5',
        'write(4) = 6 → read(5) = 6 ["3 1 2\\n"]',
        "shutdown(4, SHUT_WR) → read(5) = 0 (end of file) [end of file]",
        'write(5) = 6 → read(4) = 6 ["1 2 3\\n"]',
        "close(5) → read(4) = 0 (end of file) [end of file]",
    ]
