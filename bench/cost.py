"""What a program costs, from its start to its end: time, the processor's time, memory."""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

from bench import memory

_LIMIT_SECONDS = 300
_LOOK_SECONDS = 0.01
_MOST_OUTPUT = 2000


class NotMeasured(Exception):
    """A program did not do what was to be measured."""


@dataclass(frozen=True)
class Cost:
    """What a copy took.

    Attributes:
        wall: Seconds.
        cpu: Seconds of the processor.
        peak: The most memory, in MiB.
        idle: The memory before, in MiB, of a process that was there before.
    """

    wall: float
    cpu: float
    peak: float
    idle: float = 0.0


def run(command: Sequence[str], environment: Mapping[str, str], folder: Path) -> Cost:
    """Run a program to its end, in that folder.

    Raises:
        NotMeasured: It failed, or took longer than five minutes.
    """
    with TemporaryFile() as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=folder,
        )
        peak = _peak_to_the_end(process)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            output.seek(0)
            said = output.read(_MOST_OUTPUT).decode(errors="replace").strip()
            raise NotMeasured(f"`{' '.join(command)}` ended with {process.returncode}: {said}")
        return Cost(wall, usage.ru_utime + usage.ru_stime, peak)


def _peak_to_the_end(process: subprocess.Popen[bytes]) -> float:
    """Look at the memory until the process ends: what its end tells of it may be its parent's."""
    deadline = time.monotonic() + _LIMIT_SECONDS
    peak = 0.0
    end = os.pidfd_open(process.pid)
    try:
        while not select.select([end], [], [], _LOOK_SECONDS)[0]:
            peak = max(peak, memory.peak(process.pid))
            if time.monotonic() > deadline:
                process.kill()
        return peak
    finally:
        os.close(end)
