"""What an operation needs before it begins, and what to do where it is missing."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import msgspec

from operate.errors import OperationFailed
from operate.programs import Program
from promotion import configuration, gates
from promotion.errors import BadConfiguration

Check = Callable[[], str | None]
"""Says what is missing and what to do about it, or nothing."""

OLDEST_TERRAFORM = (1, 7)

_PROJECT = re.compile(r"(?:[a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]")
_REGION = re.compile(r"[a-z]+-[a-z]+[0-9]+")


class _Version(msgspec.Struct):
    terraform_version: str


def require(*rounds: Iterable[Check]) -> None:
    """Check, round by round, since a later round asks by what an earlier one has found.

    Raises:
        OperationFailed: Everything that the first round with a finding has found.
    """
    for checks in rounds:
        if missing := [found for check in checks if (found := check())]:
            lines = "".join(f"\n  - {each}" for each in missing)
            raise OperationFailed(f"This is missing:{lines}")


def names(project: str, region: str | None = None) -> list[Check]:
    """That the project, and the region if one is needed, can be such."""
    checks: list[Check] = [partial(_named, "PROJECT", project, _PROJECT, "acme-ci")]
    if region is not None:
        checks.append(partial(_named, "REGION", region, _REGION, "europe-west2"))
    return checks


def gcloud_program(gcloud: Program) -> Check:
    """That gcloud is installed."""
    return partial(_installed, gcloud, "https://cloud.google.com/sdk/docs/install")


def terraform_program(terraform: Program) -> Check:
    """That Terraform is installed, and new enough."""
    return partial(_terraform, terraform)


def credentials(gcloud: Program) -> list[Check]:
    """That gcloud knows who is at work, and the libraries of Terraform and Python too."""
    return [partial(_account, gcloud), partial(_default_credentials, gcloud)]


def application_credentials() -> str | None:
    """That the Python libraries know who is at work; Pub/Sub's emulator asks nobody."""
    import google.auth
    from google.auth.exceptions import DefaultCredentialsError

    if "PUBSUB_EMULATOR_HOST" in os.environ:
        return None
    try:
        google.auth.default()
    except DefaultCredentialsError as error:
        return (
            f"there are no Application Default Credentials ({error}):"
            " gcloud auth application-default login"
        )
    return None


def project(gcloud: Program, name: str) -> Check:
    """That there is such a project, and it may be seen."""
    return partial(_project, gcloud, name)


def promotion_yaml(path: Path) -> Check:
    """That the configuration is one that the function would start with."""
    return partial(_configuration, path)


def file(variable: str, path: Path | None) -> Check:
    """That a file is there, if one is named."""
    return partial(_file, variable, path)


def _named(variable: str, value: str, form: re.Pattern[str], example: str) -> str | None:
    if form.fullmatch(value):
        return None
    return f"{variable} is {value!r}, which cannot be one; write {variable}={example}"


def _installed(program: Program, where: str) -> str | None:
    if program.is_installed:
        return None
    return f"{program.name} is not installed, or not on PATH: {where}"


def _terraform(terraform: Program) -> str | None:
    where = "https://developer.hashicorp.com/terraform/install, or name it: TERRAFORM=…"
    if missing := _installed(terraform, where):
        return missing
    answer = terraform.ask("version", "-json")
    try:
        version = msgspec.json.decode(answer.output, type=_Version).terraform_version
        found = tuple(int(each) for each in version.split("-")[0].split(".")[:2])
    except ValueError:
        return f"{terraform.name} does not tell its version: {_gist(answer.complaint)}; {where}"
    if found >= OLDEST_TERRAFORM:
        return None
    oldest = ".".join(map(str, OLDEST_TERRAFORM))
    return f"{terraform.name} is {version}, and at least {oldest} is needed: {where}"


def _account(gcloud: Program) -> str | None:
    answer = gcloud.ask("auth", "list", "--filter=status:ACTIVE", "--format=value(account)")
    if answer.status == 0 and answer.output.strip():
        return None
    return "gcloud does not know who you are: gcloud auth login"


def _default_credentials(gcloud: Program) -> str | None:
    answer = gcloud.ask("auth", "application-default", "print-access-token")
    if answer.status == 0:
        return None
    return (
        "there are no usable Application Default Credentials, by which Terraform and the Python"
        f" libraries are known ({_gist(answer.complaint)}): gcloud auth application-default login"
    )


def _project(gcloud: Program, name: str) -> str | None:
    answer = gcloud.ask("projects", "describe", name, "--format=value(projectNumber)")
    if answer.status == 0:
        return None
    return (
        f"the project {name} does not exist, or you may not see it ({_gist(answer.complaint)}):"
        " check PROJECT, or ask for roles/browser on it"
    )


def _configuration(path: Path) -> str | None:
    if missing := _file("CONFIG", path):
        return f"{missing}: write one (docs/configuration.md), or name it: CONFIG=…"
    try:
        gates.check_supported(configuration.load(path))
    except BadConfiguration as error:
        return f"{path} is not right, so the function would not start: {error}"
    return None


def _file(variable: str, path: Path | None) -> str | None:
    if path is None or path.is_file():
        return None
    return f"{variable} names {path}, which is no file"


def _gist(complaint: str) -> str:
    """The first line of what a program complained of, without its name."""
    lines = [line for line in complaint.splitlines() if line.strip()]
    return re.sub(r"^(?:ERROR: )?(?:\([a-z.-]+\) )?", "", lines[0]) if lines else "no reason given"
