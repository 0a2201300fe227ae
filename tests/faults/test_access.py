"""Who is let in, who is shown, and whom a client trusts: by what the kernel says. Rows 18, 21, 22, 24, 25."""

from __future__ import annotations

import json
import os
import re
import subprocess

import pytest
from tests.faults import strangers
from tests.faults.running import Serve
from tests.faults.users import IS_ROOT, User
from tests.peers import require
from tests.program import ended

MANY_GROUPS = range(70_000, 70_400)


def connect(
    user: User, *args: str, prefix: list[str] | None = None, data: bytes = b""
) -> tuple[int, bytes, str]:
    process = user.start(
        "connect",
        *args,
        prefix=prefix or [],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    end = ended(process, data)
    return end.status, end.out, end.err


# 18


def test_refused_client_is_not_heard_and_named_once(user: User, place: str, stranger: int) -> None:
    path = f"{place}/s"
    with Serve(user, "--mode", "0666", "--allow", "me", path) as serve:
        found = strangers.act("say", stranger, path, "intruder\n")
        assert found in ({"answer": ""}, {"error": "ECONNRESET"}, {"error": "EPIPE"})
        assert connect(user, path, data=b"friend\n")[0] == 0
        end = serve.stop()
    assert end.out == b"friend\n"
    assert end.err.count("\n") == 1
    assert f"uid {stranger}" in end.err


def test_flood_of_refused_clients_is_a_few_lines_and_a_count(user: User, place: str, stranger: int) -> None:
    path = f"{place}/s"
    with Serve(user, "--mode", "0666", "--allow", "me", path) as serve:
        assert strangers.act("crowd", stranger, path, "200", "100") is None
        end = serve.stop()
    assert end.out == b""
    assert end.err.count("\n") <= 5
    told = end.err.count(": refused pid") + sum(
        int(count) for count in re.findall(r"(?:and|refused) (\d+) (?:others|more)", end.err)
    )
    assert told == 200, end.err


# 21


@pytest.mark.parametrize("number", ["-1", "4294967295", "99999999999", "+5", "0x10", ""])
def test_rule_for_a_uid_that_nobody_can_have_is_wrong_use(user: User, place: str, number: str) -> None:
    for option in ("--allow", "--deny"):
        with Serve(user, option, f"user:{number}", f"{place}/s", must_start=False) as serve:
            assert not serve.is_ready
            assert serve.end().status == 2


def test_uid_above_two_to_the_31_is_shown_unsigned_and_ruled_on(
    user: User, place: str, stranger: int
) -> None:
    path = f"{place}/s"
    large = 3_000_000_000
    with Serve(user, "--mode", "0666", "--allow", f"user:{large}", "--json", path) as serve:
        assert strangers.act("say", large, path, "large") == {"answer": ""}
        strangers.act("say", stranger, path, "other")
        end = serve.stop()
    (line,) = end.out.splitlines()
    assert (json.loads(line)["uid"], json.loads(line)["data"]) == (large, "large")
    assert f"uid {stranger}" in end.err


# 22


def test_last_of_400_groups_lets_in_and_none_of_them_does_not(user: User, place: str, stranger: int) -> None:
    path = f"{place}/s"
    with Serve(user, "--mode", "0666", "--allow", f"group:{MANY_GROUPS[-1]}", path) as serve:
        assert strangers.act("say", stranger, path, "in\n", groups=MANY_GROUPS) == {"answer": ""}
        strangers.act("say", stranger, path, "out\n", groups=MANY_GROUPS[:-1])
        assert serve.stop().out == b"in\n"


# 24


def abstract(place: str) -> str:
    return f"@afunix-test{place}"


def test_abstract_name_is_open_to_all_so_rules_decide(user: User, place: str, stranger: int) -> None:
    name = abstract(place)
    with Serve(user, "--allow", "me", name) as serve:
        strangers.act("say", stranger, name, "intruder\n")
        assert connect(user, name, data=b"friend\n")[0] == 0
        end = serve.stop()
    assert end.out == b"friend\n"
    assert f"uid {stranger}" in end.err


def test_abstract_name_that_is_taken_is_status_10(user: User, place: str) -> None:
    name = abstract(place)
    with Serve(user, name) as first, Serve(user, name, must_start=False) as second:
        end = second.end()
        assert end.status == 10
        assert f"'{name}' is in use" in end.err
        assert first.stop().status == 0
    with Serve(user, name) as third:
        assert third.stop().status == 0


def test_abstract_name_is_not_there_in_another_network_namespace(user: User, place: str) -> None:
    name = abstract(place)
    unshare = [require("unshare"), "-n" if user.uid == 0 and IS_ROOT else "-rn"]
    with Serve(user, name):
        status, out, err = connect(user, name, prefix=unshare)
    if "unshare failed" in err:
        pytest.skip(f"namespaces are not allowed here: {err}")
    assert (status, out) == (4, b"")
    assert f"nobody listens on the abstract name '{name}' (ECONNREFUSED)" in err


# 25


@pytest.mark.parametrize("where", ["path", "abstract"])
def test_squatter_gets_not_a_byte_from_a_client_that_requires_another(
    user: User, place: str, stranger: int, where: str
) -> None:
    os.chmod(place, 0o777)
    address = f"{place}/s" if where == "path" else abstract(place)
    with strangers.squatting(stranger, address) as squatter:
        status, out, err = connect(user, "--require", "user:root", address, data=b"secret\n")
        assert strangers.finish(squatter) == {"received": ""}
    assert (status, out) == (9, b"")
    assert f"uid {stranger}" in err or f"{stranger}" in err


def test_server_that_is_whom_the_client_requires_gets_all(user: User, place: str) -> None:
    with Serve(user, f"{place}/s") as serve:
        assert connect(user, "--require", f"user:{user.uid}", f"{place}/s", data=b"secret\n")[0] == 0
        assert serve.stop().out == b"secret\n"
