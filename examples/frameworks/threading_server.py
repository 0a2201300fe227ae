"""The standard library's socketserver on a Unix socket, a thread for each client: says every line again, louder.

Run it as `python3 threading_server.py [PATH]` and talk to it with `afunix connect PATH`.
By itself socketserver fails on the path of a server that was killed, and never removes its own.
"""

import signal
import socketserver
import sys

import afunix

path = sys.argv[1] if len(sys.argv) > 1 else "lines.sock"


class Louder(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line.upper())


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True  # a client that stays does not keep us from stopping

    def server_bind(self) -> None:
        self.socket.close()  # the one that socketserver made
        self.socket = afunix.bind_socket(str(self.server_address), mode=0o660)


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))
    try:
        with Server(path, Louder) as server:  # its end closes the socket, and that removes the path
            afunix.systemd.notify("READY=1")
            server.serve_forever()
    except afunix.AfunixError as error:
        sys.exit(f"{error}\nhint: {error.hint}" if error.hint else str(error))
