"""Clients, squatters and servers of another uid, as a program of their own: `python clients.py ACT UID PATH …`.

It starts with the rights of the tests, becomes UID (and no group but those given), then acts. What it found goes
to STDOUT as JSON. It stands alone: nothing of the project is imported.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import select
import signal
import socket
import sys
import threading
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
    with listener(path) as squatter:
        tell("ready")
        sock, _ = squatter.accept()
        with sock:
            received = b""
            try:
                while piece := sock.recv(65536):
                    received += piece
            except ConnectionResetError:
                pass
        tell({"received": received.decode()})


def talk(path: str, size: str) -> None:
    """Connect, send SIZE random bytes while what comes is read to its end; the two hashes."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(kernel_name(path))
        exchange(sock, int(size))


def answer(path: str, size: str) -> None:
    """Listen, and do the same with the client that comes."""
    with listener(path) as sock:
        tell("ready")
        connection, _ = sock.accept()
        with connection:
            exchange(connection, int(size))


def listener(path: str) -> socket.socket:
    """Open to everybody."""
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(kernel_name(path))
    if not path.startswith("@"):
        os.chmod(path, 0o666)
    sock.listen()
    return sock


def exchange(sock: socket.socket, size: int) -> None:
    """Both ways at once. Nothing is kept: each piece is hashed as it goes or comes."""
    received = hashlib.sha256()
    sent: list[str] = []
    sender = threading.Thread(target=lambda: sent.append(pour(sock, size)))
    sender.start()
    buffer = memoryview(bytearray(1 << 18))
    count = 0
    while got := sock.recv_into(buffer):
        received.update(buffer[:got])
        count += got
    sender.join()
    tell({"sent": sent[0], "received": received.hexdigest(), "count": count})


def pour(sock: socket.socket, size: int) -> str:
    """No two pieces are alike, so a missing or a moved one shows."""
    sha256 = hashlib.sha256()
    block = os.urandom(1 << 18)
    for start in range(0, size, len(block)):
        piece = (b"%016d" % start + block[16:])[: size - start]
        sha256.update(piece)
        sock.sendall(piece)
    sock.shutdown(socket.SHUT_WR)
    return sha256.hexdigest()


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
    "talk": talk,
    "answer": answer,
    "crowd": crowd,
    "limit": limit,
}

if __name__ == "__main__":
    act, uid, groups, *rest = sys.argv[1:]
    become(int(uid), [int(group) for group in groups.split(",") if group])
    ACTS[act](*rest)
