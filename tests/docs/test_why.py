"""docs/howto/why-cannot-i-connect.md has a table of what `check` can say: each word is one of its codes."""

from __future__ import annotations

import os
import re

from tests.docs.blocks import ROOT

from afunix.model.findings import Code

PAGE = os.path.join(ROOT, "docs", "howto", "why-cannot-i-connect.md")


def test_words_of_the_table_are_codes() -> None:
    with open(PAGE, encoding="utf-8") as page:
        cells = [line.split("|")[1] for line in page if line.startswith("| `")]
    words = [word for cell in cells for word in re.findall(r"`([^`]+)`", cell)]
    assert words
    assert set(words) <= {code.value for code in Code}
