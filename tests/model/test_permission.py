"""Who may search and write: the kernel's rules, one by one. Its referee, the kernel, is in tests/tools/test_check.py."""

from __future__ import annotations

import pytest

from afunix.model.permission import (
    Access,
    AclEntry,
    AclTag,
    Decision,
    Person,
    Rights,
    Through,
    decide,
    groups_that_may,
)

ANA = Person(1000, 1000, groups=frozenset({20}))
ROOT = Person(0, 0, may_override=True, may_search=True)


def socket(mode: int, uid: int = 1, gid: int = 1, *acl: AclEntry) -> Rights:
    return Rights(mode, uid, gid, acl=acl or None)


def directory(mode: int, uid: int = 1, gid: int = 1) -> Rights:
    return Rights(mode, uid, gid, is_directory=True)


@pytest.mark.parametrize(
    ("rights", "decision"),
    [
        (socket(0o200, uid=1000), Decision(True, Through.OWNER)),
        (socket(0o577, uid=1000), Decision(False, Through.OWNER)),
        (socket(0o020, gid=1000), Decision(True, Through.GROUP, 1000)),
        (socket(0o020, gid=20), Decision(True, Through.GROUP, 20)),
        (socket(0o757, gid=20), Decision(False, Through.GROUP, 20)),
        (socket(0o002), Decision(True, Through.OTHER)),
        (socket(0o775), Decision(False, Through.OTHER)),
    ],
)
def test_only_the_bits_of_ones_own_class_count(rights: Rights, decision: Decision) -> None:
    assert decide(ANA, rights, Access.WRITE) == decision


def test_an_entry_for_the_user_comes_before_groups_and_is_masked() -> None:
    user = AclEntry(AclTag.USER, 2, 1000)
    group = AclEntry(AclTag.GROUP, 2)
    narrow, wide = AclEntry(AclTag.MASK, 4), AclEntry(AclTag.MASK, 6)
    assert decide(ANA, socket(0o640, 1, 20, user, group, narrow), Access.WRITE) == Decision(
        False, Through.ACL_USER, masked=True
    )
    assert decide(ANA, socket(0o660, 1, 1, user, group, wide), Access.WRITE) == Decision(
        True, Through.ACL_USER
    )


def test_one_group_of_several_that_gives_it_is_enough() -> None:
    acl = (AclEntry(AclTag.GROUP, 4), AclEntry(AclTag.NAMED_GROUP, 6, 1000), AclEntry(AclTag.MASK, 6))
    assert decide(ANA, socket(0o660, 1, 20, *acl), Access.WRITE) == Decision(True, Through.ACL_GROUP, 1000)


def test_a_group_in_the_list_that_lacks_it_shuts_out_what_others_have() -> None:
    acl = (AclEntry(AclTag.NAMED_GROUP, 4, 20), AclEntry(AclTag.MASK, 6), AclEntry(AclTag.OTHER, 6))
    assert decide(ANA, socket(0o666, 1, 1, *acl), Access.WRITE) == Decision(False, Through.ACL_GROUP, 20)


def test_a_list_whose_mask_gives_nothing_is_not_asked() -> None:
    acl = (AclEntry(AclTag.USER, 6, 1000), AclEntry(AclTag.MASK, 0), AclEntry(AclTag.OTHER, 6))
    assert decide(ANA, socket(0o606, 1, 1, *acl), Access.WRITE) == Decision(True, Through.OTHER)


def test_capabilities_give_what_the_file_does_not() -> None:
    searcher = Person(5, 5, may_search=True)
    assert decide(ROOT, socket(0), Access.WRITE) == Decision(True, Through.CAPABILITY)
    assert decide(ROOT, directory(0), Access.SEARCH).allowed
    assert decide(searcher, directory(0), Access.SEARCH).allowed
    assert not decide(searcher, socket(0), Access.WRITE).allowed


def test_no_capability_counts_where_the_owner_is_not_known() -> None:
    assert not decide(ROOT, Rights(0, 65534, 65534, knows_uid=False), Access.WRITE).allowed


def test_the_groups_that_may_are_those_of_the_mode_or_of_the_list() -> None:
    acl = (AclEntry(AclTag.GROUP, 4), AclEntry(AclTag.NAMED_GROUP, 6, 7), AclEntry(AclTag.MASK, 6))
    assert groups_that_may(socket(0o660, gid=20), Access.WRITE) == (20,)
    assert groups_that_may(socket(0o600, gid=20), Access.WRITE) == ()
    assert groups_that_may(socket(0o660, 1, 20, *acl), Access.WRITE) == (7,)


def test_an_owner_without_a_number_here_is_nobody_although_he_shows_as_somebody() -> None:
    nobody = Person(65534, 65534)
    assert decide(nobody, Rights(0o077, 65534, 65534, knows_uid=False), Access.WRITE).through is Through.GROUP
    unknown = Rights(0o007, 65534, 65534, knows_uid=False, knows_gid=False)
    assert decide(nobody, unknown, Access.WRITE) == Decision(True, Through.OTHER)
