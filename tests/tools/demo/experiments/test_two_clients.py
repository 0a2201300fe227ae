"""The calls of `two-clients`: in turn nobody waits, at once the second does."""

from __future__ import annotations

from tests.tools.demo.telling import arrows, calls, result_of


def test_the_calls_of_two_clients_one_after_another() -> None:
    story = result_of("two-clients").stories[0]
    assert story.title == "one after another"
    assert calls(story) == [
        "server: socket(AF_UNIX, SOCK_STREAM) = 3",
        'server: bind(3, "hello.sock")',
        "server: listen(3, 8)",
        "client 1: socket(AF_UNIX, SOCK_STREAM) = 4",
        'client 1: connect(4, "hello.sock")',
        "client 1: write(4) = 6",
        "client 1: shutdown(4, SHUT_WR)",
        "server: accept(3) = 5",
        "server: read(5) = 6",
        "server: write(5) = 6",
        "server: read(5) = 0 (end of file)",
        "server: close(5)",
        "client 1: read(4) = 6",
        "client 1: close(4)",
        "client 2: socket(AF_UNIX, SOCK_STREAM) = 4",
        'client 2: connect(4, "hello.sock")',
        "client 2: write(4) = 6",
        "client 2: shutdown(4, SHUT_WR)",
        "server: accept(3) = 5",
        "server: read(5) = 6",
        "server: write(5) = 6",
        "server: read(5) = 0 (end of file)",
        "server: close(5)",
        "client 2: read(4) = 6",
        "client 2: close(4)",
        "server: close(3)",
    ]


def test_the_arrows_of_two_clients_one_after_another() -> None:
    story = result_of("two-clients").stories[0]
    assert arrows(story) == [
        'connect(4, "hello.sock") → accept(3) = 5',
        'write(4) = 6 → read(5) = 6 ["hello\\n"]',
        "shutdown(4, SHUT_WR) → read(5) = 0 (end of file) [end of file]",
        'write(5) = 6 → read(4) = 6 ["hello\\n"]',
        'connect(4, "hello.sock") → accept(3) = 5',
        'write(4) = 6 → read(5) = 6 ["hello\\n"]',
        "shutdown(4, SHUT_WR) → read(5) = 0 (end of file) [end of file]",
        'write(5) = 6 → read(4) = 6 ["hello\\n"]',
    ]


def test_the_calls_of_two_clients_at_once() -> None:
    story = result_of("two-clients").stories[1]
    assert story.title == "at once"
    assert calls(story) == [
        "server: socket(AF_UNIX, SOCK_STREAM) = 3",
        'server: bind(3, "hello.sock")',
        "server: listen(3, 8)",
        "client 1: socket(AF_UNIX, SOCK_STREAM) = 4",
        'client 1: connect(4, "hello.sock")',
        "server: accept(3) = 5",
        "client 2: socket(AF_UNIX, SOCK_STREAM) = 6",
        'client 2: connect(6, "hello.sock")',
        "client 2: write(6) = 6",
        "client 2: shutdown(6, SHUT_WR)",
        "client 2: read(6) …",
        "client 1: write(4) = 11",
        "server: read(5) = 11",
        "client 1: close(4)",
        "server: read(5) = 0 (end of file)",
        "server: close(5)",
        "server: accept(3) = 4",
        "server: read(4) = 6",
        "server: write(4) = 6",
        "client 2: read(6) = 6  (waited)",
        "server: read(4) = 0 (end of file)",
        "server: close(4)",
        "server: close(3)",
        "client 2: close(6)",
    ]


def test_the_arrows_of_two_clients_at_once() -> None:
    story = result_of("two-clients").stories[1]
    assert arrows(story) == [
        'connect(4, "hello.sock") → accept(3) = 5',
        'connect(6, "hello.sock") → accept(3) = 4',
        'write(6) = 6 → read(4) = 6 ["hello\\n"]',
        "shutdown(6, SHUT_WR) → read(4) = 0 (end of file) [end of file]",
        'write(4) = 11 → read(5) = 11 ["still here\\n"]',
        "close(4) → read(5) = 0 (end of file) [end of file]",
        'write(4) = 6 → read(6) = 6  (waited) ["hello\\n"]',
    ]
