"""The calls of `pass-a-descriptor`: read on where the sender stopped, without a name."""

from __future__ import annotations

from tests.tools.demo.telling import arrows, calls, result_of


def test_the_calls_of_pass_a_descriptor() -> None:
    story = result_of("pass-a-descriptor").stories[0]
    assert story.title == "pass a descriptor"
    assert calls(story) == [
        "server: socket(AF_UNIX, SOCK_STREAM) = 3",
        'server: bind(3, "hello.sock")',
        "server: listen(3, 8)",
        "client: socket(AF_UNIX, SOCK_STREAM) = 4",
        'client: connect(4, "hello.sock")',
        "server: accept(3) = 5",
        'server: open("notes.txt", O_RDWR | O_CREAT) = 6',
        "server: write(6) = 13",
        "server: lseek(6, 0)",
        "server: read(6) = 6",
        'server: unlink("notes.txt")',
        "server: sendmsg(5) = 1, 1 descriptor",
        "server: close(6)",
        "client: recvmsg(4) = 1, 1 descriptor: 6",
        "client: read(6) = 7",
        "server: close(3)",
        "client: close(4)",
        "server: close(5)",
        "client: close(6)",
    ]


def test_the_arrows_of_pass_a_descriptor() -> None:
    story = result_of("pass-a-descriptor").stories[0]
    assert arrows(story) == [
        'connect(4, "hello.sock") → accept(3) = 5',
        'sendmsg(5) = 1, 1 descriptor → recvmsg(4) = 1, 1 descriptor: 6 ["F" + 1 descriptor]',
    ]
