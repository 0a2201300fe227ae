"""Processes that are started, listened to, and ended for certain, whatever goes wrong."""

from __future__ import annotations

import os
import subprocess

import pytest

from afunix.model import events
from afunix.model.errors import AfunixError, TimedOutError
from afunix.tools.demo import company as company_module
from afunix.tools.demo.company import Company


def is_running(pid: int) -> bool:
    return os.path.exists(f"/proc/{pid}")


def test_company_hears_what_a_server_does(sock_dir: str) -> None:
    with Company(sock_dir) as company:
        server = company.start("serve", "server", "s")
        company.wait_for(server, events.Listening)
        assert [type(report.event) for report in company.reports] == [
            events.Created,
            events.Bound,
            events.Listening,
        ]
        assert company.count(server) == 3
        assert company.processes()[0].pid == server.pid
        assert is_running(server.pid)
    assert not is_running(server.pid)


def test_failure_of_a_process_is_raised_in_its_own_words(sock_dir: str) -> None:
    with Company(sock_dir) as company:
        client = company.start("connect", "client", "s")
        with pytest.raises(AfunixError, match=r"^client: 's' does not exist \(ENOENT\)$") as failed:
            company.wait_for_end(client)
        assert failed.value.hint


def test_process_that_breaks_is_told_with_its_last_words(sock_dir: str) -> None:
    with Company(sock_dir) as company:
        broken = company.start("no such role", "server", "s")
        with pytest.raises(AfunixError, match=r"^server ended with status 1: KeyError: 'no such role'$"):
            company.wait_for_end(broken)


def test_process_that_is_killed_is_told(sock_dir: str) -> None:
    with Company(sock_dir) as company:
        server = company.start("serve", "server", "s")
        company.wait_for(server, events.Listening)
        server.process.kill()
        with pytest.raises(AfunixError, match="server ended with status -9: it said nothing"):
            company.wait_for(server, events.Accepted)


def test_silence_has_a_limit(sock_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Company(sock_dir) as company:
        server = company.start("serve", "server", "s")
        company.wait_for(server, events.Listening)
        monkeypatch.setattr(company_module, "PATIENCE_S", 0.01)
        with pytest.raises(TimedOutError, match=r"nothing happened .* while waiting for server \(Accepted\)"):
            company.wait_for(server, events.Accepted)
    assert not is_running(server.pid)


def test_exception_leaves_no_process(sock_dir: str) -> None:
    with pytest.raises(ZeroDivisionError), Company(sock_dir) as company:
        servers = [company.start("serve", f"server {n}", f"s{n}", stdout=subprocess.PIPE) for n in range(2)]
        raise ZeroDivisionError
    assert not any(is_running(server.pid) for server in servers)


def test_stream_is_read_to_its_end_beside_the_reports(sock_dir: str) -> None:
    came: list[bytes] = []
    with Company(sock_dir) as company:
        server = company.start("serve", "server", "s", stdout=subprocess.PIPE)
        assert server.process.stdout is not None
        company.listen_to(server.process.stdout, came.append)
        company.wait_for(server, events.Listening)
        assert company.is_listening_to_streams
        server.process.terminate()
        company.wait_until(lambda: not company.is_listening_to_streams, "the end")
    assert came == [b""]
