"""`afunix serve`, and those who talk to it: socat, nc, ncat, curl, Python's own socket."""

from __future__ import annotations

import json
import socket

import pytest
from tests.faults.running import Serve, connected
from tests.faults.users import User
from tests.interop.programs import begin, run
from tests.peers import require
from tests.program import ended

LINES = b"".join(b"%06d %s\n" % (number, b"." * (number % 100)) for number in range(20_000))

SENDERS = {
    "socat": ("-u", "-", "UNIX-CONNECT:{path}"),
    "nc": ("-N", "-U", "{path}"),
    "ncat": ("--send-only", "-U", "{path}"),
}
TALKERS = {
    "socat": ("-t", "20", "-", "UNIX-CONNECT:{path}"),
    "nc": ("-N", "-U", "{path}"),
    "ncat": ("-U", "{path}"),
}


def argv(name: str, words: tuple[str, ...], path: str) -> list[str]:
    return [require(name), *(word.format(path=path) for word in words)]


@pytest.mark.parametrize("name", SENDERS)
def test_what_it_sends_comes_out(user: User, place: str, name: str) -> None:
    with Serve(user, f"{place}/s") as serve:
        assert run(user, *argv(name, SENDERS[name], f"{place}/s"), stdin=LINES).status == 0
        assert serve.stop().out == LINES


@pytest.mark.parametrize("name", TALKERS)
def test_echo_gives_it_back_all_that_it_sent(user: User, place: str, name: str) -> None:
    with Serve(user, "--echo", f"{place}/s") as serve:
        end = run(user, *argv(name, TALKERS[name], f"{place}/s"), stdin=LINES)
        assert (end.status, end.out) == (0, LINES)
        assert serve.stop().status == 0


@pytest.mark.parametrize("name", TALKERS)
def test_talk_is_a_conversation_with_it(user: User, place: str, name: str) -> None:
    out, to = socket.socketpair()
    with out, to, Serve(user, "--talk", "--once", f"{place}/s", stdin=out.fileno()) as serve:
        peer = begin(user, argv(name, TALKERS[name], f"{place}/s"))
        assert peer.stdin is not None
        assert peer.stdout is not None
        peer.stdin.write(b"question\n")
        serve.wait_for_out(lambda out: out == b"question\n")
        to.sendall(b"answer\n")
        assert peer.stdout.read(7) == b"answer\n"
        to.shutdown(socket.SHUT_WR)
        assert ended(peer, b"").status == 0
        assert serve.end().status == 0


def test_all_of_them_at_once_come_out_in_whole_lines(user: User, place: str) -> None:
    path = f"{place}/s"
    with Serve(user, path) as serve:
        peers = [begin(user, argv(name, SENDERS[name], path)) for name in SENDERS for _ in range(2)]
        peers.append(begin(user, user.command("connect", path), env=user.environment()))
        for number, peer in enumerate(peers):
            assert ended(peer, tagged(number)).status == 0
        with connected(path) as client:
            client.sendall(tagged(len(peers)))
        end = serve.stop()
    out = end.out.splitlines(keepends=True)
    for number in range(len(peers) + 1):
        assert b"".join(line for line in out if line.startswith(b"%d " % number)) == tagged(number)


def tagged(number: int) -> bytes:
    return b"".join(b"%d %s" % (number, line) for line in LINES.splitlines(keepends=True)[:5000])


def test_curl_gets_a_page_from_talk(user: User, place: str) -> None:
    page = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n"
    out, to = socket.socketpair()
    with out, to, Serve(user, "--talk", "--once", f"{place}/s", stdin=out.fileno()) as serve:
        curl = begin(user, [require("curl"), "-sS", "--unix-socket", f"{place}/s", "http://localhost/page"])
        serve.wait_for_out(lambda out: out.endswith(b"\r\n\r\n"))
        to.sendall(page)
        to.shutdown(socket.SHUT_WR)
        end = ended(curl, b"")
        assert (end.status, end.out) == (0, b"hello\n")
        assert serve.end().out.startswith(b"GET /page HTTP/1.1\r\nHost: localhost\r\n")


def test_socat_reaches_an_abstract_name(user: User, place: str) -> None:
    with Serve(user, f"@afunix-test{place}") as serve:
        end = run(user, require("socat"), "-u", "-", f"ABSTRACT-CONNECT:afunix-test{place}", stdin=b"hi\n")
        assert end.status == 0
        assert serve.stop().out == b"hi\n"


@pytest.mark.parametrize(
    ("name", "words"),
    [("socat", ("-u", "-", "UNIX-SENDTO:{path}")), ("nc", ("-N", "-uU", "{path}"))],
)
def test_datagrams_of_it_come_out(user: User, place: str, name: str, words: tuple[str, ...]) -> None:
    with Serve(user, "--type", "dgram", f"{place}/s") as serve:
        peer = begin(user, argv(name, words, f"{place}/s"))
        assert peer.stdin is not None
        peer.stdin.write(b"one datagram")
        serve.wait_for_out(lambda out: out == b"one datagram\n")
        peer.terminate()  # nc goes on for ever: a datagram socket has no end
        ended(peer)
        assert serve.stop().status == 0


def test_records_of_socat_come_out(user: User, place: str) -> None:
    with Serve(user, "--type", "seqpacket", f"{place}/s") as serve:
        words = ("-u", "-", "UNIX-CONNECT:{path},socktype=5")
        assert run(user, *argv("socat", words, f"{place}/s"), stdin=b"one record").status == 0
        assert serve.stop().out == b"one record\n"


def test_python_s_socket_is_known_by_its_credentials(user: User, place: str) -> None:
    with Serve(user, "--json", f"{place}/s") as serve:
        with connected(f"{place}/s") as client, client.makefile("w") as file:
            file.write("a line\nthe end")
        first, second = map(json.loads, serve.stop().out.splitlines())
    assert (first["data"], first["end"], second["data"], second["end"]) == (
        "a line",
        "newline",
        "the end",
        "eof",
    )
