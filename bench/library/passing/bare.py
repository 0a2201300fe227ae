"""Passing a descriptor by the bare calls: send, receive, close, over a pair in one process.

    python bare.py COUNT sendmsg|send_fds

sendmsg: `sendmsg` and `recvmsg`, the control data made by hand. send_fds: the functions of the standard library
that do that. Prints the CPU seconds of COUNT passes after as many as warm-up.
"""

from __future__ import annotations

import array
import os
import socket
import sys
import time

SPACE = socket.CMSG_SPACE(array.array("i").itemsize)


def by_sendmsg(a: socket.socket, b: socket.socket, passed: int, count: int) -> None:
    for _ in range(count):
        a.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [passed]))])
        _, control, _, _ = b.recvmsg(1, SPACE)
        received = array.array("i")
        received.frombytes(control[0][2])
        os.close(received[0])


def by_send_fds(a: socket.socket, b: socket.socket, passed: int, count: int) -> None:
    for _ in range(count):
        socket.send_fds(a, [b"x"], [passed])
        _, received, _, _ = socket.recv_fds(b, 1, 1)
        os.close(received[0])


def main(count: int, how: str) -> None:
    run = by_sendmsg if how == "sendmsg" else by_send_fds
    a, b = socket.socketpair()
    with a, b, open(os.devnull, "rb") as null:
        run(a, b, null.fileno(), count)
        before = time.process_time()
        run(a, b, null.fileno(), count)
        print(time.process_time() - before)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
