"""The calls of `stale-file`: what a file without a server says to clients and to servers."""

from __future__ import annotations

from tests.tools.demo.telling import calls, result_of


def test_the_calls_of_stale_file() -> None:
    story = result_of("stale-file").stories[0]
    assert story.title == "a stale socket file"
    assert calls(story) == [
        "server: socket(AF_UNIX, SOCK_STREAM) = 3",
        'server: bind(3, "hello.sock")',
        "server: listen(3, 8)",
        "server: close(3)",
        'server: readdir(".") = hello.sock',
        "client: socket(AF_UNIX, SOCK_STREAM) = 3",
        'client: connect(3, "hello.sock") = -1 ECONNREFUSED',
        "server: socket(AF_UNIX, SOCK_STREAM) = 4",
        'server: bind(4, "hello.sock") = -1 EADDRINUSE',
        'server: unlink("hello.sock")',
        'client: connect(3, "hello.sock") = -1 ENOENT',
        'server: bind(4, "hello.sock")',
        "server: listen(4, 8)",
        'client: connect(3, "hello.sock")',
        "client: close(3)",
        "server: close(4)",
    ]
