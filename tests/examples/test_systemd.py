"""examples/systemd: systemd understands each unit, and each service does what its unit says when it is activated.

systemd-socket-activate opens the sockets of the .socket file and runs the ExecStart= of the .service file; who is told
READY=1 and the rest (NOTIFY_SOCKET) is the test's own. Only paths that are a whole machine's are other ones here.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from tests.docs.blocks import Block, blocks_of
from tests.examples.running import FOLDER, until
from tests.peers import require
from tests.program import PATIENCE_S, command, end_for_good, ended, environment
from tests.servers import echo, read_all

UNITS = os.path.join(FOLDER, "systemd")
NAMES = sorted(os.listdir(UNITS))
PASSED_ON = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "PYTHONPATH", "PYTHONUNBUFFERED")


def unit(name: str) -> str:
    with open(os.path.join(UNITS, name), encoding="utf-8") as file:
        return file.read()


def shown_units() -> list[Block]:
    """Those of the manual that are also files here."""
    return [block for block in blocks_of("docs/howto/systemd.md") if block.file in NAMES]


def value(name: str, key: str, default: str | None = None) -> str:
    """What the unit says of `key`, which it says once."""
    found = re.findall(rf"(?m)^{key}=(.*)$", unit(name)) or [default]
    assert len(found) == 1, f"{name} has {key}= more than once"
    assert found[0] is not None, f"{name} has no {key}="
    return str(found[0])


def here(text: str, directory: str, port: int = 0) -> list[str]:
    """A command line of a unit, as it runs on this machine."""
    words = shlex.split(
        text.replace("/opt/greeter/bin/python", shlex.quote(sys.executable))
        .replace("/opt/greeter/", UNITS + "/")
        .replace("%t/events/", directory + "/")
        .replace(":5432", f":{port}")
    )
    return [*command(), *words[1:]] if words[0].endswith("/afunix") else words


class Service:
    """One that is activated on `path`."""

    def __init__(self, path: str, process: subprocess.Popen[bytes], manager: socket.socket) -> None:
        self.path = path
        self.process = process
        self._manager = manager

    def ask(self, data: bytes) -> bytes:
        """What comes until the end, after `data` and an end of ours."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE_S)
            client.connect(self.path)
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            return read_all(client)

    def hears(self, *expected: str) -> None:
        """The manager is told that, in this order; other things may come in between."""
        for pattern in expected:
            deadline = time.monotonic() + PATIENCE_S  # one that is watched never falls silent
            while not re.fullmatch(pattern, self._manager.recv(5000).decode()):
                assert time.monotonic() < deadline, f"{pattern} is not heard"

    def stop(self) -> tuple[int, bytes, str]:
        self.process.send_signal(signal.SIGTERM)
        self.hears("STOPPING=1")
        end = ended(self.process)
        return end.status, end.out, end.err


@contextmanager
def started(directory: str, path: str, argv: list[str], prefix: tuple[str, ...] = ()) -> Iterator[Service]:
    with ExitStack() as stack:
        manager = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        manager.bind(f"{directory}/notify")
        manager.settimeout(PATIENCE_S)
        process = subprocess.Popen(
            [*prefix, *argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(
                NOTIFY_SOCKET=f"{directory}/notify", WATCHDOG_USEC="100000", PYTHONUNBUFFERED="1"
            ),
        )
        stack.callback(end_for_good, process)
        yield Service(path, process, manager)


@contextmanager
def activated(name: str, directory: str, port: int = 0) -> Iterator[Service]:
    """`name`.service, which starts when a client of `name`.socket comes."""
    path = value(f"{name}.socket", "ListenStream").replace("/run/", f"{directory}/")
    fd_name = value(f"{name}.socket", "FileDescriptorName", f"{name}.socket")
    passed_on = [option for each in PASSED_ON for option in ("-E", each)]
    activate = (require("systemd-socket-activate"), f"--fdname={fd_name}", "-l", path, *passed_on)
    argv = here(value(f"{name}.service", "ExecStart"), directory, port)
    with started(directory, path, argv, activate) as service:
        until(lambda: is_listening(path) or service.process.poll() is not None)
        yield service


def is_listening(path: str) -> bool:
    with open("/proc/net/unix", encoding="utf-8", errors="replace") as file:
        return any(row.split()[3] == "00010000" and row.rstrip().endswith(path) for row in file)


def test_units_are_what_systemd_understands(sock_dir: str) -> None:
    names = [name for name in NAMES if not name.endswith(".py")]
    for name in names:
        with open(f"{sock_dir}/{name}", "w", encoding="utf-8") as file:
            file.write(re.sub(r"(?m)^(ExecStart=)\S+", r"\1/bin/true", unit(name)))
    done = subprocess.run(
        [require("systemd-analyze"), "verify", *(f"./{name}" for name in names)],
        cwd=sock_dir,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith(".service")])
def test_each_service_has_time_to_stop_and_is_watched(name: str) -> None:
    assert value(name, "Type") == "notify"
    assert int(value(name, "WatchdogSec")) >= 1
    drain = re.search(r"--drain (\d+)s", value(name, "ExecStart"))
    assert int(value(name, "TimeoutStopSec")) > (int(drain[1]) if drain else 0) + 5


@pytest.mark.parametrize("block", shown_units(), ids=lambda block: str(block.file))
def test_manual_shows_lines_of_these_units(block: Block) -> None:
    assert block.file is not None
    lines = iter(unit(block.file).splitlines())
    assert [line for line in block.text.splitlines() if line and line not in lines] == []


def test_what_clients_send_is_collected_with_their_names(sock_dir: str) -> None:
    with activated("collect", sock_dir) as service:
        assert service.ask(b"hello\n") == b""
        service.hears("READY=1", "STATUS=listening on .*", "WATCHDOG=1")
        service.hears("STATUS=listening on .*; 0 clients connected, 1 accepted so far", "WATCHDOG=1")
        status, out, err = service.stop()
        assert (status, "afunix: " in err) == (0, False)
        user = pwd.getpwuid(os.getuid()).pw_name
        assert re.fullmatch(rf"1 {re.escape(user)} \S+\[{os.getpid()}\]: hello\n", out.decode())
        assert os.path.exists(service.path)


def test_events_are_collected_on_a_socket_of_its_own(sock_dir: str) -> None:
    argv = here(value("events.service", "ExecStart"), sock_dir)
    with started(sock_dir, f"{sock_dir}/events.sock", argv) as service:
        service.hears("READY=1")
        assert service.ask(b'{"a": 1}\n') == b""
        assert os.stat(service.path).st_mode & 0o777 == 0o666
        status, out, err = service.stop()
        assert (status, err) == (0, "")
        assert json.loads(out)["data"] == '{"a": 1}'
        assert not os.path.exists(service.path)


def test_database_is_reached_by_its_port(sock_dir: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve_one() -> None:
            connection, _ = listener.accept()
            with connection:
                echo(connection)

        thread = threading.Thread(target=serve_one)
        thread.start()
        with activated("database", sock_dir, listener.getsockname()[1]) as service:
            assert service.ask(b"select 1") == b"select 1"
            service.hears("READY=1", "WATCHDOG=1")
            assert service.stop()[0] == 0
            assert os.path.exists(service.path)
        thread.join(PATIENCE_S)


def test_each_client_has_a_command_of_its_own(sock_dir: str) -> None:
    with activated("sort", sock_dir) as service:
        assert service.ask(b"b\na\n") == b"a\nb\n"
        service.hears("READY=1", "STATUS=.*; 0 clients connected, 1 accepted so far")
        assert service.ask(b"d\nc\n") == b"c\nd\n"
        assert service.stop()[:2] == (0, b"")


def test_greeter_greets_by_name(sock_dir: str) -> None:
    with activated("greeter", sock_dir) as service:
        assert service.ask(b"") == f"hello {pwd.getpwuid(os.getuid()).pw_name}\n".encode()
        service.hears("READY=1\nSTATUS=greeting", "WATCHDOG=1")
        assert service.stop()[:2] == (0, b"")
