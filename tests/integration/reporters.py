"""Functions in processes of their own, which learn at the same moment that their suites ended."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier

from dev.anonymous import anonymous_transport
from promotion.errors import Retryable
from promotion.events import Event
from promotion.messages import Outcome, TestResult
from promotion.promoter import Promoter
from promotion.registry.reference import Digest, Reference
from tests.topics import RecordedTopic
from tests.unit.promoting import promoter

PATIENCE = 60.0
_IN_VAIN = 30.0


@dataclass(frozen=True)
class Reported:
    """What became of one suite's result.

    Attributes:
        events: What was published upon it.
    """

    events: Sequence[Event]


class Reporters:
    """As many processes as there are suites."""

    def __init__(self, pipes: Sequence[Connection]) -> None:
        self._pipes = pipes

    def report(self, image: Reference, digest: Digest) -> list[Reported]:
        """Let all suites succeed with an image at the same moment."""
        for pipe in self._pipes:
            pipe.send((str(image), digest))
        return [self._received(pipe) for pipe in self._pipes]

    def _received(self, pipe: Connection) -> Reported:
        if not pipe.poll(PATIENCE):
            raise TimeoutError("a suite's result was not handled in time")
        reported = pipe.recv()
        assert isinstance(reported, Reported), reported
        return reported


@contextmanager
def reporters(promotion_yaml: str, suites: Sequence[str]) -> Iterator[Reporters]:
    """Start the processes; they end with the block."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(len(suites))
    pipes, processes = [], []
    for suite in suites:
        ours, theirs = context.Pipe()
        arguments = (promotion_yaml, suite, barrier, theirs)
        processes.append(context.Process(target=_serve, args=arguments, daemon=True))
        pipes.append(ours)
    for process in processes:
        process.start()
    try:
        yield Reporters(pipes)
    finally:
        for pipe in pipes:
            pipe.close()
        barrier.abort()
        for process in processes:
            process.join(PATIENCE)
            process.close()


def _serve(promotion_yaml: str, suite: str, barrier: Barrier, pipe: Connection) -> None:
    transport = anonymous_transport()
    topic = RecordedTopic()
    function = promoter(promotion_yaml, transport, topic)
    try:
        while True:
            image, digest = pipe.recv()
            now = datetime.now(UTC)
            result = TestResult(Reference.parse(image), digest, suite, Outcome.SUCCESS, now, now)
            barrier.wait(PATIENCE)
            before = len(topic.events)
            _deliver(function, result)
            pipe.send(Reported(topic.events[before:]))
    except EOFError:
        pass
    finally:
        transport.close()


def _deliver(function: Promoter, result: TestResult) -> None:
    """Deliver a result until it is acknowledged, as Pub/Sub does; for half a minute at most."""
    until = time.monotonic() + _IN_VAIN
    while True:
        try:
            function.handle(result)
        except Retryable:
            if time.monotonic() > until:
                raise
        else:
            return
