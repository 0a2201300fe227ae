"""Who wants to connect: what the kernel knows of this process, what the database knows of others."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable
from typing import Any

import pytest

from afunix.kernel.person import own_person, person_called
from afunix.model.errors import AddressError

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")


@needs_root
def test_root_has_its_capabilities_and_an_ordinary_process_none(in_child: Callable[..., Any]) -> None:
    root, nobody = own_person(), in_child(own_person, uid=65534)
    assert (root.uid, root.may_override, root.may_search, root.is_me) == (0, True, True, True)
    assert (nobody.uid, nobody.may_override, nobody.may_search) == (65534, False, False)


@needs_root
def test_the_groups_of_the_process_count_and_those_of_the_database_are_remembered(
    in_child: Callable[..., Any],
) -> None:
    def become_without_groups() -> Any:
        os.setgroups([4711])
        os.setresuid(65534, 65534, 65534)
        return own_person()

    person = in_child(become_without_groups)
    assert person.all_groups == {0, 4711}
    assert person.listed_groups == {*os.getgrouplist("nobody", pwd.getpwnam("nobody").pw_gid)}


def test_somebody_else_is_as_after_a_login() -> None:
    nobody = pwd.getpwnam("nobody")
    for written in ("nobody", str(nobody.pw_uid)):
        person = person_called(written)
        assert (person.uid, person.gid, person.name, person.is_me) == (
            nobody.pw_uid,
            nobody.pw_gid,
            "nobody",
            False,
        )
        assert person.all_groups == {*os.getgrouplist("nobody", nobody.pw_gid)}
        assert not person.may_override


def test_root_is_taken_to_have_roots_capabilities() -> None:
    assert person_called("root").may_override


def test_a_number_that_nobody_has_is_one_without_groups() -> None:
    person = person_called("3999999999")
    assert (person.uid, person.name, person.groups) == (3999999999, None, frozenset())


@pytest.mark.parametrize(
    "written", ["no-such-user", "", "a\0b", "4294967295", "9" * 5000, "-1", "\udcff", "²", "٣"]
)
def test_who_does_not_exist_is_an_error(written: str) -> None:
    with pytest.raises(AddressError):
        person_called(written)
