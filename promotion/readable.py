"""Text that others may have written, made fit to be shown to people."""

from __future__ import annotations


def readable(text: str) -> str:
    """The text without what a terminal obeys in place of showing it; the ends of lines stay.

    A git ref, a link or the policy beside an image may hold whatever its author liked.
    """
    return "".join(each if each.isprintable() or each == "\n" else "\ufffd" for each in text)
