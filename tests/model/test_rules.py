"""Who may connect: allow, deny, names, numbers, and those whom the kernel does not know."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afunix.model.credentials import UNKNOWN_ID, PeerCredentials
from afunix.model.errors import AddressError
from afunix.model.rules import Rule, RuleError, Rules, Subject, parse_id


class Names:
    """The look-up of a system with the users root and ana and the group app; we are ana."""

    def uid_of(self, name: str) -> int:
        return {"root": 0, "ana": 1000}[name]

    def gid_of(self, name: str) -> int:
        return {"root": 0, "app": 27}[name]

    def own_uid(self) -> int:
        return 1000


ROOT = PeerCredentials(1, 0, 0)
ANA = PeerCredentials(2, 1000, 1000)
BEN = PeerCredentials(3, 1001, 27)
UNKNOWN = PeerCredentials(None, UNKNOWN_ID, UNKNOWN_ID)


def rules(*written: str) -> Rules:
    """`allow X` and `deny X` as rules."""
    words = [each.split(" ", 1) for each in written]
    return Rules(Rule.parse(whom, allows=verb == "allow", names=Names()) for verb, whom in words)


def admitted(peer: PeerCredentials, *written: str, groups: tuple[int, ...] = ()) -> bool:
    return rules(*written).decide(peer, groups).admitted


@pytest.mark.parametrize(
    ("written", "subject", "number"),
    [
        ("user:ana", Subject.UID, 1000),
        ("user:1234", Subject.UID, 1234),
        ("user:0", Subject.UID, 0),
        ("user:3000000000", Subject.UID, 3_000_000_000),
        ("user:4294967294", Subject.UID, 4_294_967_294),
        ("group:app", Subject.GROUP, 27),
        ("group:3000000000", Subject.GROUP, 3_000_000_000),
        ("root", Subject.UID, 0),
        ("me", Subject.UID, 1000),
        ("any", Subject.ANY, 0),
    ],
)
def test_a_rule_is_read(written: str, subject: Subject, number: int) -> None:
    assert Rule.parse(written, allows=True, names=Names()) == Rule(True, subject, number, written)


@pytest.mark.parametrize(
    "written", ["", "ana", "root:", "user", "user:", "group:", ":ana", "User:ana", "uid:0", "any:", "\x1b"]
)
def test_what_is_no_rule_is_refused_with_what_was_expected(written: str) -> None:
    with pytest.raises(
        RuleError, match="is no rule: expected user:NAME, group:NAME, root, me or any"
    ) as caught:
        Rule.parse(written, allows=True, names=Names())
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "number", ["-1", "+1", "4294967295", "4294967296", "99999999999", "9" * 5000, "²", "--1"]
)
@pytest.mark.parametrize("kind", ["user", "group"])
def test_a_number_that_is_no_id_is_refused(kind: str, number: str) -> None:
    with pytest.raises(RuleError, match=f"is no {kind} id: expected a name or a number from 0 to 4294967294"):
        Rule.parse(f"{kind}:{number}", allows=False, names=Names())


@pytest.mark.parametrize(("kind", "database"), [("user", "passwd"), ("group", "group")])
def test_an_unknown_name_is_refused_with_where_to_look(kind: str, database: str) -> None:
    with pytest.raises(RuleError, match=f"there is no {kind} 'nobody-here' on this system") as caught:
        Rule.parse(f"{kind}:nobody-here", allows=True, names=Names())
    assert caught.value.hint == f"'getent {database}' lists them; a number works too"


def test_a_name_that_starts_with_a_sign_is_looked_up_and_a_number_never_is() -> None:
    asked: list[str] = []

    def look_up(name: str) -> int:
        asked.append(name)
        return 5

    assert parse_id("-x", "user", look_up) == 5
    assert parse_id("7", "user", look_up) == 7
    assert asked == ["-x"]


def test_a_rule_error_is_an_address_error() -> None:
    assert issubclass(RuleError, AddressError)


@given(st.integers(0, UNKNOWN_ID - 1))
def test_every_id_but_the_unknown_one_can_be_written(uid: int) -> None:
    assert parse_id(str(uid), "user", Names().uid_of) == uid


def test_without_rules_everybody_is_admitted() -> None:
    assert not Rules()
    assert admitted(ANA) and admitted(UNKNOWN)
    assert Rules().decide(ANA).reason == "no rule against it"


def test_a_deny_that_matches_refuses_whatever_is_allowed_in_any_order() -> None:
    for order in itertools.permutations(["allow any", "allow user:ana", "deny user:ana"]):
        assert not admitted(ANA, *order)
        assert admitted(BEN, *order)


def test_with_only_denials_the_others_are_admitted() -> None:
    assert admitted(BEN, "deny user:ana")
    assert not admitted(ANA, "deny user:ana")


def test_with_an_allow_the_others_are_refused() -> None:
    assert admitted(ANA, "allow user:ana", "allow root")
    assert admitted(ROOT, "allow user:ana", "allow root")
    assert not admitted(BEN, "allow user:ana", "allow root")


def test_root_is_refused_like_anybody_else() -> None:
    assert not admitted(ROOT, "allow me")
    assert not admitted(ROOT, "deny root")


def test_a_group_is_the_peers_own_or_a_supplementary_one() -> None:
    assert admitted(BEN, "allow group:app")
    assert admitted(ANA, "allow group:app", groups=(4, 27))
    assert not admitted(ANA, "allow group:app", groups=(4,))
    assert not admitted(ANA, "deny group:app", groups=(27,))


def test_a_uid_rule_does_not_look_at_groups() -> None:
    assert not admitted(ANA, "allow user:27", groups=(27,))
    assert not rules("allow user:27", "deny any").needs_groups
    assert rules("allow root", "deny group:app").needs_groups


@pytest.mark.parametrize("whom", ["user:ana", "group:app", "root", "me", "user:0"])
def test_a_peer_that_the_kernel_does_not_know_matches_only_any(whom: str) -> None:
    assert not admitted(UNKNOWN, f"allow {whom}", groups=(0, 27))
    assert admitted(UNKNOWN, f"deny {whom}", groups=(0, 27))
    assert admitted(UNKNOWN, f"allow {whom}", "allow any")
    assert not admitted(UNKNOWN, "deny any")


def test_a_decision_says_why() -> None:
    assert rules("deny user:ana").decide(ANA).reason == "denied by 'user:ana'"
    assert rules("allow me").decide(ANA).reason == "allowed by 'me'"
    assert rules("allow me").decide(BEN).reason == "no rule allows it"


def test_rules_can_be_counted_as_true() -> None:
    assert rules("allow any")
    assert len(rules("allow any", "deny root").rules) == 2
