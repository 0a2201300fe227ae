"""Where experiments are made: actors whose calls are really made, in a directory of their own, and written down.

    with Stage() as stage, stage.scene("a client that comes too early"):
        server, client = stage.actor("server"), stage.actor("client")
        listener = server.socket()
        listener.bind("hello.sock")
        client.socket().connect("hello.sock", expect=ECONNREFUSED)
    stage.result().stories[0].steps

All actors live in this process, so numbers of descriptors are theirs together, which a note below the story says; a
`process` and a `child` are processes of their own. Every call is bounded
(`calls.LIMIT_S`), and whatever ends the `with` blocks, no socket, file, thread or process is left. Nothing of the
process is changed (directory, umask, signals), and nothing that others could meet: many stages at once do not
disturb each other. What the calls are is `staged_socket`'s, how they are written down `script`'s.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from socket import AF_UNIX, SOCK_DGRAM, SOCK_NONBLOCK, SOCK_STREAM
from types import TracebackType

from ...model.experiment import Comparison, Result
from ...testing.directory import socket_dir
from .calls import Call
from .changes import Watch
from .child import Child
from .held import notes
from .script import BrokenOff, Script
from .shown import Names
from .staged import Props, StagedFile
from .staged_socket import StagedSocket
from .worker import Worker

__all__ = ["Actor", "BrokenOff", "Stage"]

_TYPES = {"stream": SOCK_STREAM, "dgram": SOCK_DGRAM}


class Stage:
    """`with` makes its directory and removes it. `result` tells what was written down until then."""

    names: Names
    script: Script
    comparison: Comparison | None = None
    """What is read beside the stories."""

    def __init__(self, *, inside: bool = False, reproducible: bool = False) -> None:
        self.is_reproducible = reproducible
        self._inside = inside
        self._left = ExitStack()
        self._workers: list[Worker] = []
        self._roles: list[str] = []

    def __enter__(self) -> Stage:
        directory = os.fspath(self._left.enter_context(socket_dir()))
        self.names = Names(directory, reproducible=self.is_reproducible)
        self._watch = Watch(self.names)
        self.script = Script(self.names, reproducible=self.is_reproducible, look=self._look)
        self._props = Props(self.script, self._watch.own)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.close()

    def _look(self) -> tuple[str, ...]:
        if not self._inside:
            return ()
        return self._watch.look(self._sockets_by_inode(), while_waiting=self.script.is_waiting)

    def _sockets_by_inode(self) -> dict[int, str]:
        """What each open one is called; one that several have, by who had it first."""
        elsewhere = {it.inode: f"{it.shown} of {it.owner}" for it in self._props.elsewhere if it.is_open}
        return elsewhere | {os.fstat(sock.fd).st_ino: sock.shown for sock in self._open_sockets()}

    def _open_sockets(self) -> list[StagedSocket]:
        return [it for it in self._props.opened if it.is_open and isinstance(it, StagedSocket)]

    @contextmanager
    def scene(self, title: str) -> Iterator[None]:
        """One story. At its end what is still open is closed, which is written down like every call."""
        self.script.begin_story(title)
        try:
            yield
        finally:
            self._end_scene()

    def _end_scene(self) -> None:
        with ExitStack() as last:
            last.callback(self.script.end_story)
            last.callback(self._clear)
            last.callback(self._close_all)
            for worker in self._workers:
                last.callback(worker.end)
            self._workers.clear()
            self._props.elsewhere.clear()
            last.callback(self._add_notes)
            if self.script.is_waiting:
                for sock in self._open_sockets():
                    sock.wake()
            self.script.abandon()

    def _add_notes(self) -> None:
        """Why a number that one of the actors closes comes back as another's; and what is known of the inside."""
        *others, last = self._roles or [""]
        if others:
            self.script.add_note(
                f"One process plays {', '.join(others)} and {last}: it makes all their calls, and a number that one of"
                " them closes may be the next that another gets."
            )
        self._roles.clear()
        for note in notes(has_times=not self.is_reproducible) if self._inside else ():
            self.script.add_note(note)

    def _close_all(self) -> None:
        for staged in self._props.opened:
            staged.close()
        self._props.opened.clear()

    def _clear(self) -> None:
        """The next scene begins in an empty directory."""
        self._props.bound.clear()
        for name in os.listdir(self.names.path(".")):
            os.unlink(self.names.path(name))

    def actor(self, name: str, *, has_pid: bool = False) -> Actor:
        """A life line of this scene, played by this process; `has_pid` where others are processes of their own."""
        self._roles.append(name)
        if has_pid:
            self.names.call_pid(os.getpid(), name.upper())
        detail = f"pid {self.names.pid(os.getpid())}" if has_pid else "in one process"
        return Actor(self._props, self.script.add_lifeline(name, detail))

    def process(self, name: str) -> Child:
        """A life line of this scene that is a process of its own, with nothing of ours; it is there already."""
        worker = self._start(name)
        worker.wait_until_ready()
        line = self.script.add_lifeline(name, f"pid {self.names.pid(worker.pid)}")
        return Child(self._props, line, name, worker, worker.pid)

    def child(self, parent: Actor, name: str, inherited: StagedSocket) -> Child:
        """A process that `parent` makes, and that has the same socket open."""
        made = Call(
            "vfork()",  # so subprocess does it
            lambda: self._start(name, inherited.fd),
            lambda step, worker: (step, worker),
            lambda worker: f" = {self.names.pid(worker.pid)}",
        )
        step, worker = self.script.make(parent.line, made)
        line = self.script.add_lifeline(name, f"pid {self.names.pid(worker.pid)}", started_by=step)
        child = Child(self._props, line, name, worker, worker.pid)
        child.was_executed()
        child.inherit(inherited.fd, inherited.shown, inherited.description)
        return child

    def _start(self, name: str, *inherits: int) -> Worker:
        worker = Worker(inherits)
        self._workers.append(worker)
        self.names.call_pid(worker.pid, name.upper())
        return worker

    def surprise(self, sentence: str) -> None:
        """Something is not as the explanation has it."""
        self.script.surprise(sentence)

    def check(self, what: str, found: object, expected: object) -> None:
        """A surprise if `what` is not as the explanation has it."""
        if found != expected:
            self.surprise(f"{what}: {found}, expected {expected}")

    def result(self) -> Result:
        """What happened, and what of it was not expected."""
        return Result(tuple(self.script.stories), self.comparison, tuple(self.script.surprises))


class Actor:
    """One life line, whose calls are written down there."""

    def __init__(self, props: Props, line: int) -> None:
        self._props = props
        self.line = line

    def socket(
        self, type_name: str = "stream", *, family: int = AF_UNIX, non_blocking: bool = False
    ) -> StagedSocket:
        """socket(2); `non_blocking` as SOCK_NONBLOCK says."""
        flags = SOCK_NONBLOCK if non_blocking else 0
        words = f"SOCK_{type_name.upper()}" + (" | SOCK_NONBLOCK" if non_blocking else "")
        call = Call(
            f"socket({'AF_UNIX' if family == AF_UNIX else 'AF_INET'}, {words})",
            lambda: socket.socket(family, _TYPES[type_name] | flags),
            lambda _, sock: StagedSocket(self._props, self.line, sock),
            lambda sock: f" = {self._opened(sock.fileno())}",
        )
        return self._props.script.make(self.line, call)

    def socketpair(self) -> tuple[StagedSocket, StagedSocket]:
        """socketpair(2): two ends of one connection, both this actor's."""

        def done(_: int, pair: tuple[socket.socket, socket.socket]) -> tuple[StagedSocket, StagedSocket]:
            one = StagedSocket(self._props, self.line, pair[0])
            return one, StagedSocket(self._props, self.line, pair[1], one.description.of_peer())

        call = Call(
            "socketpair(AF_UNIX, SOCK_STREAM)",
            lambda: socket.socketpair(AF_UNIX, SOCK_STREAM),
            done,
            lambda pair: f" = [{self._opened(pair[0].fileno())}, {self._opened(pair[1].fileno())}]",
        )
        return self._props.script.make(self.line, call)

    def open_new(self, name: str) -> StagedFile:
        """open(2) of a new file in the stage's directory, to write and to read."""
        call = Call(
            f'open("{name}", O_RDWR | O_CREAT)',
            lambda: os.open(self._path(name), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600),
            lambda _, fd: StagedFile(self._props, self.line, fd),
            lambda fd: f" = {self._opened(fd)}",
        )
        return self._props.script.make(self.line, call)

    def unlink(self, name: str) -> None:
        """unlink(2) of a name in the stage's directory."""
        call = Call(f'unlink("{name}")', lambda: os.unlink(self._path(name)), lambda _, __: None)
        self._props.script.make(self.line, call)

    def list_names(self) -> list[str]:
        """readdir(3): what is in the stage's directory."""
        call = Call(
            'readdir(".")',
            lambda: sorted(os.listdir(self._path("."))),
            lambda _, names: names,
            lambda names: f" = {' '.join(names) or 'nothing'}",
        )
        return self._props.script.make(self.line, call)

    def _opened(self, fd: int) -> int:
        self._props.script.names.opened(fd)
        return self._props.script.names.fd(fd)

    def _path(self, name: str) -> str:
        return self._props.script.names.path(name)
