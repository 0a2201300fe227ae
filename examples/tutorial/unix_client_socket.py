"""A client on a Unix socket: sends its STDIN to the server.

Run it as `python3 unix_client_socket.py [PATH]`; Ctrl-D ends it. `afunix connect PATH` prints replies too.
"""

import os
import socket
import sys

path = sys.argv[1] if len(sys.argv) > 1 else "hello.sock"
with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
    print("Client socket fd =", client.fileno(), file=sys.stderr)
    try:
        client.connect(path)
        while data := os.read(0, 65536):  # STDIN is 0; what is there already, without waiting for more
            client.sendall(data)  # send() alone may take only a part of it
        client.shutdown(socket.SHUT_WR)  # "no more from me"; the server closes when it has read all
        while client.recv(65536):
            pass
    except OSError as error:
        sys.exit(f"{path}: {error.strerror}")
    except KeyboardInterrupt:
        sys.exit(130)
