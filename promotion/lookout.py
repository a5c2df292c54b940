"""What becomes of signals: alerts are stated of images, and whatever waits is looked at again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

import msgspec

from promotion import control_log
from promotion.attribution import running_at
from promotion.deadline import Deadline, attempting
from promotion.errors import BadMessage, BadReference, PromotionError, raise_one_of
from promotion.evidence.alert import Alert
from promotion.evidence.store import EvidenceStore
from promotion.inventory import Inventory
from promotion.messages import evaluation
from promotion.pipeline import NAMES_OF_RECORDS, Image, Pipeline, Pipelines, Stage
from promotion.promoter import Promoter
from promotion.publisher import Topic
from promotion.registry.client import RepositoryClient, writer
from promotion.registry.reference import Digest, Reference, Repository
from promotion.registry.transport import Transport
from promotion.signals import Evaluate, Incident
from promotion.waiting import Waiting, waiting_in

_logger = logging.getLogger(__name__)


class _Concerned(msgspec.Struct, frozen=True):
    """An image that an incident is laid to, and the statement that says so."""

    image: Reference
    digest: Digest
    stated: Digest


class Lookout:
    """Takes signals; safe to share between threads."""

    def __init__(
        self,
        pipelines: Pipelines,
        transport: Transport,
        store: EvidenceStore,
        promoter: Promoter,
        inventory: Callable[[Deadline], Inventory],
        again: Topic | None,
        seconds: float = 540,
    ) -> None:
        """Put it together.

        Args:
            pipelines: Whose images are looked at.
            transport: For requests to their registries.
            store: Reads and writes statements.
            promoter: Looks at an image.
            inventory: Tells what stages hold, as of now, if it can by a deadline.
            again: Takes a message for each of them; None to look at them one after another.
            seconds: The time that one attempt at a signal may take.
        """
        self._pipelines = pipelines
        self._transport = transport
        self._store = store
        self._promoter = promoter
        self._inventory = inventory
        self._again = again
        self._seconds = seconds

    def incident(self, incident: Incident) -> None:
        """State what is said of an incident: of its image, or of the stages it may concern.

        Raises:
            BadMessage: It did not come through the subscription for signals.
            Retryable: A registry failed.
        """
        self._admit(incident.subscription)
        concerned: list[_Concerned] = []
        failures: list[PromotionError] = []
        with attempting(self._seconds) as deadline:
            # No stage is to wait with its gate open for what becomes of an image of another one.
            for pipeline, stage in self._concerned(incident):
                try:
                    concerned += self._state(pipeline, stage, incident, deadline)
                except PromotionError as error:
                    failures.append(error)
            for each in concerned:
                try:
                    self._promoter.look_again(
                        each.image, each.digest, incident.published_at, each.stated
                    )
                except PromotionError as error:
                    failures.append(error)
        raise_one_of(failures)

    def evaluate(self, request: Evaluate) -> None:
        """Look at an image again, or have all looked at that wait.

        Raises:
            BadMessage: It did not come through the subscription for signals, or is about an image
                of no stage or a pipeline that is not there.
            Retryable: Something failed on the way.
        """
        self._admit(request.subscription)
        names = [pipeline.name for pipeline in self._pipelines.pipelines]
        if request.pipeline not in ("", *names):
            raise BadMessage(f"There is no pipeline {request.pipeline!r}, but {', '.join(names)}")
        with attempting(self._seconds) as deadline:
            if request.image and request.digest:
                self._promoter.look_again(
                    request.image, request.digest, request.published_at, request.statement
                )
            else:
                raise_one_of(list(self._look_at_all_that_wait(request, deadline)))

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
        """The stages that an incident may concern: where it names none, all that ask for no alerts.

        A label that is the name of no stage says no more than one that is missing.
        """
        for pipeline in self._pipelines.pipelines:
            if incident.pipeline in ("", pipeline.name):
                named = pipeline.stages.get(incident.stage)
                without_alerts = [
                    each for each in pipeline.stages.values() if each.gate and each.gate.no_alerts
                ]
                for stage in [named] if named else without_alerts:
                    yield pipeline, stage

    def _state(
        self, pipeline: Pipeline, stage: Stage, incident: Incident, deadline: Deadline
    ) -> list[_Concerned]:
        """State it of the digest that ran, or else of the stage; where it was opened, it ends.

        One that is stated of the stage is opened of no image: its end may have come before.
        """
        image = _image(pipeline, stage, incident.image)
        control = writer(control_log.repository_of(stage.repository), self._transport, deadline)
        of_stage = self._is_stated_of_stage(control, incident)
        concerned = None
        if image and not (of_stage and incident.is_open):
            concerned = self._state_of(image, incident, deadline)
        if concerned is None or of_stage:
            self._state_of_stage(pipeline, stage, incident, control)
        return [concerned] if concerned else []

    def _is_stated_of_stage(self, control: RepositoryClient, incident: Incident) -> bool:
        alerts = control_log.read(control, self._store).alerts
        return any(each.said.incident == incident.incident for each in alerts)

    def _state_of(self, image: Image, incident: Incident, deadline: Deadline) -> _Concerned | None:
        """State it of the digest that ran, which is returned."""
        place = writer(image.reference.repository, self._transport, deadline)
        running = running_at(incident.started_at, image, incident.incident, place, self._store)
        subject = place.find(running.digest) if running else None
        if running is None or subject is None:
            return None
        known = self._store.read(running.digest, [place])
        alert = _alert(image.pipeline, image.stage, str(place.repository), incident)
        stated = self._store.attach(place, subject, alert, known)
        name = Reference(place.repository, running.version)
        return _Concerned(name, running.digest, stated.basis.statement)

    def _state_of_stage(
        self, pipeline: Pipeline, stage: Stage, incident: Incident, control: RepositoryClient
    ) -> None:
        _logger.warning(
            "the incident %s is stated of %s as a whole, not of an image",
            incident.incident,
            stage.name,
        )
        alert = _alert(pipeline, stage, str(stage.repository), incident)
        control_log.state(control, alert, self._store)

    def _look_at_all_that_wait(
        self, request: Evaluate, deadline: Deadline
    ) -> Iterator[PromotionError]:
        """Have each of them looked at; what fails is returned, so as not to hold up the others."""
        inventory = self._inventory(deadline)
        for pipeline in self._pipelines.pipelines:
            if request.pipeline in ("", pipeline.name):
                for stage in pipeline.stages.values():
                    waiting = waiting_in(pipeline, stage, self._transport, inventory, deadline)
                    try:
                        yield from self._look_at(waiting, request.published_at)
                    except PromotionError as error:
                        yield error

    def _look_at(self, images: Iterable[Waiting], at: datetime) -> Iterator[PromotionError]:
        for waiting in images:
            if self._again:
                self._again.publish(evaluation(waiting.image, waiting.digest))
                continue
            try:
                self._promoter.look_again(waiting.image, waiting.digest, at)
            except PromotionError as error:
                yield error


def _image(pipeline: Pipeline, stage: Stage, name: str) -> Image | None:
    """The image with a name in a stage; None if an alert policy's label is no such name."""
    if name in NAMES_OF_RECORDS:
        return None
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
