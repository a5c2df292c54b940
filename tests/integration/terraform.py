"""Terraform, run as `make test-terraform` runs it: what it would make, and what it refuses."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dev.services import MissingPart

MODULE = Path(__file__).parent.parent.parent / "terraform"

Variables = Mapping[str, str]
"""Values as expressions of Terraform's; paths in them begin in the module's folder."""


@dataclass(frozen=True)
class Resource:
    """A resource, or data that were looked up, as far as it is known."""

    address: str
    kind: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Plan:
    """What came of a plan.

    Attributes:
        resources: All that would be made or looked up; none if it was refused.
        refusal: What was said, if it was refused.
    """

    resources: tuple[Resource, ...]
    refusal: str


def plans(attempts: Mapping[str, Variables]) -> dict[str, Plan]:
    """Plan the module once for each of these sets of variables.

    Raises:
        MissingPart: Terraform, or the providers, are not there.
    """
    tests = {name: _test("plan", variables) for name, variables in attempts.items()}
    said: dict[str, list[dict[str, Any]]] = {name: [] for name in attempts}
    for message in _tested(tests):
        if "@testfile" in message:
            said[Path(message["@testfile"]).name.removesuffix(".tftest.hcl")].append(message)
    return {name: Plan(_planned(each), _refusal(each)) for name, each in said.items()}


def made(variables: Variables) -> tuple[Resource, ...]:
    """All that the module makes and looks up.

    Raises:
        MissingPart: As for ``plans``.
    """
    messages = _tested({"made": _test("apply", variables)})
    (state,) = (each["test_state"] for each in messages if each["type"] == "test_state")
    return tuple(
        Resource(each["address"], each["type"], each["values"])
        for each in state["root_module"]["resources"]
    )


def _test(command: str, variables: Variables) -> str:
    given = "\n".join(f"  {name} = {value}" for name, value in variables.items())
    return f"""\
mock_provider "archive" {{}}
mock_provider "google" {{
  source = "./tests/mocks"
}}
variables {{
{given}
}}
run "{command}" {{
  command = {command}
}}
"""


def _tested(tests: Mapping[str, str]) -> list[dict[str, Any]]:
    """Run tests with providers that know nothing, and return what Terraform tells of them."""
    command = shlex.split(os.environ.get("TERRAFORM", "terraform"))
    program = shutil.which(command[0])
    if program is None:
        raise MissingPart("terraform: https://developer.hashicorp.com/terraform/install")
    command[0] = str(Path(program).absolute())
    ready = os.environ.get("TERRAFORM_INIT", "init -backend=false -input=false")
    if _run([*command, *shlex.split(ready)]).returncode:
        raise MissingPart(f"Terraform's providers: `terraform {ready}` failed in {MODULE.name}")
    (MODULE / ".terraform").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tests-", dir=MODULE / ".terraform") as folder:
        for name, text in tests.items():
            Path(folder, f"{name}.tftest.hcl").write_text(text, encoding="utf-8")
        place = Path(folder).relative_to(MODULE)
        tested = _run([*command, "test", "-json", "-verbose", f"-test-directory={place}"])
    return [json.loads(line) for line in tested.stdout.splitlines()]


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=MODULE, capture_output=True, text=True)


def _planned(messages: list[dict[str, Any]]) -> tuple[Resource, ...]:
    return tuple(
        Resource(each["address"], each["type"], each["change"]["after"])
        for message in messages
        if message["type"] == "test_plan"
        for each in message["test_plan"]["resource_changes"]
    )


def _refusal(messages: list[dict[str, Any]]) -> str:
    return "\n".join(
        message["diagnostic"]["detail"]
        for message in messages
        if message["type"] == "diagnostic" and message["diagnostic"]["severity"] == "error"
    )
