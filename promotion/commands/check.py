"""``promotion check``: what promotion.yaml says, and whether it holds on the real registries."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from promotion.errors import BadConfiguration
    from promotion.inspection import Check
    from promotion.pipeline import Pipeline, Pipelines, Signing, Stage

_EXAMPLES = """\
examples:
  promotion check
  promotion check deploy/promotion.yaml --online
  promotion check --online --json | jq '.checks[] | select(.state == "error")'

--online asks as the identity of the environment. To ask as the function:
  gcloud auth application-default login --impersonate-service-account EMAIL

exit codes: 0 right, perhaps with warnings; 1 something is wrong; 2 usage.
"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "check",
        help="check promotion.yaml, and what it needs",
        description="Checks promotion.yaml and shows what it means; with --online also that its"
        " repositories and its signing key are fit for it. Writes nothing.",
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        default="",
        help="default: $PROMOTION_CONFIG, else promotion.yaml",
    )
    parser.add_argument(
        "--online",
        action="store_true",
        help="also ask registries, Artifact Registry and Cloud KMS",
    )
    parser.add_argument("--json", action="store_true", help="print what was found as JSON")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace, environment: Mapping[str, str]) -> None:
    """Check the file and, if asked to, what it needs.

    Raises:
        PromotionError: The file is wrong, or something is not as it needs it.
    """
    from promotion.errors import PromotionError

    name, pipelines, problems = _read(options.file, environment)
    checks = _inspected(pipelines, environment) if options.online and pipelines else []
    found = _Found(name, pipelines, problems, checks)
    if options.json:
        print(json.dumps(_report(found)))
    else:
        _show(found, environment)
    if complaint := found.complaint:
        raise PromotionError(complaint)


@dataclass(frozen=True)
class _Found:
    """All that was found; no pipelines if the file cannot be understood."""

    path: str
    pipelines: Pipelines | None
    problems: Sequence[str]
    checks: Sequence[Check]

    @property
    def complaint(self) -> str:
        """What is wrong, in a line; empty if nothing is."""
        parts = []
        if self.problems:
            parts.append(f"{_count(len(self.problems), 'problem')} in {self.path}")
        if errors := self.number("error"):
            parts.append(f"{errors} of {_count(len(self.checks), 'check')} failed")
        return f"{', '.join(parts)}; mend that and check again" if parts else ""

    @property
    def verdict(self) -> str:
        """What is to be said if nothing is wrong, in a line."""
        parts = [f"{self.path} is right"]
        if self.checks:
            parts.append(f"{_count(len(self.checks), 'check')} done")
        if warnings := self.number("warning"):
            parts.append(_count(warnings, "warning"))
        return "; ".join(parts)

    def number(self, state: str) -> int:
        """How many checks have come out like this."""
        return sum(check.state == state for check in self.checks)


def _read(file: str, environment: Mapping[str, str]) -> tuple[str, Pipelines | None, list[str]]:
    """The file's name, what it says, and what is wrong with it."""
    from promotion import gates
    from promotion.commands.in_reach import DEFAULT_FILE, in_reach
    from promotion.errors import BadConfiguration

    try:
        found = in_reach(environment, file)
    except BadConfiguration as error:
        name = file or environment.get("PROMOTION_CONFIG") or DEFAULT_FILE
        return name, None, _lines(error)
    try:
        gates.check_supported(found.pipelines)
    except BadConfiguration as error:
        return found.name, found.pipelines, _lines(error)
    return found.name, found.pipelines, []


def _lines(error: BadConfiguration) -> list[str]:
    return str(error).splitlines()


def _inspected(pipelines: Pipelines, environment: Mapping[str, str]) -> list[Check]:
    from promotion.artifact_registry import artifact_registry
    from promotion.commands.sides import own_identity
    from promotion.inspection import inspect
    from promotion.registry.connections import Connections

    connections = Connections()
    fetch = connections.fetch
    try:
        transport = own_identity(environment, connections)
        return inspect(pipelines, transport, artifact_registry(environment, fetch), fetch)
    finally:
        connections.close()


def _report(found: _Found) -> dict[str, object]:
    import msgspec

    return {
        "file": found.path,
        "ok": not found.complaint,
        "problems": list(found.problems),
        **_meant(found.pipelines),
        "checks": msgspec.to_builtins(found.checks),
    }


def _meant(pipelines: Pipelines | None) -> dict[str, object]:
    """What the file says, with what holds where it says nothing."""
    found = pipelines.pipelines if pipelines else ()
    return {
        "pipelines": [
            {
                "pipeline": each.name,
                "mode": "observe" if each.observed else "promote",
                "results": each.results,
            }
            for each in found
        ],
        "stages": [_stage(each, stage) for each in found for stage in each.stages.values()],
        "signals": pipelines.signals if pipelines else "",
        "signing": _signing(pipelines.signing) if pipelines and pipelines.signing else None,
    }


def _stage(pipeline: Pipeline, stage: Stage) -> dict[str, object]:
    from promotion.conditions import conditions, duration

    within = stage.expect_within
    return {
        "pipeline": pipeline.name,
        "stage": stage.name,
        "repository": str(stage.repository),
        "promotes_to": list(stage.promotes_to),
        "gate": conditions(stage.gate) if stage.gate else [],
        "entry": stage.entry,
        "auto": stage.auto,
        "expect_within": None if within is None else duration(within),
    }


def _signing(signing: Signing) -> dict[str, object]:
    """Nothing of what may be a private key, where one is written by mistake."""
    return {
        "kms": signing.kms,
        "has_key_file": bool(signing.key),
        "trusted_keys": len(signing.trusted),
    }


def _show(found: _Found, environment: Mapping[str, str]) -> None:
    from promotion.commands import tables
    from promotion.commands.screen import Screen
    from promotion.conditions import of_messages

    screen = Screen(environment)
    for problem in found.problems:
        screen.say(problem)
    if found.pipelines:
        screen.show(tables.stages_table(found.pipelines))
        if messages := of_messages(found.pipelines):
            screen.say("\n".join((*messages, "")))
    if found.checks:
        shown = tables.shown(found.checks)
        screen.show(tables.checks_table(shown))
        if remedies := tables.remedies(shown):
            screen.say(f"{remedies}\n")
    if not found.complaint:
        screen.say(found.verdict)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
