"""Promises about the tree itself: who may import whom, what only one layer does, and that nothing is missing.

The layers are those of ARCHITECTURE.md; a new folder of src/afunix gets its line there and in LAYERS. Sources
are read with `ast`; nothing is imported but where importing is what is promised. A test lists every offender.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from graphlib import CycleError, TopologicalSorter

import pytest

import afunix

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SOURCES = os.path.join(ROOT, "src")
PACKAGE = os.path.join(SOURCES, "afunix")

LAYERS = {
    "model": 0,
    "kernel": 1,
    "formats": 1,
    "streams": 2,
    "blocking": 2,
    "adapters": 3,
    "events": 3,
    "systemd": 3,
    "testing": 3,
    "sinks": 5,
    "endpoints": 4,
    "tools": 6,
    "cli": 7,
}
"""Folder or module of src/afunix to its height: imports go to what is lower, or stay in their own folder."""

NEEDED_BY = {"afunix.testing.fixtures": {"pytest"}}  # which alone imports it, and is imported by pytest alone
STANDARD_LIBRARY_ONLY = ("model", "kernel", "formats", "streams", "blocking", "systemd", "testing", "sinks")

OUTSIDE = {
    *("asyncio", "select", "selectors", "signal", "threading", "concurrent", "multiprocessing"),  # waits
    *("socket", "subprocess", "fcntl", "mmap", "ctypes", "io", "pathlib", "shutil", "tempfile"),  # touches
    *("time", "random", "secrets"),  # differs from run to run
}
NAMES_OF_OS_THAT_ONLY_COMPUTE = {"os.fsencode", "os.fsdecode", "os.fspath", "os.PathLike"}
CLOCKS = {"now", "utcnow", "today"}
ENDINGS = {"sys.exit", "os._exit", "os.abort", "exit", "quit", "SystemExit"}
TERMINAL = {"print", "input", "sys.argv", "sys.stdin", "sys.stdout", "sys.stderr"}
LOOP_REGISTRATIONS = {"add_reader", "add_writer", "add_signal_handler"}

MACHINE_PATH = re.compile(r"(?<![\w./-])/(?:work|root|home|Users)/\w|/\.pyenv/versions/\d")


class Module:
    """One source file: its dotted name, its syntax tree, and what it imports and uses."""

    def __init__(self, path: str) -> None:
        self.path = os.path.relpath(path, PACKAGE)
        parts = self.path.removesuffix(".py").split(os.sep)
        self.is_package = parts[-1] == "__init__"
        self.name = ".".join(["afunix", *(parts[:-1] if self.is_package else parts)])
        self.tree = ast.parse("\n".join(read_lines(path)))

    @property
    def layer(self) -> str:
        """The folder in src/afunix, or the module's own name; empty for the root itself."""
        return self.name.partition(".")[2].partition(".")[0]

    def imports(self) -> Iterator[str]:
        """What is named in an import, absolute; `from .a import b` yields `afunix.a` and `afunix.a.b`."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = self._absolute(node)
                yield base
                yield from (f"{base}.{alias.name}" for alias in node.names)

    def _absolute(self, node: ast.ImportFrom) -> str:
        parts = self.name.split(".")
        above = parts[: len(parts) - node.level + self.is_package] if node.level else []
        return ".".join([*above, *([node.module] if node.module else [])])

    def imports_of_ours(self) -> set[str]:
        """The modules of afunix among them, without the packages that this one is in."""
        return {
            name for name in self.imports() if name in MODULES and not f"{self.name}.".startswith(f"{name}.")
        }

    def uses(self) -> Iterator[str]:
        """Each `name` and each `name.attribute` in the code."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Name):
                yield node.id
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                yield f"{node.value.id}.{node.attr}"

    def attributes(self) -> Iterator[str]:
        return (node.attr for node in ast.walk(self.tree) if isinstance(node, ast.Attribute))


def read_lines(path: str) -> list[str]:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read().splitlines()


def files_below(folder: str) -> Iterator[str]:
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(set(folders) - {"__pycache__"})
        yield from (os.path.join(parent, file) for file in sorted(files))


MODULES = {
    module.name: module for module in map(Module, (f for f in files_below(PACKAGE) if f.endswith(".py")))
}
LAYERED = [module for module in MODULES.values() if module.layer not in ("", "__main__")]


def offenders(
    find: Callable[[Module], Collection[str]], *, only: Collection[str] = (), but: Collection[str] = ()
) -> list[str]:
    """`file: what` for all that `find` finds in the modules of the layers `only`, or of all `but` some."""
    return [
        f"{module.path}: {what}"
        for module in LAYERED
        if (module.layer in only if only else module.layer not in but)
        for what in sorted(find(module))
    ]


def test_every_folder_has_its_layer() -> None:
    assert {module.layer for module in LAYERED} - LAYERS.keys() == set()


def test_imports_go_down() -> None:
    def upward(module: Module) -> set[str]:
        targets = {name: MODULES[name].layer for name in module.imports_of_ours()}
        height = LAYERS[module.layer]
        return {n for n, layer in targets.items() if layer != module.layer and LAYERS.get(layer, 9) >= height}

    assert not offenders(upward)


def test_nothing_imports_in_a_circle() -> None:
    try:
        TopologicalSorter({module.name: module.imports_of_ours() for module in LAYERED}).prepare()
    except CycleError as error:
        pytest.fail(f"modules import each other: {' -> '.join(error.args[1])}", pytrace=False)


def test_the_inside_takes_nothing_but_the_version_from_the_root() -> None:
    def from_root(module: Module) -> set[str]:
        found = {name for name in module.imports() if name.count(".") == 1 and name.startswith("afunix.")}
        plain = {
            alias.name
            for node in ast.walk(module.tree)
            if isinstance(node, ast.Import)
            for alias in node.names
        }
        return (found - MODULES.keys() - {"afunix.__version__"}) | (plain & {"afunix"})

    assert not offenders(from_root)


def test_nothing_imports_cli_but_the_program() -> None:
    importers = [
        m for m in MODULES.values() if any(MODULES[name].layer == "cli" for name in m.imports_of_ours())
    ]
    assert {module.layer for module in importers} - {"cli"} == {"__main__"}


def test_only_cli_prints_reads_the_command_line_and_exits() -> None:
    assert not offenders(lambda module: {*module.uses()} & (TERMINAL | ENDINGS), but=["cli"])


def test_only_streams_registers_with_an_event_loop() -> None:
    assert not offenders(lambda module: {*module.attributes()} & LOOP_REGISTRATIONS, but=["streams"])


def test_model_and_formats_touch_nothing_outside() -> None:
    def outside(module: Module) -> set[str]:
        names = {*module.uses(), *module.imports()}
        of_os = {name for name in names if name.startswith("os.")} - NAMES_OF_OS_THAT_ONLY_COMPUTE
        clocks = {*module.attributes()} & CLOCKS if "datetime" in names else set()
        return (
            of_os
            | clocks
            | (names & {"open"})
            | ({name.partition(".")[0] for name in module.imports()} & OUTSIDE)
        )

    assert not offenders(outside, only=["model", "formats"])


def test_library_needs_the_standard_library_alone() -> None:
    allowed = sys.stdlib_module_names | {"afunix"}
    assert not offenders(
        lambda module: (
            {name.partition(".")[0] for name in module.imports()}
            - allowed
            - NEEDED_BY.get(module.name, set())
        ),
        only=STANDARD_LIBRARY_ONLY,
    )


def test_every_module_has_its_test_file() -> None:
    def missing(module: Module) -> list[str]:
        folder, file = os.path.split(module.path)
        mirror = os.path.join("tests", folder, f"test_{file}")
        return [] if module.is_package or os.path.isfile(os.path.join(ROOT, mirror)) else [f"no {mirror}"]

    assert not offenders(missing)


def test_every_file_opens_with_what_lives_in_it() -> None:
    assert [module.path for module in MODULES.values() if not ast.get_docstring(module.tree)] == []


def test_importing_afunix_loads_nothing_else() -> None:
    import_it = "before = {*sys.modules}; import afunix; print(*{*sys.modules} - before)"
    program = f"import sys; sys.path.insert(0, {SOURCES!r}); {import_it}"
    command = [sys.executable, "-I", "-W", "error", "-c", program]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() == ["afunix"]


def test_every_name_of_all_is_there_once_and_under_its_own_name() -> None:
    assert [name for name in afunix.__all__ if getattr(afunix, name).__name__ != name] == []
    assert len({*afunix.__all__}) == len(afunix.__all__)
    assert {*afunix.__all__} <= {*dir(afunix)}


def test_all_holds_every_name_that_type_checkers_see() -> None:
    relative = [
        node for node in ast.walk(MODULES["afunix"].tree) if isinstance(node, ast.ImportFrom) and node.level
    ]
    names = {alias.name for node in relative if node.module for alias in node.names}
    modules = {alias.name for node in relative if not node.module for alias in node.names}
    assert (names, modules) == ({*afunix.__all__}, {*afunix._MODULES})


def test_a_promised_module_is_there_after_importing_the_root() -> None:
    program = "import afunix; print([getattr(afunix, name).__name__ for name in sorted(afunix._MODULES)])"
    command = [sys.executable, "-W", "error", "-c", f"import sys; sys.path.insert(0, {SOURCES!r}); {program}"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    homes = [f"afunix.{afunix._MODULES[name]}" for name in sorted(afunix._MODULES)]
    assert printed == f"{homes}\n"


def test_a_name_that_is_not_promised_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'afunix' has no attribute 'quote'"):
        afunix.quote  # type: ignore[attr-defined]  # noqa: B018


def test_every_error_is_public_but_those_of_the_command_line() -> None:
    classes = {
        node.name for node in MODULES["afunix.model.errors"].tree.body if isinstance(node, ast.ClassDef)
    }
    assert classes - {*afunix.__all__} == {"OutputError"}


def test_architecture_names_every_folder() -> None:
    text = "\n".join(read_lines(os.path.join(ROOT, "ARCHITECTURE.md")))
    assert [
        layer for layer in sorted({m.layer for m in LAYERED}) if not re.search(rf"\b{layer}(/|\.py)", text)
    ] == []


@pytest.mark.parametrize("script", ["scripts/demo", "scripts/test", "scripts/check", ".ci/run"])
def test_script_can_be_run(script: str) -> None:
    assert os.access(os.path.join(ROOT, script), os.X_OK)


def test_no_file_mentions_a_path_of_somebodys_machine() -> None:
    assert [
        f"{os.path.relpath(path, ROOT)}:{number}: {line.strip()}"
        for path in texts()
        for number, line in enumerate(read_lines(path), 1)
        if MACHINE_PATH.search(line)
    ] == []


def texts() -> Iterator[str]:
    """Every file that is ours: the folders' and the documents at the top."""
    yield from (os.path.join(ROOT, name) for name in os.listdir(ROOT) if name.endswith((".md", ".toml")))
    for folder in ("src", "tests", "docs", "bench", "examples", "scripts", ".ci"):
        yield from files_below(os.path.join(ROOT, folder))
