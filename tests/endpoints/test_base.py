"""Every endpoint can be asked what the contract says."""

from __future__ import annotations

import ast
import inspect
import pathlib

from afunix import endpoints
from afunix.endpoints.base import Endpoint

FOLDER = pathlib.Path(inspect.getfile(endpoints)).parent


def classes() -> dict[str, str]:
    """Each endpoint's text, by its name: importing one may need a package that is not installed."""
    trees = [ast.parse(path.read_text()) for path in FOLDER.glob("*.py") if path.stem != "base"]
    found = [each for tree in trees for each in tree.body if isinstance(each, ast.ClassDef)]
    return {each.name: ast.unparse(each) for each in found if each.name.endswith("Endpoint")}


def test_every_endpoint_has_what_the_contract_promises() -> None:
    promised = {name for name in vars(Endpoint) if not name.startswith("_")} | set(Endpoint.__annotations__)
    assert {"connect", "connect_now", "close", "refuses_fds"} <= promised
    assert "UnixEndpoint" in classes()
    for words in classes().values():
        assert not [name for name in promised if name not in words]
