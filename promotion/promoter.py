"""The way of an event: what it says is stated, the image is judged, and the verdict carried out.

Every step may be repeated: a redelivery finds what is there and goes on from it. Nothing is kept
anywhere but in the registries, so every verdict follows from them alone.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import groupby

import msgspec

from promotion import log
from promotion.announcement import Announcer
from promotion.deadline import Deadline, attempting
from promotion.effects import Effects
from promotion.errors import (
    BadMessage,
    BeyondLimit,
    NotFound,
    PromotionError,
    raise_one_of,
)
from promotion.evidence.attested import Evidence
from promotion.evidence.deployment import Deployment
from promotion.evidence.kinds import Said
from promotion.evidence.store import EvidenceStore
from promotion.evidence.suite_run import SuiteRun
from promotion.judgement import Case, can_leave, check_counted, judge
from promotion.messages import Deployed, Outcome, TestResult
from promotion.notifier import Notifier
from promotion.pipeline import Gate, Image, Pipelines
from promotion.policy import PolicyKeeper
from promotion.publisher import Topic
from promotion.registry.client import writer
from promotion.registry.reference import Digest, Reference
from promotion.registry.referrers import AllAttachments
from promotion.registry.transport import Transport
from promotion.turns import Turns
from promotion.verdict import Decision, Finding, Verdict

_logger = logging.getLogger(__name__)

# An image is pushed before its result is published, but a registry may take a while to show it.
_PATIENCE = timedelta(minutes=10)


class Occasion(msgspec.Struct, frozen=True):
    """Why an image is looked at.

    Attributes:
        image: Under which name; its stage is looked at first.
        at: When what is looked at happened.
        published_at: When it was published; None where nobody waits for the image.
        stated: The statement that was attached upon it, if any.
    """

    image: Reference
    digest: Digest
    at: datetime
    published_at: datetime | None = None
    stated: Digest | None = None


def _now() -> datetime:
    return datetime.now(UTC)


class Promoter:
    """Gives messages about images their effect; safe to share between threads."""

    def __init__(
        self,
        pipelines: Pipelines,
        transport: Transport,
        topic: Topic,
        store: EvidenceStore,
        policy: PolicyKeeper,
        now: Callable[[], datetime] = _now,
        seconds: float = 540,
    ) -> None:
        """Put it together.

        Args:
            pipelines: Whose images are promoted, and by which gates.
            transport: For requests to their registries.
            topic: Takes the events that tell of it.
            store: Reads and writes statements.
            policy: Keeps the promotion.yaml that judges beside the images.
            now: The time.
            seconds: The time that one attempt at a message may take; the next one goes on from
                what has been done by then.
        """
        self._pipelines = pipelines
        self._transport = transport
        self._store = store
        self._announcer = Announcer(topic, store)
        turns = Turns()
        self._effects = Effects(transport, self._announcer, store, policy, turns, now)
        self._notifier = Notifier(transport, self._announcer, store, turns, now)
        self._now = now
        self._seconds = seconds

    def handle(self, result: TestResult) -> None:
        """State what a suite found, judge the image wherever that matters, and see to the verdicts.

        A run that was cancelled or broke says nothing about the image, and is not stated.

        Raises:
            Permanent: The result is not one of this deployment's.
            Retryable: Something failed on the way; what has been done by then is found again.
        """
        image = self._found(result.image)
        _admit(image, result)
        inconclusive = result.outcome not in (Outcome.SUCCESS, Outcome.FAILURE)
        if inconclusive:
            _logger.info("no evidence: the suite ended with %s; run it again", result.outcome)
        occasion = Occasion(result.image, result.digest, result.finished_at, result.published_at)
        with attempting(self._seconds) as deadline:
            said = None if inconclusive else _run(image, result)
            gates = image.judged_upon(result.suite)
            stated = self._see_to(image, occasion, said, gates, deadline)
            if stated and not gates:
                _logger.info("recorded: no gate asks for %s in %s", result.suite, image.stage.name)

    def deployed(self, deployed: Deployed) -> None:
        """State since when an image runs in a stage, and judge it from there on.

        Raises:
            Permanent: It is none of this deployment's.
            Retryable: As for ``handle``.
        """
        image = self._found(deployed.image)
        _admit_deployment(image, deployed)
        occasion = Occasion(
            deployed.image, deployed.digest, deployed.deployed_at, deployed.published_at
        )
        said = _deployment(image, deployed)
        with attempting(self._seconds) as deadline:
            self._see_to(image, occasion, said, image.judged_from_here(), deadline)

    def look_again(
        self, reference: Reference, digest: Digest, at: datetime, stated: Digest | None = None
    ) -> None:
        """Tell who has revoked an image, and judge it, upon what is known, from where it is on.

        Args:
            reference: Its name there.
            digest: Of the image.
            at: When what it is looked at for was so; the time of events that no statement caused.
            stated: The statement that it is looked at for, if there is one: it must be listed.

        Raises:
            Permanent: It is none of this deployment's.
            Retryable: As for ``handle``.
        """
        image = self._found(reference)
        with attempting(self._seconds) as deadline:
            place = writer(reference.repository, self._transport, deadline)
            if stated and not place.has_manifest(digest):
                # What was stated of it has gone with it; it may be in the next stage all the same.
                stated = None
            # First, since it takes less: what keeps the image from being judged holds up no event.
            self._notifier.tell_revocations(image, digest, stated, deadline)
            occasion = Occasion(reference, digest, at, stated=stated)
            self._see_to(image, occasion, None, image.judged_from_here(), deadline)

    def _found(self, reference: Reference) -> Image:
        image = self._pipelines.find(reference)
        log.note(pipeline=image.pipeline.name)
        return image

    def _see_to(
        self,
        image: Image,
        occasion: Occasion,
        said: Said | None,
        gates: Sequence[tuple[Image, Gate]],
        deadline: Deadline,
    ) -> Digest | None:
        """State what there is to say, and consider the image at these gates; what was stated."""
        if said is not None:
            stated = self._state(image, occasion, said, deadline)
            occasion = msgspec.structs.replace(occasion, stated=stated)
        cases = [
            Case.to_promote(each, gate, promotion, self._transport, deadline)
            for each, gate in gates
            for promotion in each.promotions(occasion.digest)
        ]
        if cases:
            self._announcer.prepare()
        failures: list[PromotionError | None] = []
        for _, at_one_gate in groupby(cases, lambda case: case.promotion.from_stage):
            failures += _side_by_side(
                [partial(self._attempt, case, occasion) for case in at_one_gate]
            )
        raise_one_of(failure for failure in failures if failure)
        return occasion.stated

    def _state(
        self, image: Image, occasion: Occasion, said: Said, deadline: Deadline
    ) -> Digest | None:
        """Attach a statement to the image; None if there is no image that can be spoken of."""
        repository = writer(occasion.image.repository, self._transport, deadline)
        try:
            subject = repository.find(occasion.digest)
            known = self._store.read(occasion.digest, [repository]) if subject else Evidence()
        except BeyondLimit as error:
            _logger.warning("not stated, since it could not be read again: %s", error)
            return None
        if subject is None:
            self._wait_for(f"{occasion.image}@{occasion.digest}", occasion)
            _logger.warning("not stated, since the image is not there: %s", occasion.image)
            return None
        self._effects.keep_policy(image.stage.repository, deadline)
        return self._store.attach(repository, subject, said, known).basis.statement

    def _attempt(self, case: Case, occasion: Occasion) -> PromotionError | None:
        """Consider one destination; its failure is returned, so as not to hold up the others."""
        try:
            self._consider(case, occasion)
        except PromotionError as error:
            return error
        return None

    def _consider(self, case: Case, occasion: Occasion) -> None:
        """Judge the image and see to the verdict; what is beyond a limit is a denial."""
        began = time.monotonic()
        try:
            self._see_through(case, occasion)
        except BeyondLimit as error:
            verdict = Verdict((Finding(Decision.DENY, "beyond-limit", str(error)),))
            _log(case, verdict, time.monotonic() - began)
            self._notifier.deny_beyond_limit(case, verdict, occasion.at)

    def _see_through(self, case: Case, occasion: Occasion) -> None:
        began = time.monotonic()
        elsewhere = case.promotion.source != occasion.image
        if elsewhere and not can_leave(case, self._store, occasion.stated, self._now()):
            _logger.info("not ready to leave %s", case.promotion.from_stage)
            return
        with AllAttachments(case.source) as attachments:
            attachments.look_up(case.promotion.digest)
            judgement = judge(case, self._store, self._now())
            standing = judgement.standing
            is_missing = standing.source is None and not case.has_arrived(standing)
            if is_missing and occasion.published_at is None:
                _logger.info("%s is not there any more", case.promotion.source)
                return
            check_counted(occasion.stated, judgement.evidence)
            if is_missing:
                self._wait_for(str(case.promotion.source), occasion)
            promotes = judgement.verdict.decision is Decision.PROMOTE
            if promotes and not case.image.pipeline.observed:
                judgement = self._effects.promote(case, judgement, attachments)
        _log(case, judgement.verdict, time.monotonic() - began)
        self._notifier.tell(case, judgement, occasion.at)

    def _wait_for(self, what: str, occasion: Occasion) -> None:
        if occasion.published_at and self._now() < occasion.published_at + _PATIENCE:
            raise NotFound(
                f"{what} is not there; the result waits 10 minutes for it, in case it is still"
                " being pushed"
            )


def _log(case: Case, verdict: Verdict, seconds: float) -> None:
    """Say what has become of an image at a gate; metrics count these fields."""
    promotion = case.promotion
    fields = {"verdict": verdict.decision.name, "seconds": seconds, **promotion.stages}
    _logger.info("%s → %s: %s", promotion.source, promotion.to_stage, verdict, extra=fields)


def _side_by_side(
    attempts: Sequence[Callable[[], PromotionError | None]],
) -> list[PromotionError | None]:
    """Make attempts at the same time, so that one that takes long does not hold up the others."""
    if len(attempts) == 1:
        return [attempts[0]()]
    with ThreadPoolExecutor(len(attempts), thread_name_prefix="promotion") as threads:
        begun = [threads.submit(copy_context().run, attempt) for attempt in attempts]
        return [attempt.result() for attempt in begun]


def _admit(image: Image, result: TestResult) -> None:
    pipeline = image.pipeline
    if not pipeline.takes(result.suite, result.subscription):
        raise BadMessage(
            f"Results of the pipeline {pipeline.name} count only if they come through"
            f" {pipeline.results}, or through what a gate names for the suite {result.suite}; this"
            f" one came through {result.subscription or 'no subscription'}"
        )


def _admit_deployment(image: Image, deployed: Deployed) -> None:
    wanted = image.pipeline.results
    if wanted and deployed.subscription != wanted:
        raise BadMessage(
            f"Deployments of the pipeline {image.pipeline.name} count only if they come through"
            f" {wanted}; this one came through {deployed.subscription or 'no subscription'}"
        )


def _run(image: Image, result: TestResult) -> SuiteRun:
    return SuiteRun(
        pipeline=image.pipeline.name,
        stage=image.stage.name,
        repository=str(result.image.repository),
        version=result.image.tag,
        suite=result.suite,
        passed=result.outcome is Outcome.SUCCESS,
        finished_at=result.finished_at,
        subscription=result.subscription,
        ref=result.ref,
        commit=result.commit,
        url=result.url,
    )


def _deployment(image: Image, deployed: Deployed) -> Deployment:
    return Deployment(
        pipeline=image.pipeline.name,
        stage=image.stage.name,
        repository=str(deployed.image.repository),
        version=deployed.image.tag,
        deployed_at=deployed.deployed_at,
        subscription=deployed.subscription,
        url=deployed.url,
    )
