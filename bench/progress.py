"""What is under way, for who watches: on standard error, and only on a terminal."""

from __future__ import annotations

import sys


def show(text: str) -> None:
    """Put this in place of what was shown; nothing, before something else is printed."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
