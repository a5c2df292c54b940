"""Pipelines, their stages, and the gates between them.

A stage is a repository path in a registry, ``{registry}/{path}``; an image in it is
``{registry}/{path}/{name}:{tag}``. What is written in promotion.yaml becomes these objects in
configuration.py; here nothing is read and nothing can be wrong any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING

import msgspec

from promotion.errors import BadMessage
from promotion.registry.reference import Digest, Reference, Repository

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo


NAMES_OF_RECORDS = frozenset({"promotion-policy", "promotion-control"})
"""What a stage keeps about itself, beside its images: nothing is promoted under these names."""


class WeeklyFreeze(msgspec.Struct, frozen=True):
    """A weekly window in which nothing leaves a stage; weekdays count from Monday, 0."""

    from_weekday: int
    from_time: time
    to_weekday: int
    to_time: time
    timezone: ZoneInfo
    reason: str


class DatedFreeze(msgspec.Struct, frozen=True):
    """A window in which nothing leaves a stage, once.

    Attributes:
        begin: When it begins, by the clocks of its time zone; the datetime names no zone.
        end: When it ends, in the same way.
    """

    begin: datetime
    end: datetime
    timezone: ZoneInfo
    reason: str


Freeze = WeeklyFreeze | DatedFreeze
"""A window in which nothing leaves a stage."""


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
        soak: How long it must have been in the stage, without an alert; None: no time.
        soak_from: Since when that counts: "deployment", or "promotion" into the stage.
        restart_soak_on_alert: Whether it counts from the last alert's end, not only around it.
        no_alerts: Whether no alert may be open.
        approvals: How many people must have approved.
        approvers: The e-mail addresses of those who may; empty: anybody.
    """

    suites: tuple[Suite, ...]
    refs: tuple[str, ...] = ()
    versions: str = ""
    order: str = "minor"
    soak: timedelta | None = None
    soak_from: str = "deployment"
    restart_soak_on_alert: bool = False
    no_alerts: bool = False
    approvals: int = 0
    approvers: tuple[str, ...] = ()
    freeze: tuple[Freeze, ...] = ()


class Stage(msgspec.Struct, frozen=True):
    """A class of environment, as the repositories of the images that may run there.

    Attributes:
        repository: The prefix that all image repositories of the stage share.
        promotes_to: The names of the stages that an image goes to from here.
        gate: The conditions for leaving; None where the stage promotes to no other.
        entry: "record" when only images with a promotion record are judged here, else "any".
        auto: Whether an image that qualifies leaves by itself, not only when a person says so.
        expect_within: How long an image is expected to wait here at most; None: for ever.
    """

    name: str
    repository: Repository
    promotes_to: tuple[str, ...] = ()
    gate: Gate | None = None
    entry: str = "record"
    auto: bool = True
    expect_within: timedelta | None = None

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

    def suites_of(self, stage: Stage) -> tuple[Suite, ...]:
        """The suites that a stage's gate asks for, with what each of them leaves open filled in."""
        asked = stage.gate.suites if stage.gate else ()
        filled_in = [
            Suite(each.name, each.stage or stage.name, each.via or self.results) for each in asked
        ]
        return tuple(dict.fromkeys(filled_in))

    def suites_up_to(self, stage: Stage) -> list[Suite]:
        """The suites that the gates up to a stage ask for: its own first, then those before it."""
        return [
            suite for each in (stage, *self.upstream_of(stage)) for suite in self.suites_of(each)
        ]

    def takes(self, suite: str, subscription: str) -> bool:
        """Whether results of a suite may come through a subscription.

        They may through the pipeline's own, and through one that a gate names for this suite.
        """
        named = [each for stage in self.stages.values() for each in self.suites_of(stage)]
        taken = {self.results, *(each.via for each in named if each.name == suite)}
        return not self.results or subscription in taken


class Image(msgspec.Struct, frozen=True):
    """An image in a stage of a pipeline, as a message names it."""

    pipeline: Pipeline
    stage: Stage
    name: str
    reference: Reference

    def judged_upon(self, suite: str) -> list[tuple[Image, Gate]]:
        """This image at each gate that a run of a suite in this image's stage can matter to.

        These are the gates that ask for the suite, and all further on, where its failure counts
        too.
        """
        run = (suite, self.stage.name)
        return self._at_gates_of(
            stage
            for stage in self.pipeline.stages.values()
            if any((each.name, each.stage) == run for each in self.pipeline.suites_up_to(stage))
        )

    def judged_from_here(self) -> list[tuple[Image, Gate]]:
        """This image at its stage's gate and at all further on: it may get there at once."""
        return self._at_gates_of(
            stage
            for stage in self.pipeline.stages.values()
            if stage is self.stage or self.stage in self.pipeline.upstream_of(stage)
        )

    def _at_gates_of(self, stages: Iterable[Stage]) -> list[tuple[Image, Gate]]:
        """This image at the gates of stages, in an order in which it can pass several at once."""
        pipeline = self.pipeline
        return [
            (Image(pipeline, stage, self.name, self.in_stage(stage)), stage.gate)
            for stage in sorted(stages, key=lambda each: len(pipeline.upstream_of(each)))
            if stage.gate
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

    def as_it_stands(self, digest: Digest) -> Promotion:
        """What an event names that is about the image in its stage, and about no way out of it."""
        return Promotion(
            pipeline=self.pipeline.name,
            image=self.name,
            digest=digest,
            from_stage=self.stage.name,
            to_stage=self.stage.name,
            source=self.reference,
            destination=self.reference,
        )

    def in_stage(self, stage: Stage) -> Reference:
        """The image's name in another stage of its pipeline."""
        path = f"{stage.repository.path}/{self.name}"
        return Reference(Repository(stage.repository.host, path), self.reference.tag)

    def evidence_places(self) -> list[Repository]:
        """Where evidence about the image may be: here, upstream, and where a suite is to run."""
        pipeline = self.pipeline
        stages = [
            self.stage,
            *pipeline.upstream_of(self.stage),
            *(pipeline.stages[each.stage] for each in pipeline.suites_up_to(self.stage)),
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

    @property
    def stages(self) -> dict[str, str]:
        """From where to where, as log lines have it."""
        return {"from_stage": self.from_stage, "to_stage": self.to_stage}


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
                    if name in NAMES_OF_RECORDS:
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
