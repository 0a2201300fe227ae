"""Clients and squatters of another uid, as a program of their own: `python clients.py ACT UID PATH …`.

It starts with the rights of the tests, becomes UID (and no group but those given), then acts. What it found goes
to STDOUT as JSON. It stands alone: nothing of the project is imported.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import socket
import sys
from collections import Counter
from collections.abc import Callable
from errno import errorcode


def become(uid: int, groups: list[int]) -> None:
    if os.geteuid() == 0:
        os.setgroups(groups)
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)


def kernel_name(path: str) -> str:
    return "\0" + path[1:] if path.startswith("@") else path


def tell(what: object) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")


def knock(path: str) -> None:
    """Connect again and again until STDIN ends; how often each errno came."""
    found: Counter[str] = Counter()
    while not select.select([0], [], [], 0.001)[0]:
        with socket.socket(socket.AF_UNIX) as sock:
            try:
                sock.connect(kernel_name(path))
                found["connected"] += 1
            except OSError as error:
                found[errorcode[error.errno or 0]] += 1
    tell(found)


def say(path: str, words: str) -> None:
    """Connect, send, read to the end; what came, or the errno."""
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.connect(kernel_name(path))
            sock.sendall(words.encode())
            sock.shutdown(socket.SHUT_WR)
            answer = b""
            while piece := sock.recv(65536):
                answer += piece
            tell({"answer": answer.decode()})
        except OSError as error:
            tell({"error": errorcode[error.errno or 0]})


def squat(path: str) -> None:
    """Listen there, open to everybody; say so, take one client, tell what it sent."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(kernel_name(path))
        if not path.startswith("@"):
            os.chmod(path, 0o666)
        listener.listen()
        tell("ready")
        sock, _ = listener.accept()
        with sock:
            received = b""
            try:
                while piece := sock.recv(65536):
                    received += piece
            except ConnectionResetError:
                pass
        tell({"received": received.decode()})


def crowd(path: str, count: str, size: str) -> None:
    """COUNT clients that send SIZE bytes and kill themselves the moment send has returned, 16 at a time."""
    alive = 0
    for number in range(int(count)):
        if alive >= 16:
            os.wait()
            alive -= 1
        if os.fork() == 0:
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(kernel_name(path))
            send_all(sock, b"%06d" % number + b"." * (int(size) - 7) + b"\n")
            if number % 2:
                os.kill(os.getpid(), signal.SIGKILL)
            os._exit(0)
        alive += 1
    for _ in range(alive):
        os.wait()


def limit(pid: str, count: str) -> None:
    """Let the process have COUNT descriptors (the soft limit); how many it had."""
    soft, hard = resource.prlimit(int(pid), resource.RLIMIT_NOFILE)
    resource.prlimit(int(pid), resource.RLIMIT_NOFILE, (int(count), hard))
    tell(soft)


def send_all(sock: socket.socket, data: bytes) -> None:
    try:
        sock.sendall(data)
    except OSError:
        pass  # refused, and nobody reads it


ACTS: dict[str, Callable[..., None]] = {
    "knock": knock,
    "say": say,
    "squat": squat,
    "crowd": crowd,
    "limit": limit,
}

if __name__ == "__main__":
    act, uid, groups, *rest = sys.argv[1:]
    become(int(uid), [int(group) for group in groups.split(",") if group])
    ACTS[act](*rest)
