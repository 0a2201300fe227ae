"""Hosts whose key is not known: refused, taken, or taken and known from then on, as ssh_config(5) says."""

from __future__ import annotations

import asyncio
import os
import subprocess

import pytest
from tests.peers import require
from tests.program import PATIENCE_S
from tests.sshd import Sshd, make_key, public

from afunix.model.address import Address
from afunix.model.errors import DeniedError, PeerMismatchError
from afunix.model.events import HostTrusted

pytest.importorskip("asyncssh")
from tests.endpoints.logins import log_in

from afunix.endpoints.ssh_login import Login


def configure(sshd: Sshd, *lines: str) -> None:
    sshd.write("config", sshd.read("config") + "".join(f"  {line}\n" for line in lines))


def trust(sshd: Sshd) -> list[HostTrusted]:
    """Log in; what was told of hosts that were believed."""

    async def run() -> list[HostTrusted]:
        told: list[HostTrusted] = []
        login = Login(Address.parse(f"ssh:far:{sshd.folder}/s"), on_unchecked=told.append)
        try:
            await login.connection()
        finally:
            await login.close()
        return told

    return asyncio.run(run())


def change_key(sshd: Sshd) -> None:
    make_key(f"{sshd.folder}/other")
    sshd.write("known_hosts", f"[127.0.0.1]:{sshd.port} {public(f'{sshd.folder}/other')}")


@pytest.mark.parametrize("word", ["", "StrictHostKeyChecking yes", "StrictHostKeyChecking ask"])
def test_unknown_host_is_refused_unless_something_else_is_said(sshd: Sshd, word: str) -> None:
    sshd.write("known_hosts", "")
    configure(sshd, word)
    with pytest.raises(PeerMismatchError, match="is not known"):
        log_in(sshd)
    assert sshd.read("known_hosts") == ""


@pytest.mark.parametrize("word", ["accept-new", "no", "off"])
def test_new_host_is_taken_told_and_known_from_then_on(sshd: Sshd, word: str) -> None:
    known = sshd.read("known_hosts")
    sshd.write("known_hosts", "# mine")
    configure(sshd, f"StrictHostKeyChecking {word}", "HashKnownHosts no")
    (told,) = trust(sshd)
    assert told.known_as == f"[127.0.0.1]:{sshd.port}"
    assert (told.saved_in, told.is_changed) == (f"{sshd.home}/.ssh/known_hosts", False)
    assert sshd.read("known_hosts") == "# mine\n" + known.rpartition(" ")[0] + "\n"
    assert trust(sshd) == []


def test_file_that_is_not_there_is_made_for_its_owner_alone(sshd: Sshd) -> None:
    os.remove(f"{sshd.home}/.ssh/known_hosts")
    configure(sshd, "StrictHostKeyChecking accept-new", "UserKnownHostsFile ~/.ssh/new/known")
    (told,) = trust(sshd)
    assert told.saved_in == f"{sshd.home}/.ssh/new/known"
    assert os.stat(told.saved_in).st_mode & 0o777 == 0o600
    assert trust(sshd) == []


def test_name_is_hashed_where_that_is_wanted(sshd: Sshd) -> None:
    sshd.write("known_hosts", "")
    configure(sshd, "StrictHostKeyChecking accept-new", "HashKnownHosts yes")
    assert trust(sshd)
    assert sshd.read("known_hosts").startswith("|1|")
    assert trust(sshd) == []


def test_ssh_itself_knows_the_host_then(sshd: Sshd) -> None:
    sshd.write("known_hosts", "")
    configure(sshd, "StrictHostKeyChecking accept-new", "HashKnownHosts yes")
    assert trust(sshd)
    found = subprocess.run(
        [require("ssh-keygen"), "-F", f"[127.0.0.1]:{sshd.port}", "-f", f"{sshd.home}/.ssh/known_hosts"],
        capture_output=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert found.returncode == 0


def test_changed_key_is_refused_where_only_new_ones_are_taken(sshd: Sshd) -> None:
    change_key(sshd)
    configure(sshd, "StrictHostKeyChecking accept-new")
    with pytest.raises(PeerMismatchError, match="HAS CHANGED"):
        log_in(sshd)


def test_changed_key_is_taken_and_told_where_nothing_is_checked(sshd: Sshd) -> None:
    change_key(sshd)
    before = sshd.read("known_hosts")
    configure(sshd, "StrictHostKeyChecking no")
    (told,) = trust(sshd)
    assert (told.is_changed, told.saved_in, sshd.read("known_hosts")) == (True, "", before)


def test_key_of_another_kind_is_taken_where_nothing_is_checked(sshd: Sshd) -> None:
    make_key(f"{sshd.folder}/other", "ecdsa")
    sshd.write("known_hosts", f"[127.0.0.1]:{sshd.port} {public(f'{sshd.folder}/other')}")
    configure(sshd, "StrictHostKeyChecking no")
    (told,) = trust(sshd)
    assert told.is_changed


@pytest.mark.parametrize("word", ["accept-new", "no"])
def test_revoked_key_is_never_taken(sshd: Sshd, word: str) -> None:
    sshd.write("known_hosts", f"@revoked * {public(f'{sshd.folder}/host')}")
    configure(sshd, f"StrictHostKeyChecking {word}")
    with pytest.raises(PeerMismatchError, match="IS REVOKED"):
        log_in(sshd)


def test_file_that_cannot_be_written_is_told_and_the_login_goes_on(sshd: Sshd) -> None:
    sshd.write("known_hosts", "")
    configure(sshd, "StrictHostKeyChecking accept-new", f"UserKnownHostsFile {sshd.folder}")
    (told,) = trust(sshd)
    assert (told.saved_in, told.reason) == ("", "Is a directory")


def test_nothing_is_written_where_no_file_is_wanted(sshd: Sshd) -> None:
    sshd.write("known_hosts", "")
    configure(sshd, "StrictHostKeyChecking accept-new", "UserKnownHostsFile none")
    (told,) = trust(sshd)
    assert (told.saved_in, told.reason, sshd.read("known_hosts")) == ("", "", "")


def test_null_device_forgets_and_does_not_fail(sshd: Sshd) -> None:
    configure(sshd, "StrictHostKeyChecking no", "UserKnownHostsFile /dev/null")
    assert len(trust(sshd)) == len(trust(sshd)) == 1


def test_host_whose_login_fails_is_known_all_the_same(sshd: Sshd) -> None:
    sshd.write("known_hosts", "")
    with open(f"{sshd.folder}/authorized", "w", encoding="ascii"):
        pass
    configure(sshd, "StrictHostKeyChecking accept-new", "HashKnownHosts no")
    with pytest.raises(DeniedError):
        log_in(sshd)
    assert sshd.read("known_hosts").startswith(f"[127.0.0.1]:{sshd.port} ssh-ed25519 ")
