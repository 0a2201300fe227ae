"""The calls of `stream-vs-datagram`: borders lost, borders kept."""

from __future__ import annotations

from tests.tools.demo.telling import arrows, calls, result_of


def test_the_calls_of_stream_vs_datagram_stream() -> None:
    story = result_of("stream-vs-datagram").stories[0]
    assert story.title == "stream"
    assert calls(story) == [
        "server: socket(AF_UNIX, SOCK_STREAM) = 3",
        'server: bind(3, "hello.sock")',
        "server: listen(3, 8)",
        "client: socket(AF_UNIX, SOCK_STREAM) = 4",
        'client: connect(4, "hello.sock")',
        "server: accept(3) = 5",
        "client: write(4) = 3",
        "client: write(4) = 3",
        "client: write(4) = 5",
        'server: read(5) = 4 "onet"',
        'server: read(5) = 4 "woth"',
        'server: read(5) = 3 "ree"',
        "server: close(3)",
        "client: close(4)",
        "server: close(5)",
    ]


def test_the_arrows_of_stream_vs_datagram_stream() -> None:
    story = result_of("stream-vs-datagram").stories[0]
    assert arrows(story) == [
        'connect(4, "hello.sock") → accept(3) = 5',
        'write(4) = 3 → read(5) = 4 "onet" ["one"]',
        'write(4) = 3 → read(5) = 4 "onet" ["t"]',
        'write(4) = 3 → read(5) = 4 "woth" ["wo"]',
        'write(4) = 5 → read(5) = 4 "woth" ["th"]',
        'write(4) = 5 → read(5) = 3 "ree" ["ree"]',
    ]


def test_the_calls_of_stream_vs_datagram_datagrams() -> None:
    story = result_of("stream-vs-datagram").stories[1]
    assert story.title == "datagrams"
    assert calls(story) == [
        "server: socket(AF_UNIX, SOCK_DGRAM) = 3",
        'server: bind(3, "log.sock")',
        "client: socket(AF_UNIX, SOCK_STREAM) = 4",
        'client: connect(4, "log.sock") = -1 EPROTOTYPE',
        "client: socket(AF_UNIX, SOCK_DGRAM) = 5",
        'client: sendto(5, "log.sock") = 3',
        'client: sendto(5, "log.sock") = 3',
        'client: sendto(5, "log.sock") = 5',
        'server: recvmsg(3) = 3 "one"',
        'server: recvmsg(3) = 3 "two"',
        'server: recvmsg(3) = 4 "thre", MSG_TRUNC',
        "server: close(3)",
        "client: close(4)",
        "client: close(5)",
    ]


def test_the_arrows_of_stream_vs_datagram_datagrams() -> None:
    story = result_of("stream-vs-datagram").stories[1]
    assert arrows(story) == [
        'sendto(5, "log.sock") = 3 → recvmsg(3) = 3 "one" ["one"]',
        'sendto(5, "log.sock") = 3 → recvmsg(3) = 3 "two" ["two"]',
        'sendto(5, "log.sock") = 5 → recvmsg(3) = 4 "thre", MSG_TRUNC ["three"]',
    ]
