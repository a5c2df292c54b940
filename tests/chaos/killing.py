"""The function is killed, at any request of a promotion, before it, after it or in its body."""

from __future__ import annotations

from bench.faults import Drip, Hold, Rule
from bench.proxy import Proxy
from tests.chaos.course import Course
from tests.chaos.scenario import Arrangement, Scenario
from tests.chaos.stock import PROMOTIONS

# What a promotion takes: requests inside one registry, to the nearer and to the farther one of two,
# and such with bodies. Some more than there are, so that some kills come when all is done.
_INSIDE, _NEAR, _FAR, _BODIES = 90, 60, 60, 12
_MOST_SECONDS = 60.0
_SLOW = Drip(size=8 * 1024, seconds=0.01)


def killed(course: Course) -> None:
    """Publish, kill the function at some moment, and start it again."""
    name = course.messages[0].content.hex()
    proxy, rule, least, most = _moment(course, name)
    proxy.inject(rule)
    course.publish()
    course.until(lambda: course.spoilt > 0 or course.is_settled(), _MOST_SECONDS)
    course.pause(least, most)
    (instance,) = course.world.instances
    instance.kill()
    course.injected += 1
    late = course.random.random() < 0.5
    if not late:
        proxy.release(name)
    instance.start()
    # What the dead function had asked for may reach the registry after its successor has begun.
    proxy.release(name)


def _moment(course: Course, name: str) -> tuple[Proxy, Rule, float, float]:
    """Where it is killed: at which requests, and how long after that."""
    random = course.random
    here, requests = course.near, _INSIDE
    if course.kinds[0] != "mounted":
        here, requests = random.choice(((course.near, _NEAR), (course.far, _FAR)))
    if random.random() < 0.25:
        first = random.randrange(1, _BODIES)
        return here, Rule(_SLOW, "PUT|GET", "/blobs/", first=first), 0.0, 0.3
    fault = Hold(name, done=random.random() < 0.5)
    return here, Rule(fault, first=random.randrange(1, requests)), 0.0, 0.0


SCENARIOS = (
    Scenario(
        "killed",
        "kill -9 of the function at a random request of a promotion, then a restart",
        (3, 200),
        Arrangement(PROMOTIONS, one_of=True),
        killed,
    ),
)
