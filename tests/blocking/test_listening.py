"""A listener for scripts and threads: who gets in, what ends an accept, and what stays of the path."""

from __future__ import annotations

import errno
import gc
import os
import resource
import socket
import stat
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pytest
from tests.blocking.conftest import fork
from tests.program import PATIENCE_S
from tests.sharing import shared
from tests.threads import Running, running

import afunix
from afunix import Address, blocking
from afunix.model.errors import (
    AddressError,
    AddressInUseError,
    ClosedError,
    NobodyListensError,
    NoSuchSocketError,
    NotASocketError,
    TimedOutError,
    WrongTypeError,
)


@pytest.fixture
def path(sock_dir: str) -> str:
    return f"{sock_dir}/s"


@pytest.fixture
def listener(path: str) -> Iterator[blocking.Listener]:
    with blocking.listen(path) as listener:
        yield listener


def test_a_client_is_accepted_with_its_names_and_who_it_is(listener: blocking.Listener, path: str) -> None:
    with blocking.connect(path) as client, listener.accept() as stream:
        assert stream.local_address == client.peer_address == Address.parse(path)
        assert stream.peer_address == client.local_address
        assert stream.peer.pid == os.getpid()
        stream.send(b"hello")
        assert client.receive() == b"hello"


def test_clients_that_came_before_the_first_accept_are_all_served(
    listener: blocking.Listener, path: str
) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(blocking.connect(path)) for _ in range(20)]
        for number, client in enumerate(clients):
            client.send(b"%d" % number)
            assert stack.enter_context(listener.accept(0)).receive() == b"%d" % number


def test_accepting_waits_for_a_client(listener: blocking.Listener, path: str) -> None:
    accepting = Running(listener.accept).until_waiting()
    with blocking.connect(path), accepting.result() as stream:
        assert stream.state is afunix.State.OPEN


@pytest.mark.parametrize("seconds", [0, 0.01])
def test_nobody_came_in_time(listener: blocking.Listener, path: str, seconds: float) -> None:
    with pytest.raises(TimedOutError, match=f"nobody connected to '{path}' within {seconds} s"):
        listener.accept(seconds)


@pytest.mark.parametrize("wrong", [-1, float("nan"), "1"])
def test_a_time_that_is_none_is_refused(listener: blocking.Listener, wrong: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="timeout is"):
        listener.accept(wrong)


def test_iterating_serves_clients_until_somebody_closes(listener: blocking.Listener, path: str) -> None:
    def serve() -> list[bytes]:
        said = []
        for stream in listener:
            with stream:
                said.append(b"".join(stream))
                stream.send(b"got it")
        return said

    serving = Running(serve)
    for text in (b"one", b"two"):
        with blocking.connect(path) as client:
            client.send(text)
            client.send_eof()
            assert client.receive() == b"got it"
    serving.until_waiting()
    listener.close()
    assert serving.result() == [b"one", b"two"]


def test_closing_wakes_every_thread_that_accepts(listener: blocking.Listener) -> None:
    fd = listener.fileno()
    accepting = [Running(listener.accept).until_waiting() for _ in range(3)]
    listener.close()
    for each in accepting:
        assert type(each.error()) is ClosedError
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(fd)


def test_each_client_goes_to_one_of_the_threads_that_accept(listener: blocking.Listener, path: str) -> None:
    accepting = [Running(listener.accept).until_waiting() for _ in range(3)]
    with ExitStack() as stack:
        for _ in accepting:
            stack.enter_context(blocking.connect(path))
        streams = [stack.enter_context(each.result()) for each in accepting]
        assert len({stream.fileno() for stream in streams}) == 3


def test_a_listener_that_is_closed_is_closed(listener: blocking.Listener, path: str) -> None:
    listener.close()
    listener.close()
    assert listener.is_closed
    assert listener.address == Address.parse(path)
    for use in (listener.accept, listener.fileno):
        with pytest.raises(ClosedError, match=f"listener on '{path}' is closed"):
            use()
    assert list(listener) == []


def test_closing_removes_the_path_at_once_even_while_a_thread_accepts(
    listener: blocking.Listener, path: str
) -> None:
    with listener._gate:  # as an accept would be
        listener.close()
        assert not os.path.exists(path)


def test_clients_in_the_queue_see_the_end_when_it_is_closed(listener: blocking.Listener, path: str) -> None:
    with blocking.connect(path, timeout=PATIENCE_S) as client:
        listener.close()
        with pytest.raises((afunix.EndOfStream, afunix.BrokenStreamError)):
            client.receive()


def test_a_path_that_is_gone_or_somebody_elses_is_left_alone(listener: blocking.Listener, path: str) -> None:
    os.unlink(path)
    with open(path, "w"):
        listener.close()
    assert os.path.isfile(path)


def test_a_path_to_be_kept_stays(path: str) -> None:
    blocking.listen(path, keep=True).close()
    assert stat.S_ISSOCK(os.lstat(path).st_mode)
    with pytest.raises(NobodyListensError):
        blocking.connect(path)


def test_a_stale_path_is_replaced_and_a_live_one_is_not(path: str) -> None:
    blocking.listen(path, keep=True).close()
    with blocking.listen(path) as first:
        with pytest.raises(AddressInUseError, match="in use"):
            blocking.listen(path)
        with blocking.connect(path), first.accept(PATIENCE_S):
            pass


def test_a_live_path_is_taken_over_on_demand(listener: blocking.Listener, path: str) -> None:
    with blocking.listen(path, replace=True) as second, blocking.connect(path), second.accept(PATIENCE_S):
        listener.close()
        assert os.path.exists(path)


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda path: open(path, "w").close(), NotASocketError),
        (lambda path: os.rmdir(os.path.dirname(path)), NoSuchSocketError),
    ],
)
def test_what_stands_in_the_way_is_told(
    path: str, make: Callable[[str], None], error: type[Exception]
) -> None:
    make(path)
    with pytest.raises(error):
        blocking.listen(path)


def test_mode_and_owner_are_those_asked_for(path: str) -> None:
    before = os.umask(0o077)
    try:
        with blocking.listen(path, mode=0o666, owner=os.getuid(), group=str(os.getgid())):
            assert stat.S_IMODE(os.lstat(path).st_mode) == 0o666
    finally:
        os.umask(before)


@pytest.mark.parametrize(
    "options",
    [
        {"owner": "nobody-has-this-name"},
        {"backlog": -1},
        {"accept_fds": -1},
        {"accept_fds": "one"},
        {"stream_timeout": -1},
        {"send_timeout": "soon"},
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_made(path: str, options: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        blocking.listen(path, **options)
    assert not os.path.exists(path)


def test_an_abstract_name_needs_no_file(sock_dir: str) -> None:
    with (
        blocking.listen(f"@{sock_dir}") as listener,
        blocking.connect(f"@{sock_dir}") as client,
        listener.accept() as stream,
    ):
        assert client.peer_address == stream.local_address == Address.parse(f"@{sock_dir}")


def test_whom_the_rules_refuse_is_closed_unread_and_the_next_one_taken(path: str) -> None:
    with blocking.listen(path, rules=afunix.Rules("deny me")) as listener:
        with blocking.connect(path, timeout=PATIENCE_S) as client:
            with pytest.raises(TimedOutError):
                listener.accept(0)
            with pytest.raises(afunix.EndOfStream):
                client.receive()
        assert listener.refused == 1


@pytest.mark.parametrize("rule", ["allow me", f"allow group:{os.getegid()}"])
def test_whom_the_rules_allow_gets_in(path: str, rule: str) -> None:
    with (
        blocking.listen(path, rules=afunix.Rules(rule)) as listener,
        blocking.connect(path),
        listener.accept(PATIENCE_S),
    ):
        assert listener.refused == 0


def test_accepted_streams_begin_with_the_times_given(path: str) -> None:
    with (
        blocking.listen(path, stream_timeout=0, send_timeout=7) as listener,
        blocking.connect(path),
        listener.accept(PATIENCE_S) as stream,
    ):
        assert (stream.timeout, stream.send_timeout) == (0, 7)
        with pytest.raises(TimedOutError):
            stream.receive()


def test_descriptors_come_only_where_they_were_asked_for(path: str) -> None:
    with (
        blocking.listen(path, accept_fds=1) as listener,
        blocking.connect(path) as client,
        listener.accept(PATIENCE_S) as stream,
    ):
        client.send_fds(b"x", [0])
        with stream.receive_fds() as received:
            assert len(received.fds) == 1


def test_nobody_can_send_descriptors_to_a_listener_that_takes_none(
    listener: blocking.Listener, path: str
) -> None:
    with blocking.connect(path) as client, listener.accept(PATIENCE_S) as stream:
        with suppress(afunix.DescriptorsNotAcceptedError):  # Linux 6.16
            client.send_fds(b"x", [0])
        client.send(b"y")
        before = os.listdir("/proc/self/fd")
        assert stream.receive() in (b"y", b"xy")
        assert os.listdir("/proc/self/fd") == before


def test_an_accepted_socket_is_close_on_exec_and_does_not_block(
    listener: blocking.Listener, path: str
) -> None:
    with blocking.connect(path), listener.accept(PATIENCE_S) as stream:
        assert not os.get_inheritable(stream.fileno())
        assert not os.get_blocking(stream.fileno())


def test_a_default_timeout_of_the_program_changes_nothing(path: str) -> None:
    socket.setdefaulttimeout(PATIENCE_S)
    try:
        with blocking.listen(path) as listener, blocking.connect(path), listener.accept(PATIENCE_S) as stream:
            stream.timeout = 0
            with pytest.raises(TimedOutError):
                stream.receive()
    finally:
        socket.setdefaulttimeout(None)


def test_out_of_descriptors_is_told_and_the_client_goes_on_waiting(
    listener: blocking.Listener, path: str
) -> None:
    with blocking.connect(path):
        with (
            no_descriptor_left(),
            pytest.raises(OSError, match=f"client on '{path}' .* waiting: .*EMFILE") as caught,
        ):
            listener.accept(PATIENCE_S)
        assert caught.value.errno == errno.EMFILE
        listener.accept(0).close()


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_an_inherited_listener_is_used_and_left_as_it_is(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as parents:
        parents.bind(path)
        parents.listen()
        with blocking.listen(f"fd:{os.dup(parents.fileno())}") as listener:
            with pytest.raises(TimedOutError):
                listener.accept(0)
            with blocking.connect(path), listener.accept(PATIENCE_S) as stream:
                assert stream.local_address == listener.address == Address.parse(path)
            accepting = Running(listener.accept).until_waiting()
            listener.close()
            assert type(accepting.error()) is ClosedError
        assert os.path.exists(path)
        assert parents.getblocking()
        with blocking.connect(path):
            parents.accept()[0].close()


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_SEQPACKET])
def test_an_inherited_socket_of_another_type_is_refused_and_stays_open(path: str, kind: int) -> None:
    with socket.socket(socket.AF_UNIX, kind) as parents:
        parents.bind(path)
        with suppress(OSError):  # datagram sockets do not listen
            parents.listen()
        with pytest.raises(WrongTypeError, match="expected stream"):
            blocking.listen(f"fd:{parents.fileno()}")
        assert parents.getsockname() == path


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(AddressError):
        blocking.listen("word:thing")
    with pytest.raises(TypeError):
        blocking.listen(7)  # type: ignore[arg-type]


def test_a_child_that_closes_its_copy_leaves_path_and_accept_to_the_parent(
    listener: blocking.Listener, path: str
) -> None:
    accepting = Running(listener.accept).until_waiting()
    pid = fork()
    if not pid:
        listener.close()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    with blocking.connect(path), accepting.result():
        assert os.path.exists(path)


def test_a_child_can_accept_and_its_threads_are_woken_there(listener: blocking.Listener, path: str) -> None:
    Running(lambda: listener.accept(0.001)).error()  # so that the parent has waited on it, too
    pid = fork()
    if not pid:
        before = len(os.listdir("/proc/self/fd"))
        accepting = Running(listener.accept).until_waiting()
        is_even = len(os.listdir("/proc/self/fd")) == before  # one for waking, in the place of the parent's
        listener.close()
        os._exit(0 if type(accepting.error()) is ClosedError and is_even else 1)
    assert os.waitpid(pid, 0)[1] == 0
    with running(lambda: listener.accept(PATIENCE_S).close()), blocking.connect(path):
        pass


def test_a_forgotten_listener_warns_and_is_closed(path: str) -> None:
    with pytest.warns(
        ResourceWarning, match=r"unclosed <afunix.blocking.Listener .*opened at .*test_listening.py"
    ):
        blocking.listen(path)
        gc.collect()
    assert not os.path.exists(path)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_forgotten_listener_is_closed_also_where_warnings_are_errors(path: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        blocking.listen(path)
        gc.collect()
    assert not os.path.exists(path)


def test_a_close_ends_an_accept_whose_client_another_process_took(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with shared(path) as parents:
        listener = blocking.listen(f"fd:{parents.copy()}")
        parents.let_the_other_win(monkeypatch)
        parents.connect()
        accepting = Running(listener.accept)
        parents.until_thread_waits()
        listener.close()
        assert type(accepting.error()) is ClosedError


def test_threads_share_an_inherited_listener_that_blocks(path: str) -> None:
    with shared(path) as parents, blocking.listen(f"fd:{parents.copy()}") as listener:
        accepting = [Running(listener.accept).until_waiting() for _ in range(3)]
        for _ in accepting:
            parents.connect()
        for each in accepting:
            each.result().close()
