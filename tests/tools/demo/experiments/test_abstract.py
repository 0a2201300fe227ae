"""The calls of `abstract`: a name that is no file."""

from __future__ import annotations

from tests.tools.demo.telling import calls, result_of


def test_the_calls_of_abstract() -> None:
    story = result_of("abstract").stories[0]
    assert story.title == "an abstract name"
    assert calls(story) == [
        "server: socket(AF_UNIX, SOCK_STREAM) = 3",
        'server: bind(3, "@afunix-demo-RANDOM")',
        "server: listen(3, 8)",
        'server: readdir(".") = nothing',
        "client: socket(AF_UNIX, SOCK_STREAM) = 4",
        'client: connect(4, "@afunix-demo-RANDOM")',
        "rival: socket(AF_UNIX, SOCK_STREAM) = 5",
        'rival: bind(5, "@afunix-demo-RANDOM") = -1 EADDRINUSE',
        "client: close(4)",
        "server: close(3)",
        'rival: connect(5, "@afunix-demo-RANDOM") = -1 ECONNREFUSED',
        'rival: bind(5, "@afunix-demo-RANDOM")',
        "rival: close(5)",
    ]
