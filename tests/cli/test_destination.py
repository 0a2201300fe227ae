"""Where pictures may go: asked before any work is done, without a trace."""

from __future__ import annotations

import os

import click
import pytest

from afunix.cli.destination import check_destination


@pytest.mark.parametrize("name", ["", ".svg", "a/.svg", "a/"])
def test_what_names_no_file_is_wrong_use(name: str) -> None:
    with pytest.raises(click.UsageError, match="is not the name of a file"):
        check_destination(name, is_several=False)


def test_stdout_takes_one_picture() -> None:
    check_destination("-", is_several=False)
    with pytest.raises(click.UsageError, match="several pictures cannot go to STDOUT"):
        check_destination("-", is_several=True)


@pytest.mark.parametrize("is_several", [False, True])
def test_nothing_is_left_of_a_file_that_can_be_made(sock_dir: str, is_several: bool) -> None:
    check_destination(f"{sock_dir}/a.svg", is_several=is_several)
    assert os.listdir(sock_dir) == []


def test_file_that_is_there_keeps_what_is_in_it(sock_dir: str) -> None:
    with open(f"{sock_dir}/a.svg", "w") as file:
        file.write("before")
    check_destination(f"{sock_dir}/a.svg", is_several=False)
    with open(f"{sock_dir}/a.svg") as file:
        assert file.read() == "before"


def test_link_that_leads_nowhere_stays_one(sock_dir: str) -> None:
    os.symlink("b.svg", f"{sock_dir}/a.svg")
    check_destination(f"{sock_dir}/a.svg", is_several=False)
    assert os.listdir(sock_dir) == ["a.svg"]


def test_fifo_is_not_waited_for(sock_dir: str) -> None:
    os.mkfifo(f"{sock_dir}/a.svg")
    check_destination(f"{sock_dir}/a.svg", is_several=False)


def test_directory_is_refused_with_its_name(sock_dir: str) -> None:
    with pytest.raises(IsADirectoryError) as refused:
        check_destination(sock_dir, is_several=False)
    assert refused.value.filename == sock_dir


def test_numbered_picture_is_the_one_that_is_tried(sock_dir: str) -> None:
    os.mkdir(f"{sock_dir}/a-1.svg")
    check_destination(f"{sock_dir}/a.svg", is_several=False)
    with pytest.raises(IsADirectoryError):
        check_destination(f"{sock_dir}/a.svg", is_several=True)
