"""Streams: which begin when, what becomes of those that want the same, and how they are ended."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from dev import images
from dev.registry import EmbeddedRegistry
from promotion.deadline import NEVER, Deadline
from promotion.errors import DeadlineExceeded, NotFound
from promotion.registry import pace as pace_module
from promotion.registry import parallel
from promotion.registry.blobs import Sending, bring
from promotion.registry.client import RepositoryClient
from promotion.registry.copy import copy
from promotion.registry.limits import HostLimit
from promotion.registry.lines import Lines
from promotion.registry.manifest import OCI_MANIFEST, Blob, Manifest
from promotion.registry.pace import Pace
from promotion.registry.reference import Repository, digest_of
from promotion.registry.referrers import AllAttachments, NoAttachments
from promotion.registry.rehearsal import rehearse
from promotion.registry.report import BlobReport, Unwatched, Watcher, Way
from promotion.registry.retry import Tries
from promotion.registry.transport import Transport
from tests.unit import wire
from tests.unit.clock import Clock
from tests.unit.scripted import Answer, ScriptedServer
from tests.unit.slow import SlowServer

CONTENT = b"content" * 1000
UNSEEN = Unwatched()
BLOB = Blob(digest_of(CONTENT), len(CONTENT))


class Held:
    """A stream that travels until it is told to arrive."""

    def __init__(self, *limits: HostLimit) -> None:
        self.limits = limits
        self.began = threading.Event()
        self.arrive = threading.Event()

    def __call__(self) -> None:
        """Travel."""
        self.began.set()
        assert self.arrive.wait(60)


def lines(most: int) -> Lines[HostLimit]:
    """Lines of streams, of which so many travel at once."""
    return Lines(most, lambda limit: limit.streams, "stream")


def started(streams: Lines[HostLimit], *held: Held) -> list[Future[None]]:
    """Start them in this order."""
    return [streams.start(each, each.limits) for each in held]


def ended(futures: list[Future[None]], *held: Held) -> None:
    """Let them all come to their end."""
    for each in held:
        each.arrive.set()
    for future in futures:
        future.result(60)


def throttled(host: str, streams: int) -> HostLimit:
    """The limit of a host that bears no more than one stream just now."""
    limit = HostLimit(host, streams, streams)
    while limit.streams > 1:
        limit.throttled(time.monotonic(), 0)
    return limit


def test_a_host_that_throttles_gets_fewer_streams() -> None:
    """The second waits for the first, and holds up no stream of another host."""
    streams = lines(2)
    busy, free = throttled("busy", 16), HostLimit("free", 16, 16)
    first, second, other = Held(busy, free), Held(free, busy), Held(free)
    futures = started(streams, first, second, other)
    assert first.began.wait(60)
    assert other.began.wait(60)
    assert not second.began.is_set()
    other.arrive.set()
    futures[2].result(60)
    assert not second.began.is_set()
    first.arrive.set()
    assert second.began.wait(60)
    ended(futures, first, second, other)


def test_streams_begin_in_their_order() -> None:
    """Of all that may, the one that came first."""
    streams = lines(1)
    limit = HostLimit("host", 16, 16)
    first, second, third = Held(limit), Held(limit), Held(limit)
    futures = started(streams, first, second, third)
    first.arrive.set()
    assert second.began.wait(60)
    assert not third.began.is_set()
    ended(futures, second, third)


class Counted(Held):
    """A stream that counts how often it is looked at."""

    looks = 0

    @property
    def limits(self) -> tuple[HostLimit, ...]:
        """The limits, once more."""
        Counted.looks += 1
        return self._limits

    @limits.setter
    def limits(self, limits: tuple[HostLimit, ...]) -> None:
        self._limits = limits


def test_streams_that_wait_cost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """An image of very many blobs takes no time from other copies for those that wait."""
    monkeypatch.setattr(Counted, "looks", 0)
    streams = lines(1)
    limit = HostLimit("host", 16, 16)
    first, *others = many = [Counted(limit) for _ in range(200)]
    futures = started(streams, *many)
    for each in others:
        each.arrive.set()
    ended(futures, first)
    assert Counted.looks <= 3 * len(many)


def test_a_stream_that_is_cancelled_before_it_begins_takes_no_turn() -> None:
    """It is dropped, and the next one has its turn."""
    streams = lines(1)
    limit = HostLimit("host", 16, 16)
    first, second, third = Held(limit), Held(limit), Held(limit)
    futures = started(streams, first, second, third)
    assert futures[1].cancel()
    first.arrive.set()
    assert third.began.wait(60)
    assert not second.began.is_set()
    ended([futures[0], futures[2]], third)


class Scripted(RepositoryClient):
    """A source whose blob comes as a function says."""

    pieces: Callable[[Blob], Iterator[bytes]]

    @contextmanager
    def blob(
        self,
        blob: Blob,
        start: int = 0,  # noqa: ARG002 - it comes from its beginning
        tries: Tries | None = None,  # noqa: ARG002
    ) -> Iterator[Iterator[bytes]]:
        """The pieces."""
        yield self.pieces(blob)


@pytest.fixture
def source(near: EmbeddedRegistry, transport: Transport) -> RepositoryClient:
    """A source that has the blob."""
    repository = RepositoryClient(Repository(near.host, "shop/source"), transport)
    images.push_blob(repository, CONTENT, "text/plain")
    return repository


@pytest.fixture
def destination(far: EmbeddedRegistry, transport: Transport) -> RepositoryClient:
    """A destination that does not have it."""
    return RepositoryClient(Repository(far.host, "shop/destination"), transport)


def scripted(like: RepositoryClient, pieces: Callable[[Blob], Iterator[bytes]]) -> Scripted:
    """Another source, in another repository."""
    repository = Repository(like.repository.host, "shop/scripted")
    made = Scripted(repository, like.transport)
    made.pieces = pieces
    return made


def sending(source: RepositoryClient, destination: RepositoryClient, pace: Pace) -> Sending:
    """The task that lets the blob travel."""
    task = bring(BLOB, source.until(pace.deadline), destination.until(pace.deadline), pace, UNSEEN)
    assert isinstance(task, Sending)
    return task


class Follower(threading.Thread):
    """Another copy that wants the same blob at the same place."""

    def __init__(self, task: Sending) -> None:
        super().__init__()
        self._task = task
        self.report: BlobReport | None = None

    def run(self) -> None:
        """Send it."""
        self.report = self._task()


@pytest.mark.parametrize("abandoned", [False, True])
def test_who_waited_for_a_copy_that_fails_tries_by_itself(
    source: RepositoryClient, destination: RepositoryClient, *, abandoned: bool
) -> None:
    """The other one's source, deadline and end are not its own."""
    begun, goes_on = threading.Event(), threading.Event()

    def pieces(_: Blob) -> Iterator[bytes]:
        begun.set()
        assert goes_on.wait(60)
        if abandoned:
            yield b"c"
        raise NotFound("the other source does not have it")

    pace = Pace(NEVER)
    leader = sending(scripted(source, pieces), destination, pace)
    follower = Follower(sending(source, destination, Pace(NEVER)))
    failures: list[BaseException] = []

    def lead() -> None:
        try:
            leader()
        except (DeadlineExceeded, NotFound) as error:
            failures.append(error)

    leading = threading.Thread(target=lead)
    leading.start()
    assert begun.wait(60)
    follower.start()
    if abandoned:
        pace.abandon()
    goes_on.set()
    leading.join()
    follower.join()
    assert len(failures) == 1
    assert follower.report is not None
    assert follower.report.way is Way.COPIED
    assert destination.has_blob(BLOB.digest)


def test_what_is_left_out_by_one_is_sent_by_another(
    source: RepositoryClient, destination: RepositoryClient
) -> None:
    """A layer that is kept elsewhere may be at one source and not at the other; so is foretold."""
    external = Blob(BLOB.digest, BLOB.size, external=True)
    lacking = RepositoryClient(Repository(source.repository.host, "shop/none"), source.transport)
    for one, way in ((lacking, Way.LEFT_OUT), (source, Way.COPIED)):
        task = bring(external, one, destination, Pace(NEVER), UNSEEN)
        assert isinstance(task, Sending)
        assert rehearse(external, one, destination, Pace(NEVER), UNSEEN).way is way
        assert task().way is way


def test_what_the_destination_loses_is_not_left_out(
    source: RepositoryClient, transport: Transport
) -> None:
    """A layer that may be kept elsewhere is there: no copy goes on without it for another fault."""
    external = Blob(BLOB.digest, BLOB.size, external=True)
    opened = Answer(202, b"", {"Location": "/upload"})
    with ScriptedServer(*[opened, Answer(404)] * 5) as server:
        losing = RepositoryClient(Repository(server.host, "shop"), transport)
        task = bring(external, source, losing, Pace(NEVER), UNSEEN)
        assert isinstance(task, Sending)
        with pytest.raises(NotFound, match=f"{server.host} answered 404"):
            task()


@pytest.mark.parametrize(("seconds", "way"), [(1, Way.COPIED), (60, Way.PRESENT)])
def test_a_copy_that_takes_long_asks_before_it_sends(
    source: RepositoryClient,
    destination: RepositoryClient,
    monkeypatch: pytest.MonkeyPatch,
    seconds: int,
    way: Way,
) -> None:
    """What an earlier attempt has brought is found, small as it is, so that each one gets on."""
    clock = Clock()
    monkeypatch.setattr(pace_module, "time", clock)
    first, second = (sending(source, destination, Pace(NEVER)) for _ in range(2))
    first()
    clock.now += seconds
    assert second().way is way


def test_a_blob_whose_turn_does_not_come_ends_at_the_deadline(
    source: RepositoryClient, destination: RepositoryClient
) -> None:
    """Behind the streams of others, a copy waits no longer than it has time."""
    held = [Held() for _ in range(parallel.STREAMS_IN_ALL)]
    futures = [parallel.start_stream(each) for each in held]
    image = images.push_image(source, [CONTENT])
    with pytest.raises(DeadlineExceeded):
        copy(image, source, destination.until(Deadline.after(0.5)))
    assert not any(future.done() for future in futures)
    ended(futures, *held)


def test_a_host_whose_blobs_stand_still_holds_up_no_other(
    source: RepositoryClient, destination: RepositoryClient
) -> None:
    """However many of them have their turns, and wait for theirs, others travel meanwhile."""
    still = HostLimit("stuck.example", parallel.STREAMS, parallel.STREAMS)
    held = [Held(still) for _ in range(parallel.STREAMS_IN_ALL)]
    futures = [parallel.start_stream(each) for each in held]
    image = images.push_image(source, [CONTENT])
    assert copy(image, source, destination.until(Deadline.after(60))).blobs
    ended(futures, *held)


def endless(begun: threading.Event) -> Callable[[Blob], Iterator[bytes]]:
    """A layer that never comes to its end; the config is missing, as turns out meanwhile."""

    def pieces(blob: Blob) -> Iterator[bytes]:
        if blob != BLOB:
            assert begun.wait(60)
            raise NotFound("the config is missing")
        while True:
            yield b""
            begun.set()

    return pieces


def test_a_copy_that_fails_does_not_wait_for_its_streams(
    source: RepositoryClient, destination: RepositoryClient
) -> None:
    """The error is told at once, however much of another blob is still to come."""
    image = images.push_image(source, [CONTENT])
    with pytest.raises(NotFound, match="the config is missing"):
        copy(image, scripted(source, endless(threading.Event())), destination)


def test_a_copy_that_fails_does_not_wait_for_look_ups(
    source: RepositoryClient, destination: RepositoryClient
) -> None:
    """The error is told at once, though whoever was asked what is attached says nothing."""
    image = images.push_image(source, [CONTENT])
    asked = threading.Event()

    def listen(connection: socket.socket, closing: threading.Event) -> None:
        connection.recv(65536)
        asked.set()
        closing.wait()

    def pieces(_: Blob) -> Iterator[bytes]:
        assert asked.wait(60)
        raise NotFound("the config is missing")

    with SlowServer(listen) as silent:
        unheard = RepositoryClient(Repository(silent.host, "shop/silent"), source.transport)
        with (
            pytest.raises(NotFound, match="the config is missing"),
            AllAttachments(unheard) as attachments,
        ):
            copy(image, scripted(source, pieces), destination, attachments)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """SIGINT interrupts, also where tests run in the background, which shells let ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_a_copy_that_is_interrupted_does_not_wait_for_its_streams(
    source: RepositoryClient, destination: RepositoryClient
) -> None:
    """Whoever presses Ctrl-C has the terminal back."""
    image = images.push_image(source, [CONTENT])

    def pieces(blob: Blob) -> Iterator[bytes]:
        yield b""
        if blob == BLOB:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        while True:
            yield b""

    with pytest.raises(KeyboardInterrupt):
        copy(image, scripted(source, pieces), destination)


class Standing:
    """A way to bring blobs that gets no answer until it is told to."""

    def __init__(self) -> None:
        self.began = threading.Semaphore(0)
        self.answer = threading.Event()

    def __call__(
        self,
        blob: Blob,
        *,
        source: RepositoryClient,  # noqa: ARG002 - the protocol's parameters
        destination: RepositoryClient,  # noqa: ARG002
        pace: Pace,  # noqa: ARG002
        watcher: Watcher,  # noqa: ARG002
    ) -> BlobReport:
        """Wait for the answer."""
        self.began.release()
        assert self.answer.wait(60)
        return BlobReport(blob.digest, blob.size, Way.MOUNTED)


def test_a_registry_that_stands_still_holds_up_no_other(
    source: RepositoryClient, destination: RepositoryClient, transport: Transport
) -> None:
    """However much is wanted of one that does not answer, copies elsewhere go on meanwhile."""
    stuck = RepositoryClient(Repository("stuck.example", "shop"), transport)
    content = wire.image(*(b"%d" % number for number in range(2 * parallel.REQUESTS)))
    image = Manifest(OCI_MANIFEST, digest_of(content), content)
    standing = Standing()
    with ThreadPoolExecutor(1) as beside:
        copying = beside.submit(copy, image, stuck, stuck, NoAttachments(), bring=standing)
        try:
            for _ in range(parallel.REQUESTS):
                assert standing.began.acquire(timeout=60)
            other = images.push_image(source, [CONTENT])
            assert copy(other, source, destination.until(Deadline.after(60))).blobs
        finally:
            standing.answer.set()
        assert len(copying.result(60).blobs) == 2 * parallel.REQUESTS + 1
