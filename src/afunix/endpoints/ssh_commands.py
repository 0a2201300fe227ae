"""What is asked of the far side about a path, in words for a POSIX shell: what is there, which file, and its removal.

Text only: who runs it, and what it means that nothing may be run there, is `ssh_login`'s. A path is always a word of its
own, never part of a script.
"""

from __future__ import annotations

LOOK = """
if test -S "$1"; then
  if ! test -w "$1"; then echo no-access
  elif ! test -r /proc/net/unix || test -L "$1"; then echo socket
  elif grep -F -- " $1" /proc/net/unix | grep -q " 00010000 "; then echo live
  else echo stale; fi
elif test -e "$1" || test -L "$1"; then echo other
elif ! test -d "${1%/*}/"; then echo no-directory
elif ! test -w "${1%/*}/"; then echo unwritable
else echo nothing; fi
"""
"""For a POSIX shell: one word of `Seen` for the path $1. On Linux /proc/net/unix tells who listens (SO_ACCEPTCON)."""

IDENTIFY = 'ls -di -- "$1"'
REMOVE = 'if test "$(ls -di -- "$1" 2>&1)" = "$2"; then rm -f -- "$1"; else test ! -e "$1"; fi'
"""Remove $1 if it is still the file that `IDENTIFY` saw; what somebody else made there stays."""


def far_command(script: str, *words: bytes) -> bytes:
    """A command line on which sh runs `script` with `words` as $1, $2, …, whatever shell the user has there."""
    return b" ".join([b"exec sh -c", _quoted(script.encode()), b"sh", *map(_quoted, words)])


def _quoted(word: bytes) -> bytes:
    """For any shell that a user may have at the far end: single quotes are the same in all."""
    return b"'" + word.replace(b"'", b"'\\''") + b"'"
