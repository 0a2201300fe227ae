"""The server that Prometheus can watch, asked with curl."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator

import pytest
from tests.examples.running import Program, ask, client, running, stop
from tests.peers import require
from tests.program import Ended


@pytest.fixture
def path(sock_dir: str) -> str:
    return f"{sock_dir}/s"


@pytest.fixture
def server(path: str) -> Iterator[Program]:
    with running("prometheus.py", path) as program:
        client(f"{path}.metrics").close()
        yield program


def curl(path: str, *options: str, page: str = "metrics") -> str:
    command = [require("curl"), "--silent", "--show-error", "--max-time", "20", *options]
    command += ["--unix-socket", f"{path}.metrics", f"http://localhost/{page}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def metrics(path: str) -> dict[str, int]:
    lines = [line for line in curl(path).splitlines() if not line.startswith("#")]
    return {name: int(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def test_what_happened_is_counted(server: Program, path: str) -> None:
    for _ in range(3):
        ask(path)
    with client(path) as stream:
        stream.send(b"four")
        stream.receive_exactly(4)
        found = metrics(path)
    assert found['afunix_events_total{event="Accepted"}'] == 4
    assert found["afunix_accepted_total"] == 4
    assert found["afunix_received_bytes_total"] == found["afunix_sent_bytes_total"] == 3 * 6 + 4
    assert 1 <= found["afunix_clients"] <= 4


def test_every_line_is_in_the_text_format(server: Program, path: str) -> None:
    ask(path)
    sample = r'[a-z_]+(\{event="[A-Za-z]+"\})? \d+'
    comment = r"# TYPE [a-z_]+ (counter|gauge)"
    assert [line for line in curl(path).splitlines() if not re.fullmatch(f"{sample}|{comment}", line)] == []


def test_each_metric_is_declared_once_and_before_it_is_given(server: Program, path: str) -> None:
    declared: list[str] = []
    for line in curl(path).splitlines():
        name = line.split()[2] if line.startswith("#") else re.split(r"[{ ]", line)[0]
        assert (name in declared) != line.startswith("#")
        declared.append(name)


def test_the_answer_says_what_it_is(server: Program, path: str) -> None:
    head = curl(path, "--include").split("\n\n")[0]
    assert head.startswith("HTTP/1.0 200 OK")
    assert "Content-Type: text/plain; version=0.0.4" in head


def test_there_is_nothing_else(server: Program, path: str) -> None:
    assert curl(path, "--include", page="").startswith("HTTP/1.0 404 Not Found")


def test_sigterm_ends_it_without_a_word_and_without_a_trace(server: Program, path: str) -> None:
    curl(path)
    assert stop(server) == Ended(0, b"", "")
    assert not os.path.lexists(path) and not os.path.lexists(f"{path}.metrics")
