"""Somebody else deletes or moves tags, at the source or at the destination, during the copy."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bench.faults import Hold, Rule
from dev import images
from tests.chaos.course import Course
from tests.chaos.scenario import Arrangement, Scenario
from tests.chaos.stock import PROMOTIONS, VERSION, Denied, Fate, Placed, Promoted
from tests.unit.attached import delete

_SOON = 30.0
# What a promotion asks of one registry; and how often it looks up what its version names: at the
# source to judge, and at the destination once more before it sets the tag.
_REQUESTS, _LOOKS_AT_SOURCE, _LOOKS_AT_DESTINATION = 60, 1, 2


def rivalry(course: Course) -> None:
    """Hold the promotion at some request, and let somebody else act before it goes on."""
    (image,) = course.images
    stage = course.random.choice((image.stage, image.to_stage))
    act = course.random.choice((move, remove))
    here, moment = course.proxy(stage), _moment(course, image, stage)
    here.inject(moment.rule)
    course.publish()
    course.until(lambda: course.spoilt > 0 or course.is_settled(), _SOON)
    noticed = moment.looks_later and course.spoilt > 0
    fates = act(course, image, stage)
    if noticed:
        fates = tuple(each for each in fates if isinstance(each, Denied)) or fates
    course.messages = [replace(each, fates=fates) for each in course.messages]
    course.injected += 1
    here.release(course.stock.prefix)


@dataclass(frozen=True)
class Moment:
    """When a promotion is held.

    Attributes:
        looks_later: Whether it is sure to look up the version after that, and so to notice.
    """

    rule: Rule
    looks_later: bool = False


def _moment(course: Course, image: Placed, stage: str) -> Moment:
    """At any of its requests, or where it looks up or sets the version in that stage."""
    random = course.random
    fault = Hold(course.stock.prefix, done=random.random() < 0.5)
    if random.random() < 0.25:
        return Moment(Rule(fault, first=random.randrange(1, _REQUESTS)))
    looks = _LOOKS_AT_SOURCE if stage == image.stage else _LOOKS_AT_DESTINATION
    first = random.randrange(1, looks + 1)
    version = f"/{stage}/{image.name}/manifests/{VERSION}$"
    rule = Rule(fault, path=version, first=first, times=None)
    return Moment(rule, looks_later=first + fault.done <= looks)


def move(course: Course, image: Placed, stage: str) -> tuple[Fate, ...]:
    """The version names another image, before or after the promotion."""
    layer = images.layer({"rival": course.random.randbytes(1_000)})
    repository = course.world.parts.repository(stage, image.name)
    rival = images.push_image(repository, [layer], VERSION).digest
    if stage == image.stage:
        return Promoted(image), Denied(image, "tag-moved")
    return Promoted(image, (rival,)), Denied(image, "tag-conflict", rival)


def remove(course: Course, image: Placed, stage: str) -> tuple[Fate, ...]:
    """What is there of the image is deleted; at the source, it is pushed again a moment later."""
    repository = course.world.parts.repository(stage, image.name)
    manifest = repository.find(image.digest)
    if manifest:
        delete(repository, manifest)
    if stage == image.to_stage:
        return (Promoted(image, (None,)),)
    course.pause(0.2, 2.0)
    if manifest:
        repository.put_manifest(manifest, VERSION)
    return (Promoted(image),)


SCENARIOS = (
    Scenario(
        "rivals",
        "somebody else moves or deletes tags, at the source or the destination",
        (2, 60),
        Arrangement(PROMOTIONS, one_of=True),
        rivalry,
    ),
)
