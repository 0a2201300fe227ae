"""Names and numbers as they are shown: as they are, or the same in every run."""

from __future__ import annotations

import os

import pytest

from afunix.tools.demo.shown import RANDOM, Names


@pytest.fixture(params=[True, False], ids=["reproducible", "as they are"])
def names(request: pytest.FixtureRequest) -> Names:
    return Names("/tmp/af-1", reproducible=request.param)


STABLE = Names("/tmp/af-1", reproducible=True)
PLAIN = Names("/tmp/af-1", reproducible=False)


def test_files_are_shown_without_the_directory(names: Names) -> None:
    assert names.real("hello.sock") == "/tmp/af-1/hello.sock"
    assert names.address("hello.sock") == '"hello.sock"'
    assert names.told_address("/tmp/af-1/hello.sock") == '"hello.sock"'


def test_an_abstract_name_begins_with_nul_and_has_a_part_of_its_own() -> None:
    real = PLAIN.real(f"@a-{RANDOM}")
    assert isinstance(real, str) and real.startswith("\0a-") and RANDOM not in real
    assert PLAIN.address(f"@a-{RANDOM}") == f'"@{real[1:]}"'
    assert Names("/", reproducible=False).real(RANDOM) != PLAIN.real(f"@{RANDOM}")


def test_the_random_part_is_a_word_where_every_run_is_alike() -> None:
    real = STABLE.real(f"@a-{RANDOM}")
    assert isinstance(real, str)
    assert STABLE.address(f"@a-{RANDOM}") == '"@a-RANDOM"'
    assert STABLE.told_address(os.fsencode(real)) == '"@a-RANDOM"'


def test_a_name_that_the_kernel_told_leads_there_again(names: Names) -> None:
    real = names.real(f"@a-{RANDOM}")
    assert isinstance(real, str)
    assert names.real(names.staged(os.fsencode(real))) == real


def test_ports_that_the_kernel_chose_are_a_word() -> None:
    assert STABLE.address(("127.0.0.1", 34567)) == '"127.0.0.1:PORT"'
    assert STABLE.address(("127.0.0.1", 0)) == '"127.0.0.1:0"'
    assert PLAIN.address(("127.0.0.1", 34567)) == '"127.0.0.1:34567"'


def test_hostile_names_are_escaped(names: Names) -> None:
    assert names.address("a\x1b[2J\n") == '"a^[[2J^J"'


def test_descriptors_get_the_lowest_free_number() -> None:
    names = Names("/", reproducible=True)
    for fd in (17, 23, 30):
        names.opened(fd)
    names.closed(23)
    names.opened(99)
    assert [names.fd(fd) for fd in (17, 30, 99)] == [3, 5, 4]


def test_descriptors_keep_their_number_where_it_is_wanted() -> None:
    PLAIN.opened(17)
    assert PLAIN.fd(17) == 17


def test_processes_have_words() -> None:
    names = Names("/", reproducible=True)
    names.call_pid(4121, "CHILD")
    assert [names.pid(pid) for pid in (4121, 7, None)] == ["CHILD", "PID", "?"]
    assert PLAIN.pid(4121) == "4121"


def test_inodes_are_numbered_as_they_appear() -> None:
    names = Names("/", reproducible=True)
    assert [names.inode(inode) for inode in (812, 813, 812)] == [1001, 1002, 1001]
    assert PLAIN.inode(812) == 812
