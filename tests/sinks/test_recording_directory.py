"""A recording as raw bytes: a file for each side, a line for each connection, few descriptors, nothing torn."""

from __future__ import annotations

import errno
import json
import os
import resource
import stat
from typing import Any

import pytest
from tests.captures import C, S, beginning, conversation, opened

from afunix.model.errors import OutputError
from afunix.model.tapped import Over, Said, TapEvent
from afunix.sinks import recording_directory
from afunix.sinks.recording import Recorded, Recording
from afunix.sinks.recording_directory import INDEX, RecordingDirectory


def record(path: str, *events: TapEvent, max_open_files: int = 64) -> Recorded:
    recording = Recording(RecordingDirectory(path, beginning(), max_open_files=max_open_files))
    for event in events:
        recording.record(event)
    return recording.close()


def read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def index(path: str) -> list[Any]:
    return [json.loads(line) for line in read(f"{path}/{INDEX}").splitlines()]


def test_each_side_has_its_file_and_the_connection_its_line(sock_dir: str) -> None:
    path = f"{sock_dir}/d"
    assert record(path, *conversation((C, b"ping"), (S, b"po"), (S, b"ng!"))) == Recorded(3, 9, 0, 0, None)
    assert sorted(os.listdir(path)) == ["0001.client", "0001.server", INDEX]
    assert (read(f"{path}/0001.client"), read(f"{path}/0001.server")) == (b"ping", b"pong!")
    (line,) = index(path)
    assert (line["client"]["bytes"], line["server"]["messages"], line["comm"]) == (4, 2, "curl")
    assert {stat.S_IMODE(os.stat(f"{path}/{name}").st_mode) for name in os.listdir(path)} == {0o600}


def test_side_that_says_nothing_has_no_file(sock_dir: str) -> None:
    record(f"{sock_dir}/d", *conversation((C, b"x")))
    assert not os.path.exists(f"{sock_dir}/d/0001.server")


def test_connection_that_is_not_over_has_its_line_without_an_end(sock_dir: str) -> None:
    record(f"{sock_dir}/d", opened(), Said(1, 1.0, C, b"x", ("pipe",)))
    (line,) = index(f"{sock_dir}/d")
    assert (line["closed"], line["client"]["descriptors"]) == (None, 1)


def test_few_files_are_open_and_every_byte_is_in_its_own(sock_dir: str) -> None:
    talk = [Said(number % 20, 1.0, C, b"%d " % number) for number in range(400)]
    for batch in range(2):  # the second time also what was closed is open again
        assert record(f"{sock_dir}/{batch}", *talk, max_open_files=1 + batch * 3).is_complete
        for connection in range(20):
            said = read(f"{sock_dir}/{batch}/{connection:04d}.client")
            assert said == b"".join(b"%d " % number for number in range(connection, 400, 20))


def test_files_are_opened_again_in_turn(sock_dir: str) -> None:
    keeper = RecordingDirectory(f"{sock_dir}/d", beginning(), max_open_files=2)
    for number in range(12):
        keeper.keep([Said(number % 4, 1.0, C, b"%d " % number)])
        assert len(keeper._files) <= 2
    keeper.close()
    assert read(f"{sock_dir}/d/0003.client") == b"3 7 11 "


def test_file_that_was_not_used_for_longest_is_closed_first(sock_dir: str) -> None:
    keeper = RecordingDirectory(f"{sock_dir}/d", beginning(), max_open_files=2)
    for number in (1, 2, 1, 3):
        keeper.keep([Said(number, 1.0, C, b"x")])
    assert [*keeper._files] == [(1, "client"), (3, "client")]
    keeper.close()


def test_short_of_descriptors_it_closes_its_own(sock_dir: str) -> None:
    keeper = RecordingDirectory(f"{sock_dir}/d", beginning())
    keeper.keep([Said(1, 1.0, C, b"x")])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    next_fd = os.dup(0)
    os.close(next_fd)
    resource.setrlimit(resource.RLIMIT_NOFILE, (next_fd, hard))
    try:
        keeper.keep([Said(2, 1.0, C, b"y")])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        keeper.close()
    assert (read(f"{sock_dir}/d/0001.client"), read(f"{sock_dir}/d/0002.client")) == (b"x", b"y")


def test_directory_with_a_recording_is_left_alone(sock_dir: str) -> None:
    record(f"{sock_dir}/d", opened(), Said(1, 1.0, C, b"x"))
    with pytest.raises(OutputError, match="has a recording already") as caught:
        RecordingDirectory(f"{sock_dir}/d", beginning())
    assert (caught.value.hint, read(f"{sock_dir}/d/0001.client")) == ("choose another directory", b"x")


def test_what_is_no_directory_is_refused(sock_dir: str) -> None:
    with open(f"{sock_dir}/f", "w"):
        pass
    with pytest.raises(OutputError, match="ENOTDIR"):
        RecordingDirectory(f"{sock_dir}/f", beginning())


def test_full_disk_leaves_whole_messages_and_says_what_is_missing(
    sock_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = 25

    def write(fd: int, data: bytes) -> int:
        nonlocal room
        if os.readlink(f"/proc/self/fd/{fd}").endswith(INDEX):
            return os.write(fd, data)
        if not room:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = os.write(fd, bytes(data)[:room])
        room -= written
        return written

    full = type("os", (), {**vars(os), "write": staticmethod(write)})
    monkeypatch.setattr(recording_directory, "os", full)
    recorded = record(f"{sock_dir}/d", opened(), *(Said(1, 1.0, C, b"0123456789") for _ in range(9)))
    assert (recorded.bytes, recorded.lost_messages, recorded.lost_bytes) == (20, 7, 70)
    assert read(f"{sock_dir}/d/0001.client") == b"0123456789" * 2
    assert index(f"{sock_dir}/d")[0]["client"]["bytes"] == 20


def test_what_did_not_fit_into_the_buffer_is_missing_in_the_index(sock_dir: str) -> None:
    keeper = RecordingDirectory(f"{sock_dir}/d", beginning())
    keeper.missed(Said(1, 1.0, S, b"1234"))
    keeper.keep([opened(), Said(1, 1.0, S, b"x"), Over(1, 2.0, "reset by the client")])
    keeper.close()
    (line,) = index(f"{sock_dir}/d")
    assert (line["server"]["bytes"], line["server"]["missing_bytes"]) == (1, 4)
    assert line["reason"] == "reset by the client"


def test_full_disk_is_refused_and_nothing_is_left_of_it(
    sock_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    os.mkdir(f"{sock_dir}/there")
    for name in ("d", "there"):
        with pytest.raises(OutputError, match=r"cannot write the recording .*ENOSPC"):
            RecordingDirectory(f"{sock_dir}/{name}", beginning())
    assert (os.listdir(sock_dir), os.listdir(f"{sock_dir}/there")) == (["there"], [])


def test_index_is_empty_until_there_is_something_for_it(sock_dir: str) -> None:
    RecordingDirectory(f"{sock_dir}/d", beginning()).close()
    assert read(f"{sock_dir}/d/{INDEX}") == b""
