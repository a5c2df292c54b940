"""What follows from a verdict: the image is copied, recorded and tagged, and events tell of it.

Every step may be repeated: what is there already is found, and not done again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime

from promotion import events, gates, policy
from promotion.announcement import Announcer, Recorded
from promotion.deadline import Deadline
from promotion.errors import BeyondLimit, NotFound
from promotion.events import Event
from promotion.evidence.act import Act, Kind
from promotion.evidence.attested import Evidence
from promotion.evidence.record import PromotionRecord, RecordedFinding
from promotion.evidence.statement import ResourceDescriptor
from promotion.evidence.store import EvidenceStore
from promotion.judgement import (
    BARRING,
    Case,
    Judgement,
    check_counted,
    judge_again,
    stages_holding,
)
from promotion.pipeline import Image
from promotion.policy import PolicyKeeper
from promotion.publisher import Topic
from promotion.registry.client import RepositoryClient, writer
from promotion.registry.copy import copy
from promotion.registry.manifest import Manifest
from promotion.registry.reference import Digest, Repository
from promotion.registry.referrers import AllAttachments
from promotion.registry.report import Way
from promotion.registry.tagging import set_tag
from promotion.registry.transport import Transport
from promotion.turns import Turns
from promotion.verdict import Decision, Finding, Verdict, basis_of
from promotion.waiting import waits_since

_logger = logging.getLogger(__name__)

# What takes back a promotion that has been made, where its own gate finds it.
_REVOKING = frozenset({"suite-failed", "alert-open"})


class Effects:
    """Carries out verdicts; safe to share between threads."""

    def __init__(
        self,
        transport: Transport,
        topic: Topic,
        store: EvidenceStore,
        policy: PolicyKeeper,
        now: Callable[[], datetime],
    ) -> None:
        self._transport = transport
        self._announcer = Announcer(topic, store)
        self._store = store
        self._policy = policy
        self._now = now
        self._turns = Turns()

    def prepare(self) -> None:
        """Get ready in the background: something may have to be announced soon."""
        self._announcer.prepare()

    def promote(self, case: Case, judgement: Judgement, attachments: AllAttachments) -> Judgement:
        """Copy the image, record why, and set its tag, if nothing speaks against it by then.

        Returns:
            The judgement as it is by then.
        """
        image = judgement.subject
        if image is None:
            raise NotFound(f"{case.promotion.source} was deleted while it was judged")
        if judgement.standing.destination is None:
            _copy(case, image, attachments)
        with self._turn(case):
            return self._record_and_tag(case, judgement, image)

    def _record_and_tag(self, case: Case, judgement: Judgement, image: Manifest) -> Judgement:
        recorded = self.record(case, judgement, image)
        if recorded is None:
            overflow = gates.evidence_overflow(f"it in {case.promotion.to_stage}")
            return judgement.with_finding(overflow)
        judgement = self._tagged(case, judgement, image)
        if judgement.verdict.decision is Decision.PROMOTE:
            self.announce_promotion(case, recorded, image)
        return judgement

    def record(self, case: Case, judgement: Judgement, image: Manifest) -> Recorded | None:
        """Have the evidence and a promotion record at the destination, where the image is.

        Returns:
            The record; None if more is attached to the image there than can be read.

        Raises:
            Retryable: Something could not be read or written.
        """
        there = self._store.read(image.digest, [case.destination])
        if there.overflow:
            return None
        self._store.carry(judgement.evidence, image.digest, case.places, case.destination, there)
        return _recorded(case, there, judgement.evidence) or self._record(
            case, judgement, image, there
        )

    def tag(self, case: Case, judgement: Judgement, image: Manifest) -> Verdict:
        """Set the image's tag, if nothing speaks against it by now; the verdict.

        Raises:
            Retryable: Something could not be asked or written.
        """
        return self._tagged(case, judgement, image).verdict

    def announce_promotion(self, case: Case, recorded: Recorded, image: Manifest) -> None:
        """Announce that the image is in its next stage, as one record has it, whoever announces it.

        Raises:
            Retryable: It could not be announced, or another process is about to.
        """
        self._announcer.announce_promotion(case, recorded, image.digest)

    def tell(self, case: Case, judgement: Judgement, at: datetime) -> None:
        """Announce what keeps the image from moving on, or what would have been done.

        What is in the next stage by now is not denied, nor does it wait: of it is told what takes
        the promotion back or, should it not have been announced, that it was promoted.

        Args:
            case: Whose verdict it is.
            judgement: What is to be told, and what it follows from.
            at: The time of what is told, if no statement caused it.

        Raises:
            Retryable: It could not be announced or remembered.
        """
        observed = case.image.pipeline.observed
        if judgement.verdict.decision is Decision.PROMOTE and not observed:
            return
        image = judgement.subject.digest if judgement.subject else None
        has_arrived = self._has_arrived(case, judgement)
        causes = _taking_back(judgement) if has_arrived else ()
        if causes:
            self._announce(_revoked(case, Verdict(causes), at), case, image)
        elif has_arrived and not observed:
            self._tell_of_arrived(case, judgement)
        elif event := self._event(case, judgement, at):
            self._announce(event, case, image)

    def deny_beyond_limit(self, case: Case, verdict: Verdict, at: datetime) -> None:
        """Announce that an image stays, since of it there is more than is ever read.

        Args:
            case: The image at its gate.
            verdict: What there is too much of.
            at: When what it was looked at for was so.

        Raises:
            Retryable: It could not be announced or remembered.
        """
        promotion = case.promotion
        if self._named_by_now(case) == promotion.digest and not case.image.pipeline.observed:
            self._see_announced(case, Evidence())
            return
        image = promotion.digest if case.source.has_manifest(promotion.digest) else None
        self._announce(events.denied(promotion, verdict, at), case, image)

    def tell_revocations(self, image: Image, digest: Digest, deadline: Deadline) -> None:
        """Announce each decision by which an image was revoked in its stage, once.

        Raises:
            Retryable: Something could not be asked, announced or remembered.
        """
        place = self.writer(image.reference.repository, deadline)
        try:
            evidence = self._store.read(digest, [place])
        except BeyondLimit as error:
            _logger.warning("nobody is told who has revoked it: %s", error)
            return
        acts = [each for each in evidence.acts if _revokes(each.said, image)]
        if not acts or not place.has_manifest(digest):
            return
        here = image.as_it_stands(digest)
        stages = stages_holding(image, digest, image.stage, place)
        for act in acts:
            message = f"revoked by {act.said.author}: {act.said.reason}"
            finding = Finding(Decision.DENY, "revoked", message, basis=(act.basis,))
            event = events.revoked(here, Verdict((finding,)), stages, act.basis.at)
            self._announcer.announce(event, digest, place)

    def keep_policy(self, stage: Repository, deadline: Deadline) -> None:
        """See to it that the policy in force is kept in a stage.

        Raises:
            Retryable: It could not be written.
        """
        self._policy.keep(self.writer(policy.repository_of(stage), deadline))

    def writer(self, repository: Repository, deadline: Deadline) -> RepositoryClient:
        """A repository, with the right to write to it."""
        return writer(repository, self._transport, deadline)

    def _has_arrived(self, case: Case, judgement: Judgement) -> bool:
        """Whether the version names the image in the next stage: of a denial, by now."""
        named = judgement.standing.destination
        if named is None and judgement.verdict.decision is Decision.DENY:
            named = self._named_by_now(case)
        return named == case.promotion.digest

    def _named_by_now(self, case: Case) -> Digest | None:
        """What the version names in the next stage, once nobody here is about to set it."""
        with self._turn(case):
            return case.destination.resolve(case.promotion.version)

    def _turn(self, case: Case) -> AbstractContextManager[None]:
        return self._turns.turn(str(case.promotion.destination))

    def _tell_of_arrived(self, case: Case, judgement: Judgement) -> None:
        _logger.info("%s names it already, so it is not said to stay", case.promotion.destination)
        if not any(each.code in BARRING for each in judgement.verdict.findings):
            self._see_announced(case, judgement.evidence)

    def _see_announced(self, case: Case, known: Evidence) -> None:
        """Announce a promotion that may have got as far as its tag, and no further.

        Where its record cannot be told from others, since too much is attached to the image there,
        nothing is announced.
        """
        try:
            there = self._store.read(case.promotion.digest, [case.destination])
        except BeyondLimit as error:
            _logger.warning("it is not looked up whether that was announced: %s", error)
            return
        recorded = _recorded(case, there, there.beside(known))
        if recorded and not there.overflow:
            with self._turn(case):
                self._announcer.announce_promotion(case, recorded, case.promotion.digest)

    def _announce(self, event: Event, case: Case, image: Digest | None) -> None:
        """Announce what has become of an image where it is; None: it is not there."""
        beside = self.writer(case.promotion.source.repository, case.source.deadline)
        self._announcer.announce(event, image, beside)

    def _event(self, case: Case, judgement: Judgement, at: datetime) -> Event | None:
        """The event about an image that has not arrived, or in a pipeline that is only observed."""
        verdict = judgement.verdict
        if verdict.decision is Decision.WAIT:
            return self._waiting(case, judgement)
        if verdict.decision is Decision.DENY:
            return events.denied(case.promotion, verdict, at)
        return events.would_promote(case.promotion, verdict, at)

    def _waiting(self, case: Case, judgement: Judgement) -> Event | None:
        """The event about an image that has waited for longer than is expected of its stage."""
        expected = case.image.stage.expect_within
        since = waits_since(judgement.evidence, case.image) if expected else None
        if expected and since and self._now() > since + expected:
            return events.waiting(case.promotion, judgement.verdict, since)
        return None

    def _tagged(self, case: Case, judgement: Judgement, image: Manifest) -> Judgement:
        """Set the image's tag, if nothing speaks against it by now; the judgement by then."""
        judgement = judge_again(case, judgement, self._store, self._now())
        if judgement.verdict.decision is not Decision.PROMOTE or judgement.standing.destination:
            return judgement
        # One that another writer has set first makes it a denial.
        named = set_tag(case.destination, image, case.promotion.version)
        if named == image.digest:
            return judgement
        return judgement.with_finding(gates.tag_conflict(case.promotion, named))

    def _record(
        self, case: Case, judgement: Judgement, image: Manifest, there: Evidence
    ) -> Recorded:
        """Attach a promotion record to the image at its destination."""
        self.keep_policy(case.next_stage, case.destination.deadline)
        record = self._new_record(case, judgement.verdict)
        stated = self._store.attach(case.destination, image, record, there)
        there = self._store.read(image.digest, [case.destination])
        check_counted(stated, there)
        return Recorded(stated, record, there, known=False)

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


def _recorded(case: Case, there: Evidence, known: Evidence) -> Recorded | None:
    """The record that this promotion has already, unless a failure has followed it."""
    records = case.standing(there, known)
    if not records:
        return None
    return Recorded(records[0].basis.statement, records[0].said, there, known=True)


def _taking_back(judgement: Judgement) -> tuple[Finding, ...]:
    """What takes a promotion back: what is said of the image itself, not of its whole stage."""
    return tuple(
        each
        for each in judgement.verdict.findings
        if each.code in _REVOKING
        and any(judgement.evidence.holds(basis.statement) for basis in each.basis)
    )


def _revoked(case: Case, verdict: Verdict, at: datetime) -> Event:
    """The event that takes promotions back: one for all ways, whichever of them is looked at."""
    reached = case.reached()
    ways = case.image.promotions(case.promotion.digest)
    gone = [each for each in ways if each.to_stage in reached]
    return events.revoked(gone[0] if gone else case.promotion, verdict, reached, at)


def _revokes(act: Act, image: Image) -> bool:
    return (
        act.kind is Kind.REVOKE
        and act.pipeline == image.pipeline.name
        and act.subject == str(image.reference.repository)
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
            **case.promotion.stages,
        },
    )
