"""Descriptors on a stage: written down, and closed once, whoever closes them."""

from __future__ import annotations

import os
import threading

import pytest
from tests.tools.demo.telling import calls

from afunix.tools.demo.calls import STARTING
from afunix.tools.demo.stage import Stage


def test_files_are_opened_read_and_unlinked() -> None:
    with Stage(reproducible=True) as stage:
        with stage.scene("files"):
            server = stage.actor("server")
            file = server.open_new("notes.txt")
            file.write(b"notes")
            file.rewind()
            file.read(9, b"notes")
            assert server.list_names() == ["notes.txt"]
            server.unlink("notes.txt")
        assert calls(stage.result().stories[0])[:-1] == [
            'server: open("notes.txt", O_RDWR | O_CREAT) = 3',
            "server: write(3) = 5",
            "server: lseek(3, 0)",
            'server: read(3) = 5 "notes"',
            'server: readdir(".") = notes.txt',
            'server: unlink("notes.txt")',
        ]


def test_a_descriptor_is_closed_once() -> None:
    with Stage(reproducible=True) as stage:
        with stage.scene("twice"):
            file = stage.actor("server").open_new("notes.txt")
            file.close()
            file.close()
        assert calls(stage.result().stories[0])[1:] == ["server: close(3)"]
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(file.fd)


def test_a_file_that_says_something_else_is_a_surprise() -> None:
    with Stage(reproducible=True) as stage:
        with stage.scene("files"):
            stage.actor("server").open_new("notes.txt").read(9, b"notes")
        assert stage.result().surprises == ("read(3) gave b'', expected b'notes'",)


def test_nothing_is_closed_while_a_process_starts_that_has_it_too() -> None:
    with Stage() as stage, stage.scene("files"):
        file = stage.actor("server").open_new("notes.txt")
        closing = threading.Thread(target=file.close)
        with STARTING:
            closing.start()
            closing.join(0.1)
            assert os.fstat(file.fd)
        closing.join()
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(file.fd)
