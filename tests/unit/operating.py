"""The Makefile's targets, run with stand-ins for gcloud and terraform that write down each call."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dev.stack import three_stages

ROOT = Path(__file__).parent.parent.parent
PROJECT_NUMBER = "123456789012"


@dataclass(frozen=True)
class Says:
    """What a stand-in answers to calls whose arguments begin so."""

    beginning: str
    output: str = ""
    status: int = 0
    complaint: str = ""


GCLOUD = (
    Says("auth list", "ann@acme.example\n"),
    Says("projects describe", f"{PROJECT_NUMBER}\n"),
    Says("storage buckets describe", json.dumps({"projectNumber": PROJECT_NUMBER})),
)
TERRAFORM = (Says("version -json", json.dumps({"terraform_version": "1.11.4"})),)


@dataclass(frozen=True)
class Ended:
    """How a target ended.

    Attributes:
        calls: What the stand-ins were called with, but for questions about prerequisites.
    """

    status: int
    output: str
    complaint: str
    calls: list[str]


class Desk:
    """A machine on which nothing is installed but what a test puts there.

    Attributes:
        config: A promotion.yaml, in a folder whose name has a blank.
    """

    def __init__(self, folder: Path) -> None:
        self._programs = folder / "programs"
        self._environment = folder / "environment"
        self._calls = folder / "calls"
        self.config = folder / "a folder" / "promotion.yaml"
        for each in (self._programs, self._environment / "bin", self.config.parent):
            each.mkdir(parents=True)
        self._script(
            self._environment / "bin" / "python", f'exec {shlex.quote(sys.executable)} "$@"'
        )
        # Newer than what the environment is made of, so that make takes it for made.
        (self._environment / "runtime").touch()
        self.config.write_text(three_stages("registry.example"), encoding="utf-8")

    def install(self, program: str, *answers: Says) -> None:
        """Put a stand-in on PATH; of two answers that fit, the first is given."""
        cases = [
            f"{shlex.quote(each.beginning)}*) printf %s {shlex.quote(each.output)};"
            f" printf %s {shlex.quote(each.complaint)} >&2; exit {each.status};;"
            for each in answers
        ]
        written = f'echo "{program} $*" >> {shlex.quote(str(self._calls))}'
        self._script(self._programs / program, "\n".join([written, 'case "$*" in', *cases, "esac"]))

    def make(self, *targets: str, **variables: str) -> Ended:
        """Run a target; with -n before it, make tells what it would run."""
        self._calls.write_text("", encoding="utf-8")
        make = shutil.which("make")
        assert make is not None
        given = [f"{name}={value}" for name, value in variables.items()]
        ended = subprocess.run(
            [make, "--no-print-directory", *targets, f"VENV={self._environment}", *given],
            cwd=ROOT,
            env={"PATH": str(self._programs), "HOME": str(self.config.parent)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        calls = self._calls.read_text(encoding="utf-8").splitlines()
        return Ended(ended.returncode, ended.stdout, ended.stderr, _without_questions(calls))

    def _script(self, path: Path, text: str) -> None:
        path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        path.chmod(0o755)


def _without_questions(calls: Sequence[str]) -> list[str]:
    questions = ("gcloud auth", "gcloud projects", "gcloud storage buckets describe")
    return [
        each
        for each in calls
        if not each.startswith(questions) and not each.endswith(" version -json")
    ]
