"""Announces what has become of an image: once, if nothing goes wrong, and never differently."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
from typing import NamedTuple

from promotion import events
from promotion.agreement import agree
from promotion.errors import Contended
from promotion.events import Event
from promotion.evidence.attested import Evidence
from promotion.evidence.record import PromotionRecord
from promotion.evidence.store import EvidenceStore
from promotion.judgement import Case
from promotion.marks import Marks
from promotion.publisher import Topic
from promotion.registry.client import RepositoryClient
from promotion.registry.reference import Digest
from promotion.turns import Turns

_logger = logging.getLogger(__name__)


class Recorded(NamedTuple):
    """The record of a promotion.

    Attributes:
        statement: The digest of the statement that it is.
        record: What it says.
        there: What was attached to the image at its destination, the record included.
        known: Whether it had been attached by an earlier delivery, or another process.
    """

    statement: Digest
    record: PromotionRecord
    there: Evidence
    known: bool


def standing_record(case: Case, there: Evidence, known: Evidence) -> Recorded | None:
    """The record that a promotion has already, unless a failure has followed it.

    Args:
        case: The image at its gate.
        there: What is attached to it at its destination.
        known: What is known of it.
    """
    records = case.standing(there, known)
    if not records:
        return None
    return Recorded(records[0].basis.statement, records[0].said, there, known=True)


class Announcer:
    """Publishes events about images; safe to share between threads."""

    def __init__(self, topic: Topic, store: EvidenceStore) -> None:
        self._topic = topic
        self._store = store
        self._turns = Turns()

    def prepare(self) -> None:
        """Get ready in the background: something may have to be announced soon."""
        self._topic.prepare()

    def announce(self, event: Event, image: Digest | None, beside: RepositoryClient) -> None:
        """Publish an event, unless a mark beside the image says that this has been done.

        Where there is no image, there is no place for a mark, and it is published each time.

        Raises:
            Retryable: It could not be published, or that could not be remembered.
        """
        event_id = event.attributes["ce-id"]
        with self._turns.turn(event_id):
            if image is None:
                self._publish(event)
                return
            marks = Marks(event_id, image, beside)
            if _is_new(marks, event.attributes["ce-type"]):
                self._publish_and_mark(event, marks)

    def announce_promotion(self, case: Case, recorded: Recorded, image: Digest) -> None:
        """Announce that the image is in its next stage, as one record has it, whoever announces it.

        Raises:
            Retryable: It could not be announced, or another process is about to.
        """
        marks = Marks(events.promoted_id(case.promotion), image, case.destination)
        if not _is_new(marks, events.PROMOTED):
            return
        agreed = self._agreed(case, recorded, image, marks)
        if agreed == recorded.record or recorded.known:
            self._publish_and_mark(events.promoted(case.promotion, agreed), marks)
        elif not marks.announced:
            raise Contended(
                f"{case.promotion.destination} is promoted by another process at this moment, which"
                " announces it; the next delivery sees to it that this has been done"
            )

    def _agreed(
        self, case: Case, recorded: Recorded, image: Digest, marks: Marks
    ) -> PromotionRecord:
        """The record that all processes announce, which promote the image at this moment."""
        proposed = {recorded.statement: recorded.record}
        further = (self._store.read(image, [case.destination]) for _ in itertools.count())
        listings = itertools.chain([recorded.there], further)

        def look() -> Sequence[Digest]:
            records = case.records(next(listings))
            proposed.update((each.basis.statement, each.said) for each in records)
            return [each.basis.statement for each in reversed(records)]

        return proposed[agree(recorded.statement, look, marks)]

    def _publish_and_mark(self, event: Event, marks: Marks) -> None:
        self._publish(event)
        marks.announce()

    def _publish(self, event: Event) -> None:
        """Publish it and say so; metrics count these fields."""
        self._topic.publish(event)
        told = {name: event.attributes[name] for name in ("from_stage", "to_stage")}
        kind = event.attributes["ce-type"]
        _logger.info("announced: %s", kind, extra={"announced": events.short_name(kind), **told})


def _is_new(marks: Marks, kind: str) -> bool:
    if marks.announced:
        _logger.info("announced already: %s", kind)
        return False
    return True
