"""A run of `activate` with real commands: when they are started, what a stop does, and what becomes of the queue.

What happens drives a test: `act(happening)` is called for each, and may connect, or signal us. How long is paused is
`model.restarting`'s.
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest
from tests.program import PATIENCE_S

from afunix.kernel.activating import ActivatedCommand
from afunix.kernel.listener import Listener
from afunix.kernel.unanswered import Unanswered
from afunix.model.activated import Begun, Happening, NotBegun, Orphaned, Over, Signalled
from afunix.model.address import Address
from afunix.model.restarting import OFTEN
from afunix.tools.activate_service import ActivateResult, ActivateService
from afunix.tools.settings import Cause

SERVE_ONE = "import socket, sys; s = socket.socket(fileno=3); c = s.accept()[0]; d = c.recv(9); c.send(d); "
TAKE_ONE = {
    "stream": "import _socket; _socket.socket(fileno=3)._accept()",
    "dgram": "import os; os.read(3, 9)",
}
SLEEP = "import signal; signal.pause()"


def stop(number: int = signal.SIGTERM) -> bool:
    """Signal us; True, so that it can stand behind a condition."""
    os.kill(os.getpid(), number)
    return True


@dataclass
class Run:
    """One run: what its commands do, what happens, and its clients."""

    sock_dir: str
    program: str = SLEEP
    command: Sequence[str] = ()
    kind: str = "stream"
    addresses: Sequence[str] = ("s",)
    is_eager: bool = False
    drain_s: float | None = None
    act: Callable[[Happening], object] = lambda happening: None
    happened: list[Happening] = field(default_factory=list)
    stack: ExitStack = field(default_factory=ExitStack)

    def client(self, data: bytes = b"", name: str = "s") -> socket.socket:
        number = {"stream": socket.SOCK_STREAM, "dgram": socket.SOCK_DGRAM}[self.kind]
        client = self.stack.enter_context(socket.socket(socket.AF_UNIX, number))
        client.settimeout(PATIENCE_S)
        client.connect(f"{self.sock_dir}/{name}")
        if data:
            client.send(data)
        return client

    def tell(self, happening: Happening) -> None:
        self.happened.append(happening)
        self.act(happening)

    def seen(self, kind: type[Happening]) -> list[Happening]:
        return [each for each in self.happened if isinstance(each, kind)]

    def run(self, on_ready: Callable[[], object] = lambda: None) -> ActivateResult:
        listeners = [
            Listener.open(Address.parse(f"{self.sock_dir}/{name}"), self.kind) for name in self.addresses
        ]
        for listener in listeners:
            os.set_blocking(listener.fd, True)
        words = self.command or [sys.executable, "-c", self.program]
        command = ActivatedCommand(words, names=["a"] * len(listeners))
        loop = asyncio.new_event_loop()
        loop.call_later(PATIENCE_S, loop.stop)
        service = ActivateService(
            command,
            listeners,
            loop,
            environment={b"PATH": os.environb[b"PATH"]},
            is_eager=self.is_eager,
            drain_s=self.drain_s,
            tell=self.tell,
        )
        try:
            return service.run(lambda: (loop.call_soon(on_ready), None)[1], lambda: None)
        finally:
            loop.close()
            for listener in listeners:
                listener.close()
            self.stack.close()


# When it is started


def test_nobody_is_started_while_nobody_comes(sock_dir: str) -> None:
    run = Run(sock_dir)
    result = run.run(stop)
    assert (run.happened, result.code, result.signal_number) == ([], None, signal.SIGTERM)
    assert os.listdir(sock_dir) == []


def test_it_is_started_for_the_first_client_and_again_for_the_next(sock_dir: str) -> None:
    run = Run(sock_dir, SERVE_ONE)
    clients: list[socket.socket] = []

    def act(happening: Happening) -> None:
        if isinstance(happening, Over):
            assert clients[-1].recv(9) == b"hello"
            clients.append(run.client(b"hello")) if len(clients) < 3 else stop()

    run.act = act
    result = run.run(lambda: clients.append(run.client(b"hello")))
    assert len(run.seen(Begun)) == 3
    assert {each.code for each in run.happened if isinstance(each, Over)} == {0}
    assert result.unanswered == Unanswered()


def test_who_waits_when_it_ends_is_served_by_the_next_one(sock_dir: str) -> None:
    run = Run(sock_dir, SERVE_ONE + "sys.exit(1 if d == b'die' else 0)")
    run.act = lambda happening: isinstance(happening, Over) and happening.code == 0 and stop()
    clients: list[socket.socket] = []
    run.run(lambda: clients.extend([run.client(b"die"), run.client(b"live")]))
    assert [each.code for each in run.happened if isinstance(each, Over)] == [1, 0]


def test_any_of_several_sockets_starts_it_and_it_gets_them_all(sock_dir: str) -> None:
    run = Run(
        sock_dir, "import os, sys; os.fstat(4); sys.exit(int(os.environ['LISTEN_FDS']))", addresses=("s", "t")
    )
    run.act = lambda happening: isinstance(happening, Over) and stop()
    assert run.run(lambda: run.client(name="t")).code == 2
    (begun,) = run.seen(Begun)
    assert isinstance(begun, Begun) and f"{sock_dir}/t" in begun.cause


def test_a_datagram_starts_it_too(sock_dir: str) -> None:
    run = Run(sock_dir, "import socket, sys; sys.exit(len(socket.socket(fileno=3).recv(99)))", kind="dgram")
    run.act = lambda happening: isinstance(happening, Over) and stop()
    assert run.run(lambda: run.client(b"seven b")).code == 7


def test_at_once_means_without_a_client_and_again_after_a_failure(sock_dir: str) -> None:
    run = Run(sock_dir, "raise SystemExit(5)", is_eager=True)
    run.act = lambda happening: len(run.seen(Over)) == 2 and stop()
    run.run()
    overs = [each for each in run.happened if isinstance(each, Over)]
    assert [(each.code, each.pause_s) for each in overs] == [(5, 0.1), (5, 0.2)]


def test_at_once_waits_for_a_client_after_a_good_end(sock_dir: str) -> None:
    run = Run(sock_dir, "pass", is_eager=True)
    run.act = lambda happening: isinstance(happening, Over) and stop()
    run.run()
    assert len(run.seen(Begun)) == 1


def test_a_process_that_cannot_be_had_is_tried_again_and_its_clients_wait(
    sock_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fork, failures = os.fork, [errno.EAGAIN, errno.ENOMEM]

    def fail_at_first() -> int:
        if failures:
            raise OSError(failures.pop(0), "no")
        return fork()

    monkeypatch.setattr(os, "fork", fail_at_first)
    run = Run(sock_dir, SERVE_ONE)
    run.act = lambda happening: isinstance(happening, Over) and stop()
    assert run.run(lambda: run.client(b"hello")).code == 0
    tries = [(each.errno, each.pause_s) for each in run.happened if isinstance(each, NotBegun)]
    assert tries == [(errno.EAGAIN, 0.1), (errno.ENOMEM, 0.2)]


# When it shuts its sockets down


def test_a_listener_that_was_shut_down_ends_the_run(sock_dir: str) -> None:
    run = Run(sock_dir, SERVE_ONE + "s.shutdown(socket.SHUT_RD); sys.exit(4)")
    result = run.run(lambda: run.client(b"x"))
    assert (result.cause, result.code, result.signal_number) == (Cause.OWN_REASON, 4, 0)
    assert os.listdir(sock_dir) == []


def test_one_of_two_is_enough_to_go_on(sock_dir: str) -> None:
    shut = "import socket; socket.socket(fileno=3).shutdown(socket.SHUT_RD)"
    run = Run(sock_dir, shut, addresses=("s", "t"))

    def act(happening: Happening) -> None:
        if isinstance(happening, Over):
            run.client(name="t") if len(run.seen(Over)) == 1 else stop()

    run.act = act
    assert run.run(lambda: run.client()).cause is Cause.SIGNAL
    causes = [each.cause for each in run.happened if isinstance(each, Begun)]
    assert [f"{sock_dir}/t" in cause for cause in causes[:2]] == [False, True]


# The stop


def answering(how: str) -> str:
    """A command that does `how` at a signal `n`, and tells its first client when it is ready for that."""
    return (
        "import signal, socket, sys\n"
        f"for n in (1, 2, 10, 15): signal.signal(n, lambda n, f: {how})\n"
        "s = socket.socket(fileno=3); c = s.accept()[0]; c.send(b'.')\n"
        "while True: signal.pause()\n"
    )


def signalled(run: Run, *numbers: int) -> ActivateResult:
    """Signal us once the command is ready, and with the next number when the one before was passed on."""
    clients: list[socket.socket] = []
    left = list(numbers)

    def act(happening: Happening) -> None:
        if isinstance(happening, Begun):
            assert clients[0].recv(1) == b"."
        if isinstance(happening, Begun | Signalled) and left:
            stop(left.pop(0))

    run.act = act
    return run.run(lambda: clients.append(run.client()))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_passed_on_and_the_end_waited_for(sock_dir: str, number: int) -> None:
    run = Run(sock_dir, answering("sys.exit(n)"))
    result = signalled(run, number)
    assert (result.signal_number, result.code, result.is_forced) == (number, number, False)
    assert os.listdir(sock_dir) == []


def test_the_path_is_free_while_a_command_takes_its_time(sock_dir: str) -> None:
    run = Run(sock_dir, answering("(c.send(b'.'), c.recv(1), sys.exit())"))
    clients: list[socket.socket] = []

    def act(happening: Happening) -> None:
        if isinstance(happening, Begun):
            assert clients[0].recv(1) == b"."
            stop()
        elif isinstance(happening, Signalled):
            assert os.listdir(sock_dir) == []
            assert not run.seen(Over)
            clients[0].send(b"x")

    run.act = act
    assert run.run(lambda: clients.append(run.client())).code == 0


def test_a_second_signal_kills_it(sock_dir: str) -> None:
    result = signalled(Run(sock_dir, answering("None")), signal.SIGTERM, signal.SIGINT)
    assert (result.is_forced, result.signal_number, result.code) == (True, signal.SIGINT, -signal.SIGKILL)


def test_it_is_killed_when_its_time_has_passed(sock_dir: str) -> None:
    result = signalled(Run(sock_dir, answering("None"), drain_s=0.05), signal.SIGTERM)
    assert (result.is_cut, result.is_forced, result.code) == (True, False, -signal.SIGKILL)


def test_what_it_has_started_is_told_as_well(sock_dir: str) -> None:
    """The client's connection ends when nobody has it any more."""
    run = Run(sock_dir, "import os; os.fork()\n" + answering("sys.exit(n)"))
    clients: list[socket.socket] = []

    def act(happening: Happening) -> None:
        if isinstance(happening, Begun):
            assert [client.recv(1) for client in clients] == [b".", b"."]
            stop()
        elif isinstance(happening, Over):
            assert [client.recv(1) for client in clients] == [b"", b""]

    run.act = act
    assert run.run(lambda: clients.extend([run.client(), run.client()])).code == signal.SIGTERM


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGHUP])
def test_other_signals_are_passed_on_and_it_goes_on(sock_dir: str, number: int) -> None:
    run = Run(sock_dir, answering("n == 15 and sys.exit(n)"))
    assert signalled(run, number, signal.SIGTERM).code == signal.SIGTERM
    assert [each.number for each in run.happened if isinstance(each, Signalled)] == [number, signal.SIGTERM]


def test_a_command_that_ends_at_sighup_ends_the_run(sock_dir: str) -> None:
    result = signalled(Run(sock_dir, answering("sys.exit()")), signal.SIGHUP)
    assert (result.cause, result.signal_number) == (Cause.SIGNAL, signal.SIGHUP)


def test_sighup_ends_a_run_that_waits(sock_dir: str) -> None:
    assert Run(sock_dir).run(lambda: stop(signal.SIGHUP)).signal_number == signal.SIGHUP


def test_a_signal_for_a_command_that_does_not_run_is_told_and_harmless(sock_dir: str) -> None:
    run = Run(sock_dir)
    run.act = lambda happening: stop()
    run.run(lambda: stop(signal.SIGUSR1))
    assert run.happened == [Signalled(signal.SIGUSR1, 0)]


def test_who_has_waited_in_vain_is_counted_with_what_he_sent(sock_dir: str) -> None:
    run = Run(sock_dir, "raise SystemExit(1)")
    run.act = lambda happening: isinstance(happening, Over) and stop()
    assert run.run(lambda: run.client(b"seven b")).unanswered == Unanswered(clients=1, sent=7)


def test_what_no_callback_expected_ends_the_run_and_its_command(sock_dir: str) -> None:
    run = Run(sock_dir, is_eager=True)
    result = run.run(lambda: 1 // 0)
    assert (result.cause, type(result.fault)) == (Cause.FAULT, ZeroDivisionError)
    assert result.code == -signal.SIGKILL
    assert os.listdir(sock_dir) == []


def test_a_command_of_another_user_is_left_behind_when_it_does_not_end(
    sock_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill = os.kill

    def refuse(pid: int, number: int) -> None:
        if pid != os.getpid():
            raise PermissionError(errno.EPERM, "")
        kill(pid, number)

    monkeypatch.setattr(os, "killpg", refuse)
    monkeypatch.setattr(os, "kill", refuse)
    run = Run(sock_dir, answering("None"))
    result = signalled(run, signal.SIGTERM, signal.SIGTERM)
    (begun,) = run.seen(Begun)
    assert isinstance(begun, Begun)
    kill(begun.pid, signal.SIGKILL)
    os.waitpid(begun.pid, 0)
    told = [each for each in run.happened if isinstance(each, Signalled)]
    assert told == [Signalled(number, begun.pid, False) for number in (signal.SIGTERM, signal.SIGKILL)]
    assert (result.is_forced, result.left, os.listdir(sock_dir)) == (True, (begun.pid,), [])


# The queue


@pytest.mark.parametrize("kind", ["stream", "dgram"])
def test_one_that_serves_one_and_ends_is_never_slowed_down(sock_dir: str, kind: str) -> None:
    run = Run(sock_dir, TAKE_ONE[kind], kind=kind)
    coming = map(b"%d".__mod__, range(OFTEN + 5))

    def act(happening: Happening) -> None:
        """Some always wait, so that the queue never gets shorter."""
        if isinstance(happening, Begun):
            data = next(coming, b"")
            run.client(data) if data else stop()

    run.act = act
    run.run(lambda: [run.client(next(coming)) for _ in range(5)])
    ends = [each for each in run.happened if isinstance(each, Over)]
    assert {each.pause_s for each in ends} == {0.0}
    assert all(each.has_served for each in ends[:-1])


def test_one_that_takes_nobody_is_slowed_down_and_known_for_it(sock_dir: str) -> None:
    run = Run(sock_dir, "", command=["true"])
    run.act = lambda happening: isinstance(happening, Over) and happening.pause_s and stop()
    run.run(run.client)
    last = run.happened[-1]
    assert isinstance(last, Over) and last.has_served is False
    assert len(run.seen(Over)) == OFTEN + 1


def test_what_a_command_makes_of_the_flags_is_undone_for_the_next(sock_dir: str) -> None:
    run = Run(sock_dir, "import os, sys; was = os.get_blocking(3); os.set_blocking(3, False); sys.exit(was)")
    run.act = lambda happening: isinstance(happening, Over) and len(run.seen(Over)) == 2 and stop()
    run.run(run.client)
    assert [each.code for each in run.happened if isinstance(each, Over)] == [1, 1]


# What it leaves behind


def leaving(how: str) -> str:
    """A command that ends, and leaves a process of its own session behind, which says when it is there and then `how`."""
    return (
        "import os, signal, socket, sys\n"
        "c = socket.socket(fileno=3).accept()[0]; r, w = os.pipe()\n"
        "if not os.fork():\n"
        f"    os.setsid(); {how}; c.send(b'.'); os.write(w, b'.'); signal.pause()\n"
        "os.read(r, 1)\n"
    )


@pytest.mark.parametrize(("how", "last"), [("0", 15), ("signal.signal(15, signal.SIG_IGN)", 9)])
def test_what_it_leaves_behind_is_ended_with_us(sock_dir: str, how: str, last: int) -> None:
    run = Run(sock_dir, leaving(how), drain_s=0.05)
    clients: list[socket.socket] = []
    run.act = lambda happening: isinstance(happening, Over) and stop()
    result = run.run(lambda: clients.append(run.client().dup()))
    with clients[0] as client:
        client.settimeout(PATIENCE_S)
        assert b"".join(iter(lambda: client.recv(9), b"")) == b"."
    told = [each.number for each in run.happened if isinstance(each, Orphaned)]
    assert told == [15, 9][: 1 + (last == 9)]
    assert (result.code, result.is_cut) == (0, False)
