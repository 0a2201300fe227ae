"""The calls of `credentials`: who connected, and who sent."""

from __future__ import annotations

from tests.tools.demo.telling import arrows, calls, result_of


def test_the_calls_of_credentials() -> None:
    story = result_of("credentials").stories[0]
    assert story.title == "credentials"
    assert calls(story) == [
        "server: socket(AF_UNIX, SOCK_STREAM) = 3",
        'server: bind(3, "hello.sock")',
        "server: listen(3, 8)",
        "client: socket(AF_UNIX, SOCK_STREAM) = 4",
        'client: connect(4, "hello.sock")',
        "server: accept(3) = 5",
        "server: getsockopt(5, SO_PEERCRED) = pid PID uid UID gid GID",
        "server: setsockopt(5, SO_PASSCRED, 1)",
        "child: write(4) = 6",
        "server: recvmsg(5) = 6, pid CHILD uid UID gid GID",
        "server: getsockopt(5, SO_PEERCRED) = pid PID uid UID gid GID",
        "server: close(3)",
        "client: close(4)",
        "server: close(5)",
    ]


def test_the_arrows_of_credentials() -> None:
    story = result_of("credentials").stories[0]
    assert arrows(story) == [
        'connect(4, "hello.sock") → accept(3) = 5',
        'write(4) = 6 → recvmsg(5) = 6, pid CHILD uid UID gid GID ["hello\\n"]',
    ]
