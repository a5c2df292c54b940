"""Terraform, run as `make test-terraform` runs it: what it would make, and what it refuses."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dev.services import MissingPart

MODULE = Path(__file__).parent.parent.parent / "terraform"


@dataclass(frozen=True)
class Resource:
    """A resource, or data that were looked up, as it is after all was made."""

    address: str
    kind: str
    values: Mapping[str, Any]


def made(folder: Path, test: str) -> list[Resource]:
    """All that one test of a configuration made, in the module and in what calls it.

    Raises:
        MissingPart: Terraform, or the providers, are not there.
    """
    messages = _tested(folder, f"-filter=tests/{test}.tftest.hcl", "-verbose")
    (state,) = (each["test_state"] for each in messages if each["type"] == "test_state")
    return list(_resources(state["root_module"]))


def refusals(tests: Mapping[str, str]) -> dict[str, str]:
    """What the module says to each of these test files, which are expected to fail.

    Raises:
        MissingPart: As for ``made``.
    """
    (MODULE / ".terraform").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tests-", dir=MODULE / ".terraform") as folder:
        for name, text in tests.items():
            Path(folder, f"{name}.tftest.hcl").write_text(text, encoding="utf-8")
        place = Path(folder).relative_to(MODULE)
        said = dict.fromkeys(tests, "")
        for message in _tested(MODULE, f"-test-directory={place}"):
            if message["type"] == "diagnostic" and message["diagnostic"]["severity"] == "error":
                name = Path(message["@testfile"]).name.removesuffix(".tftest.hcl")
                said[name] += message["diagnostic"]["detail"]
    return said


def _tested(folder: Path, *arguments: str) -> list[dict[str, Any]]:
    command = shlex.split(os.environ.get("TERRAFORM", "terraform"))
    if shutil.which(command[0]) is None:
        raise MissingPart("terraform: https://developer.hashicorp.com/terraform/install")
    ready = os.environ.get("TERRAFORM_INIT", "init -backend=false -input=false")
    prepared = subprocess.run(
        [*command, *shlex.split(ready), "-no-color"], cwd=folder, capture_output=True, text=True
    )
    if prepared.returncode:
        raise MissingPart(f"Terraform's providers: `terraform {ready}` failed: {prepared.stderr}")
    tested = subprocess.run(
        [*command, "test", "-json", *arguments], cwd=folder, capture_output=True, text=True
    )
    return [json.loads(line) for line in tested.stdout.splitlines()]


def _resources(module: Mapping[str, Any]) -> Iterator[Resource]:
    for each in module.get("resources", ()):
        yield Resource(each["address"], each["type"], each["values"])
    for child in module.get("child_modules", ()):
        yield from _resources(child)
