"""The way of an event, from a test result to an image in its next stage.

Every step may be repeated: a redelivery finds what is there and goes on from it. Nothing is kept
anywhere but in the registries, so every verdict follows from them alone.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from promotion import events, gates, log, policy
from promotion.announcement import is_announced, mark_announced
from promotion.deadline import Deadline, keeping
from promotion.errors import (
    BadMessage,
    Contended,
    NotFound,
    PromotionError,
    RegistryRefused,
    Retryable,
)
from promotion.events import Event, Outcome, TestResult
from promotion.evidence.attested import Evidence
from promotion.evidence.record import PromotionRecord, RecordedFinding
from promotion.evidence.statement import ResourceDescriptor
from promotion.evidence.store import EvidenceStore
from promotion.evidence.suite_run import SuiteRun
from promotion.judgement import Case, Judgement, can_leave, check_counted, judge, judge_again
from promotion.pipeline import Image, Pipelines
from promotion.policy import PolicyKeeper
from promotion.publisher import Topic
from promotion.registry.client import RepositoryClient
from promotion.registry.copy import copy
from promotion.registry.manifest import Manifest
from promotion.registry.reference import Digest, Repository
from promotion.registry.referrers import AllAttachments
from promotion.registry.report import Way
from promotion.registry.transport import Transport
from promotion.turns import Turns
from promotion.verdict import Decision, Verdict, basis_of

_logger = logging.getLogger(__name__)

# An image is pushed before its result is published, but a registry may take a while to show it.
_PATIENCE = timedelta(minutes=10)


def _now() -> datetime:
    return datetime.now(UTC)


class Promoter:
    """Gives test results their effect; safe to share between threads.

    Attributes of a promotion are the configuration's; ``seconds`` is the time that one attempt at
    a message may take, after which the next attempt goes on.
    """

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
        self._pipelines = pipelines
        self._transport = transport
        self._topic = topic
        self._store = store
        self._policy = policy
        self._now = now
        self._seconds = seconds
        self._turns = Turns()

    def handle(self, result: TestResult) -> None:
        """Record a result, judge the image wherever it matters, and promote it if it qualifies.

        Raises:
            Permanent: The result is not one of this deployment's.
            Retryable: Something failed on the way; what has been done by then is found again.
        """
        image = self._pipelines.find(result.image)
        log.note(pipeline=image.pipeline.name)
        _admit(image, result)
        deadline = Deadline.after(self._seconds)
        with keeping(deadline):
            self._handle(image, result, deadline)

    def _handle(self, image: Image, result: TestResult, deadline: Deadline) -> None:
        stated = self._state(image, result, deadline)
        cases = [
            Case.to_promote(each, gate, promotion, self._transport, deadline)
            for each, gate in image.judged_upon(result.suite)
            for promotion in each.promotions(result.digest)
        ]
        if not cases:
            _logger.info("recorded: no gate asks for %s in %s", result.suite, image.stage.name)
            return
        self._topic.prepare()
        failures = [failure for case in cases if (failure := self._attempt(case, result, stated))]
        for failure in sorted(failures, key=lambda each: not isinstance(each, Retryable)):
            raise failure

    def _state(self, image: Image, result: TestResult, deadline: Deadline) -> Digest | None:
        """Attach what was found to the image; the statement's digest, if there is anything to say.

        A run that was cancelled or broke says nothing about the image. Of an image that is not
        there nothing can be said yet.
        """
        if result.outcome not in (Outcome.SUCCESS, Outcome.FAILURE):
            _logger.info("no evidence: the suite ended with %s; run it again", result.outcome)
            return None
        repository = self._writer(result.image.repository, deadline)
        subject = repository.find(result.digest)
        if subject is None:
            self._wait_for(f"{result.image}@{result.digest}", result)
            return None
        self._keep_policy(image.stage.repository, deadline)
        known = self._store.read(result.digest, [repository])
        return self._store.attach_run(repository, subject, _run(image, result), known)

    def _attempt(
        self, case: Case, result: TestResult, stated: Digest | None
    ) -> PromotionError | None:
        """Consider one destination; its failure is returned, so as not to hold up the others."""
        try:
            self._consider(case, result, stated)
        except PromotionError as error:
            return error
        return None

    def _consider(self, case: Case, result: TestResult, stated: Digest | None) -> None:
        if case.promotion.source != result.image and not can_leave(case, self._store, stated):
            _logger.info("not ready to leave %s", case.promotion.from_stage)
            return
        with AllAttachments(case.source) as attachments:
            attachments.look_up(case.promotion.digest)
            judgement = judge(case, self._store)
            check_counted(stated, judgement.evidence)
            if judgement.standing.source is None:
                self._wait_for(str(case.promotion.source), result)
            verdict = judgement.verdict
            if verdict.decision is Decision.PROMOTE and not case.image.pipeline.observed:
                verdict = self._promote(case, judgement, attachments)
        _logger.info("%s → %s: %s", case.promotion.source, case.promotion.to_stage, verdict)
        self._tell(case, verdict, judgement.subject, result.finished_at)

    def _promote(self, case: Case, judgement: Judgement, attachments: AllAttachments) -> Verdict:
        """Copy the image, record why, and set its tag, if nothing speaks against it by then."""
        image = judgement.subject
        if image is None:
            raise NotFound(f"{case.promotion.source} was deleted while it was judged")
        if judgement.standing.destination is None:
            _copy(case, image, attachments)
        with self._turns.turn(str(case.promotion.destination)):
            there = self._store.read(image.digest, [case.destination])
            if there.overflow:
                overflow = gates.evidence_overflow(f"it in {case.promotion.to_stage}")
                return Verdict((*judgement.verdict.findings, overflow))
            self._store.carry(
                judgement.evidence, image.digest, case.places, case.destination, there
            )
            known = case.records(there, judgement.evidence)
            records = known or self._record(case, judgement, image, there)
            judgement = judge_again(case, judgement, self._store)
            verdict = judgement.verdict
            if verdict.decision is Decision.PROMOTE and not judgement.standing.destination:
                verdict = _set_tag(case, image, verdict)
            if verdict.decision is Decision.PROMOTE:
                if not known:
                    _check_alone(case, records, image)
                event = events.promoted(case.promotion, records[0])
                self._announce(event, image, case.destination)
        return verdict

    def _record(
        self, case: Case, judgement: Judgement, image: Manifest, there: Evidence
    ) -> list[PromotionRecord]:
        """Attach a promotion record to the image at its destination; all there are, in order.

        Of several records, which only promoters in different processes can write, the first one
        counts, so that all of them announce the same.
        """
        self._keep_policy(case.next_stage, case.destination.deadline)
        record = self._new_record(case, judgement.verdict)
        stated = self._store.attach_record(case.destination, image, record, there)
        there = self._store.read(image.digest, [case.destination])
        check_counted(stated, there)
        return case.records(there, judgement.evidence) or [record]

    def _new_record(self, case: Case, verdict: Verdict) -> PromotionRecord:
        promotion = case.promotion
        return PromotionRecord(
            pipeline=promotion.pipeline,
            from_stage=promotion.from_stage,
            to_stage=promotion.to_stage,
            source=promotion.source,
            destination=promotion.destination,
            decided_at=self._now(),
            policy=self._policy.policy.at(case.next_stage),
            inputs=tuple(
                ResourceDescriptor.of(f"oci://{promotion.destination.repository}", each.attestation)
                for each in basis_of(verdict.findings)
            ),
            findings=tuple(
                RecordedFinding(each.code, each.message, each.url) for each in verdict.findings
            ),
            event_id=events.promoted_id(promotion),
            resource=events.package_url(promotion.destination, promotion.digest),
        )

    def _tell(self, case: Case, verdict: Verdict, image: Manifest | None, at: datetime) -> None:
        """Announce a denial or, where nothing is promoted, what would have been."""
        if verdict.decision is Decision.WAIT:
            return
        if verdict.decision is Decision.DENY:
            event = events.denied(case.promotion, verdict, at)
        elif case.image.pipeline.observed:
            event = events.would_promote(case.promotion, verdict, at)
        else:
            return
        marks = self._writer(case.promotion.source.repository, case.source.deadline)
        with self._turns.turn(event.attributes["ce-id"]):
            self._announce(event, image, marks)

    def _announce(self, event: Event, image: Manifest | None, repository: RepositoryClient) -> None:
        """Publish an event, unless the image bears a mark that it has been published."""
        event_id = event.attributes["ce-id"]
        if image and is_announced(event_id, image, repository):
            _logger.info("announced already: %s", event.attributes["ce-type"])
            return
        self._topic.publish(event)
        if image:
            mark_announced(event_id, image, repository)

    def _keep_policy(self, stage: Repository, deadline: Deadline) -> None:
        self._policy.keep(self._writer(policy.repository_of(stage), deadline))

    def _wait_for(self, what: str, result: TestResult) -> None:
        if self._now() < result.published_at + _PATIENCE:
            raise NotFound(
                f"{what} is not there; the result waits 10 minutes for it, in case it is still"
                " being pushed"
            )

    def _writer(self, repository: Repository, deadline: Deadline) -> RepositoryClient:
        scopes = (f"repository:{repository.path}:pull,push",)
        return RepositoryClient(repository, self._transport, deadline, scopes)


def _admit(image: Image, result: TestResult) -> None:
    pipeline = image.pipeline
    if not pipeline.takes(result.suite, result.subscription):
        raise BadMessage(
            f"Results of the pipeline {pipeline.name} count only if they come through"
            f" {pipeline.results}, or through what a gate names for the suite {result.suite}; this"
            f" one came through {result.subscription or 'no subscription'}"
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


def _copy(case: Case, image: Manifest, attachments: AllAttachments) -> None:
    """Copy all that belongs to the image, and the image itself by its digest, without a tag."""
    started = time.monotonic()
    copied = copy(image, case.source, case.destination, attachments)
    case.destination.put_manifest(image)
    _logger.info(
        "copied to %s",
        case.promotion.destination,
        extra={
            "seconds": time.monotonic() - started,
            "bytes": copied.bytes_copied,
            **{f"blobs_{way.name.lower()}": copied.count(way) for way in Way},
            "referrers": len(copied.referrers),
        },
    )


def _check_alone(case: Case, records: Sequence[PromotionRecord], image: Manifest) -> None:
    """Leave the announcement to a later delivery where another process promotes the same.

    Whoever writes a record last sees all, and cannot know which of them the others have seen. One
    process at most sees its own alone, and announces that.
    """
    event_id = events.promoted_id(case.promotion)
    if len(records) > 1 and not is_announced(event_id, image, case.destination):
        raise Contended(
            f"{case.promotion.destination} is promoted by another process at this moment, which may"
            " announce it; the next delivery sees to it that this has been done"
        )


def _set_tag(case: Case, image: Manifest, verdict: Verdict) -> Verdict:
    """Let the version name the image; one that another writer set first makes it a denial."""
    destination, version = case.destination, case.promotion.version
    try:
        destination.put_manifest(image, version)
    except RegistryRefused:
        # Where tags are immutable, this is how a lost race shows; a twin's tag is as good as ours.
        if destination.resolve(version) is None:
            raise
    named = destination.resolve(version)
    if named is None:
        raise NotFound(f"{case.promotion.destination} was deleted right after it was set")
    if named != image.digest:
        return Verdict((*verdict.findings, gates.tag_conflict(case.promotion, named)))
    return verdict
