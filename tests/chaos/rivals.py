"""Somebody else deletes or moves tags, at the source or at the destination, during the copy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from bench.faults import Hold, Rule
from dev import images
from promotion.registry.client import RepositoryClient
from promotion.registry.manifest import Manifest
from tests.chaos.course import Course
from tests.chaos.scenario import Arrangement, Scenario
from tests.chaos.stock import PROMOTIONS, VERSION, Denied, Fate, Placed, Promoted
from tests.unit.attached import delete

_SOON = 30.0
# What a promotion asks of one registry; and which of its questions about a version, of which there
# is one at the source and about four at the destination.
_REQUESTS, _ABOUT_VERSION = 60, (1, 1, 1, 2, 3, 4)


def rivalry(course: Course) -> None:
    """Hold the promotion at some request, and let somebody else act before it goes on."""
    (image,) = course.images
    act = course.random.choice(ACTS)
    here = course.proxy(course.random.choice((image.stage, image.to_stage)))
    here.inject(_moment(course, image))
    course.publish()
    course.until(lambda: any(each.fault for each in here.exchanges()) or course.is_settled(), _SOON)
    fates = act(course, image)
    course.messages = [replace(each, fates=fates) for each in course.messages]
    course.injected += 1
    here.release(course.stock.prefix)


def _moment(course: Course, image: Placed) -> Rule:
    """At which request it is held: at any, or where its version is looked up or set."""
    random = course.random
    fault = Hold(course.stock.prefix, done=random.random() < 0.5)
    if random.random() < 0.5:
        return Rule(fault, first=random.randrange(1, _REQUESTS))
    version, first = f"/{image.name}/manifests/{VERSION}$", random.choice(_ABOUT_VERSION)
    return Rule(fault, path=version, first=first, times=None)


def move_source(course: Course, image: Placed) -> tuple[Fate, ...]:
    """The version names another image in its stage."""
    _set_rival(course, _source(course, image))
    return Promoted(image), Denied(image, "tag-moved")


def move_destination(course: Course, image: Placed) -> tuple[Fate, ...]:
    """The version names another image in the next stage, before or after the promotion."""
    rival = _set_rival(course, _destination(course, image)).digest
    return Promoted(image, (rival,)), Denied(image, "tag-conflict", rival)


def delete_source(course: Course, image: Placed) -> tuple[Fate, ...]:
    """The image goes away for a moment, and is pushed again."""
    source = _source(course, image)
    manifest = source.manifest(image.digest)
    delete(source, manifest)
    course.pause(0.2, 2.0)
    source.put_manifest(manifest, VERSION)
    return (Promoted(image),)


def delete_destination(course: Course, image: Placed) -> tuple[Fate, ...]:
    """What is there of the image in the next stage is deleted, if anything is."""
    destination = _destination(course, image)
    manifest = destination.find(image.digest)
    if manifest:
        delete(destination, manifest)
    return (Promoted(image, (None,)),)


ACTS: tuple[Callable[[Course, Placed], tuple[Fate, ...]], ...] = (
    move_source,
    move_destination,
    delete_source,
    delete_destination,
)


def _set_rival(course: Course, repository: RepositoryClient) -> Manifest:
    layer = images.layer({"rival": course.random.randbytes(1_000)})
    return images.push_image(repository, [layer], VERSION)


def _source(course: Course, image: Placed) -> RepositoryClient:
    return course.world.parts.repository(image.stage, image.name)


def _destination(course: Course, image: Placed) -> RepositoryClient:
    return course.world.parts.repository(image.to_stage, image.name)


SCENARIOS = (
    Scenario(
        "rivals",
        "somebody else moves or deletes tags, at the source or the destination",
        (2, 60),
        Arrangement(PROMOTIONS, one_of=True),
        rivalry,
    ),
)
