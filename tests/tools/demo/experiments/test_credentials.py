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
        "client: socket(AF_UNIX, SOCK_STREAM) = 3",
        'client: connect(3, "hello.sock")',
        "server: accept(3) = 4",
        "server: getsockopt(4, SO_PEERCRED) = pid CLIENT uid UID gid GID",
        "client: getsockopt(3, SO_PEERCRED) = pid SERVER uid UID gid GID",
        "server: setsockopt(4, SO_PASSCRED, 1)",
        "client: fork() = CHILD",
        "child: write(3) = 6",
        "server: recvmsg(4) = 6, pid CHILD uid UID gid GID",
        "server: getsockopt(4, SO_PEERCRED) = pid CLIENT uid UID gid GID",
        "server: close(3)",
        "server: close(4)",
    ]


def test_the_arrows_of_credentials() -> None:
    story = result_of("credentials").stories[0]
    assert arrows(story) == [
        'connect(3, "hello.sock") → accept(3) = 4',
        "fork() = CHILD → write(3) = 6",
        'write(3) = 6 → recvmsg(4) = 6, pid CHILD uid UID gid GID ["hello\\n"]',
    ]
