"""What the smoke test sends through a pipeline: an image that must be promoted, if all is well."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from operate.errors import OperationFailed
from promotion.pipeline import Gate, Pipeline, Pipelines, Stage, Suite
from promotion.registry.reference import Reference, Repository

NAME = "promotion-smoke"
"""The image's name, which deployers leave alone."""


@dataclass(frozen=True)
class Wish:
    """What the operator chooses; what is empty is chosen for him.

    Attributes:
        version: A tag that the gate lets pass.
        ref: A git ref that the gate lets pass.
    """

    pipeline: str = ""
    version: str = ""
    ref: str = ""


@dataclass(frozen=True)
class Errand:
    """An image on its way out of the first stage of a pipeline.

    Attributes:
        source: Its name in the first stage.
        destinations: Its name in each stage that it must come to.
        suites: The suites that must succeed, each with the subscription that must bring it.
        ref: What they ran on.
    """

    pipeline: str
    source: Reference
    destinations: tuple[Reference, ...]
    suites: tuple[Suite, ...]
    ref: str

    @property
    def version(self) -> str:
        """The image's tag, in all stages."""
        return self.source.tag


def errand(pipelines: Pipelines, wish: Wish, default_version: str) -> Errand:
    """The errand that shows most with least: the first stage's image into those that follow.

    Raises:
        OperationFailed: No results alone can take an image through that gate.
    """
    pipeline = _pipeline(pipelines, wish.pipeline)
    stage = next(each for each in pipeline.stages.values() if not pipeline.upstream_of(each))
    gate = stage.gate
    if gate is None:
        raise OperationFailed(f"{pipeline.name} has one stage alone: nothing is promoted there")
    version = wish.version or default_version
    ref = wish.ref or next((_fitting(each, version) for each in gate.refs), "")
    if problems := list(_obstacles(pipeline, stage, gate, version, ref)):
        raise OperationFailed(
            f"Results alone do not let an image leave {stage.name} of {pipeline.name}:"
            f" {'; '.join(problems)}. Choose: PIPELINE=…, VERSION=…, REF=…"
        )
    return Errand(
        pipeline.name,
        _named(stage, version),
        tuple(_named(pipeline.stages[each], version) for each in stage.promotes_to),
        pipeline.suites_of(stage),
        ref,
    )


def _pipeline(pipelines: Pipelines, name: str) -> Pipeline:
    known = {each.name: each for each in pipelines.pipelines}
    if not name:
        return pipelines.pipelines[0]
    if name not in known:
        raise OperationFailed(f"There is no pipeline {name!r}; there are {', '.join(known)}")
    return known[name]


def _named(stage: Stage, version: str) -> Reference:
    repository = stage.repository
    return Reference(Repository(repository.host, f"{repository.path}/{NAME}"), version)


def _obstacles(
    pipeline: Pipeline, stage: Stage, gate: Gate, version: str, ref: str
) -> Iterator[str]:
    """What keeps an image from leaving, whatever succeeds."""
    if pipeline.observed:
        yield "the pipeline is only observed"
    if not stage.auto:
        yield "a person has to say so"
    if gate.soak:
        yield f"it has to soak for {gate.soak}"
    if gate.approvals:
        yield f"it needs {gate.approvals} approvals"
    yield from _unfit(gate, version, ref)
    yield from _unreportable(pipeline, stage)


def _unreportable(pipeline: Pipeline, stage: Stage) -> Iterator[str]:
    """What keeps results about the stage from bringing what its gate asks for."""
    suites = pipeline.suites_of(stage)
    if not suites:
        yield "its gate names no suite"
    for suite in suites:
        if suite.stage != stage.name:
            yield f"the suite {suite.name} runs in {suite.stage}"


def _unfit(gate: Gate, version: str, ref: str) -> Iterator[str]:
    """What keeps this version, or what comes from this ref, from leaving."""
    if gate.versions not in ("", "semver") and not re.fullmatch(gate.versions, version):
        yield f"{version} is not a version like {gate.versions}"
    if gate.refs and not any(fnmatchcase(ref, pattern) for pattern in gate.refs):
        yield f"{ref} is none of the refs {', '.join(gate.refs)}"


def _fitting(pattern: str, version: str) -> str:
    """A ref that fits a pattern, if it has no wildcards but asterisks."""
    return pattern.replace("*", version)
