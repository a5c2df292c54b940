"""The programs that do the work: gcloud and terraform."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from operate.errors import OperationFailed

_QUIET = {"CLOUDSDK_CORE_DISABLE_PROMPTS": "1"}


@dataclass(frozen=True)
class Answer:
    """What a program printed, and how it ended."""

    status: int
    output: str
    complaint: str


class Program:
    """A program, with the arguments that it always gets.

    Attributes:
        name: What people call it.
    """

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self.name = name
        self._command = tuple(command)

    @classmethod
    def parse(cls, name: str, text: str) -> Program:
        """A program as a Makefile's variable names it: a command, perhaps with arguments."""
        return cls(name, shlex.split(text) or [name])

    @property
    def is_installed(self) -> bool:
        """Whether it is found on PATH, or where its name says."""
        return shutil.which(self._command[0]) is not None

    def ask(self, *arguments: str) -> Answer:
        """Let it answer a question, which nobody sees and which asks nothing in return."""
        asked = subprocess.run(
            [*self._command, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env={**os.environ, **_QUIET},
        )
        return Answer(asked.returncode, asked.stdout, asked.stderr)

    def run(self, *arguments: str) -> None:
        """Let it work before the operator's eyes, who may be asked to confirm.

        Raises:
            OperationFailed: It ended with another status than 0.
        """
        command = [*self._command, *arguments]
        print(f"+ {shlex.join(command)}", file=sys.stderr, flush=True)
        status = subprocess.run(command).returncode
        if status:
            raise OperationFailed(f"{self.name} ended with status {status}; its last lines say why")
