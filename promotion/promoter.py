"""The way of an event, from a test result to an image in its next stage.

Every step may be repeated: a redelivery finds what is there and goes on from it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from promotion import events, gates, log
from promotion.announcement import is_announced, mark_announced
from promotion.deadline import Deadline
from promotion.errors import BadMessage, NotFound, PromotionError, RegistryRefused, Retryable
from promotion.events import TestResult
from promotion.gates import Standing
from promotion.pipeline import Gate, Image, Pipelines, Promotion
from promotion.publisher import Topic
from promotion.registry import parallel
from promotion.registry.client import RepositoryClient, between
from promotion.registry.copy import copy
from promotion.registry.manifest import Manifest
from promotion.registry.referrers import AllAttachments, Attachments
from promotion.registry.report import Way
from promotion.registry.transport import Transport
from promotion.verdict import Decision, Verdict

_logger = logging.getLogger(__name__)

# An image is pushed before its result is published, but a registry may take a while to show it.
_PATIENCE = timedelta(minutes=10)


def _now() -> datetime:
    return datetime.now(UTC)


class Promoter:
    """Gives test results their effect; safe to share between threads.

    Attributes of a promotion are the configuration's; ``seconds`` is the time that one attempt at
    it may take, after which the next attempt goes on.
    """

    def __init__(
        self,
        pipelines: Pipelines,
        transport: Transport,
        topic: Topic,
        now: Callable[[], datetime] = _now,
        seconds: float = 540,
    ) -> None:
        self._pipelines = pipelines
        self._transport = transport
        self._topic = topic
        self._now = now
        self._seconds = seconds

    def handle(self, result: TestResult) -> None:
        """Judge the image that was tested, and promote it if it qualifies.

        Raises:
            Permanent: The result is not one of this deployment's.
            Retryable: Something failed on the way; what has been done by then is found again.
        """
        image = self._pipelines.find(result.image)
        log.note(pipeline=image.pipeline.name)
        _admit(image, result)
        gate = image.stage.gate
        if gate is None or not gates.concerns(gate, result):
            _logger.info("recorded: no gate of %s asks for it", image.stage.name)
            return
        self._topic.prepare()
        failures = [
            failure
            for promotion in image.promotions(result.digest)
            if (failure := self._attempt(promotion, gate, result))
        ]
        for failure in sorted(failures, key=lambda each: not isinstance(each, Retryable)):
            raise failure

    def _attempt(
        self, promotion: Promotion, gate: Gate, result: TestResult
    ) -> PromotionError | None:
        """Consider one destination; its failure is returned, so as not to hold up the others."""
        try:
            self._consider(promotion, gate, result)
        except PromotionError as error:
            return error
        return None

    def _consider(self, promotion: Promotion, gate: Gate, result: TestResult) -> None:
        source, destination = between(
            promotion.source.repository,
            promotion.destination.repository,
            reader=self._transport,
            writer=self._transport,
            deadline=Deadline.after(self._seconds),
        )
        with AllAttachments(source) as attachments:
            attachments.look_up(promotion.digest)
            image, standing = _resolve(promotion, gate, source, destination)
            if image is None and self._now() < result.published_at + _PATIENCE:
                raise NotFound(
                    f"{promotion.source} is not there; the result waits 10 minutes for it,"
                    " in case it is still being pushed"
                )
            verdict = gates.decide(promotion, gate, result, standing)
            if image and verdict.decision is Decision.PROMOTE and not standing.destination:
                verdict = _promote(promotion, verdict, image, attachments, source, destination)
        promoted = image if verdict.decision is Decision.PROMOTE else None
        if promoted and standing.destination and is_announced(promotion, promoted, destination):
            _logger.info("already promoted and announced: %s", promotion.destination)
            return
        _logger.info("%s → %s: %s", promotion.source, promotion.to_stage, verdict)
        self._tell(promotion, verdict, result)
        if promoted:
            mark_announced(promotion, promoted, destination)

    def _tell(self, promotion: Promotion, verdict: Verdict, result: TestResult) -> None:
        at = result.finished_at
        if verdict.decision is Decision.PROMOTE:
            self._topic.publish(events.promoted(promotion, verdict, [], at))
        elif verdict.decision is Decision.DENY:
            self._topic.publish(events.denied(promotion, verdict, [], [result.identity], at))


def _admit(image: Image, result: TestResult) -> None:
    wanted = image.pipeline.results
    if wanted and result.subscription != wanted:
        raise BadMessage(
            f"Results of the pipeline {image.pipeline.name} count only if they come through"
            f" {wanted}; this one came through {result.subscription or 'no subscription'}"
        )


def _resolve(
    promotion: Promotion, gate: Gate, source: RepositoryClient, destination: RepositoryClient
) -> tuple[Manifest | None, Standing]:
    """Ask both sides at once what the version's tag names, and which versions there are."""
    ordered = gates.looks_at_versions(gate, promotion)
    versions = parallel.start(destination.tags) if ordered else None
    at_destination = parallel.start(lambda: destination.resolve(promotion.version))
    image = source.find(promotion.version)
    standing = Standing(
        image.digest if image else None,
        at_destination.result(),
        tuple(versions.result()) if versions else (),
    )
    return image, standing


def _promote(
    promotion: Promotion,
    verdict: Verdict,
    image: Manifest,
    attachments: Attachments,
    source: RepositoryClient,
    destination: RepositoryClient,
) -> Verdict:
    """Copy the image and, last, set its tag; a tag that another writer set first is a denial."""
    started = _now()
    copied = copy(image, source, destination, attachments)
    try:
        destination.put_manifest(image, promotion.version)
    except RegistryRefused:
        # Where tags are immutable, this is how a lost race shows; a twin's tag is as good as ours.
        if destination.resolve(promotion.version) is None:
            raise
    named = destination.resolve(promotion.version)
    if named is None:
        raise NotFound(f"{promotion.destination} was deleted right after it was set")
    if named != promotion.digest:
        return Verdict((*verdict.findings, gates.tag_conflict(promotion, named)))
    seconds = (_now() - started).total_seconds()
    _logger.info(
        "copied to %s",
        promotion.destination,
        extra={
            "seconds": seconds,
            "bytes": copied.bytes_copied,
            **{f"blobs_{way.name.lower()}": copied.count(way) for way in Way},
            "referrers": len(copied.referrers),
        },
    )
    return verdict
