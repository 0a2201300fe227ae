"""The calls of `connect-before-listen`: refused between bind and listen, let in afterwards, by the same socket."""

from __future__ import annotations

from tests.tools.demo.telling import calls, result_of


def test_the_calls_of_connect_before_listen() -> None:
    story = result_of("connect-before-listen").stories[0]
    assert story.title == "connect before listen"
    assert calls(story) == [
        "server: socket(AF_UNIX, SOCK_STREAM) = 3",
        'server: bind(3, "hello.sock")',
        "client: socket(AF_UNIX, SOCK_STREAM) = 4",
        'client: connect(4, "hello.sock") = -1 ECONNREFUSED',
        "server: listen(3, 8)",
        'client: connect(4, "hello.sock")',
        "server: accept(3) = 5",
        "server: close(3)",
        "client: close(4)",
        "server: close(5)",
    ]
