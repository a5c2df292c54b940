"""What becomes of signals: alerts are stated of images, and whatever waits is looked at again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

from promotion import control_log
from promotion.attribution import running_at
from promotion.errors import BadMessage, BadReference, PromotionError, Retryable
from promotion.evidence.alert import Alert
from promotion.evidence.store import EvidenceStore
from promotion.inventory import Inventory
from promotion.messages import evaluation
from promotion.pipeline import Image, Pipeline, Pipelines, Stage
from promotion.promoter import Promoter
from promotion.publisher import Topic
from promotion.registry.client import writer
from promotion.registry.reference import Reference, Repository
from promotion.registry.transport import Transport
from promotion.signals import Evaluate, Incident
from promotion.waiting import waiting_in

_logger = logging.getLogger(__name__)


class Lookout:
    """Takes signals; safe to share between threads."""

    def __init__(
        self,
        pipelines: Pipelines,
        transport: Transport,
        store: EvidenceStore,
        promoter: Promoter,
        inventory: Callable[[], Inventory],
        again: Topic | None,
    ) -> None:
        """Put it together.

        Args:
            pipelines: Whose images are looked at.
            transport: For requests to their registries.
            store: Reads and writes statements.
            promoter: Looks at an image.
            inventory: Tells what stages hold, as of now.
            again: Takes a message for each of them; None to look at them one after another.
        """
        self._pipelines = pipelines
        self._transport = transport
        self._store = store
        self._promoter = promoter
        self._inventory = inventory
        self._again = again

    def incident(self, incident: Incident) -> None:
        """State what is said of an incident: of its image, or of the stages it may concern.

        Raises:
            BadMessage: It did not come through the subscription for signals.
            Retryable: A registry failed.
        """
        self._admit(incident.subscription)
        for pipeline, stage in self._concerned(incident):
            image = _image(pipeline, stage, incident.image)
            if image is None or not self._state_of(image, incident):
                self._state_of_stage(pipeline, stage, incident)

    def evaluate(self, request: Evaluate) -> None:
        """Look at an image again, or have all looked at that wait.

        Raises:
            BadMessage: It did not come through the subscription for signals, or is about an image
                of no stage.
            Retryable: Something failed on the way.
        """
        self._admit(request.subscription)
        if request.image and request.digest:
            self._promoter.look_again(request.image, request.digest)
            return
        failures = list(self._look_at_all_that_wait(request.pipeline))
        for failure in sorted(failures, key=lambda each: not isinstance(each, Retryable)):
            raise failure

    def _admit(self, subscription: str) -> None:
        wanted = self._pipelines.signals
        if not wanted:
            raise BadMessage("Signals are not taken: promotion.yaml names no subscription for them")
        if subscription != wanted:
            raise BadMessage(
                f"Signals count only if they come through {wanted}; this one came through"
                f" {subscription or 'no subscription'}"
            )

    def _concerned(self, incident: Incident) -> Iterator[tuple[Pipeline, Stage]]:
        """The stages that an incident may concern; without labels, all that ask for no alerts."""
        for pipeline in self._pipelines.pipelines:
            if incident.pipeline in ("", pipeline.name):
                for stage in pipeline.stages.values():
                    named = incident.stage == stage.name
                    if named or (not incident.stage and stage.gate and stage.gate.no_alerts):
                        yield pipeline, stage

    def _state_of(self, image: Image, incident: Incident) -> bool:
        """State it of the digest that ran, and look at that again; whether there is one."""
        place = writer(image.reference.repository, self._transport)
        running = running_at(incident.started_at, image, incident.incident, place, self._store)
        subject = place.find(running.digest) if running else None
        if running is None or subject is None:
            return False
        known = self._store.read(running.digest, [place])
        alert = _alert(image.pipeline, image.stage, str(place.repository), incident)
        self._store.attach(place, subject, alert, known)
        reference = Reference(place.repository, running.version)
        self._promoter.look_again(reference, running.digest)
        return True

    def _state_of_stage(self, pipeline: Pipeline, stage: Stage, incident: Incident) -> None:
        _logger.warning(
            "the incident %s cannot be attributed to an image: it blocks %s as a whole",
            incident.incident,
            stage.name,
        )
        control = writer(control_log.repository_of(stage.repository), self._transport)
        alert = _alert(pipeline, stage, str(stage.repository), incident)
        control_log.state(control, alert, self._store)

    def _look_at_all_that_wait(self, pipeline_name: str) -> Iterator[PromotionError]:
        """Have each of them looked at; what fails is returned, so as not to hold up the others."""
        inventory = self._inventory()
        for pipeline in self._pipelines.pipelines:
            if pipeline_name in ("", pipeline.name):
                for stage in pipeline.stages.values():
                    try:
                        self._look_at_what_waits(pipeline, stage, inventory)
                    except PromotionError as error:
                        yield error

    def _look_at_what_waits(self, pipeline: Pipeline, stage: Stage, inventory: Inventory) -> None:
        for waiting in waiting_in(pipeline, stage, self._transport, inventory):
            if self._again:
                self._again.publish(evaluation(waiting.image, waiting.digest))
            else:
                self._promoter.look_again(waiting.image, waiting.digest)


def _image(pipeline: Pipeline, stage: Stage, name: str) -> Image | None:
    """The image with a name in a stage; None if an alert policy's label is no such name."""
    try:
        repository = Repository.parse(f"{stage.repository}/{name}")
    except BadReference:
        return None
    return Image(pipeline, stage, name, Reference(repository))


def _alert(pipeline: Pipeline, stage: Stage, subject: str, incident: Incident) -> Alert:
    return Alert(
        pipeline=pipeline.name,
        stage=stage.name,
        subject=subject,
        incident=incident.incident,
        is_open=incident.is_open,
        started_at=incident.started_at,
        ended_at=incident.ended_at,
        policy=incident.policy,
        summary=incident.summary,
        url=incident.url,
    )
