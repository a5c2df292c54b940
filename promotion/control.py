"""What becomes of a person's decision: a signed statement, and the image is judged again.

What is decided about an image is attached to its digest, in the repository of its stage. What holds
in all stages is attached wherever else the digest is, too, since a gate looks at its own stage and
at those before it alone. What is decided about a stage, or a whole pipeline, is stated in the
``promotion-control`` repository of each stage that it is about.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

import msgspec

from promotion import control_log, log
from promotion.deadline import Deadline, current, keeping
from promotion.decision import Decision
from promotion.errors import (
    BadMessage,
    NotFound,
    PromotionError,
    PublishFailed,
    Retryable,
    TagMoved,
)
from promotion.evidence.act import Act, Kind
from promotion.evidence.attested import Evidence
from promotion.evidence.store import EvidenceStore
from promotion.messages import evaluation
from promotion.pipeline import Image, Pipeline, Pipelines, Stage
from promotion.publisher import Topic
from promotion.registry.client import RepositoryClient, writer
from promotion.registry.manifest import Manifest
from promotion.registry.reference import Digest, Reference, Repository, parse_digest
from promotion.registry.transport import Transport

_logger = logging.getLogger(__name__)

_SECONDS = 60

_IN_ALL_STAGES = (Kind.HOLD, Kind.RELEASE, Kind.REVOKE)
"""Decisions about an image that hold in every stage, whichever of them it was named in."""

_Thing = TypeVar("_Thing", Pipeline, Stage)
_Stated = TypeVar("_Stated")


def _now() -> datetime:
    return datetime.now(UTC)


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What was stated.

    Attributes:
        statements: The digests of the statements: one for an image or a stage; for a pipeline one
            for each of its stages.
        statement: The first of them.
        subject: The image with its tag, or the stage, or the pipeline.
        digest: The image's; "" where it is about no image.
        stage: The stage that it holds for; "" for all.
        evaluation_requested: Whether the image is being judged again at once.
    """

    action: Kind
    statement: Digest
    statements: Sequence[Digest]
    author: str
    subject: str
    digest: str
    pipeline: str
    stage: str
    reason: str
    decided_at: datetime
    expires_at: datetime | None
    gates: Sequence[str]
    to_stage: str
    evaluation_requested: bool


class Control:
    """Gives people's decisions their effect; safe to share between threads.

    Where there is no topic for signals, nothing is judged again at once.
    """

    def __init__(
        self,
        pipelines: Pipelines,
        transport: Transport,
        store: EvidenceStore,
        signals: Topic | None,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._pipelines = pipelines
        self._transport = transport
        self._store = store
        self._signals = signals
        self._now = now

    def decide(self, decision: Decision, author: str) -> Done:
        """State what a person has decided.

        Raises:
            BadMessage, BadReference: It is about nothing that the configuration knows.
            NotFound: There is no such image.
            TagMoved: The tag names another digest than the decision does.
            Retryable: It could not be stated, or not everywhere; it may be repeated.
        """
        with keeping(Deadline.after(_SECONDS)):
            if decision.image:
                done = self._about_image(decision, author)
            else:
                done = self._about_stages(decision, author)
        _logger.info("%s of %s by %s: %s", done.action, done.subject, author, done.reason)
        return done

    def _about_image(self, decision: Decision, author: str) -> Done:
        image, digest = self._image(decision)
        stage = "" if decision.action is Kind.REVOKE else image.stage.name
        act = self._act(decision, author, image.pipeline, stage, image.reference.repository)
        log.note(pipeline=image.pipeline.name, image=str(image.reference))
        signals = self._signals if decision.action is not Kind.HOLD else None
        if signals:
            signals.prepare()
        repository = self._writer(image.reference.repository)
        subject = _named(image.reference, digest, repository)
        stated = self._state_of_image(image, repository, subject, act)
        statement = stated[image.reference]
        requested = signals is not None and _request_evaluations(
            signals, self._where_it_may_wait(stated, subject.digest, act), subject.digest, statement
        )
        if signals and not requested and act.kind is Kind.REVOKE:
            # No scheduler finds an image that waits for nothing any more.
            raise PublishFailed(
                f"{image.reference} is revoked, and goes no further; but Pub/Sub"
                " failed, so that no event tells of it yet: revoke it again"
            )
        return _done(act, str(image.reference), [statement], subject.digest, requested)

    def _state_of_image(
        self, image: Image, repository: RepositoryClient, subject: Manifest, act: Act
    ) -> dict[Reference, Digest]:
        """State it wherever it holds: the statement by each of the image's names, its own first."""
        elsewhere = _in_other_stages(image) if act.kind in _IN_ALL_STAGES else []
        statings: list[Callable[[], Digest | None]] = [
            partial(self._attach, repository, subject, act),
            *(partial(self._follow, name, subject, act) for name in elsewhere),
        ]
        stated = zip([image.reference, *elsewhere], _all_of(statings), strict=True)
        return {name: statement for name, statement in stated if statement}

    def _where_it_may_wait(
        self, names: Iterable[Reference], digest: Digest, act: Act
    ) -> Iterator[Reference]:
        """Of the names that it is stated under, those where it may let the image go on.

        These are the image's own name and, as a release holds in every stage, its others.
        """
        own, *others = names
        yield own
        if act.kind is Kind.RELEASE:
            for name in others:
                if self._writer(name.repository).resolve(name.tag) == digest:
                    yield name

    def _follow(self, name: Reference, subject: Manifest, act: Act) -> Digest | None:
        """State it of an image in the repository of another stage, which may not have it."""
        repository = self._writer(name.repository)
        if not repository.has_manifest(subject.digest):
            return None
        return self._attach(repository, subject, act)

    def _attach(self, repository: RepositoryClient, subject: Manifest, act: Act) -> Digest:
        return self._store.attach(repository, subject, act, Evidence()).basis.statement

    def _about_stages(self, decision: Decision, author: str) -> Done:
        pipeline = self._pipeline(decision.pipeline)
        log.note(pipeline=pipeline.name)
        stages = pipeline.stages
        if decision.stage:
            stages = {decision.stage: _stage(pipeline, decision.stage)}
        acts = [
            self._act(decision, author, pipeline, decision.stage, stage.repository)
            for stage in stages.values()
        ]
        places = [control_log.repository_of(stage.repository) for stage in stages.values()]
        stated = _all_of(
            [partial(self._state, each, act) for each, act in zip(places, acts, strict=True)]
        )
        subject = acts[0].subject if decision.stage else pipeline.name
        return _done(acts[0], subject, stated)

    def _state(self, place: Repository, act: Act) -> Digest:
        return control_log.state(self._writer(place), act, self._store)

    def _act(
        self, decision: Decision, author: str, pipeline: Pipeline, stage: str, subject: Repository
    ) -> Act:
        now = self._now()
        return Act(
            kind=decision.action,
            pipeline=pipeline.name,
            stage=stage,
            subject=str(subject),
            author=author,
            reason=decision.reason,
            decided_at=now,
            expires_at=decision.expiry(now),
            gates=decision.gates,
            to_stage=decision.to_stage,
        )

    def _image(self, decision: Decision) -> tuple[Image, Digest | None]:
        """The image that is meant, and the digest, if it is named."""
        reference = Reference.parse(decision.image)
        digest = parse_digest(decision.digest) if decision.digest else reference.digest
        if reference.digest not in (None, digest):
            raise BadMessage(f"{reference} and the field digest, {digest}, disagree")
        image = self._pipelines.find(Reference(reference.repository, reference.tag))
        _check_leads_on(decision, image.stage)
        return image, digest

    def _pipeline(self, name: str) -> Pipeline:
        known = {each.name: each for each in self._pipelines.pipelines}
        return _known("pipeline", name, known)

    def _writer(self, repository: Repository) -> RepositoryClient:
        return writer(repository, self._transport, current())


def _all_of(statings: Sequence[Callable[[], _Stated]]) -> list[_Stated]:
    """State it in every stage; one that is down does not keep the others from being told."""
    stated: list[_Stated] = []
    failures: list[PromotionError] = []
    for state in statings:
        try:
            stated.append(state())
        except PromotionError as error:
            failures.append(error)
    if failures and stated:
        raise Retryable(
            f"Stated for {len(stated)} of {len(statings)} stages, so do it again: {failures[0]}"
        ) from failures[0]
    if failures:
        raise failures[0]
    return stated


def _request_evaluations(
    signals: Topic, images: Iterable[Reference], digest: Digest, statement: Digest
) -> bool:
    """Have an image judged upon a statement; if that fails, the scheduler's next look finds it."""
    try:
        for image in images:
            signals.publish(evaluation(image, digest, statement))
    except Retryable as error:
        _logger.warning("stated, but not judged again at once: %s", error)
        return False
    return True


def _in_other_stages(image: Image) -> list[Reference]:
    """The image's names in the other stages of its pipeline."""
    stages = image.pipeline.stages.values()
    return [image.in_stage(stage) for stage in stages if stage is not image.stage]


def _named(image: Reference, digest: Digest | None, repository: RepositoryClient) -> Manifest:
    """What a tag names, which must be the digest, if one is given."""
    found = repository.find(image.tag)
    if found is None:
        raise NotFound(f"{image} does not exist; check the name and the tag")
    if digest not in (None, found.digest):
        raise TagMoved(
            f"{image} names {found.digest} now, not {digest}; look at what it is, and decide anew"
        )
    return found


def _check_leads_on(decision: Decision, stage: Stage) -> None:
    """What lets an image go must be about a stage that images go from, and to."""
    if decision.action in (Kind.OVERRIDE, Kind.PROMOTE) and not stage.promotes_to:
        raise BadMessage(f"Nothing leaves {stage.name}; name the image in an earlier stage")
    if decision.to_stage and decision.to_stage not in stage.promotes_to:
        raise BadMessage(
            f"{stage.name} does not promote to {decision.to_stage!r},"
            f" but to {', '.join(stage.promotes_to)}"
        )


def _stage(pipeline: Pipeline, name: str) -> Stage:
    return _known(f"stage of {pipeline.name}", name, pipeline.stages)


def _known(kind: str, name: str, known: Mapping[str, _Thing]) -> _Thing:
    if name not in known:
        raise BadMessage(f"There is no {kind} {name!r}; promotion.yaml knows {', '.join(known)}")
    return known[name]


def _done(
    act: Act,
    subject: str,
    stated: Sequence[Digest],
    digest: str = "",
    evaluation_requested: bool = False,
) -> Done:
    return Done(
        action=act.kind,
        statement=stated[0],
        statements=stated,
        author=act.author,
        subject=subject,
        digest=digest,
        pipeline=act.pipeline,
        stage=act.stage,
        reason=act.reason,
        decided_at=act.decided_at,
        expires_at=act.expires_at,
        gates=act.gates,
        to_stage=act.to_stage,
        evaluation_requested=evaluation_requested,
    )
