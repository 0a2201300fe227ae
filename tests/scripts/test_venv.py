"""scripts/venv.sh: the environment is made once, by whatever can make one, repaired when half made, and kept.

Everything that would take seconds or the network is a stub here: `python3`, `uv` and `virtualenv` write down
what they were asked. The PATH holds these and a few POSIX tools, so that nothing else can be needed unseen.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, field

import pytest

SCRIPTS = os.path.join(os.path.dirname(__file__), "..", "..", "scripts")

PYTHON = """#!/bin/sh
echo "python $*" >>"$LOG"
case $* in
*ensurepip*) exit "${ENSUREPIP_STATUS:-0}" ;;
*"import virtualenv") exit 1 ;;
"-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
"-m pip "*) exit "${PIP_STATUS:-0}" ;;
-) exit "${HAS_PIP_STATUS:-0}" ;;
esac
"""

MAKER = """#!/bin/sh
echo "${0##*/} $*" >>"$LOG"
[ "$1" = pip ] && exit
for last; do :; done
mkdir -p "$last/bin" && cp "${0%/*}/python3" "$last/bin/python"
"""

SCRIPT = """#!/bin/sh
set -eu
. "$(dirname -- "$0")/venv.sh"
need_venv "$1"
echo "$venv"
"""


@dataclass
class Checkout:
    """A checkout with nothing in it but the scripts, and the programs that are there on its machine."""

    root: str
    programs: str
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, extent: str = "dev", **environment: str) -> subprocess.CompletedProcess[str]:
        given = {"PATH": self.programs, "LOG": self.log, **self.environment, **environment}
        command = ["/bin/sh", os.path.join(self.root, "scripts", "try"), extent]
        return subprocess.run(command, env=given, capture_output=True, text=True, timeout=60)

    def add(self, name: str, program: str) -> None:
        path = os.path.join(self.programs, name)
        with open(path, "w") as file:
            file.write(program)
        os.chmod(path, 0o755)

    def asked(self) -> list[str]:
        """What the stubs were asked to do since the last call, probes left out."""
        if not os.path.exists(self.log):
            return []
        with open(self.log) as file:
            lines = file.read().splitlines()
        os.unlink(self.log)
        return [line for line in lines if line.startswith(("python -m", "uv", "virtualenv"))]

    @property
    def log(self) -> str:
        return self.programs + ".log"

    @property
    def venv(self) -> str:
        return os.path.join(self.root, ".venv")


@pytest.fixture
def checkout(sock_dir: str) -> Checkout:
    """With a python3 that has venv and ensurepip."""
    made = Checkout(os.path.join(sock_dir, "check out"), os.path.join(sock_dir, "bin"))
    os.makedirs(os.path.join(made.root, "scripts"))
    shutil.copy(os.path.join(SCRIPTS, "venv.sh"), os.path.join(made.root, "scripts"))
    for path, text in (("pyproject.toml", "[project]\n"), ("scripts/try", SCRIPT)):
        with open(os.path.join(made.root, path), "w") as file:
            file.write(text)
    os.mkdir(made.programs)
    for tool in ("cat", "cksum", "cp", "dirname", "mkdir", "rm"):
        found = shutil.which(tool)
        assert found is not None
        os.symlink(found, os.path.join(made.programs, tool))
    made.add("python3", PYTHON)
    return made


def test_first_run_makes_the_environment_and_installs_the_checkout(checkout: Checkout) -> None:
    done = checkout.run()
    assert (done.returncode, done.stdout) == (0, f"{checkout.venv}\n"), done.stderr
    made, installed = checkout.asked()
    assert made == f"python -m venv {checkout.venv}"
    assert installed.startswith(f"python -m pip install --quiet --editable {checkout.root} --requirement ")


def test_second_run_asks_nobody(checkout: Checkout) -> None:
    checkout.run()
    checkout.asked()
    done = checkout.run()
    assert (done.returncode, done.stderr) == (0, "")
    assert checkout.asked() == []


def test_environment_with_the_tools_will_do_to_run(checkout: Checkout) -> None:
    checkout.run("dev")
    checkout.asked()
    checkout.run("run")
    assert checkout.asked() == []


@pytest.mark.parametrize("extent", ["run", "dev"])
def test_environment_that_builds_the_documentation_will_do_for_all(checkout: Checkout, extent: str) -> None:
    checkout.run("docs")
    checkout.asked()
    checkout.run(extent)
    assert checkout.asked() == []


def test_environment_with_the_tools_gets_what_builds_the_documentation(checkout: Checkout) -> None:
    checkout.run("dev")
    checkout.asked()
    checkout.run("docs")
    assert [line.split()[2] for line in checkout.asked()] == ["pip"]


def test_environment_to_run_gets_the_tools_when_they_are_wanted(checkout: Checkout) -> None:
    checkout.run("run")
    checkout.asked()
    checkout.run("dev")
    assert [line.split()[2] for line in checkout.asked()] == ["pip"]


def test_changed_pyproject_is_installed_again_into_the_same_environment(checkout: Checkout) -> None:
    checkout.run()
    checkout.asked()
    with open(os.path.join(checkout.root, "pyproject.toml"), "a") as file:
        file.write("[tool]\n")
    checkout.run()
    assert [line.split()[2] for line in checkout.asked()] == ["pip"]


def test_moved_checkout_is_installed_again(checkout: Checkout) -> None:
    checkout.run()
    checkout.asked()
    moved = Checkout(checkout.root + "2", checkout.programs)
    os.rename(checkout.root, moved.root)
    moved.run()
    assert [line.split()[2] for line in moved.asked()] == ["pip"]


def test_failed_installation_says_so_and_is_tried_again(checkout: Checkout) -> None:
    failed = checkout.run(PIP_STATUS="1")
    assert failed.returncode == 1
    assert "try: error: the packages that afunix needs could not be installed" in failed.stderr
    assert "try: hint: " in failed.stderr
    checkout.asked()
    assert checkout.run().returncode == 0
    assert [line.split()[2] for line in checkout.asked()] == ["pip"]


def test_half_made_environment_is_made_anew(checkout: Checkout) -> None:
    os.makedirs(os.path.join(checkout.venv, "bin"))
    with open(os.path.join(checkout.venv, "bin", "left-over"), "w"):
        pass
    assert checkout.run().returncode == 0
    assert checkout.asked()[0] == f"python -m venv {checkout.venv}"
    assert not os.path.exists(os.path.join(checkout.venv, "bin", "left-over"))


def test_environment_with_half_of_pip_is_made_anew(checkout: Checkout) -> None:
    checkout.run(PIP_STATUS="1")
    checkout.asked()
    checkout.run(HAS_PIP_STATUS="1")
    assert checkout.asked()[0] == f"python -m venv {checkout.venv}"


def test_python_without_ensurepip_leaves_it_to_uv(checkout: Checkout) -> None:
    checkout.add("uv", MAKER)
    checkout.environment = {"ENSUREPIP_STATUS": "1", "HAS_PIP_STATUS": "1"}
    assert checkout.run().returncode == 0
    made, installed = checkout.asked()
    assert made == f"uv venv --quiet --python python3 {checkout.venv}"
    assert installed.startswith(f"uv pip install --quiet --python {checkout.venv}/bin/python --editable ")


def test_python_without_ensurepip_and_without_uv_leaves_it_to_virtualenv(checkout: Checkout) -> None:
    checkout.add("virtualenv", MAKER)
    assert checkout.run(ENSUREPIP_STATUS="1").returncode == 0
    made, installed = checkout.asked()
    assert made == f"virtualenv --quiet --python python3 {checkout.venv}"
    assert installed.startswith("python -m pip install ")


def test_nobody_who_could_make_one_is_one_hint(checkout: Checkout) -> None:
    done = checkout.run(ENSUREPIP_STATUS="1")
    assert done.returncode == 1
    assert "try: error: python3 cannot make a virtual environment" in done.stderr
    assert done.stderr.count("hint:") == 1
    assert "apt install python3-venv" in done.stderr
    assert not os.path.exists(checkout.venv)


def test_no_python_is_one_hint(checkout: Checkout) -> None:
    os.unlink(os.path.join(checkout.programs, "python3"))
    done = checkout.run()
    assert done.returncode == 1
    assert "try: error: no Python 3.11 or newer was found" in done.stderr
    assert done.stderr.count("hint:") == 1


def test_newer_python_under_its_own_name_is_found(checkout: Checkout) -> None:
    checkout.add("python3.13", PYTHON)
    checkout.add("python3", "#!/bin/sh\nexit 1\n")
    assert checkout.run().returncode == 0


def test_environment_named_by_the_caller_is_used_as_it_is(checkout: Checkout) -> None:
    given = os.path.join(checkout.root, "given")
    assert checkout.run(AFUNIX_VENV=given).returncode == 1
    os.makedirs(os.path.join(given, "bin"))
    shutil.copy(os.path.join(checkout.programs, "python3"), os.path.join(given, "bin", "python"))
    done = checkout.run(AFUNIX_VENV=given)
    assert (done.returncode, done.stdout) == (0, f"{given}\n")
    assert checkout.asked() == []
