"""Rules written as strings: what they say, what is refused, and when names are looked up."""

from __future__ import annotations

import copy
import os
import pickle
from typing import Any

import pytest

import afunix
from afunix.kernel import names
from afunix.kernel.written_rules import Rules
from afunix.model import rules
from afunix.model.credentials import PeerCredentials
from afunix.model.rules import RuleError


def peer(uid: int, gid: int = 65534) -> PeerCredentials:
    return PeerCredentials(1, uid, gid)


def test_these_are_the_rules_of_the_library() -> None:
    assert afunix.Rules is Rules
    assert issubclass(Rules, rules.Rules)


def test_allow_admits_whom_it_names_and_nobody_else() -> None:
    admitted = Rules("allow user:1000", "allow root")
    assert [admitted.decide(peer(uid)).admitted for uid in (1000, 0, 1001)] == [True, True, False]


def test_deny_wins_over_allow_whatever_the_order() -> None:
    for written in (("deny group:27", "allow any"), ("allow any", "deny group:27")):
        assert not Rules(*written).decide(peer(1000), [27]).admitted
        assert Rules(*written).decide(peer(1000), [28]).admitted


def test_no_rules_admit_everybody() -> None:
    assert not Rules()
    assert Rules().decide(peer(1000)).admitted


def test_names_of_the_system_become_numbers() -> None:
    assert [rule.number for rule in Rules("allow user:root", "deny group:root", "allow me").rules] == [
        0,
        0,
        os.geteuid(),
    ]


def test_names_are_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def uid_of(name: str) -> int:
        asked.append(name)
        return 77

    monkeypatch.setattr(names, "uid_of", uid_of)
    made = Rules("allow user:app")
    assert made.decide(peer(77)).admitted
    assert asked == ["app"]


def test_decision_quotes_the_rule() -> None:
    assert Rules("deny user:77").decide(peer(77)).reason == "denied by 'user:77'"


def test_spaces_around_do_not_matter_and_a_name_may_hold_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "gid_of", {"domain users": 5}.__getitem__)
    assert Rules("  allow   group:domain users ") == Rules("allow group:5")


@pytest.mark.parametrize(
    ("written", "said", "hint"),
    [
        (
            "user:app",
            "'user:app' starts with 'user:app', expected 'allow' or 'deny'",
            "write 'allow user:app'",
        ),
        ("permit root", "'permit root' starts with 'permit', expected 'allow' or 'deny'", None),
        ("Allow root", "'Allow root' starts with 'Allow', expected 'allow' or 'deny'", None),
        ("", "'' starts with '', expected 'allow' or 'deny'", None),
        ("allow", "'' is no rule: expected user:NAME, group:NAME, root, me or any", None),
        ("deny everybody", "'everybody' is no rule: expected user:NAME", None),
        ("allow user:no-such-user", "there is no user 'no-such-user' on this system", "getent passwd"),
        ("allow user:4294967295", "'4294967295' is no user id", None),
        (["allow root"], "a rule is of the type 'list', expected a string such as", "several arguments"),
        (b"allow root", "a rule is of the type 'bytes', expected a string such as", "several arguments"),
    ],
)
def test_what_is_no_rule_is_refused(written: Any, said: str, hint: str | None) -> None:
    with pytest.raises(RuleError) as caught:
        Rules(written)
    assert str(caught.value).startswith(said)
    assert (hint or "") in (caught.value.hint or "")


def test_what_terminals_obey_is_escaped_in_the_message() -> None:
    with pytest.raises(RuleError) as caught:
        Rules("\x1b[31m root")
    assert "\x1b" not in str(caught.value)


def test_equal_are_those_that_decide_the_same() -> None:
    assert Rules("allow root", "deny user:5") == Rules("deny user:5", "allow user:0")
    assert len({Rules("allow root"), Rules("allow user:0")}) == 1
    assert Rules("allow root") != Rules("deny root")
    assert Rules("allow root") != "allow root"


def test_repr_can_be_pasted() -> None:
    shown = "Rules('allow user:0', 'deny group:27')"
    assert repr(Rules("allow user:0", "deny group:27")) == shown
    assert eval(shown) == Rules("allow user:0", "deny group:27")


def test_copies_are_equal() -> None:
    made = Rules("allow user:0", "deny group:27")
    assert copy.copy(made) == made
    assert pickle.loads(pickle.dumps(made)) == made
