"""What follows from a verdict that lets an image on: it is copied, recorded, tagged and announced.

Every step may be repeated: what is there already is found, and not done again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime

from promotion import events, gates, policy
from promotion.announcement import Announcer, Recorded, standing_record
from promotion.deadline import Deadline
from promotion.errors import NotFound
from promotion.evidence.attested import Evidence
from promotion.evidence.record import PromotionRecord, RecordedFinding
from promotion.evidence.statement import ResourceDescriptor
from promotion.evidence.store import EvidenceStore
from promotion.judgement import Case, Judgement, check_counted, judge_again
from promotion.policy import PolicyKeeper
from promotion.registry.client import writer
from promotion.registry.copy import copy
from promotion.registry.manifest import Manifest
from promotion.registry.reference import Repository
from promotion.registry.referrers import AllAttachments
from promotion.registry.report import Way
from promotion.registry.tagging import set_tag
from promotion.registry.transport import Transport
from promotion.turns import Turns
from promotion.verdict import Decision, Verdict, basis_of

_logger = logging.getLogger(__name__)


class Effects:
    """Carries out promotions; safe to share between threads.

    ``turns`` are those of destinations: what is about to be set there is not told to be missing.
    """

    def __init__(
        self,
        transport: Transport,
        announcer: Announcer,
        store: EvidenceStore,
        policy: PolicyKeeper,
        turns: Turns,
        now: Callable[[], datetime],
    ) -> None:
        self._transport = transport
        self._announcer = announcer
        self._store = store
        self._policy = policy
        self._turns = turns
        self._now = now

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
        with self._turns.turn(str(case.promotion.destination)):
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
        return standing_record(case, there, judgement.evidence) or self._record(
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

    def keep_policy(self, stage: Repository, deadline: Deadline) -> None:
        """See to it that the policy in force is kept in a stage.

        Raises:
            Retryable: It could not be written.
        """
        self._policy.keep(writer(policy.repository_of(stage), self._transport, deadline))

    def _tagged(self, case: Case, judgement: Judgement, image: Manifest) -> Judgement:
        """Set the image's tag, if nothing speaks against it by now; the judgement by then.

        Whoever states a failure looks at the tag afterwards, and here it is the other way round: so
        one of the two sees what the other has done, and what fails is not said to be promoted.
        """
        judgement = judge_again(case, judgement, self._store, self._now())
        if judgement.standing.source is None:
            raise NotFound(f"{case.promotion.source} was deleted while it was promoted")
        if judgement.verdict.decision is not Decision.PROMOTE or judgement.standing.destination:
            return judgement
        # One that another writer has set first makes it a denial.
        named = set_tag(case.destination, image, case.promotion.version)
        if named != image.digest:
            return judgement.with_finding(gates.tag_conflict(case.promotion, named))
        return judge_again(case, judgement, self._store, self._now())

    def _record(
        self, case: Case, judgement: Judgement, image: Manifest, there: Evidence
    ) -> Recorded:
        """Attach a promotion record to the image at its destination."""
        self.keep_policy(case.next_stage, case.destination.deadline)
        record = self._new_record(case, judgement.verdict)
        stated = self._store.attach(case.destination, image, record, there).basis.statement
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
