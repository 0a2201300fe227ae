"""Who runs `afunix`: root and an ordinary user where the tests are root's, otherwise only whoever runs them.

The ordinary user may not be able to read this checkout or its interpreter (both can be below a closed home).
Then he gets a copy: interpreter, standard library, the package and what it needs, in a directory that everybody
can read; hard links where the file system allows.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from tests.peers import require
from tests.program import command, environment

ORDINARY = 65534
STRANGER = 65533
"""Uids without a name or with that of nobody: neither owns anything."""

IS_ROOT = os.geteuid() == 0

_NEEDED = ("click", "rich", "pygments", "markdown_it", "mdurl")
_LEFT_OUT = {"test", "tests", "site-packages", "idlelib", "tkinter", "ensurepip", "lib2to3", "turtledemo"}


@dataclass(frozen=True)
class User:
    """Starts the installed command as `uid`; `changes` is True if that is not whom the tests run as."""

    name: str
    uid: int

    @property
    def changes(self) -> bool:
        return self.uid != os.geteuid()

    def command(self, *args: str) -> list[str]:
        if self.changes:
            return [os.path.join(_copy(), "bin", "afunix"), *args]
        installed = os.path.join(sysconfig.get_path("scripts"), "afunix")
        return [installed, *args] if os.access(installed, os.X_OK) else command(*args)

    def environment(self, **changes: str) -> dict[str, str]:
        env = environment(**changes)
        if self.changes:
            env.update(
                PYTHONPATH=os.path.join(_copy(), "packages"), LD_LIBRARY_PATH=os.path.join(_copy(), "lib")
            )
        return env

    def start(
        self, *args: str, prefix: Sequence[str] = (), env: dict[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[bytes]:
        """Popen of `afunix ARGS`, behind `prefix` (strace …), which runs as the user too."""
        if self.changes:
            options.update(user=self.uid, group=self.uid, extra_groups=[])
        return self.start_as_me(*args, prefix=prefix, env=env, **options)

    def start_as_me(
        self, *args: str, prefix: Sequence[str] = (), env: dict[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[bytes]:
        """The same, but `prefix` keeps our rights, and is to end in `becoming()`."""
        argv = [*prefix, *self.command(*args)]
        options.setdefault("cwd", "/")  # ours may be closed to him
        return subprocess.Popen(argv, bufsize=0, env=self.environment(**(env or {})), **options)

    def becoming(self) -> list[str]:
        """What a privileged `prefix` ends in."""
        if not self.changes:
            return []
        return [require("setpriv"), "--reuid", str(self.uid), "--regid", str(self.uid), "--clear-groups"]


ME = User("root" if IS_ROOT else "ordinary", os.geteuid())
USERS = [ME, User("ordinary", ORDINARY)] if IS_ROOT else [ME]


@cache
def _copy() -> str:
    """A copy that everybody can read; `remove_copy` removes it."""
    place = tempfile.mkdtemp(prefix="afunix-copy-")
    os.chmod(place, 0o755)
    python = os.path.join(place, "bin", os.path.basename(os.path.realpath(sys.executable)))
    os.makedirs(os.path.join(place, "bin"))
    _link(os.path.realpath(sys.executable), python)
    _link_tree(sysconfig.get_path("stdlib"), os.path.join(place, "lib", f"python{_version()}"))
    libraries = sysconfig.get_config_var("LIBDIR") or ""
    for name in os.listdir(libraries) if os.path.isdir(libraries) else ():
        if name.startswith("libpython"):
            shutil.copy2(os.path.join(libraries, name), os.path.join(place, "lib", name))
    packages = os.path.join(place, "packages")
    for name in ("afunix", *_NEEDED):
        spec = importlib.util.find_spec(name)
        for folder in (spec.submodule_search_locations if spec is not None else None) or ():
            shutil.copytree(
                folder, os.path.join(packages, name), ignore=shutil.ignore_patterns("__pycache__")
            )
    script = os.path.join(place, "bin", "afunix")
    with open(script, "w") as file:
        file.write(f"#!{python}\nimport sys\nfrom afunix.cli import main\nsys.exit(main())\n")
    os.chmod(script, 0o755)
    subprocess.run([python, "-m", "compileall", "-q", packages], check=True, env=_environment_of(place))
    return place


def remove_copy() -> None:
    if _copy.cache_info().currsize:
        shutil.rmtree(_copy(), ignore_errors=True)
        _copy.cache_clear()


def _environment_of(place: str) -> dict[str, str]:
    return {**os.environ, "LD_LIBRARY_PATH": os.path.join(place, "lib")}


def _version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _link_tree(source: str, target: str) -> None:
    shutil.copytree(
        source,
        target,
        copy_function=_link,
        ignore=lambda folder, names: _LEFT_OUT & set(names) if folder == source else set(),
    )


def _link(source: str, target: str) -> None:
    """A hard link, or a copy if it would be on another file system or closed to others."""
    if os.stat(source).st_mode & stat.S_IROTH:
        try:
            os.link(source, target)
            return
        except OSError:
            pass
    shutil.copy2(source, target)
    os.chmod(target, os.stat(target).st_mode | 0o444)
