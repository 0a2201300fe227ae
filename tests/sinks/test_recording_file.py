"""A recording in a file: valid whenever it is looked at, also on a full disk; live in a pipe; never waited for."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from tests.captures import C, S, beginning, complaints, conversation, follow, opened, read_capture
from tests.peers import require
from tests.program import PATIENCE_S, environment

from afunix.formats.pcapng import Pcapng
from afunix.model.errors import OutputError
from afunix.model.tapped import Said, TapEvent
from afunix.sinks.recording import Recorded, Recording
from afunix.sinks.recording_file import RecordingFile

TALK = conversation((C, b"ping"), (S, b"pong!"))


def read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def record(keeper: RecordingFile, *events: TapEvent) -> Recorded:
    recording = Recording(keeper)
    for event in events:
        recording.record(event)
    return recording.close()


def opened_file(path: str) -> RecordingFile:
    return RecordingFile.open(path, Pcapng(beginning()))


def test_conversation_is_in_the_file_and_for_its_owner_alone(sock_dir: str) -> None:
    assert record(opened_file(f"{sock_dir}/f"), *TALK) == Recorded(2, 9, 0, 0, None)
    assert read_capture(read(f"{sock_dir}/f")).streams() == {(1, C): b"ping", (1, S): b"pong!"}
    assert stat.S_IMODE(os.stat(f"{sock_dir}/f").st_mode) == 0o600


def test_file_is_valid_before_anything_was_said(sock_dir: str) -> None:
    with open(f"{sock_dir}/f", "wb") as old:
        old.write(b"old" * 999)
    keeper = opened_file(f"{sock_dir}/f")
    assert read_capture(read(f"{sock_dir}/f")).packets == []
    keeper.close()


@pytest.mark.parametrize(("name", "word"), [("", "EISDIR"), ("/absent/f", "ENOENT")])
def test_place_that_cannot_be_written_is_refused(sock_dir: str, name: str, word: str) -> None:
    with pytest.raises(OutputError, match=f"cannot write the recording .*{word}"):
        opened_file(f"{sock_dir}{name}")


def test_full_device_is_refused_before_anything_was_said() -> None:
    with pytest.raises(OutputError, match=r"cannot write the recording '/dev/full': .*ENOSPC"):
        opened_file("/dev/full")


def test_disk_that_is_full_only_when_asked_to_write_is_refused(
    sock_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(fd: int) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OutputError, match="EDQUOT"):
        opened_file(f"{sock_dir}/f")


def test_place_without_fsync_is_no_less_a_place(sock_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(fd: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", fail)
    opened_file(f"{sock_dir}/f").close()


class Torn:
    """An Output whose disk is full after some bytes."""

    wait_fd = None

    def __init__(self, fd: int, room: int) -> None:
        self.fd, self.room = fd, room

    def try_write(self, buffers: list[bytes]) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = os.write(self.fd, bytes(buffers[0])[: self.room])
        self.room -= written
        return written

    def is_flushed(self) -> bool:
        return True

    def close(self) -> None:
        pass


@pytest.mark.parametrize("room", range(0, 700, 23))
def test_file_ends_with_the_last_event_that_is_whole(sock_dir: str, room: int) -> None:
    keeper = opened_file(f"{sock_dir}/f")
    keeper._output = Torn(keeper._fd, room)  # type: ignore[assignment]
    said = [Said(1, 1.0, C, b"0123456789") for _ in range(9)]
    recorded = record(keeper, opened(), *said)
    streams = read_capture(read(f"{sock_dir}/f")).streams()
    assert len(streams.get((1, C), b"")) == recorded.bytes == 10 * recorded.messages
    assert (recorded.lost_messages, recorded.lost_bytes) == (9 - recorded.messages, 90 - recorded.bytes)
    assert recorded.messages > 0 or room < 500


FILL = """
import json, os, shutil, sys
from tests.captures import *
from afunix.formats.pcapng import Pcapng
from afunix.sinks.recording import Recording
from afunix.sinks.recording_file import RecordingFile
recording = Recording(RecordingFile.open(sys.argv[1] + "/f", Pcapng(beginning())))
recording.record(opened())
for number in range(3000):
    recording.record(Said(1, 1.0, C, b"%07d\\n" % number * (1 + number % 40)))
recorded = recording.close()
shutil.copy(sys.argv[1] + "/f", sys.argv[2])
print(json.dumps([recorded.messages, recorded.bytes, recorded.lost_messages, recorded.trouble.errno]))
"""


def test_full_file_system_leaves_a_valid_file_and_a_right_count(sock_dir: str) -> None:
    os.mkdir(f"{sock_dir}/small")
    unshare = [require("unshare"), "-m" if os.geteuid() == 0 else "-rm"]
    mount = 'mount -t tmpfs -o size=64k none "$0" || exit 99; exec "$@"'
    python = [sys.executable, "-c", FILL, f"{sock_dir}/small", f"{sock_dir}/copy"]
    command = [*unshare, "/bin/sh", "-c", mount, f"{sock_dir}/small", *python]
    done = subprocess.run(
        command,
        env=environment(PYTHONPATH=os.pathsep.join(sys.path)),
        capture_output=True,
        timeout=PATIENCE_S,
    )
    if done.returncode == 99 or b"unshare" in done.stderr:
        pytest.skip(f"mounting is not allowed here: {done.stderr.decode()}")
    assert done.returncode == 0, done.stderr.decode()
    messages, kept_bytes, lost, number = json.loads(done.stdout)
    stream = read_capture(read(f"{sock_dir}/copy")).streams()[1, C]
    assert (len(stream), messages + lost, number) == (kept_bytes, 3000, errno.ENOSPC)
    assert stream == b"".join(b"%07d\n" % number * (1 + number % 40) for number in range(messages))
    assert (complaints(f"{sock_dir}/copy"), follow(f"{sock_dir}/copy")) == ("", (stream, b""))


def test_inherited_file_is_cut_back_to_where_it_was(sock_dir: str) -> None:
    fd = os.open(f"{sock_dir}/f", os.O_RDWR | os.O_CREAT)
    os.write(fd, b"before")
    keeper = RecordingFile(fd, "-", Pcapng(beginning()))
    after_header = os.fstat(fd).st_size
    keeper._output = Torn(fd, 5)  # type: ignore[assignment]
    record(keeper, opened())
    assert os.stat(f"{sock_dir}/f").st_size == after_header


def test_bytes_of_somebody_else_are_not_cut_off(sock_dir: str) -> None:
    keeper = RecordingFile.open(f"{sock_dir}/f", Pcapng(beginning()))
    with open(f"{sock_dir}/f", "ab") as other:
        other.write(b"x" * 1000)
    keeper._output = Torn(keeper._fd, 5)  # type: ignore[assignment]
    record(keeper, opened())
    assert read(f"{sock_dir}/f").endswith(b"x" * 100)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe that takes one page; its writing end is given away."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    yield reader, writer
    os.close(reader)


def test_pipe_gets_what_is_said_at_once(pipe: tuple[int, int]) -> None:
    recording = Recording(RecordingFile(pipe[1], "-", Pcapng(beginning())))
    header = os.read(pipe[0], 4096)
    assert read_capture(header).packets == []
    recording.record(opened())
    assert len(read_capture(header + os.read(pipe[0], 4096)).packets) == 3
    assert recording.close().is_complete


def test_slow_reader_of_a_pipe_gets_everything(pipe: tuple[int, int]) -> None:
    recording = Recording(RecordingFile(pipe[1], "-", Pcapng(beginning())))
    data = os.urandom(300_000)
    for event in conversation((C, data), (S, data[::-1])):
        recording.record(event)
    got: list[bytes] = []
    ends: list[Recorded] = []
    closing = threading.Thread(target=lambda: ends.append(recording.close(PATIENCE_S)))
    closing.start()
    while piece := os.read(pipe[0], 1000):
        got.append(piece)
    closing.join()
    assert read_capture(b"".join(got)).streams() == {(1, C): data, (1, S): data[::-1]}
    assert ends == [Recorded(2, 600_000, 0, 0, None)]


def test_reader_that_takes_nothing_is_left_at_the_end_and_counted(pipe: tuple[int, int]) -> None:
    recording = Recording(RecordingFile(pipe[1], "-", Pcapng(beginning())))
    recording.record(opened())
    recording.record(Said(1, 1.0, C, bytes(3_000_000)))
    recorded = recording.close(timeout_s=0.05)
    assert (recorded.messages, recorded.lost_bytes) == (0, 3_000_000)
    assert not recording._thread.is_alive()


def test_reader_that_went_away_ends_it(sock_dir: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    recorded = record(RecordingFile(writer, "-", Pcapng(beginning())), *TALK)
    assert "nobody reads the recording '-'" in str(recorded.trouble)


def test_fifo_is_written_when_somebody_reads_it(sock_dir: str) -> None:
    path = f"{sock_dir}/fifo"
    os.mkfifo(path)
    recording = Recording(opened_file(path))
    for event in TALK:
        recording.record(event)
    with open(path, "rb") as reader:
        assert recording.close(PATIENCE_S).is_complete
        assert read_capture(reader.read()).streams() == {(1, C): b"ping", (1, S): b"pong!"}


def test_fifo_that_nobody_reads_is_given_up_at_the_end(sock_dir: str) -> None:
    os.mkfifo(f"{sock_dir}/fifo")
    recording = Recording(opened_file(f"{sock_dir}/fifo"))
    for event in TALK:
        recording.record(event)
    keeper = recording._keeper
    assert isinstance(keeper, RecordingFile)
    assert keeper.waits_for_reader
    began_s = time.monotonic()
    recorded = recording.close(timeout_s=2 * PATIENCE_S)
    assert time.monotonic() - began_s < PATIENCE_S
    assert recorded.lost_messages == 2
    assert str(recorded.trouble) == f"nobody reads the FIFO '{sock_dir}/fifo' (ENXIO)"
    assert not keeper.waits_for_reader
