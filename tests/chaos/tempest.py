"""All at once: functions are killed while several take the same messages and registries fail."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from random import Random

from tests.chaos.courier import Courier
from tests.chaos.course import Course
from tests.chaos.registries import everything
from tests.chaos.scenario import Arrangement, Scenario
from tests.chaos.stock import ALL_KINDS

_INSTANCES = 3
_BLOWS = (6, 15)


def tempest(course: Course) -> None:
    """Deliver each message often, to several functions, while all that can go wrong does."""
    for proxy in (course.near, course.far):
        proxy.inject(*everything(course, proxy))
    scene = course.world
    courier = Courier(scene.pubsub.project, scene.doorways, Random(course.random.random()))
    blows = [course.random.choice(_ACTS) for _ in range(_BLOWS[course.scale.long])]
    with ThreadPoolExecutor(1) as thread:
        delivered = thread.submit(courier.deliver, course.messages)
        for blow in blows:
            course.pause(0.2, 2.0)
            blow(course)
            course.injected += 1
        delivered.result()


def kill(course: Course) -> None:
    """Kill one of the functions, and start it again."""
    instance = course.random.choice(course.world.instances)
    instance.kill()
    course.pause(0.0, 0.5)
    instance.start()


def shut_gate(course: Course) -> None:
    """Let no event through for a moment."""
    course.world.gate.shut()
    course.pause(0.1, 1.0)
    course.world.gate.open()


_ACTS: tuple[Callable[[Course], None], ...] = (kill, kill, kill, shut_gate)

SCENARIOS = (
    Scenario(
        "tempest",
        "functions are killed while several take each message, and registries fail",
        (1, 20),
        Arrangement(ALL_KINDS, instances=_INSTANCES, pushed=False),
        tempest,
    ),
)
