"""Handlers and clients of s6 and of ucspi-unix, as they come, with `serve --exec --env` in the place of their servers."""

from __future__ import annotations

import os

import pytest
from tests.faults.running import connected, until
from tests.faults.users import User
from tests.interop.executing import exchange, serving, wait_childless
from tests.interop.programs import run, running
from tests.peers import require

S6 = ("--env", "s6")
UCSPI = ("--env", "ucspi")


def variables(environment: bytes, *beginnings: str) -> dict[str, str]:
    """Those of `env`'s lines that begin so."""
    lines = [line.partition("=") for line in environment.decode().splitlines()]
    return {name: value for name, _, value in lines if name.startswith(beginnings)}


@pytest.mark.parametrize(
    ("server", "dialect", "beginnings", "differ"),
    [
        ("s6-ipcserver", S6, ("PROTO", "IPC"), ()),
        # Its own is the handler's, which is not known before there is one.
        ("unixserver", UCSPI, ("PROTO", "UNIX"), ("UNIXLOCALPID",)),
    ],
)
def test_variables_are_those_of_the_server_it_stands_for(
    user: User,
    place: str,
    server: str,
    dialect: tuple[str, str],
    beginnings: tuple[str, ...],
    differ: tuple[str, ...],
) -> None:
    path = f"{place}/s"
    with running(user, require(server), path, "/usr/bin/env"):
        expected = variables(first_exchange(path), *beginnings)
    if os.path.exists(path):
        os.unlink(path)
    with serving(user, path, "/usr/bin/env", options=dialect) as serve:
        found = variables(exchange(path), *beginnings)
        assert serve.stop().status == 0
    assert found.keys() == expected.keys()
    for name in found.keys() - {*differ}:
        assert found[name] == expected[name]


def first_exchange(path: str) -> bytes:
    """With a server that does not tell when it listens: a try that succeeds is its first client."""
    answers: list[bytes] = []

    def has_answered() -> bool:
        try:
            answers.append(exchange(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        return True

    until(has_answered, "it listens")
    return answers[0]


def rules(place: str, verdict: str) -> str:
    """What s6-ipcserver-access looks up by uid: `verdict` for ours, and a variable for those who are let in."""
    folder = f"{place}/rules"
    os.makedirs(f"{folder}/uid/{os.getuid()}/env")
    os.mkdir(f"{folder}/uid/default")
    for name, content in {
        f"uid/{os.getuid()}/{verdict}": "",
        f"uid/{os.getuid()}/env/GREETING": "hello",
        "uid/default/deny": "",
    }.items():
        with open(f"{folder}/{name}", "w") as file:
            file.write(content)
    return folder


def test_s6_ipcserver_access_lets_in_by_its_rules(user: User, place: str) -> None:
    handler = (require("s6-ipcserver-access"), "-v0", "-i", rules(place, "allow"), "/usr/bin/env")
    with serving(user, f"{place}/s", *handler, options=S6) as serve:
        found = variables(exchange(f"{place}/s"), "GREETING", "IPC")
        assert serve.stop().status == 0
    assert found["GREETING"] == "hello"
    assert found["IPCREMOTEEUID"] == str(os.getuid())
    assert found["IPCLOCALPATH"] == f"{place}/s"  # which it adds itself, from the socket


def test_s6_ipcserver_access_keeps_out_by_its_rules(user: User, place: str) -> None:
    handler = (require("s6-ipcserver-access"), "-v1", "-i", rules(place, "deny"), "/usr/bin/env")
    with serving(user, f"{place}/s", *handler, options=("-v", *S6)) as serve:
        assert exchange(f"{place}/s") == b""
        wait_childless(serve.pid)
        assert "its command (pid" in serve.stop().err


def test_s6_sudod_runs_what_s6_sudo_asks_for(user: User, place: str) -> None:
    """It gets the other's STDIN, STDOUT and STDERR as descriptors, and gives the status back."""
    handler = (require("s6-sudod"), "/bin/sh", "-c", 'echo "$@"; cat; echo oops >&2; exit 7', "sh")
    with serving(user, f"{place}/s", *handler, options=S6) as serve:
        end = run(user, require("s6-sudo"), f"{place}/s", "two", "words", stdin=b"input\n")
        assert (end.status, end.out, end.err) == (7, b"two words\ninput\n", "oops\n")
        wait_childless(serve.pid)
        assert serve.stop().status == 0


def test_s6_connlimit_counts_the_connections_of_a_user(user: User, place: str) -> None:
    greet = ("/bin/sh", "-c", "echo in; cat")
    handler = ("/usr/bin/env", "IPCCONNMAX=2", require("s6-connlimit"), *greet)
    with serving(user, f"{place}/s", *handler, options=S6) as serve:
        with connected(f"{place}/s") as one, connected(f"{place}/s") as two:
            assert (one.recv(9), two.recv(9)) == (b"in\n", b"in\n")
            assert exchange(f"{place}/s") == b""  # a third of the same user is sent away
        wait_childless(serve.pid)
        assert exchange(f"{place}/s") == b"in\n"
        assert serve.stop().status == 0


def test_ucspilogd_says_who_logs(user: User, place: str) -> None:
    """To its STDOUT, which is to be the log and not the client."""
    handler = ("/bin/sh", "-c", 'exec "$@" >&2', "sh", require("ucspilogd"), "IPCREMOTEEUID")
    with serving(user, f"{place}/s", *handler, options=S6) as serve:
        exchange(f"{place}/s", b"one line\nanother\n")
        wait_childless(serve.pid)
        assert serve.stop().err.splitlines() == [
            f"{os.getuid()}: one line",
            f"{os.getuid()}: another",
        ]


def test_s6_ipcclient_and_unixclient_talk_to_it(user: User, place: str) -> None:
    talk = ("/bin/sh", "-c", "echo question >&7; exec cat <&6")
    for dialect, client in ((S6, "s6-ipcclient"), (UCSPI, "unixclient")):
        with serving(user, f"{place}/s", "/bin/sh", "-c", "read q; echo $q $PROTO", options=dialect) as serve:
            end = run(user, require(client), f"{place}/s", *talk)
            assert end.out.split() == [b"question", b"IPC" if dialect is S6 else b"UNIX"]
            assert serve.stop().status == 0


def test_unixcat_prints_what_a_handler_says(user: User, place: str) -> None:
    text = 'echo "uid $UNIXREMOTEEUID, $PROTO"'
    with serving(user, f"{place}/s", "/bin/sh", "-c", text, options=UCSPI) as serve:
        end = run(user, require("unixcat"), f"{place}/s")
        assert (end.status, end.out) == (0, f"uid {user.uid}, UNIX\n".encode())
        assert serve.stop().status == 0
