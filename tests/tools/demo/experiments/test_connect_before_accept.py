"""The calls of `connect-before-accept`: a client that is done before the server accepts it."""

from __future__ import annotations

from tests.tools.demo.telling import arrows, calls, result_of


def test_the_calls_of_connect_before_accept() -> None:
    story = result_of("connect-before-accept").stories[0]
    assert story.title == "connect before accept"
    assert calls(story) == [
        "server: socket(AF_UNIX, SOCK_STREAM) = 3",
        'server: bind(3, "hello.sock")',
        "server: listen(3, 8)",
        "client: socket(AF_UNIX, SOCK_STREAM) = 4",
        'client: connect(4, "hello.sock")',
        "client: write(4) = 6",
        "client: close(4)",
        "server: accept(3) = 4",
        "server: read(4) = 6",
        "server: read(4) = 0 (end of file)",
        "server: close(3)",
        "server: close(4)",
    ]


def test_the_arrows_of_connect_before_accept() -> None:
    story = result_of("connect-before-accept").stories[0]
    assert arrows(story) == [
        'connect(4, "hello.sock") → accept(3) = 4',
        'write(4) = 6 → read(4) = 6 ["hello\\n"]',
        "close(4) → read(4) = 0 (end of file) [end of file]",
    ]
