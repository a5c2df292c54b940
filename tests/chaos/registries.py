"""Registries that refuse, break off, stall, lie, lose what they were sent, or have no room."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from random import Random

from bench.faults import (
    Answer,
    BreakDownload,
    BreakUpload,
    Corrupt,
    CutShort,
    Drip,
    Fault,
    LoseAnswer,
    LoseRequest,
    Relabel,
    Rule,
    Stall,
    throttled,
    unauthorized,
)
from bench.proxy import Proxy
from dev import images
from tests.chaos.course import Course
from tests.chaos.scenario import Arrangement, Faults, Scenario
from tests.chaos.stock import Placed, PutAside

_SOME = ("mounted", "twins", "index", "referrers", "failed", "garbled")
# Where a message may be put aside, nothing need come of another that waits for what it says.
_ALONE = ("mounted", "streamed", "index", "referrers", "failed", "garbled")
_WRITES = "POST|PUT|PATCH"
_MANIFESTS, _BLOBS, _UPLOADS = "/manifests/", "/blobs/sha256", "/blobs/uploads/"
_SOMEBODY_ELSE = "sha256:" + "0" * 64

Make = Callable[[Random], Fault]


def injecting(faults: Callable[[Course, Proxy], Iterable[Rule]]) -> Faults:
    """Have these faults at both registries from the beginning, until there are no more of them."""

    def play(course: Course) -> None:
        for proxy in (course.near, course.far):
            proxy.inject(*faults(course, proxy))
        course.publish()
        course.until(course.is_settled)

    return play


def scattered(
    random: Random, times: int, make: Make, method: str = ".*", path: str = "", among: int = 30
) -> list[Rule]:
    """So many faults at single requests of a kind, wherever among the first of them."""
    numbers = random.sample(range(1, among + 1), times)
    return [Rule(make(random), method, path, first=number) for number in numbers]


def refused(course: Course) -> None:
    """Publish, and let each registry go away now and then."""
    course.publish()
    for _ in range(4):
        proxy = course.random.choice((course.near, course.far))
        proxy.refuse()
        course.injected += 1
        course.pause(0.1, 3.0 if course.scale.long else 0.6)
        proxy.accept()
        course.pause(0.1, 0.5)


def resets(course: Course, _: Proxy) -> Iterable[Rule]:
    """Connections are reset in the middle of bodies, both ways, and beside them."""
    scatter = partial(scattered, course.random)
    yield from scatter(4, lambda r: BreakDownload(r.randrange(20_000)), "GET", _BLOBS, 12)
    yield from scatter(3, lambda r: BreakDownload(r.randrange(400)), "GET", _MANIFESTS, 20)
    yield from scatter(4, lambda r: BreakUpload(r.randrange(20_000)), "PUT", _UPLOADS, 12)
    yield from scatter(3, lambda r: BreakUpload(r.randrange(300)), "PUT", _MANIFESTS, 12)
    yield from scatter(4, lambda _: LoseAnswer(), _WRITES)
    yield from scatter(4, lambda _: LoseRequest())


def storm(status: int, seconds: float | None, as_date: bool = False) -> Faults:
    """Everything is too much for a while."""

    def rules(course: Course, _: Proxy) -> Iterable[Rule]:
        times = 20 if course.scale.long else 6
        answer = throttled(status, seconds, as_date=as_date)
        yield Rule(answer, first=course.random.randrange(1, 20), times=times)

    return injecting(rules)


def stalls(course: Course, _: Proxy) -> Iterable[Rule]:
    """Nothing happens for a while: before the request is passed on, or in the answer's body."""
    seconds = 30.0 if course.scale.long else 1.0
    yield from scattered(course.random, 2, lambda _: Stall(seconds))
    yield from scattered(course.random, 1, lambda _: Stall(seconds, after=100), "GET", _BLOBS, 8)


def drips(course: Course, _: Proxy) -> Iterable[Rule]:
    """Bodies come in drops."""
    size, seconds = (4_000, 0.05) if course.scale.long else (64_000, 0.02)
    yield from scattered(course.random, 6, lambda _: Drip(size, seconds), path=_BLOBS, among=12)
    yield from scattered(course.random, 6, lambda _: Drip(size, seconds), path=_UPLOADS)


def wrong_digests(course: Course, _: Proxy) -> Iterable[Rule]:
    """Bytes are damaged on their way, digests stated that are not theirs, and images exchanged."""
    scatter = partial(scattered, course.random)
    for image in course.images:
        path = f"/{image.name}/manifests/{image.digest}$"
        yield Rule(_changeling(course, image), "GET", path, first=course.random.randrange(1, 3))
    lie = Relabel({"Docker-Content-Digest": _SOMEBODY_ELSE})
    yield from scatter(4, lambda r: Corrupt(r.randrange(300)), "GET", _BLOBS, 10)
    yield from scatter(4, lambda r: Corrupt(r.randrange(300)), "GET", _MANIFESTS)
    yield from scatter(2, lambda _: lie, "PUT", _MANIFESTS, 8)
    yield from scatter(2, lambda _: lie, "GET", _MANIFESTS)


def wrong_lengths(course: Course, _: Proxy) -> Iterable[Rule]:
    """Blobs end early: as their length says, or not."""
    for honest in (True, False):
        make = partial(_cut_short, honest=honest)
        yield from scattered(course.random, 4, make, "GET", _BLOBS, 12)


def truncated_manifests(course: Course, _: Proxy) -> Iterable[Rule]:
    """Manifests end early: as their length says, or not."""
    for honest in (True, False):
        make = partial(_cut_short, honest=honest)
        yield from scattered(course.random, 4, make, "GET", _MANIFESTS, 20)


def unauthorised(course: Course, proxy: Proxy) -> Iterable[Rule]:
    """A right is gone for a moment, in the middle of a promotion."""
    challenges = ('Basic realm="registry"', f'Bearer realm="http://{proxy.host}/token"')
    for challenge in challenges:
        yield from scattered(course.random, 2, partial(_unauthorised, challenge))


def lost_uploads(course: Course, _: Proxy) -> Iterable[Rule]:
    """Upload sessions vanish before they are completed."""
    gone = _error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
    yield from scattered(course.random, 6, lambda _: gone, "PUT|PATCH", _UPLOADS, 12)


def everything(course: Course, proxy: Proxy) -> Iterable[Rule]:
    """Whatever can go wrong with a request or two, all at once."""
    for faults in (
        resets,
        wrong_digests,
        wrong_lengths,
        truncated_manifests,
        unauthorised,
        lost_uploads,
    ):
        yield from course.random.sample(list(faults(course, proxy)), 4)
    for status in (429, 503):
        yield from scattered(course.random, 3, partial(_throttled, status))


def for_a_while(answer: Answer, method: str = _WRITES, path: str = "", aside: str = "") -> Faults:
    """Every write is refused until somebody sees to it.

    Args:
        answer: What is answered.
        method: To which methods.
        path: To which paths.
        aside: The reason for which messages may be put aside meanwhile; empty: they may not.
    """

    def play(course: Course) -> None:
        if aside:
            course.allow(PutAside(aside))
        first = course.random.randrange(1, 12)
        for proxy in (course.near, course.far):
            proxy.inject(Rule(answer, method, path, first=first, times=None))
        course.publish()
        course.pause(*((10.0, 20.0) if course.scale.long else (0.5, 1.5)))

    return play


def _throttled(status: int, _: Random) -> Answer:
    return throttled(status, 1)


def _unauthorised(challenge: str, _: Random) -> Answer:
    return unauthorized(challenge)


def _changeling(course: Course, image: Placed) -> Answer:
    """Another image, whole and in the same repository, under the digest of this one."""
    repository = course.world.parts.repository(image.stage, image.name)
    other = images.push_image(repository, [course.random.randbytes(1_000)])
    headers = {"Content-Type": other.media_type, "Docker-Content-Digest": image.digest}
    return Answer(200, headers, other.content)


def _cut_short(random: Random, honest: bool) -> CutShort:
    return CutShort(random.randrange(200), honest=honest)


def _error(status: int, code: str, message: str) -> Answer:
    body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
    return Answer(status, {"Content-Type": "application/json"}, body)


_READ_ONLY = _error(405, "UNSUPPORTED", "The operation is unsupported.")
_NO_ROOM = _error(507, "UNKNOWN", "no space left on device")
_NO_ROOM_AT_ALL = _error(500, "UNKNOWN", "unknown error")
_ROOM_FOR_NO_BLOB = Answer(
    413, {"Content-Type": "text/html"}, b"<h1>413 Request Entity Too Large</h1>"
)


def _scenario(
    name: str,
    summary: str,
    faults: Faults,
    rounds: tuple[int, int] = (1, 5),
    kinds: Sequence[str] = _SOME,
) -> Scenario:
    return Scenario(name, summary, rounds, Arrangement(kinds), faults)


SCENARIOS = (
    _scenario(
        "everything",
        "all kinds of faults of registries, each at a few requests",
        injecting(everything),
    ),
    _scenario("refused", "registries refuse connections now and then", refused),
    _scenario("resets", "connections are reset in bodies, both ways", injecting(resets)),
    _scenario("storm-429", "429 in a row, with Retry-After", storm(429, 1)),
    _scenario("storm-429-bare", "429 in a row, without Retry-After", storm(429, None)),
    _scenario("storm-503", "503 in a row, with a date in Retry-After", storm(503, 2, True)),
    _scenario("storm-503-bare", "503 in a row, without Retry-After", storm(503, None)),
    _scenario("stalls", "nothing comes for 30 s (short form: 1 s)", injecting(stalls), (1, 2)),
    _scenario("drips", "bodies come in drops", injecting(drips), (1, 2)),
    _scenario("wrong-digests", "damaged bytes, false digests", injecting(wrong_digests)),
    _scenario("wrong-lengths", "blobs end early", injecting(wrong_lengths)),
    _scenario("truncated-manifests", "manifests end early", injecting(truncated_manifests)),
    _scenario("unauthorised", "401 in the middle", injecting(unauthorised)),
    _scenario("lost-uploads", "upload sessions vanish", injecting(lost_uploads)),
    _scenario("read-only", "every write is refused with 405", for_a_while(_READ_ONLY)),
    _scenario("full-507", "no room: 507", for_a_while(_NO_ROOM)),
    _scenario("full-500", "no room: 500", for_a_while(_NO_ROOM_AT_ALL)),
    _scenario(
        "full-413",
        "no room: 413",
        for_a_while(_ROOM_FOR_NO_BLOB, "PUT", _UPLOADS, aside="413"),
        kinds=_ALONE,
    ),
)
