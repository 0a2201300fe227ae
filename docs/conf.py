"""How Sphinx builds the documentation: `scripts/docs`. The reference is made of the docstrings, which are plain text.

Docstrings quote code in single backticks (the default role) and tell of errors under `Raises:`. What reStructuredText
and napoleon do not know is made for them: an indented block is code, two columns are arguments, and a line under `Raises:`
that names no error ("Otherwise as `receive`.") is a sentence after it.
A constructor that is not for users is not shown.
"""

from __future__ import annotations

import re
from typing import Any

import afunix

project = "afunix"
author = "the afunix authors"
copyright = author
version = release = afunix.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns: list[str] = []
nitpicky = True
default_role = "code"
highlight_language = "none"
html_theme = "alabaster"
html_static_path = ["_static"]  # custom.css, which the theme reads
html_theme_options = {
    "description": "Unix domain sockets for the shell and for Python",
    "fixed_sidebar": True,
    "page_width": "72em",
}

myst_heading_anchors = 3

autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "signature"
autodoc_preserve_defaults = True  # `max_bytes=CHUNK_BYTES` as written, not its value
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False

# Types of the standard library and of other packages have no page here, nor have names that are not promised.
nitpick_ignore_regex = [
    ("py:.*", pattern)
    for pattern in (
        r"(?!afunix\b).*",
        r"afunix\.(kernel|model|streams|formats)\..*",
        r"afunix\.systemd\.HasFileno",
        r"afunix\.testing\.recorder\.E",
    )
]


def tell_otherwise(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Move what a `Raises:` section says without naming an error behind it."""
    if what == "property":
        lines.insert(0, "")  # or napoleon takes what stands before a colon for its type
    told: list[str] = []
    kept: list[str] = []
    section: int | None = None  # how deep its entries are indented
    is_moving = False
    for line in lines:
        depth = len(line) - len(line.lstrip())
        if re.fullmatch(r"\s*Raises:", line):
            section, is_moving = depth + 4, False
        elif section is not None and line.strip() and depth < section:
            section, is_moving = None, False
        elif section is not None and depth == section:
            is_moving = not re.match(r"[A-Z]\w+(, [A-Z]\w+)*: ", line.lstrip())
        if is_moving and line.strip():
            told.append(line.strip())
        else:
            kept.append(line)
    if told:
        lines[:] = [*kept, "", *told, ""]


def mark_code(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """What stands indented after an empty line is shown as it is."""
    told: list[str] = []
    above = ""
    for number, line in enumerate(lines):
        if line.startswith("    ") and above and not above.startswith(" ") and not lines[number - 1].strip():
            told += [] if above.endswith("::") else ["::", ""]
        told.append(line)
        above = line if line.strip() else above
    lines[:] = told


def name_arguments(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Make an `Args:` section of arguments that stand in two columns, `timeout   seconds for all of it`."""
    told: list[str] = []
    is_inside = False
    for line in lines:
        column = re.match(r"([a-z_]+(?:, [a-z_]+)*) {2,}(?=\S)", line)
        if column is not None:
            told += [] if is_inside else ["Args:"]
            told.append(f"    {column[1]}: {line[column.end() :]}")
            is_inside = True
        elif is_inside and line.startswith(" "):
            told.append(f"        {line.strip()}")
        else:
            is_inside = False
            told.append(line)
    lines[:] = told


def hide_constructors(
    app: Any, what: str, name: str, thing: Any, options: Any, signature: str | None, returns: str | None
) -> tuple[str, None] | None:
    """A class whose instances only this library makes has no arguments to show."""
    is_internal = what == "class" and (thing.__init__.__doc__ or "").startswith("Not for users")
    return ("", None) if is_internal else None


def setup(app: Any) -> None:
    app.connect("autodoc-process-signature", hide_constructors)
    app.connect("autodoc-process-docstring", mark_code, priority=398)
    app.connect("autodoc-process-docstring", name_arguments, priority=399)
    app.connect("autodoc-process-docstring", tell_otherwise, priority=400)  # before napoleon
