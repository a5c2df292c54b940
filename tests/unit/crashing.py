"""Processes that crash where they are told to, and show meanwhile whatever they have at hand.

Python itself reads ``sitecustomize`` when it starts, so nothing of the product knows of this. The
file shows how each of the product's own objects represents itself, wherever one of its functions
begins or returns: what would stand in an error of any carelessness whatever. And at one function it
raises what nobody foresaw.
"""

from __future__ import annotations

from pathlib import Path

from dev.stack import ROOT

_SABOTAGE = """
import sys, threading
from promotion.registry import google

google.is_google = lambda host: True
AT, seen = {at!r}, set()

def represented(values):
    for value in values:
        if type(value).__module__.startswith("promotion"):
            try:
                yield repr(value)
            except AttributeError:
                pass  # It is being made.

def look(frame, event, argument):
    module = frame.f_globals.get("__name__") or ""
    if event not in ("call", "return") or not module.startswith(("promotion", "main")):
        return
    shown = set(represented([*frame.f_locals.values(), argument])) - seen
    seen.update(shown)
    for each in shown:
        print("SHOWN", each, file=sys.stderr, flush=True)
    if event == "call" and module + "." + frame.f_code.co_name == AT:
        raise {error}

threading.setprofile(look)
sys.setprofile(look)
"""


def sabotage(folder: Path, at: str = "", error: str = "ZeroDivisionError") -> dict[str, str]:
    """The environment of processes that crash.

    Args:
        folder: Gets what Python reads.
        at: Where, as MODULE.FUNCTION; default: nowhere.
        error: What is raised there, as it is written in Python.
    """
    folder.mkdir()
    text = _SABOTAGE.format(at=at, error=error)
    (folder / "sitecustomize.py").write_text(text, encoding="utf-8")
    return {"PYTHONPATH": f"{folder}:{ROOT}"}
