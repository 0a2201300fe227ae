"""The calls of `full-backlog`: EAGAIN or waiting, until accept makes room."""

from __future__ import annotations

from tests.tools.demo.telling import arrows, calls, result_of


def test_the_calls_of_full_backlog() -> None:
    story = result_of("full-backlog").stories[0]
    assert story.title == "a full backlog"
    assert calls(story) == [
        "server: socket(AF_UNIX, SOCK_STREAM) = 3",
        'server: bind(3, "hello.sock")',
        "server: listen(3, 0)",
        "client 1: socket(AF_UNIX, SOCK_STREAM) = 4",
        'client 1: connect(4, "hello.sock")',
        "client 2: socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK) = 5",
        'client 2: connect(5, "hello.sock") = -1 EAGAIN',
        "client 2: close(5)",
        "client 2: socket(AF_UNIX, SOCK_STREAM) = 5",
        'client 2: connect(5, "hello.sock") …',
        "server: accept(3) = 6",
        'client 2: connect(5, "hello.sock") = 0  (waited)',
        "server: accept(3) = 7",
        "server: close(3)",
        "client 1: close(4)",
        "client 2: close(5)",
        "server: close(6)",
        "server: close(7)",
    ]


def test_the_arrows_of_full_backlog() -> None:
    story = result_of("full-backlog").stories[0]
    assert arrows(story) == [
        'connect(4, "hello.sock") → accept(3) = 6',
        'accept(3) = 6 → connect(5, "hello.sock") = 0  (waited) [a place is free]',
        'connect(5, "hello.sock") = 0  (waited) → accept(3) = 7',
    ]
