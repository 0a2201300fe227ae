"""A server on a Unix socket: takes one client after another and writes what each sends to STDOUT.

Run it as `python3 unix_server_socket.py [PATH]`; Ctrl-C ends it. `afunix serve PATH` is this for many.
STDOUT carries the clients' bytes and nothing else, so that it can go to a file; the words go to STDERR.
"""

import contextlib
import errno
import os
import socket
import stat
import sys

path = sys.argv[1] if len(sys.argv) > 1 else "hello.sock"
with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
    print("Server socket fd =", server.fileno(), file=sys.stderr)
    try:
        server.bind(path)
    except OSError:  # taken: a killed server leaves its socket file; what is no socket, or answers, must stay
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:  # no stream server notices this one
            if stat.S_ISSOCK(os.lstat(path).st_mode) and probe.connect_ex(path) == errno.ECONNREFUSED:
                os.unlink(path)
        server.bind(path)
    try:
        server.listen()
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                print("Waiting to accept a connection...", file=sys.stderr)
                client, _ = server.accept()
                with client:
                    print("Accepted socket fd =", client.fileno(), file=sys.stderr)
                    while data := client.recv(65536):  # b"" is the end of what this client sends
                        sys.stdout.buffer.write(data)  # all of it, however many write calls that takes
                        sys.stdout.buffer.flush()
    finally:
        os.unlink(path)
