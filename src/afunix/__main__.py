"""`python -m afunix`: the same program under the same name, for when the script is not on the PATH."""

from __future__ import annotations

from .cli import main

if __name__ == "__main__":
    main(prog_name="afunix")
