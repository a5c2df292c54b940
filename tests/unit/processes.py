"""Commands as processes: on a pipe, and on a terminal that is looked at as it is written."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
COMMAND = [sys.executable, "-m", "promotion"]


def environment(home: Path, **more: str) -> dict[str, str]:
    """What a command finds: nobody's credentials, and a terminal that knows colours."""
    own = {"HOME": str(home), "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    return {**own, "TERM": "xterm-256color", **more}


def piped(arguments: list[str], home: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, with its output in pipes."""
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        env=environment(home, **more),
        cwd=home,
    )


@dataclass
class Terminal:
    """A process whose output is a terminal.

    Attributes:
        shown: What it has written there so far.
    """

    process: subprocess.Popen[bytes]
    _master: int
    shown: bytes = field(default=b"")

    def read_until(self, awaited: bytes) -> None:
        """Read until something is shown, or the process ends."""
        while awaited not in self.shown and self._read():
            pass

    def end(self) -> bytes:
        """All that it has shown when it has ended."""
        while self._read():
            pass
        self.process.wait()
        return self.shown

    def _read(self) -> bool:
        try:
            more = os.read(self._master, 65536)
        except OSError:
            # So Linux says that nobody has the other end any more.
            return False
        self.shown += more
        return bool(more)


@contextmanager
def terminal(arguments: list[str], home: Path, **more: str) -> Iterator[Terminal]:
    """Run a command on a terminal."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=slave,
        stderr=slave,
        env=environment(home, **more),
        cwd=home,
    )
    os.close(slave)
    try:
        yield Terminal(process, master)
    finally:
        process.kill()
        process.wait()
        os.close(master)
