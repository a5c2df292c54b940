"""``promotion check``, as tests run it: what is written, and what is said of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from promotion import cli

DEV = "projects/acme-dev/locations/europe-west2/repositories/tenant"
PROD = "projects/acme-prod/locations/europe-west2/repositories/tenant"
DEV_ADDRESS = "europe-west2-docker.pkg.dev/acme-dev/tenant"
PROD_ADDRESS = "europe-west2-docker.pkg.dev/acme-prod/tenant"

SHOP = f"""\
pipelines:
  shop:
    stages:
      fast-feedback:
        registry: {DEV_ADDRESS}/shop
        promotes_to: extended-test
        gate:
          suites: [functional]
          refs: [refs/heads/main, refs/tags/*]
      extended-test:
        registry: {DEV_ADDRESS}/shop
        promotes_to: prod
        gate: {{suites: [extended], versions: "[a-z]+", order: any}}
      prod:
        registry: {PROD_ADDRESS}/shop
"""


def write(text: str) -> None:
    """Write promotion.yaml into the directory that the test runs in."""
    Path("promotion.yaml").write_text(text, encoding="utf-8")


def stage_at(registry: str) -> str:
    """A promotion.yaml with one stage, ``shop/prod`` at a registry."""
    return f"pipelines: {{shop: {{stages: {{prod: {{registry: {registry}/shop}}}}}}}}\n"


def check(*arguments: str, **environment: str) -> int:
    """Run the command without anybody's credentials; its exit code."""
    home = {"HOME": "/nonexistent", "DOCKER_CONFIG": "/nonexistent"}
    return cli.main(["check", *arguments], {**home, **environment})


class Online:
    """Runs the command with --online --json."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, **environment: str) -> dict[str, Any]:
        """What it prints, once its exit code fits that."""
        code = check("--online", "--json", **environment)
        report: dict[str, Any] = json.loads(self._capsys.readouterr().out)
        assert code == (0 if report["ok"] else 1)
        return report


def only(report: dict[str, Any], subject: str, what: str) -> dict[str, str]:
    """The one check of that name."""
    (found,) = (
        each for each in report["checks"] if (each["subject"], each["what"]) == (subject, what)
    )
    return dict(found)
