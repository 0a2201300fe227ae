"""The calls of `accept-without-listen`: EINVAL out of order, EAGAIN for an empty queue."""

from __future__ import annotations

from tests.tools.demo.telling import arrows, calls, result_of


def test_the_calls_of_accept_without_listen() -> None:
    story = result_of("accept-without-listen").stories[0]
    assert story.title == "accept without listen"
    assert calls(story) == [
        "server: socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK) = 3",
        "server: listen(3, 8) = -1 EINVAL",
        'server: bind(3, "hello.sock")',
        "server: accept(3) = -1 EINVAL",
        "server: listen(3, 8)",
        "server: accept(3) = -1 EAGAIN",
        "client: socket(AF_UNIX, SOCK_STREAM) = 4",
        'client: connect(4, "hello.sock")',
        "server: accept(3) = 5",
        "server: close(3)",
        "client: close(4)",
        "server: close(5)",
    ]


def test_the_arrows_of_accept_without_listen() -> None:
    story = result_of("accept-without-listen").stories[0]
    assert arrows(story) == [
        'connect(4, "hello.sock") → accept(3) = 5',
    ]
