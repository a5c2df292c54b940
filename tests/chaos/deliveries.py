"""Pub/Sub delivers often and in any order, takes no event for a while, or forgets everything."""

from __future__ import annotations

from bench.faults import Hold, Rule
from tests.chaos.courier import Courier
from tests.chaos.course import Course
from tests.chaos.scenario import Arrangement, Scenario
from tests.chaos.stock import ALL_KINDS, PROMOTIONS, VERSION

_SOON = 30.0


def repeated(course: Course) -> None:
    """Deliver each message 1 to 5 times, shuffled, to several functions at once; and again."""
    scene = course.world
    courier = Courier(scene.pubsub.project, scene.doorways, course.random)
    courier.deliver(course.messages)
    course.look()
    courier.deliver(course.messages)
    course.look_for_late_events()


def unpublished(course: Course) -> None:
    """Have the first image's tag set, then no event taken for a while; some functions die of it."""
    for proxy in (course.near, course.far):
        proxy.inject(Rule(Hold(_held(course), done=True), "PUT", f"/manifests/{VERSION}$"))
    course.publish()
    course.until(lambda: course.spoilt > 0, _SOON)
    course.world.gate.shut()
    _release(course)
    # The function waits 30 seconds for Pub/Sub, and then leaves it to the next delivery.
    course.pause(*((31.0, 40.0) if course.scale.long else (1.0, 3.0)))
    if course.random.random() < 0.5:
        # What it still meant to publish goes with it.
        (instance,) = course.world.instances
        instance.kill()
        instance.start()
        course.injected += 1
    course.world.gate.open()


def forgotten(course: Course) -> None:
    """Start the emulator again while promotions are under way, and publish everything once more."""
    held = course.random.randrange(1, 60)
    course.near.inject(Rule(Hold(_held(course)), first=held))
    course.publish()
    course.until(lambda: course.spoilt > 0 or course.is_settled(), _SOON)
    course.look()
    course.world.restart_emulator()
    course.injected += 1
    _release(course)
    course.publish()


def _held(course: Course) -> str:
    return course.stock.prefix


def _release(course: Course) -> None:
    for proxy in (course.near, course.far):
        proxy.release(_held(course))


SCENARIOS = (
    Scenario(
        "repeated",
        "every message 1-5 times, shuffled, to several functions at once",
        (1, 10),
        Arrangement(ALL_KINDS, instances=2, pushed=False),
        repeated,
    ),
    Scenario(
        "unpublished",
        "no event is taken after the copy, for 30 s (short form: 1-3 s)",
        (1, 4),
        Arrangement(PROMOTIONS),
        unpublished,
    ),
    Scenario(
        "forgotten",
        "the emulator is killed and loses all messages; they are published again",
        (1, 5),
        Arrangement(PROMOTIONS, forgotten=True),
        forgotten,
    ),
)
