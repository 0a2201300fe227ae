"""Names of users, groups and processes."""

from __future__ import annotations

import grp
import os
import pwd
import subprocess
import sys

import pytest

from afunix.kernel import names
from afunix.model.rules import Names, Rule, RuleError

NOBODY_HAS_IT = "no-such-name-here"


def test_a_user_and_a_group_are_found_both_ways() -> None:
    user, group = pwd.getpwuid(0), grp.getgrgid(0)
    assert names.uid_of(user.pw_name) == 0
    assert names.user_name(0) == user.pw_name
    assert names.gid_of(group.gr_name) == 0
    assert names.group_name(0) == group.gr_name


@pytest.mark.parametrize("name", [NOBODY_HAS_IT, "", "a\0b", "\ud800", "-1"])
def test_a_name_that_nobody_has_is_a_key_error(name: str) -> None:
    with pytest.raises(KeyError):
        names.uid_of(name)
    with pytest.raises(KeyError):
        names.gid_of(name)


@pytest.mark.parametrize("number", [3_987_654_321, 0xFFFFFFFF, 2**40])
def test_a_number_without_a_name_is_none(number: int) -> None:
    assert names.user_name(number) is None
    assert names.group_name(number) is None


def test_the_own_uid_is_the_effective_one() -> None:
    assert names.own_uid() == os.geteuid()


def test_the_module_serves_the_rules() -> None:
    looked_up: Names = names
    assert Rule.parse(f"user:{pwd.getpwuid(0).pw_name}", allows=True, names=looked_up).number == 0
    assert Rule.parse("me", allows=True, names=names).number == os.geteuid()
    with pytest.raises(RuleError):
        Rule.parse(f"group:{NOBODY_HAS_IT}", allows=True, names=names)


def test_a_name_is_looked_up_once_until_it_is_to_be_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    names.forget()
    asked = []
    ask = pwd.getpwuid

    def asking(uid: int) -> pwd.struct_passwd:
        asked.append(uid)
        return ask(uid)

    monkeypatch.setattr(pwd, "getpwuid", asking)
    assert names.user_name(0) == names.user_name(0)
    names.forget()
    names.user_name(0)
    assert asked == [0, 0]


def test_a_database_that_does_not_answer_is_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(number: int) -> None:
        raise OSError(5, "Input/output error")

    names.forget()
    monkeypatch.setattr(pwd, "getpwuid", fail)
    monkeypatch.setattr(grp, "getgrgid", fail)
    assert names.user_name(0) is None
    assert names.group_name(0) is None
    names.forget()


def test_the_comm_of_a_process_is_what_it_calls_itself() -> None:
    before = names.comm_of(os.getpid())
    try:
        _call_oneself(b"a) b\n\xff")
        assert names.comm_of(os.getpid()) == "a) b\n\udcff"
    finally:
        _call_oneself(os.fsencode(before or "python"))


@pytest.mark.parametrize("pid", [0, -1, 2**31 - 1])
def test_a_process_that_is_not_there_has_no_comm(pid: int) -> None:
    assert names.comm_of(pid) is None


def test_the_databases_are_not_loaded_before_they_are_needed() -> None:
    script = "import sys, afunix.kernel.names; print(sorted({'pwd', 'grp', 'ctypes'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-S", "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stdout == "[]\n"


def _call_oneself(name: bytes) -> None:
    with open("/proc/self/comm", "wb", buffering=0) as file:
        file.write(name)
