"""What the files of OpenSSH say: the configuration, the keys to offer, those of the agent, the hosts that are known.

As ssh takes them: what is not there is passed over, and so is a line that is none. Nothing is asked of anybody, and
nothing is connected to but the agent. `config` is of one host, from `words_for`. What a login makes of it is not known
here.
"""

from __future__ import annotations

import getpass
import os
from dataclasses import dataclass, field
from typing import Any

import asyncssh
from asyncssh.config import SSHClientConfig

from ..model.ssh_address import SshTarget

_USUAL_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa", "id_ed25519_sk", "id_ecdsa_sk", "id_dsa")
_CONFIGURATION = ("~/.ssh/config", "/etc/ssh/ssh_config")
_KNOWN = (
    "~/.ssh/known_hosts",
    "~/.ssh/known_hosts2",
    "/etc/ssh/ssh_known_hosts",
    "/etc/ssh/ssh_known_hosts2",
)


@dataclass
class Keys:
    """The key files of a login: those to offer, and those that are there and cannot be."""

    usable: list[str] = field(default_factory=list)
    unusable: list[tuple[str, str]] = field(default_factory=list)


def configuration() -> list[str]:
    """The files that can be read, the user's first: the first word counts, as for ssh."""
    files = [os.path.expanduser(name) for name in _CONFIGURATION]
    return [name for name in files if os.access(name, os.R_OK)]


class _Words(SSHClientConfig):
    """asyncssh's, and the words that it has no use for."""

    _handlers = SSHClientConfig._handlers | {
        "stricthostkeychecking": ("StrictHostKeyChecking", SSHClientConfig._set_string),
        "hashknownhosts": ("HashKnownHosts", SSHClientConfig._set_string),
        "globalknownhostsfile": ("GlobalKnownHostsFile", SSHClientConfig._set_string_list),
    }


def words_for(target: SshTarget) -> Any:
    """What the configuration says of a host.

    Raises:
        ValueError, OSError, asyncssh.Error: it cannot be read.
    """
    user = () if target.user is None else target.user
    port = () if target.port is None else target.port
    return _Words.load(None, configuration(), False, False, False, getpass.getuser(), user, target.host, port)


def keys_of(config: Any) -> Keys:
    """As ssh takes them: a file that is not there is passed over."""
    keys = Keys()
    named = config.get("IdentityFile")
    for name in named or [f"~/.ssh/{name}" for name in _USUAL_KEYS]:
        path = os.path.expanduser(name)
        try:
            loaded = asyncssh.load_keypairs([path], ignore_encrypted=True)
        except FileNotFoundError:
            continue
        except (OSError, ValueError, asyncssh.Error) as error:
            why = getattr(error, "strerror", None) or str(error) or "is no key"
            keys.unusable.append((path, f"cannot be used: {why[:1].lower() + why[1:]}"))
            continue
        keys.usable.append(path)
        if not loaded:
            keys.unusable.append((path, "is locked by a passphrase"))
    return keys


async def agent_keys(config: Any) -> Any:
    """Those of the agent, where there is no file to offer; None: none at all (an empty list means the usual files)."""
    path = config.get("IdentityAgent") or os.environ.get("SSH_AUTH_SOCK")
    if not path:
        return None
    try:
        agent = await asyncssh.connect_agent(os.path.expanduser(path))
        return await agent.get_keys() or None
    except (OSError, ValueError, asyncssh.Error):
        return None


def known_hosts_of(config: Any) -> Any:
    """The entries of all files that can be read; a line that is none is passed over, as ssh does."""
    names = [*config.get("UserKnownHostsFile", _KNOWN[:2]), *config.get("GlobalKnownHostsFile", _KNOWN[2:])]
    lines = [line for name in names for line in _lines_of(os.path.expanduser(name))]
    try:
        return asyncssh.import_known_hosts("\n".join(lines))
    except ValueError:
        return asyncssh.import_known_hosts("\n".join(filter(_is_entry, lines)))


def first_known_hosts_file(config: Any) -> str:
    """Where ssh adds a host; "" with UserKnownHostsFile none."""
    names = config.get("UserKnownHostsFile", _KNOWN)
    return os.path.expanduser(names[0]) if names else ""


def _lines_of(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().splitlines()
    except OSError:
        return []


def _is_entry(line: str) -> bool:
    try:
        asyncssh.import_known_hosts(line)
    except ValueError:
        return False
    return True
