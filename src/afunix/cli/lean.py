"""asyncio without ssl, for commands that speak no TLS: 5 MiB and some milliseconds less.

asyncio does without ssl where Python was built without it, and that is what it finds here; whoever imports ssl later
gets it, but not asyncio's TLS.
"""

from __future__ import annotations

import sys


def import_asyncio() -> None:
    """Import asyncio now, without ssl; if either is there already, nothing is changed."""
    if "asyncio" in sys.modules or "ssl" in sys.modules:
        return
    sys.modules["ssl"] = None  # type: ignore[assignment]  # which makes `import ssl` an ImportError
    try:
        import asyncio  # noqa: F401
    finally:
        del sys.modules["ssl"]
