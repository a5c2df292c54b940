"""Soaks: how long an image must have been in its stage without an alert."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import msgspec

from promotion.evidence.attested import Attested, Evidence
from promotion.evidence.deployment import Deployment
from promotion.gates.entries import first_record
from promotion.gates.incidents import Incident, incidents_of, messages_of
from promotion.gates.wording import moment, moment_to_come
from promotion.pipeline import Gate, Image
from promotion.verdict import Basis, Decision, Finding


class _Beginning(msgspec.Struct, frozen=True):
    at: datetime
    event: str
    basis: Basis


def judged(image: Image, gate: Gate, evidence: Evidence, now: datetime) -> Iterator[Finding]:
    """Whether the soak is over; if not, when it will be."""
    if gate.soak is None:
        return
    if gate.soak_from == "promotion":
        beginning = _promotion(image, evidence)
    else:
        beginning = _deployment(image, evidence)
    if beginning is None:
        yield Finding(Decision.WAIT, "not-deployed", _not_begun(image, gate, evidence))
        return
    incidents = [each for each in incidents_of(image, evidence) if each.of_image]
    yield _since(beginning, gate, gate.soak, incidents, now)


def over_at(beginning: datetime, soak: timedelta, incidents: Sequence[Incident]) -> datetime | None:
    """When a soak is over that stands still while an incident is open; None: not while one is."""
    reached, left = beginning, soak
    for incident in sorted(incidents, key=lambda each: each.started_at):
        quiet = incident.started_at - reached
        if quiet >= left:
            break
        left -= max(quiet, timedelta())
        if incident.ended_at is None:
            return None
        reached = max(reached, incident.ended_at)
    return reached + left


def over_anew_at(
    beginning: datetime, soak: timedelta, incidents: Sequence[Incident]
) -> datetime | None:
    """When a soak is over that every incident starts anew; None: not while one is open."""
    last = beginning
    for incident in incidents:
        if incident.ended_at is None:
            return None
        last = max(last, incident.ended_at)
    return last + soak


def _since(
    beginning: _Beginning,
    gate: Gate,
    soak: timedelta,
    incidents: Sequence[Incident],
    now: datetime,
) -> Finding:
    calculated = over_anew_at if gate.restart_soak_on_alert else over_at
    over = calculated(beginning.at, soak, incidents)
    basis = (beginning.basis, *(each.basis for each in messages_of(incidents)))
    begun = f"{beginning.event} at {moment(beginning.at)}"
    if over is None:
        names = ", ".join(each.messages[0].said.incident for each in incidents if not each.ended_at)
        message = f"{begun}, and the soak stands still while an alert is open: incident {names}"
        return Finding(Decision.WAIT, "soaking", message, basis=basis)
    if now < over:
        message = f"{begun}, and the soak will be over at {moment_to_come(over)}"
        return Finding(Decision.WAIT, "soaking", message, basis=basis)
    message = f"{begun}, and the soak was over at {moment(over)}"
    return Finding(Decision.PROMOTE, "soak-over", message, basis=basis)


def _promotion(image: Image, evidence: Evidence) -> _Beginning | None:
    record = first_record(image, evidence)
    if record is None:
        return None
    event = f"it was promoted into {image.stage.name}"
    return _Beginning(record.said.decided_at, event, record.basis)


def _deployment(image: Image, evidence: Evidence) -> _Beginning | None:
    """The earliest deployment that was reported through the subscription that must."""
    results = image.pipeline.results
    counted = [
        (each.said.deployed_at, each.basis)
        for each in _deployments(image, evidence)
        if results in ("", each.said.subscription)
    ]
    if not counted:
        return None
    at, basis = min(counted)
    return _Beginning(at, f"it was deployed in {image.stage.name}", basis)


def _deployments(image: Image, evidence: Evidence) -> Sequence[Attested[Deployment]]:
    """The deployments of this image in its stage, whoever reported them."""
    return [
        each
        for each in evidence.deployments
        if each.said.pipeline == image.pipeline.name
        and each.said.stage == image.stage.name
        and each.said.repository == str(image.reference.repository)
    ]


def _not_begun(image: Image, gate: Gate, evidence: Evidence) -> str:
    stage = image.stage.name
    if gate.soak_from == "promotion":
        return f"no promotion record says since when it is in {stage}"
    message = f"no deployment of it in {stage} was reported"
    if _deployments(image, evidence):
        message += f" through {image.pipeline.results}, which alone counts"
    return message
