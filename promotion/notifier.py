"""Tells what has become of an image that was judged, and was not promoted upon that."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime

from promotion import events
from promotion.announcement import Announcer, standing_record
from promotion.deadline import Deadline
from promotion.errors import BeyondLimit
from promotion.events import Event
from promotion.evidence.act import Act, Kind
from promotion.evidence.attested import Attested, Evidence
from promotion.evidence.store import EvidenceStore
from promotion.judgement import (
    BARRING,
    Case,
    Judgement,
    check_counted,
    judge_again,
    stages_holding,
)
from promotion.pipeline import Image, Stage
from promotion.registry.client import RepositoryClient, writer
from promotion.registry.reference import Digest
from promotion.registry.transport import Transport
from promotion.turns import Turns
from promotion.verdict import Decision, Finding, Verdict
from promotion.waiting import waits_since

_logger = logging.getLogger(__name__)

# What takes back a promotion that has been made, where its own gate finds it.
_REVOKING = frozenset({"suite-failed", "alert-open"})


class Notifier:
    """Tells of verdicts; safe to share between threads."""

    def __init__(
        self,
        transport: Transport,
        announcer: Announcer,
        store: EvidenceStore,
        turns: Turns,
        now: Callable[[], datetime],
    ) -> None:
        self._transport = transport
        self._announcer = announcer
        self._store = store
        self._turns = turns
        self._now = now

    def tell(self, case: Case, judgement: Judgement, at: datetime) -> None:
        """Announce what keeps the image from moving on, or what would have been done.

        What is in the next stage by now is not denied, nor does it wait: of it is told what takes
        the promotion back or, should it not have been announced, that it was promoted. What takes
        a promotion back is told of an image, too, that is in a later stage alone.

        Args:
            case: Whose verdict it is.
            judgement: What is to be told, and what it follows from.
            at: The time of what is told, if no statement caused it.

        Raises:
            Retryable: It could not be announced or remembered.
        """
        observed = case.image.pipeline.observed
        judgement = self._by_now(case, judgement)
        if judgement.verdict.decision is Decision.PROMOTE and not observed:
            return
        image = judgement.subject.digest if judgement.subject else None
        has_arrived = case.has_arrived(judgement.standing)
        if revoked := self._revoked(case, judgement, at):
            self._announce(revoked, case, image)
        if has_arrived and revoked:
            return
        if has_arrived and not observed:
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

    def tell_revocations(
        self, image: Image, digest: Digest, stated: Digest | None, deadline: Deadline
    ) -> None:
        """Announce each decision by which an image was revoked in its stage, once.

        Args:
            image: The image in its stage.
            digest: Of the image.
            stated: The statement that it is looked at for, without which one may be missed.
            deadline: When it must be done.

        Raises:
            Retryable: Something could not be asked, announced or remembered.
        """
        place = writer(image.reference.repository, self._transport, deadline)
        try:
            evidence = self._store.read(digest, [place])
        except BeyondLimit as error:
            _logger.warning("nobody is told who has revoked it: %s", error)
            return
        check_counted(stated, evidence)
        revoked = [each for each in evidence.acts if _revokes(each.said, image)]
        if revoked and place.has_manifest(digest):
            self._announce_revocations(revoked, image, digest, place)

    def _announce_revocations(
        self, acts: Sequence[Attested[Act]], image: Image, digest: Digest, place: RepositoryClient
    ) -> None:
        here = image.as_it_stands(digest)
        stages = stages_holding(image, digest, image.stage, place)
        for act in acts:
            message = f"revoked by {act.said.author}: {act.said.reason}"
            finding = Finding(Decision.DENY, "revoked", message, basis=(act.basis,))
            event = events.revoked(here, Verdict((finding,)), stages, act.basis.at)
            self._announcer.announce(event, digest, place)

    def _by_now(self, case: Case, judgement: Judgement) -> Judgement:
        """The judgement; made again, if it is a denial of what has been promoted meanwhile."""
        if judgement.verdict.decision is not Decision.DENY or judgement.standing.destination:
            return judgement
        if self._named_by_now(case) != case.promotion.digest:
            return judgement
        return judge_again(case, judgement, self._store, self._now())

    def _revoked(self, case: Case, judgement: Judgement, at: datetime) -> Event | None:
        """The event that takes promotions back: one for all ways, whichever of them is looked at.

        None, if nothing does, or the image is in no later stage.
        """
        against = _against_the_image(judgement)
        reached = case.reached() if against else []
        causes = self._unforeseen(case, against, reached) if reached else ()
        if not causes:
            return None
        ways = case.image.promotions(case.promotion.digest)
        gone = [each for each in ways if each.to_stage in reached]
        return events.revoked((gone or ways)[0], Verdict(causes), reached, at)

    def _unforeseen(
        self, case: Case, causes: Sequence[Finding], reached: Sequence[str]
    ) -> tuple[Finding, ...]:
        """What a person did not know who let the image past its gate, if anybody did."""
        place = case.image.in_stage(_entered(case, reached))
        reader = RepositoryClient(place.repository, self._transport, case.source.deadline)
        there = self._store.read(case.promotion.digest, [reader])
        by_hand = [each.said for each in there.by_hand]
        decided = [each.decided_at for each in by_hand if each.destination == place]
        return tuple(each for each in causes if not decided or _newest(each) > max(decided))

    def _named_by_now(self, case: Case) -> Digest | None:
        """What the version names in the next stage, once nobody here is about to set it."""
        with self._turns.turn(str(case.promotion.destination)):
            return case.destination.resolve(case.promotion.version)

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
        recorded = standing_record(case, there, there.beside(known))
        if recorded and not there.overflow:
            with self._turns.turn(str(case.promotion.destination)):
                self._announcer.announce_promotion(case, recorded, case.promotion.digest)

    def _announce(self, event: Event, case: Case, image: Digest | None) -> None:
        """Announce what has become of an image where it is; None: it is not there."""
        source = case.promotion.source.repository
        beside = writer(source, self._transport, case.source.deadline)
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


def _against_the_image(judgement: Judgement) -> tuple[Finding, ...]:
    """What is found against the image itself, and not against its whole stage."""
    return tuple(
        each
        for each in judgement.verdict.findings
        if each.code in _REVOKING
        and any(judgement.evidence.holds(basis.statement) for basis in each.basis)
    )


def _entered(case: Case, reached: Sequence[str]) -> Stage:
    """Where an image went: the next stage or, where it is not in that, the first that it is in."""
    pipeline, to_stage = case.image.pipeline, case.promotion.to_stage
    stages = [pipeline.stages[name] for name in reached]
    return min(stages, key=lambda each: (each.name != to_stage, len(pipeline.upstream_of(each))))


def _newest(finding: Finding) -> datetime:
    return max(basis.at for basis in finding.basis)


def _revokes(act: Act, image: Image) -> bool:
    return (
        act.kind is Kind.REVOKE
        and act.pipeline == image.pipeline.name
        and act.subject == str(image.reference.repository)
    )
