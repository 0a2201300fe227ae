"""`afunix demo` as a person runs it: stories, experiments, files, pictures; wrong words, and nothing left behind."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.program import PATIENCE_S, Ended, ended, environment, run, start

from afunix.cli import demo as cli_demo
from afunix.cli.drawing import Screen
from afunix.tools.demo.experiment import Experiment
from afunix.tools.demo.experiments import EXPERIMENTS
from afunix.tools.demo.stage import Stage

SVG = "{http://www.w3.org/2000/svg}svg"


def demo(sock_dir: str, *args: str, shell_prefix: str = "", **changes: str) -> Ended:
    """A run whose temporary directories are made in `sock_dir`, which has to be empty afterwards."""
    os.mkdir(f"{sock_dir}/t")
    env = environment(TMPDIR=f"{sock_dir}/t", **changes)
    done = run("demo", *args, env=env, cwd=sock_dir, shell_prefix=shell_prefix)
    os.rmdir(f"{sock_dir}/t")
    return done


def written(folder: str, name: str, data: bytes) -> str:
    with open(f"{folder}/{name}", "wb") as file:
        file.write(data)
    return name


def test_main_story_has_a_server_and_two_clients(sock_dir: str) -> None:
    done = demo(sock_dir)
    out = done.out.decode()
    assert (done.status, done.err) == (0, "")
    assert re.search(r"│ server +│ .*│ client 1 +│ .*│ client 2 +│", out)
    assert len(re.findall(r"pid \d+", out)) == 3
    assert re.search(r"\+\d+(\.\d+)? (µs|ms|s) .*● accept\(3\) = \d+", out)
    assert re.search(
        r"On the STDOUT of the server:\n\n  hello from client \d\n  hello from client \d\n$", out
    )


def test_reproducible_story_says_the_same_every_time(sock_dir: str) -> None:
    outs = {demo(sock_dir, "--reproducible", "--inside").out for _ in range(5)}
    assert len(outs) == 1
    assert b"pid" not in outs.pop()


def test_experiment_says_what_it_tries_and_what_it_means(sock_dir: str) -> None:
    done = demo(sock_dir, "half-close", COLUMNS="500")
    out = done.out.decode()
    experiment = EXPERIMENTS["half-close"]
    flat = " ".join(out.split())
    assert (done.status, done.err) == (0, "")
    assert [flat.index(words) for words in (experiment.question, experiment.plan)] < [
        flat.index("shutdown(4, SHUT_WR)")
    ]
    assert " ".join(experiment.explanation.split()) in flat
    assert out.endswith("Read: shutdown(2), close(2)\n")


def test_several_experiments_come_one_after_the_other(sock_dir: str) -> None:
    out = demo(sock_dir, "socketpair", "abstract").out.decode()
    assert 0 == out.index("socketpair: ") < out.index("\nabstract: ")


def test_list_names_every_experiment_with_its_question(sock_dir: str) -> None:
    _, *rows = demo(sock_dir, "--list").out.decode().splitlines()
    assert [tuple(re.split(" {2,}", row)) for row in rows] == [
        (name, experiment.question) for name, experiment in EXPERIMENTS.items()
    ]


def test_plain_text_keeps_to_80_columns_or_to_columns_wished(sock_dir: str) -> None:
    for wished, limit in (("", 80), ("120", 120), ("nonsense", 80)):
        lines = demo(sock_dir, "--inside", COLUMNS=wished).out.decode().splitlines()
        assert limit - 40 < max(map(len, lines)) <= limit
    assert b"\x1b" not in demo(sock_dir).out


def test_files_come_out_as_they_went_in(sock_dir: str) -> None:
    contents = [os.urandom(200_000), b"", b"no newline"]
    files = [written(sock_dir, f"f{number}", data) for number, data in enumerate(contents)]
    done = demo(sock_dir, *(word for file in files for word in ("--send", file)))
    assert done.status == 0
    rows = re.findall(
        r"^(\d) +(f\d) +([\d,]+) +([0-9a-f]{16}) +\4  the same$", done.out.decode(), re.MULTILINE
    )
    assert [(row[1], row[2]) for row in rows] == [("f0", "200,000"), ("f1", "0"), ("f2", "10")]


def test_file_that_changed_meanwhile_is_different_and_status_1(sock_dir: str) -> None:
    done = demo(sock_dir, "--send", "/proc/uptime")  # every time that it is read it says something else
    assert done.status == 1
    assert re.search(r"/proc/uptime .* ([0-9a-f]{16})  (?!\1)[0-9a-f]{16}  DIFFERENT\n", done.out.decode())
    assert "error: '/proc/uptime' is not what came out" in done.err


def test_picture_is_an_svg_and_nothing_else_is_said(sock_dir: str) -> None:
    done = demo(sock_dir, "--clients", "1", "--svg", "a.svg")
    assert (done.status, done.out, done.err) == (0, b"", "")
    assert ElementTree.parse(f"{sock_dir}/a.svg").getroot().tag == SVG


def test_picture_goes_to_stdout(sock_dir: str) -> None:
    done = demo(sock_dir, "--clients", "1", "--reproducible", "--svg", "-")
    assert ElementTree.fromstring(done.out).tag == SVG


def test_pictures_of_several_stories_are_numbered(sock_dir: str) -> None:
    assert demo(sock_dir, "socketpair", "abstract", "--svg", "./a.b.svg").status == 0
    assert "a.b-1.svg" in os.listdir(sock_dir)
    assert "a.b.svg" not in os.listdir(sock_dir)


def test_several_pictures_on_stdout_are_wrong_use(sock_dir: str) -> None:
    done = demo(sock_dir, "socketpair", "abstract", "--svg", "-")
    assert (done.status, done.out) == (2, b"")
    assert "pictures cannot go to STDOUT together" in done.err


def test_picture_that_cannot_be_written_costs_no_work(sock_dir: str) -> None:
    missing = f"{sock_dir}/missing"
    done = run("demo", "--svg", sock_dir, env=environment(TMPDIR=missing))  # where no story could be made
    assert (done.status, done.out) == (1, b"")
    assert done.err.startswith(f"afunix: error: '{sock_dir}': is a directory (EISDIR)")


def test_picture_that_cannot_be_written_is_status_1(sock_dir: str) -> None:
    done = demo(sock_dir, "--clients", "1", "--svg", "none/a.svg")
    assert (done.status, done.err) == (1, "afunix: error: 'none/a.svg': no such file or directory (ENOENT)\n")


def test_full_disk_is_status_1(sock_dir: str) -> None:
    done = demo(sock_dir, "--clients", "1", "--svg", "/dev/full")
    assert (done.status, done.err) == (1, "afunix: error: '/dev/full': no space left on device (ENOSPC)\n")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (
            ["half-clos"],
            "error: there is no experiment 'half-clos'\nafunix: hint: did you mean 'afunix demo half-close'?",
        ),
        (["\x1b[1m"], "error: there is no experiment '^[[1m'\nafunix: hint: 'afunix demo --list' names them"),
        (["--clients", "0"], "--clients: 0 cannot be drawn: expected 1 to 8"),
        (["--clients", "9"], "--clients: 9 cannot be drawn: expected 1 to 8"),
        (["--clients", "x"], "--clients: 'x' is not a valid integer"),
        (["--list", "--all"], "--list and --all exclude each other"),
        (["--list", "--inside"], "--list and --inside exclude each other"),
        (["--list", "--clients", "2"], "--list and --clients exclude each other"),
        (["--list", "--svg", "a.svg"], "--list and --svg exclude each other"),
        (["--list", "--reproducible"], "--list and --reproducible exclude each other"),
        (["--svg", ""], "'' after --svg is not the name of a file"),
        (["--svg", ".svg"], "'.svg' after --svg is not the name of a file"),
        (
            [*(["--send", "a"] * 6), "--svg", "a.svg"],
            "6 files are too many for a picture that can be read: expected at most 5",
        ),
        (["--all", "abstract"], "--all and EXPERIMENT exclude each other"),
        (["--send", "a", "abstract"], "EXPERIMENT and --send exclude each other"),
        (["--clients", "2", "abstract"], "--clients and EXPERIMENT exclude each other"),
        (["--clients", "2", "--send", "a"], "--clients and --send exclude each other"),
        (["--send", "a", "--reproducible"], "--send cannot be --reproducible"),
    ],
)
def test_wrong_use_is_status_2(args: list[str], words: str) -> None:
    done = run("demo", *args)
    assert (done.status, done.out) == (2, b"")
    assert words in done.err


def test_stdout_is_asked_for_only_by_what_is_shown_there(sock_dir: str) -> None:
    closed = '"$@" >&-'
    done = run("demo", "--clients", "1", "--svg", "a.svg", cwd=sock_dir, shell_prefix=closed)
    assert (done.status, done.err) == (0, "")
    for args, what in ((("--list",), "what is shown"), (("--svg", "-"), "the picture")):
        done = run("demo", *args, shell_prefix=closed)
        assert done.status == 2
        assert f"STDOUT is closed, and {what} has to go there" in done.err


def test_experiment_that_surprises_does_not_pass_for_explained(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    def surprise(stage: Stage) -> None:
        stage.surprise("water runs uphill")

    experiment = Experiment("odd", "is it odd?", "we try", "Water runs downhill.", ("unix(7)",), surprise)
    assert cli_demo._perform(Screen(), experiment, inside=False, reproducible=True) == 1
    out, err = capfdbinary.readouterr()
    assert (
        out.index(b"behaved otherwise")
        < out.index(b"water runs uphill")
        < out.index(b"Elsewhere it is so: Water")
    )
    assert b"water runs uphill" in err


def test_many_files_have_a_table_and_no_drawing(sock_dir: str) -> None:
    files = [written(sock_dir, f"f{number}", b"x" * number) for number in range(6)]
    done = demo(sock_dir, *(word for file in files for word in ("--send", file)))
    out = done.out.decode()
    assert done.status == 0
    assert "6 clients at once, which is too many for a drawing" in out
    assert "●" not in out
    assert out.count("the same\n") == 6


def test_low_limit_of_descriptors_is_no_obstacle_or_named(sock_dir: str) -> None:
    assert demo(sock_dir, "--clients", "1", shell_prefix='ulimit -n 100; exec "$@"').status == 0
    for limit in (10, 20):
        done = demo(sock_dir, "--clients", "1", shell_prefix=f'ulimit -n {limit}; exec "$@"')
        assert done.status == 1
        assert f"{limit} descriptors may be open in a process (RLIMIT_NOFILE)" in done.err
        assert "hint: allow more with 'ulimit -n 1024'" in done.err


@pytest.mark.parametrize(
    ("file", "words"),
    [("none", "'none': no such file or directory (ENOENT)"), ("/dev/null", "'/dev/null' is no regular file")],
)
def test_file_that_cannot_be_sent_is_status_1(sock_dir: str, file: str, words: str) -> None:
    done = demo(sock_dir, "--send", file)
    assert (done.status, done.out) == (1, b"")
    assert words in done.err


def test_reader_that_has_seen_enough_ends_it_by_sigpipe() -> None:
    process = start("demo", "--clients", "1")
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    assert ended(process) == Ended(-signal.SIGPIPE, b"", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_in_the_middle_leaves_no_file_and_no_process(sock_dir: str, number: int) -> None:
    process = start("demo", "--inside", "--clients", "8", env=environment(TMPDIR=sock_dir))
    children = wait_for_clients(process.pid)
    process.send_signal(number)
    assert ended(process) == Ended(-number, b"", "")
    assert os.listdir(sock_dir) == []
    assert not any(os.path.exists(f"/proc/{child}") for child in children)


def test_killed_demo_leaves_no_file_and_no_process(sock_dir: str) -> None:
    process = start("demo", "--inside", "--clients", "8", env=environment(TMPDIR=sock_dir))
    children = wait_for_clients(process.pid)
    process.kill()
    ended(process)
    deadline = time.monotonic() + PATIENCE_S
    while any(map(is_alive, children)) or os.listdir(sock_dir):
        assert time.monotonic() < deadline, os.listdir(sock_dir)


def is_alive(pid: str) -> bool:
    """Whether it runs; who has ended and is not waited for does not."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for_clients(pid: int) -> list[str]:
    """Until there are a server and a client: then there is a directory, too."""
    children: list[str] = []
    while len(children) < 2:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            children = file.read().split()
    return children


# ---- on a terminal


@contextmanager
def terminal(columns: int) -> Iterator[tuple[int, int]]:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 50, columns, 0, 0))
    try:
        yield master, slave
    finally:
        os.close(master)
        os.close(slave)


def on_terminal(columns: int, *args: str, **changes: str) -> str:
    with terminal(columns) as (master, slave):
        env = environment(TERM="xterm-256color", **changes)
        process = start(
            "demo", *args, stdin=subprocess.DEVNULL, stdout=slave, stderr=subprocess.DEVNULL, env=env
        )
        shown = b""
        while process.poll() is None or not shown.endswith(b"END"):
            if process.poll() is not None:
                os.write(slave, b"END")  # what it wrote is before that
            shown += read_some(master)
        assert process.wait(PATIENCE_S) == 0
    return shown.decode()


def read_some(master: int) -> bytes:
    import select

    return os.read(master, 1 << 16) if select.select([master], [], [], 0.1)[0] else b""


@pytest.mark.parametrize("columns", [80, 200])
def test_drawing_keeps_to_the_width_of_the_terminal(columns: int) -> None:
    shown = on_terminal(columns, "--reproducible", "--inside")
    lines = re.sub(r"\x1b\[[0-9;]*m", "", shown).replace("\r", "").split("\n")
    assert max(map(len, lines)) <= columns
    assert "\x1b[" in shown


def test_drawing_that_does_not_fit_is_not_torn() -> None:
    shown = on_terminal(60, "--clients", "8")
    words = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", shown).split())
    assert "columns wide, and the terminal has 60" in words
    assert "╭" not in shown


def test_no_color_has_no_colour() -> None:
    assert "\x1b[36m" in on_terminal(80)
    assert "\x1b[36m" not in on_terminal(80, NO_COLOR="1")
