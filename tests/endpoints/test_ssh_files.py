"""Which keys and which known hosts a login has, and what is said of those that cannot be used."""

from __future__ import annotations

import os
import subprocess

import pytest
from tests.peers import require
from tests.program import PATIENCE_S
from tests.sshd import Sshd

from afunix.model.errors import DeniedError, PeerMismatchError

pytest.importorskip("asyncssh")
from tests.endpoints.logins import log_in


def test_key_file_that_the_configuration_names_is_used(sshd: Sshd) -> None:
    os.rename(f"{sshd.home}/.ssh/id_ed25519", f"{sshd.home}/.ssh/mine")
    sshd.write("config", sshd.read("config") + "  IdentityFile ~/.ssh/none\n  IdentityFile ~/.ssh/mine\n")
    log_in(sshd)


def test_locked_key_is_named(sshd: Sshd) -> None:
    key = f"{sshd.home}/.ssh/id_ed25519"
    subprocess.run(
        [require("ssh-keygen"), "-q", "-p", "-N", "secret", "-f", key],
        check=True,
        timeout=PATIENCE_S,
        stdout=-3,
    )
    with pytest.raises(DeniedError, match="is locked by a passphrase"):
        log_in(sshd)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_key_that_cannot_be_read_is_named(sshd: Sshd) -> None:
    os.chmod(f"{sshd.home}/.ssh/id_ed25519", 0)
    with pytest.raises(DeniedError, match="cannot be used: permission denied"):
        log_in(sshd)


def test_host_is_known_by_its_alias(sshd: Sshd) -> None:
    known = sshd.read("known_hosts")
    sshd.write("known_hosts", f"[nick]:{sshd.port} {known.partition(' ')[2]}")
    sshd.write("config", sshd.read("config") + "  HostKeyAlias nick\n")
    log_in(sshd)


def test_known_hosts_may_have_bad_lines_and_be_elsewhere(sshd: Sshd) -> None:
    sshd.write("others", "@nonsense a b\n" + sshd.read("known_hosts"))
    sshd.write("known_hosts", "")
    sshd.write("config", sshd.read("config") + "  UserKnownHostsFile ~/.ssh/others\n")
    log_in(sshd)


def test_no_known_hosts_file_means_no_host_is_known(sshd: Sshd) -> None:
    sshd.write("config", sshd.read("config") + "  UserKnownHostsFile none\n")
    with pytest.raises(PeerMismatchError, match="is not known"):
        log_in(sshd)


def test_global_known_hosts_file_may_be_elsewhere(sshd: Sshd) -> None:
    sshd.write("others", sshd.read("known_hosts"))
    sshd.write("known_hosts", "")
    sshd.write("config", sshd.read("config") + "  GlobalKnownHostsFile ~/.ssh/others\n")
    log_in(sshd)
