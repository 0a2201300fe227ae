"""`afunix tap` as a process: what goes together, what is shown and recorded, the words, and the statuses."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from tests.captures import read_capture
from tests.program import PATIENCE_S, ended, ready, run, stop
from tests.relay_runs import wait_until
from tests.servers import echo, read_all, serving

from afunix.model.tapped import Side

HELLO = {(1, Side.CLIENT): b"hello\n", (1, Side.SERVER): b"hello\n"}


@contextmanager
def tapping(directory: str, *options: str, **more: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A tap in front of an echo server, which says everything twice."""
    with serving(f"{directory}/s", echo), ready("tap", *options, f"{directory}/s", **more) as process:
        yield process


def ask(path: str, data: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE_S)
        client.connect(path)
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        return read_all(client)


def is_back(directory: str) -> bool:
    return os.listdir(directory) == ["s"]


# What is shown


def test_what_both_say_is_shown_as_text(sock_dir: str) -> None:
    with tapping(sock_dir, "-q") as process:
        assert ask(f"{sock_dir}/s", b"hello\n") == b"hello\n"
        end = stop(process)
    lines = end.out.decode().splitlines()
    assert (end.status, end.err) == (0, "")
    assert f"opened by pid {os.getpid()} " in lines[0]
    assert "client → server  6 bytes" in lines[1]
    assert lines[2] == " > hello"
    assert " < hello" in lines
    assert lines[-1].endswith("closed")


def test_hex_shows_bytes(sock_dir: str) -> None:
    with tapping(sock_dir, "-q", "--hex") as process:
        ask(f"{sock_dir}/s", b"\0\x01A")
        assert b" > 00000000  00 01 41 " in stop(process).out


def test_json_is_an_object_for_each_event_and_the_summary(sock_dir: str) -> None:
    with tapping(sock_dir, "--json") as process:
        ask(f"{sock_dir}/s", b"hello\n")
        end = stop(process)
    objects = [json.loads(line) for line in end.out.splitlines()]
    assert (end.status, end.err) == (0, "")
    assert [it["event"] for it in objects][:2] == ["opened", "said"]
    assert objects[1]["data"] == "hello\n"
    assert objects[-1]["event"] == "summary"
    assert objects[-1]["client"] == {"messages": 1, "bytes": 6, "descriptors": 0}


def test_summary_comes_at_the_end_on_stderr(sock_dir: str) -> None:
    with tapping(sock_dir) as process:
        ask(f"{sock_dir}/s", b"hello\n")
        end = stop(process)
    assert "1 connection\n" in end.err
    assert "client → server  1 message, 6 B\n" in end.err


def test_only_so_much_of_a_message_is_shown_as_max_bytes_says(sock_dir: str) -> None:
    with tapping(sock_dir, "-q", "--max-bytes", "2") as process:
        ask(f"{sock_dir}/s", b"hello\n")
        out = stop(process).out.decode()
    assert "> he\n" in out
    assert "hello" not in out
    assert "4 more bytes" in out


@pytest.mark.parametrize(
    ("options", "is_shown"),
    [
        (["--from", "client"], True),
        (["--from", "server"], False),
        (["--pid", "1"], False),
        (["--pid", str(os.getpid())], True),
        (["--user", str(os.getuid())], True),
        (["--user", "65533"], False),
        (["--command", "nobody-is-called-that"], False),
        (["--command", "*"], True),
        (["--connection", "1"], True),
        (["--connection", "2", "--connection", "3"], False),
    ],
)
def test_filters_choose_what_is_shown(sock_dir: str, options: list[str], is_shown: bool) -> None:
    with tapping(sock_dir, "-q", *options) as process:
        ask(f"{sock_dir}/s", b"hello\n")
        assert (b" > hello" in stop(process).out) is is_shown


def test_filter_goes_for_records_and_the_summary_as_well(sock_dir: str, tmp_path: Path) -> None:
    with tapping(sock_dir, "--pid", "1", "--record", f"{tmp_path}/d") as process:
        ask(f"{sock_dir}/s", b"hello\n")
        end = stop(process)
    assert "0 connections" in end.err
    assert os.listdir(tmp_path / "d") == ["index.jsonl"]


# What is recorded


def test_written_file_has_the_conversation_and_nothing_is_shown(sock_dir: str, tmp_path: Path) -> None:
    with tapping(sock_dir, "--write", f"{tmp_path}/f") as process:
        ask(f"{sock_dir}/s", b"hello\n")
        end = stop(process)
    assert (end.status, end.out) == (0, b"")
    assert read_capture((tmp_path / "f").read_bytes()).streams() == HELLO


def test_file_is_written_to_stdout_with_a_dash(sock_dir: str) -> None:
    with tapping(sock_dir, "-q", "--write", "-") as process:
        ask(f"{sock_dir}/s", b"hello\n")
        assert read_capture(stop(process).out).streams() == HELLO


def test_record_has_a_file_for_each_side_and_text_is_shown_if_asked_for(
    sock_dir: str, tmp_path: Path
) -> None:
    with tapping(sock_dir, "-q", "--record", f"{tmp_path}/d", "--text") as process:
        ask(f"{sock_dir}/s", b"hello\n")
        assert b"> hello" in stop(process).out
    assert (tmp_path / "d" / "0001.client").read_bytes() == b"hello\n"
    assert (tmp_path / "d" / "0001.server").read_bytes() == b"hello\n"


def test_file_that_cannot_be_written_is_an_error_before_anything_is_tapped(sock_dir: str) -> None:
    with serving(f"{sock_dir}/s", echo):
        end = run("tap", "--write", f"{sock_dir}/no/f", f"{sock_dir}/s")
        assert end.status == 1
        assert end.err == (
            f"afunix: error: cannot write the recording '{sock_dir}/no/f': no such file or directory (ENOENT)\n"
        )
        assert is_back(sock_dir)
        ask(f"{sock_dir}/s", b"")


# STDOUT and disks that take nothing


def test_reader_of_stdout_that_went_away_ends_it_by_sigpipe_with_the_path_put_back(sock_dir: str) -> None:
    with tapping(sock_dir, "-q") as process:
        assert process.stdout is not None
        process.stdout.close()
        process.stdout = None
        assert ask(f"{sock_dir}/s", b"hello\n") == b"hello\n"
        end = ended(process)
        assert (end.status, end.err) == (-signal.SIGPIPE, "")
        assert is_back(sock_dir)


def test_reader_of_stdout_that_goes_in_silence_ends_it_too(sock_dir: str) -> None:
    with tapping(sock_dir, "-q") as process:
        assert process.stdout is not None
        process.stdout.close()
        process.stdout = None
        assert ended(process).status == -signal.SIGPIPE
        assert is_back(sock_dir)


def test_full_stdout_ends_it_with_status_1_and_what_was_not_shown(sock_dir: str) -> None:
    with open("/dev/full", "wb") as full, tapping(sock_dir, "-q", stdout=full) as process:
        assert ask(f"{sock_dir}/s", b"hello\n") == b"hello\n"
        end = ended(process)
        assert end.status == 1
        assert "cannot write to STDOUT: no space left on device (ENOSPC)" in end.err
        assert " not shown\n" in end.err
        assert is_back(sock_dir)


@pytest.fixture
def small() -> tuple[str, ...]:
    """Files may have 16 blocks, of 512 or 1024 bytes."""
    return "/bin/sh", "-c", 'ulimit -f 16; exec "$@"', "sh"


def test_full_disk_under_a_recording_is_one_line_and_the_conversations_go_on(
    sock_dir: str, tmp_path: Path, small: tuple[str, ...]
) -> None:
    path = f"{tmp_path}/f"
    with tapping(sock_dir, "--write", path, prefix=small) as process:
        data = b"x" * 20_000
        assert [ask(f"{sock_dir}/s", data) for _ in range(3)] == [data] * 3
        end = stop(process)
    assert end.status == 1
    warning = f"afunix: warning: recording '{path}' stopped: file too large (EFBIG); the conversations go on"
    assert end.err.count(warning) == 1
    assert f" were not recorded in '{path}'\n" in end.err
    read_capture((tmp_path / "f").read_bytes())


def test_strict_says_why_it_ends_before_it_says_what_goes_on(
    sock_dir: str, tmp_path: Path, small: tuple[str, ...]
) -> None:
    options = ("--strict", "--drain", "0s", "--write", f"{tmp_path}/f")
    with tapping(sock_dir, *options, prefix=small) as process, socket.socket(socket.AF_UNIX) as client:
        client.connect(f"{sock_dir}/s")
        client.sendall(b"x" * 20_000)
        end = ended(process)
        assert is_back(sock_dir)
    assert end.status == 1
    why, goes_on = end.err.splitlines()[:2]
    assert why == f"afunix: error: recording '{tmp_path}/f' stopped: file too large (EFBIG)"
    assert "1 connection through here goes on until it ends, for at most 0 s" in goes_on
    assert end.err.count("EFBIG") == 1


def test_full_disk_is_an_error_before_anything_is_tapped(sock_dir: str) -> None:
    with serving(f"{sock_dir}/s", echo):
        end = run("tap", "--write", "/dev/full", f"{sock_dir}/s")
    assert end.status == 1
    assert end.err == (
        "afunix: error: cannot write the recording '/dev/full': no space left on device (ENOSPC)\n"
    )


def test_fifo_that_nobody_reads_is_told_of_and_not_waited_for_at_the_end(
    sock_dir: str, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "f")
    with tapping(sock_dir, "--write", f"{tmp_path}/f") as process:
        ask(f"{sock_dir}/s", b"hello\n")
        assert process.stderr is not None
        told = process.stderr.readline().decode()
        began_s = time.monotonic()
        end = stop(process)
        assert time.monotonic() - began_s < 4
    missing = f"nobody reads the FIFO '{tmp_path}/f' (ENXIO)"
    assert told == f"afunix: warning: {missing}: the recording waits for a reader\n"
    assert end.status == 1
    assert f"error: {missing}; 2 messages (12 B) were not recorded in '{tmp_path}/f'\n" in end.err


def test_with_strict_a_fifo_that_nobody_reads_ends_it(sock_dir: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "f")
    with tapping(sock_dir, "-q", "--strict", "--write", f"{tmp_path}/f") as process:
        end = ended(process)
        assert is_back(sock_dir)
    assert end.status == 1
    assert f"error: nobody reads the FIFO '{tmp_path}/f' (ENXIO)\n" in end.err


def test_stdout_that_nobody_reads_holds_up_nobody(sock_dir: str) -> None:
    def take(connection: socket.socket) -> None:
        connection.sendall(str(len(read_all(connection))).encode())

    data = bytes(24 << 20)  # which is five times as much in hexadecimal: more than waits for STDOUT
    with serving(f"{sock_dir}/s", take), ready("tap", "-q", "--hex", f"{sock_dir}/s") as process:
        assert ask(f"{sock_dir}/s", data) == str(len(data)).encode()
        end = stop(process)
    assert end.status == 1
    assert "not shown" in end.err


# How it ends


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_puts_the_path_back_and_is_status_0(sock_dir: str, number: int) -> None:
    with tapping(sock_dir, "-q") as process:
        assert sorted(os.listdir(sock_dir)) == ["s", "s.tapped"]
        assert stop(process, number).status == 0
        assert is_back(sock_dir)


def test_notes_say_where_it_stands_and_that_it_has_stepped_back(sock_dir: str) -> None:
    with tapping(sock_dir, "-v") as process:
        err = stop(process).err
    assert f"in front of '{sock_dir}/s' until stopped (Ctrl-C)" in err
    assert f"its server's socket is '{sock_dir}/s.tapped'" in err
    assert f"'{sock_dir}/s' leads to its server again" in err


def test_conversation_goes_on_after_a_stop_and_that_is_said(sock_dir: str) -> None:
    with tapping(sock_dir) as process, socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE_S)
        client.connect(f"{sock_dir}/s")
        client.send(b"one")
        assert client.recv(10) == b"one"
        process.terminate()
        wait_until(lambda: is_back(sock_dir))
        client.send(b"two")
        assert client.recv(10) == b"two"
        client.close()
        end = ended(process)
    assert end.status == 0
    assert "1 connection through here goes on until it ends; a second signal cuts it short" in end.err
    assert b" > two" in end.out


def test_second_signal_or_drain_cuts_conversations_short(sock_dir: str) -> None:
    with tapping(sock_dir, "-q", "--drain", "0s") as process, socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE_S)
        client.connect(f"{sock_dir}/s")
        client.send(b"one")
        assert client.recv(10) == b"one"
        assert stop(process).status == 0


@pytest.mark.parametrize("number", [signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU])
def test_stop_of_a_terminal_does_not_hang_clients(sock_dir: str, number: int) -> None:
    with tapping(sock_dir, "-q") as process:
        status = Path(f"/proc/{process.pid}/status").read_text()
        ignored = int(status.partition("SigIgn:")[2].split()[0], 16)
        assert ignored >> (number - 1) & 1  # also where nothing would stop it: an orphaned process group
        process.send_signal(number)
        assert ask(f"{sock_dir}/s", b"hello\n") == b"hello\n"
        assert stop(process).status == 0


def test_server_that_stops_listening_ends_it_with_status_4(sock_dir: str) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{sock_dir}/s")
        server.listen()
        with ready("tap", "-q", f"{sock_dir}/s") as process:
            server.close()
            end = ended(process)
    assert end.status == 4
    assert f"error: nobody listens at '{sock_dir}/s' any more" in end.err


def test_path_that_somebody_removes_ends_it_with_status_4(sock_dir: str) -> None:
    with tapping(sock_dir, "-q") as process:
        os.unlink(f"{sock_dir}/s")
        end = ended(process)
        assert end.status == 4
        assert f"error: somebody has removed '{sock_dir}/s' while it was tapped" in end.err
        assert os.listdir(sock_dir) == []


# What cannot be


@pytest.mark.parametrize(
    ("args", "status", "words"),
    [
        (["--hex", "--json", "s"], 2, "--hex and --json exclude each other"),
        (["--text", "--write", "-", "s"], 2, "--text and --write - exclude each other"),
        (["--max-bytes", "9", "--write", "f", "s"], 2, "--max-bytes is about what is shown"),
        (["--port", "80", "s"], 2, "--port is about what --write records"),
        (["--port", "65536", "--write", "f", "s"], 2, "--port: 65536 is no port"),
        (["--mode", "600", "s"], 2, "--mode goes with --listen"),
        (["--connection", "0", "s"], 2, "--connection: 0 is too few"),
        (["--user", "no-such-user", "s"], 2, "there is no user 'no-such-user'"),
        (["fd:3"], 2, "'fd:3' is an inherited socket"),
        (["@name"], 2, "'@name' has no file that could be swapped"),
        (["tcp:localhost:80"], 2, "is no Unix socket"),
        (["absent"], 3, "'absent' cannot be tapped: expected a live socket there, found none (ENOENT)"),
        (["."], 6, "'.' is a directory, expected a socket"),
    ],
)
def test_what_has_no_meaning_is_refused(sock_dir: str, args: list[str], status: int, words: str) -> None:
    end = run("tap", *args, cwd=sock_dir)
    assert (end.status, end.out) == (status, b"")
    assert end.err.startswith("afunix: error: ")
    assert words in end.err
    assert os.listdir(sock_dir) == []


def test_stale_socket_is_status_4(sock_dir: str) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{sock_dir}/s")
    assert run("tap", f"{sock_dir}/s").status == 4


def test_closed_stdout_is_refused_where_something_would_go_there(sock_dir: str) -> None:
    end = run("tap", f"{sock_dir}/s", shell_prefix='"$@" >&-')
    assert end.status == 2
    assert "STDOUT is closed, and what is said has to go there" in end.err


def test_tapped_socket_is_not_tapped_again(sock_dir: str) -> None:
    with tapping(sock_dir, "-q") as process:
        end = run("tap", f"{sock_dir}/s")
        assert end.status == 10
        assert f"'{sock_dir}/s' is tapped already" in end.err
        stop(process)


# Another name, and as whom


def test_listen_leaves_the_path_alone(sock_dir: str) -> None:
    options = ("--listen", f"{sock_dir}/new", "--mode", "660")
    with tapping(sock_dir, "-q", *options) as process:
        assert ask(f"{sock_dir}/new", b"hello\n") == b"hello\n"
        assert os.stat(f"{sock_dir}/new").st_mode & 0o777 == 0o660
        assert sorted(os.listdir(sock_dir)) == ["new", "s"]
        assert b"> hello" in stop(process).out
        assert is_back(sock_dir)


def test_as_me_is_said_plainly(sock_dir: str) -> None:
    with tapping(sock_dir, "-v", "--as-me") as process:
        ask(f"{sock_dir}/s", b"")
        err = stop(process).err
    assert f"'{sock_dir}/s' sees " in err
    assert " for everybody, whoever the client is" in err


def test_refusal_names_the_path_and_not_what_is_dialled(sock_dir: str) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{sock_dir}/s")
        server.listen()
        with ready("tap", f"{sock_dir}/s") as process:
            server.close()
            with suppress(ConnectionError):
                ask(f"{sock_dir}/s", b"")
            end = ended(process)
    assert b"closed: refused: " in end.out
    assert "/proc/self/fd" not in end.out.decode() + end.err
