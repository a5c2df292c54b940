"""Incidents that alerts told of: whether they are open, and for how long they were."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime

import msgspec

from promotion.evidence.act import Act, Kind
from promotion.evidence.alert import Alert
from promotion.evidence.attested import Attested, Evidence
from promotion.gates import acts
from promotion.gates.wording import moment
from promotion.pipeline import Gate, Image
from promotion.verdict import Basis, Decision, Finding


class Incident(msgspec.Struct, frozen=True):
    """All that was said of one incident, in whatever order and however often.

    Attributes:
        messages: What was said, in an order of its own.
        of_image: Whether it is attributed to the image, and not only to its stage as a whole.
    """

    messages: tuple[Attested[Alert], ...]
    of_image: bool

    @property
    def started_at(self) -> datetime:
        """When it began."""
        return min(each.said.started_at for each in self.messages)

    @property
    def ended_at(self) -> datetime | None:
        """When it was closed; None while it is open."""
        closed = [each.said for each in self.messages if not each.said.is_open]
        return max((each.ended_at or each.started_at for each in closed), default=None)

    @property
    def url(self) -> str:
        """Where people can look at it."""
        return self.messages[0].said.url

    @property
    def basis(self) -> tuple[Basis, ...]:
        """What a finding about it rests on."""
        return tuple(each.basis for each in self.messages)


def incidents_of(image: Image, evidence: Evidence) -> list[Incident]:
    """The incidents that concern an image in its stage, the oldest first."""
    own, stage = str(image.reference.repository), str(image.stage.repository)
    said: defaultdict[str, set[Attested[Alert]]] = defaultdict(set)
    for each in evidence.alerts:
        alert = each.said
        about_image = alert.subject == own and alert.stage == image.stage.name
        about_stage = alert.subject == stage and alert.stage in (image.stage.name, "")
        if alert.pipeline == image.pipeline.name and (about_image or about_stage):
            said[alert.incident].add(each)
    found = [
        Incident(
            tuple(sorted(messages, key=lambda each: each.basis)),
            any(each.said.subject == own for each in messages),
        )
        for messages in said.values()
    ]
    return sorted(found, key=lambda each: (each.started_at, each.messages[0].basis))


def judged(image: Image, gate: Gate, evidence: Evidence, now: datetime) -> Iterator[Finding]:
    """Whether an incident is open that concerns the image, here or at a gate that it has passed."""
    if gate.no_alerts:
        yield from _here(image, evidence, now)
    yield from _upstream(image, evidence)


def _here(image: Image, evidence: Evidence, now: datetime) -> Iterator[Finding]:
    """The incidents of its own stage; those that are about no image can be released."""
    release = acts.latest_of(acts.about_stage(image, Kind.RELEASE, evidence, now))
    still_open = [each for each in incidents_of(image, evidence) if each.ended_at is None]
    blocking = [each for each in still_open if not (release and _lifts(release.said, each))]
    for each in blocking:
        said = _said(image, each)
        yield Finding(Decision.WAIT, "alert-open", said, each.url, each.basis)
    if not blocking:
        message = f"no alert is open for it in {image.stage.name}"
        basis = (release.basis,) if release and still_open else ()
        yield Finding(Decision.PROMOTE, "no-alert", message, basis=basis)


def _upstream(image: Image, evidence: Evidence) -> Iterator[Finding]:
    """Its incidents in earlier stages whose gates ask for none: they count from there on."""
    for stage in image.pipeline.upstream_of(image.stage):
        if stage.gate is None or not stage.gate.no_alerts:
            continue
        there = Image(image.pipeline, stage, image.name, image.in_stage(stage))
        for each in incidents_of(there, evidence):
            if each.of_image and each.ended_at is None:
                said = _said(there, each)
                yield Finding(Decision.WAIT, "alert-open-upstream", said, each.url, each.basis)


def _lifts(release: Act, incident: Incident) -> bool:
    """Whether a person let the stage go on, who knew of an incident that is about no image."""
    return not incident.of_image and release.decided_at > incident.started_at


def _said(image: Image, incident: Incident) -> str:
    alert = incident.messages[0].said
    policy = f"alert {alert.policy}" if alert.policy else "an alert"
    stage = image.stage.name
    about = f"in {stage}" if incident.of_image else f"in {stage}, about no image in particular"
    lifts = "" if incident.of_image else f", or releases {stage}"
    return (
        f"{policy} (incident {alert.incident}) is open {about} since"
        f" {moment(incident.started_at)}; it waits until somebody closes it{lifts}"
    )


def messages_of(incidents: Sequence[Incident]) -> list[Attested[Alert]]:
    """All that was said of some incidents."""
    return [message for incident in incidents for message in incident.messages]
