"""A refusal in words: the file, the user, the rule that decided, and the narrowest remedy."""

from __future__ import annotations

from dataclasses import replace

import pytest

from afunix.model.address import Address
from afunix.model.findings import Code, Finding
from afunix.model.ownership import FileKind
from afunix.model.permission import Access, AclEntry, AclTag, KnownNames, Person, Rights
from afunix.model.permission_words import denied
from afunix.model.surroundings import Component, Facts

ANA = Person(1000, 1000, name="ana")
KNOWN = KnownNames({0: "root"}, {0: "root", 20: "docker"})


def refused(
    rights: Rights, access: Access = Access.WRITE, person: Person = ANA, path: bytes = b"/run/s"
) -> Finding:
    facts = Facts(Address.pathname("/run/s"), person, known=KNOWN)
    kind = FileKind.DIRECTORY if rights.is_directory else FileKind.SOCKET
    (finding,) = denied(facts, Component(path, kind, rights), access)
    return finding


def test_who_may_is_told_nothing() -> None:
    facts = Facts(Address.pathname("/run/s"), ANA)
    assert [*denied(facts, Component(b"/run/s", rights=Rights(0o666, 0, 0)), Access.WRITE)] == []
    assert [*denied(facts, Component(b"/run/s"), Access.WRITE)] == []


def test_the_words_are_those_of_connect_and_name_the_group() -> None:
    found = refused(Rights(0o660, 0, 20))
    assert found.code is Code.DENIED_WRITE
    assert found.what == (
        "connecting needs write permission on '/run/s' (mode 0660, owner root, group docker);"
        " you are uid 1000 (ana) (EACCES)"
    )
    assert (
        found.why
        == "uid 1000 (ana) is neither its owner nor in its group docker, and the bits for others (---) lack w"
    )


def test_a_directory_is_named_with_the_address_behind_it() -> None:
    found = refused(Rights(0o700, 0, 0, is_directory=True), Access.SEARCH, path=b"/run/a b")
    assert found.code is Code.DENIED_SEARCH
    assert found.what.startswith("connecting to '/run/s' needs search permission on '/run/a b' (mode 0700,")
    assert found.command == "setfacl -m u:ana:--x '/run/a b'"


def test_a_group_that_may_is_to_be_joined() -> None:
    assert refused(Rights(0o660, 0, 20)).command == "usermod -aG docker ana"


def test_a_group_that_was_joined_after_the_login_needs_a_new_one() -> None:
    late = replace(ANA, listed_groups=frozenset({20}))
    found = refused(Rights(0o660, 0, 20), person=late)
    assert found.command == "sg docker -c 'afunix connect /run/s'"
    assert found.hint is not None
    assert "log in again" in found.hint


@pytest.mark.parametrize(
    ("rights", "why", "command"),
    [
        (Rights(0o400, 1000, 0), "the owner's bits alone count (r--)", "chmod u+w /run/s"),
        (Rights(0o602, 0, 1000), "the group's bits count (---)", "setfacl -m u:ana:rw- /run/s"),
        (Rights(0o660, 0, 0), "neither its owner nor in its group root", "setfacl -m u:ana:rw- /run/s"),
        (Rights(0o660, 0, 77), "its group gid 77", "setfacl -m u:ana:rw- /run/s"),
        (
            Rights(0o640, 0, 0, (AclEntry(AclTag.USER, 6, 1000), AclEntry(AclTag.MASK, 4))),
            "an entry for uid 1000 (ana), which has w, but the list's mask takes it away",
            "setfacl -m u:ana:rw- /run/s",
        ),
        (
            Rights(0o660, 0, 0, (AclEntry(AclTag.NAMED_GROUP, 4, 1000), AclEntry(AclTag.MASK, 6))),
            "an entry for the group gid 1000 that uid 1000 (ana) is in, which lacks w",
            "setfacl -m u:ana:rw- /run/s",
        ),
    ],
)
def test_every_rule_has_its_reason_and_its_remedy(rights: Rights, why: str, command: str) -> None:
    found = refused(rights)
    assert found.why is not None
    assert why in found.why
    assert found.command == command


def test_what_is_not_known_here_cannot_be_mended_here() -> None:
    assert refused(Rights(0o600, 65534, 65534, knows_gid=False)).command is None


def test_a_name_that_no_command_takes_is_given_by_number() -> None:
    strange = Person(1000, 1000, name="a:b\x1b", is_me=False)
    found = refused(Rights(0o600, 0, 0), person=strange)
    assert found.command == "setfacl -m u:1000:rw- /run/s"
    assert "asked for uid 1000 (a:b^[)" in found.what
