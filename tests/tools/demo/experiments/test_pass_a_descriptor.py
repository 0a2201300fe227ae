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
        "client: socket(AF_UNIX, SOCK_STREAM) = 3",
        'client: connect(3, "hello.sock")',
        "server: accept(3) = 4",
        'server: open("notes.txt", O_RDWR | O_CREAT) = 5',
        "server: write(5) = 13",
        "server: lseek(5, 0)",
        'server: read(5) = 6 "first\\n"',
        'server: unlink("notes.txt")',
        'client: open("notes.txt", O_RDONLY) = -1 ENOENT',
        "server: sendmsg(4) = 1, 1 descriptor",
        "server: close(5)",
        "client: recvmsg(3) = 1, 1 descriptor: 4",
        'client: read(4) = 7 "second\\n"',
        "server: close(3)",
        "server: close(4)",
    ]


def test_the_arrows_of_pass_a_descriptor() -> None:
    story = result_of("pass-a-descriptor").stories[0]
    assert arrows(story) == [
        'connect(3, "hello.sock") → accept(3) = 4',
        'sendmsg(4) = 1, 1 descriptor → recvmsg(3) = 1, 1 descriptor: 4 ["F" + 1 descriptor]',
    ]
