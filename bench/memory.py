"""The memory of a process, as Linux tells it; in MiB."""

from __future__ import annotations

import re
from pathlib import Path

_FORGET_PEAK = "5"


def resident(process: int) -> float:
    """What it has now."""
    return _status(process, "VmRSS")


def peak(process: int) -> float:
    """The most it has had, since it began its program or the peak was forgotten."""
    return _status(process, "VmHWM")


def forget_peak(process: int) -> None:
    """Let the peak begin anew, from what the process has now."""
    Path(f"/proc/{process}/clear_refs").write_text(_FORGET_PEAK)


def _status(process: int, field: str) -> float:
    """A field of the process's status; 0 when it has ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    found = re.search(rf"^{field}:\s+(\d+) kB$", status, re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0
