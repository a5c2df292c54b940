"""Pipelines, their stages, and the gates between them.

A stage is a repository path in a registry, ``{registry}/{path}``; an image in it is
``{registry}/{path}/{name}:{tag}``. What is written in promotion.yaml becomes these objects in
configuration.py; here nothing is read and nothing can be wrong any more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import time, timedelta
from typing import TYPE_CHECKING

import msgspec

from promotion.errors import BadMessage
from promotion.registry.reference import Digest, Reference, Repository

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo


_RESERVED = frozenset({"promotion-policy", "promotion-control"})


class Freeze(msgspec.Struct, frozen=True):
    """A weekly window in which nothing leaves a stage; weekdays count from Monday, 0."""

    from_weekday: int
    from_time: time
    to_weekday: int
    to_time: time
    timezone: ZoneInfo
    reason: str


class Suite(msgspec.Struct, frozen=True):
    """A suite that must have succeeded.

    Attributes:
        stage: The stage in which it was to run; "" for the gate's own.
        via: The subscription that must have reported it; "" for any that the pipeline takes.
    """

    name: str
    stage: str = ""
    via: str = ""


class Gate(msgspec.Struct, frozen=True):
    """The conditions for leaving a stage; an empty one asks for nothing.

    Attributes:
        versions: "semver", a regular expression, or "" for any version.
        order: Among which versions of the next stage a version must not be behind: "minor" (those
            of the same major and minor), "strict" (all), or "any" (none).
    """

    suites: tuple[Suite, ...]
    refs: tuple[str, ...] = ()
    versions: str = ""
    order: str = "minor"
    soak: timedelta | None = None
    no_alerts: bool = False
    approvals: int = 0
    freeze: tuple[Freeze, ...] = ()


class Stage(msgspec.Struct, frozen=True):
    """A class of environment, as the repositories of the images that may run there.

    Attributes:
        repository: The prefix that all image repositories of the stage share.
        promotes_to: The names of the stages that an image goes to from here.
        gate: The conditions for leaving; None where the stage promotes to no other.
        entry: "record" when only images with a promotion record are judged here, else "any".
    """

    name: str
    repository: Repository
    promotes_to: tuple[str, ...] = ()
    gate: Gate | None = None
    entry: str = "record"

    def asks(self, wanted: Suite, suite: str, ran_in: Stage) -> bool:
        """Whether a suite that this stage's gate wants is the one that ran in a stage."""
        return wanted.name == suite and (wanted.stage or self.name) == ran_in.name

    def holds(self, repository: Repository) -> bool:
        """Whether an image repository belongs to this stage."""
        return repository.host == self.repository.host and repository.path.startswith(
            f"{self.repository.path}/"
        )


class Pipeline(msgspec.Struct, frozen=True):
    """The stages of one product, and the subscription through which its results must come.

    Attributes:
        observed: Whether it is judged, and nothing is copied.
    """

    name: str
    stages: Mapping[str, Stage]
    results: str = ""
    observed: bool = False

    def upstream_of(self, stage: Stage) -> list[Stage]:
        """The stages that images can have come through on their way to this one."""
        before = [each for each in self.stages.values() if stage.name in each.promotes_to]
        further = [each for one in before for each in self.upstream_of(one)]
        return list({each.name: each for each in (*before, *further)}.values())


class Image(msgspec.Struct, frozen=True):
    """An image in a stage of a pipeline, as a message names it."""

    pipeline: Pipeline
    stage: Stage
    name: str
    reference: Reference

    def judged_upon(self, suite: str) -> list[tuple[Image, Gate]]:
        """This image at each gate that asks for a suite that ran in this image's stage."""
        return [
            (Image(self.pipeline, stage, self.name, self.in_stage(stage)), stage.gate)
            for stage in self.pipeline.stages.values()
            if stage.gate and any(stage.asks(each, suite, self.stage) for each in stage.gate.suites)
        ]

    def promotions(self, digest: Digest) -> list[Promotion]:
        """The promotions that can follow from this image's stage."""
        return [
            Promotion(
                pipeline=self.pipeline.name,
                image=self.name,
                digest=digest,
                from_stage=self.stage.name,
                to_stage=name,
                source=self.reference,
                destination=self.in_stage(self.pipeline.stages[name]),
            )
            for name in self.stage.promotes_to
        ]

    def in_stage(self, stage: Stage) -> Reference:
        """The image's name in another stage of its pipeline."""
        path = f"{stage.repository.path}/{self.name}"
        return Reference(Repository(stage.repository.host, path), self.reference.tag)

    def evidence_places(self) -> list[Repository]:
        """Where evidence about the image may be: here, upstream, and where a suite is to run."""
        named = [each.stage for each in self.stage.gate.suites] if self.stage.gate else []
        stages = [
            self.stage,
            *self.pipeline.upstream_of(self.stage),
            *(self.pipeline.stages[name] for name in named if name),
        ]
        return list(dict.fromkeys(self.in_stage(stage).repository for stage in stages))


class Promotion(msgspec.Struct, frozen=True):
    """One image on its way from one stage to another; the tag is the version and stays."""

    pipeline: str
    image: str
    digest: Digest
    from_stage: str
    to_stage: str
    source: Reference
    destination: Reference

    @property
    def version(self) -> str:
        """The image's version: its tag, in both stages."""
        return self.source.tag


class Signing(msgspec.Struct, frozen=True):
    """Who signs statements, and whose signatures count."""

    kms: str = ""
    key: str = ""
    trusted: tuple[str, ...] = ()


class Pipelines(msgspec.Struct, frozen=True):
    """All pipelines of a deployment."""

    pipelines: Sequence[Pipeline]
    signals: str = ""
    signing: Signing | None = None

    def find(self, reference: Reference) -> Image:
        """The image that a reference names, with its pipeline and stage.

        Raises:
            BadMessage: The reference is in no stage of any pipeline, or lacks a tag.
        """
        if not reference.tag:
            raise BadMessage(f"{reference} has no tag; name the image as NAME:TAG")
        for pipeline in self.pipelines:
            for stage in pipeline.stages.values():
                if stage.holds(reference.repository):
                    name = reference.repository.path.removeprefix(f"{stage.repository.path}/")
                    if name in _RESERVED:
                        raise BadMessage(f"{reference} is no image: the name is kept for records")
                    return Image(pipeline, stage, name, reference)
        raise BadMessage(self._nowhere(reference))

    def _nowhere(self, reference: Reference) -> str:
        stages = [stage for pipeline in self.pipelines for stage in pipeline.stages.values()]
        hosts = sorted({stage.repository.host for stage in stages})
        if reference.repository.host not in hosts:
            return (
                f"{reference} is on the registry {reference.repository.host}, which no stage uses;"
                f" promotion.yaml knows {', '.join(hosts)}"
            )
        repositories = ", ".join(f"{stage.repository}/…" for stage in stages)
        return f"{reference} is in no stage; promotion.yaml knows {repositories}"
