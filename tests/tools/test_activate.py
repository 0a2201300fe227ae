"""What `activate` makes of its settings before anybody comes: names, sockets as systemd has them, and its environment.

When commands are started and how a run ends is in test_activate_service.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.program import PATIENCE_S

from afunix.kernel.listener import Listener
from afunix.model import events
from afunix.model.activated import Happening, Over
from afunix.model.address import Address
from afunix.model.errors import AddressError, AfunixError
from afunix.tools.activate import ActivateSettings, activate, check_names, name_for_each, names_for

TELL = """
import json, os, socket, sys
listener = socket.socket(fileno=3)
client = listener.accept()[0]
known = {name: os.environ.get(name) for name in ("LISTEN_FDNAMES", "LISTEN_FDS", "NOTIFY_SOCKET", "KEPT")}
told = {**known, "is_meant": os.environ["LISTEN_PID"] == str(os.getpid()), "blocks": os.get_blocking(3)}
client.send(json.dumps(told).encode())
"""


def settings(sock_dir: str, program: str = TELL) -> ActivateSettings:
    return ActivateSettings((Address.parse(f"{sock_dir}/s"),), (sys.executable, "-c", program), "stream")


def ask(these: ActivateSettings, path: str) -> dict[str, object]:
    """What the command that was started for one client has told it."""
    answers: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE_S)

        def on_happening(happening: Happening) -> None:
            if isinstance(happening, Over):
                answers.append(client.recv(4096))
                os.kill(os.getpid(), signal.SIGTERM)

        result = activate(these, tell=on_happening, on_ready=lambda listeners: client.connect(path))
    assert result.code == 0
    told = json.loads(answers[0])
    assert isinstance(told, dict)
    return told


def test_the_command_is_told_as_systemd_tells_it(sock_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere")
    monkeypatch.setenv("KEPT", "one of ours")
    assert ask(settings(sock_dir), f"{sock_dir}/s") == {
        "LISTEN_FDNAMES": "unknown",
        "LISTEN_FDS": "1",
        "NOTIFY_SOCKET": None,
        "KEPT": "one of ours",
        "is_meant": True,
        "blocks": True,
    }


def test_one_name_is_for_all_sockets(sock_dir: str) -> None:
    here = settings(sock_dir)
    two = replace(here, addresses=(*here.addresses, Address.parse(f"{sock_dir}/t")), names=("web",))
    assert ask(two, f"{sock_dir}/s")["LISTEN_FDNAMES"] == "web:web"


def test_the_file_is_as_asked_for_from_the_first(sock_dir: str) -> None:
    here = settings(sock_dir)
    modes: list[int] = []

    def look(listeners: list[Listener]) -> None:
        modes.append(stat.S_IMODE(os.stat(f"{sock_dir}/s").st_mode))
        os.kill(os.getpid(), signal.SIGTERM)

    activate(replace(here, ownership=replace(here.ownership, mode=0o660)), on_ready=look)
    assert modes == [0o660]


def test_an_observer_is_told_of_the_listener(sock_dir: str) -> None:
    told: list[events.Event] = []
    activate(
        settings(sock_dir),
        observer=told.append,
        on_ready=lambda listeners: os.kill(os.getpid(), signal.SIGTERM),
    )
    assert [type(each) for each in told if type(each) is not events.HalfClosed] == [
        events.Created,
        events.Bound,
        events.Listening,
        events.Unlinked,
        events.Closed,
    ]


@pytest.mark.parametrize("kind", ["dgram", None])
def test_what_means_nothing_for_datagrams_is_refused_also_for_inherited_ones(
    sock_dir: str, kind: str | None
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(f"{sock_dir}/d")
        address = Address.parse(f"fd:{os.dup(sock.fileno())}" if kind is None else f"{sock_dir}/s")
        these = replace(
            settings(sock_dir), addresses=(address,), socket_type=kind, stream_only=("--backlog",)
        )
        with pytest.raises(AddressError, match="--backlog means nothing for a dgram socket"):
            activate(these)
    assert os.listdir(sock_dir) == ["d"]


def test_a_command_that_is_none_is_told_before_anything_is_bound(sock_dir: str) -> None:
    with pytest.raises(AfunixError, match="no command that can be found"):
        activate(replace(settings(sock_dir), command=("no-such-command",)))
    assert os.listdir(sock_dir) == []


def test_handlers_of_signals_are_the_default_s_again(sock_dir: str) -> None:
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    activate(settings(sock_dir), on_ready=lambda listeners: os.kill(os.getpid(), signal.SIGTERM))
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == mask


# Names

TWO = ("a", "b")


@pytest.fixture
def two(sock_dir: str) -> Iterator[list[Listener]]:
    listeners = [Listener.open(Address.parse(f"{sock_dir}/{name}")) for name in TWO]
    yield listeners
    for listener in listeners:
        listener.close()


def test_names_go_with_sockets_in_their_order(two: list[Listener]) -> None:
    assert names_for(("x", "y"), two) == ("x", "y")
    assert names_for(("x",), two) == ("x", "x")
    assert names_for((), two) == ("unknown", "unknown")


def test_as_many_names_as_sockets_or_one() -> None:
    with pytest.raises(AddressError, match="3 names for 2 sockets: expected one for each, or one for all"):
        check_names(("x", "y", "z"), 2)


@pytest.mark.parametrize("name", ["", "a:b", "a\nb", "ä", "x" * 256])
def test_what_systemd_would_not_take_is_no_name(name: str) -> None:
    with pytest.raises(AddressError, match="is no name for a socket"):
        check_names((name,), 2)


def test_a_client_is_a_connection_unless_it_is_called_otherwise() -> None:
    assert (name_for_each(()), name_for_each(("x",))) == ("connection", "x")
    with pytest.raises(AddressError, match="2 names for each client: expected one"):
        name_for_each(("x", "y"))
