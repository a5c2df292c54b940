"""Processes that promote the same agree on one record, in whatever order their requests come.

A process is run request by request: each time from its beginning, with the answers that it has had,
up to the first request that has none. One that is never run again has died.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from promotion.agreement import agree
from promotion.registry.reference import Digest, digest_of

RECORDS = [digest_of(f"record {number}".encode()) for number in range(3)]
MOST_REQUESTS = 100


class Asks(BaseException):
    """What a process waits for."""

    def __init__(self, request: Callable[[], object]) -> None:
        super().__init__()
        self.request = request


class Place:
    """Where processes attach records, and say how far they are."""

    def __init__(self) -> None:
        self.attached: set[Digest] = set()
        self.words: set[str] = set()


class Process:
    """A delivery: it attaches a record, unless that is there, and agrees on one with the others."""

    def __init__(self, place: Place, record: Digest) -> None:
        self._place = place
        self._record = record
        self._answers: list[object] = []
        self._left: Iterator[object] = iter(())
        self.agreed: Digest | None = None

    def step(self) -> None:
        """Let it do one request more."""
        self._left = iter(tuple(self._answers))
        try:
            self._ask(lambda: self._place.attached.add(self._record))
            self.agreed = agree(self._record, self.look, self)
        except Asks as asked:
            self._answers.append(asked.request())

    def finish(self) -> Digest:
        """Let it do all that it still has to, while no other one does anything."""
        for _ in range(MOST_REQUESTS):
            if self.agreed:
                return self.agreed
            self.step()
        raise AssertionError(f"it came to no end: {self._place.words}")

    def look(self) -> Sequence[Digest]:
        """What is attached."""
        listed: list[Digest] = self._ask(lambda: sorted(self._place.attached))
        return listed

    def said(self, what: str) -> bool:
        """Whether it was."""
        known: bool = self._ask(lambda: what in self._place.words)
        return known

    def say(self, what: str) -> None:
        """Say it."""
        self._ask(lambda: self._place.words.add(what))

    def _ask(self, request: Callable[[], object]) -> Any:
        for answer in self._left:
            return answer
        raise Asks(request)


def run(schedule: Sequence[int], processes: Sequence[Process]) -> None:
    """Let them do a request each time that the schedule names one of them."""
    for number in schedule:
        if not processes[number].agreed:
            processes[number].step()


def begun(records: Sequence[Digest]) -> list[Process]:
    """A process for each record, in one place."""
    place = Place()
    return [Process(place, record) for record in records]


def test_one_by_itself_announces_its_own() -> None:
    """With two words between it and that: that it is decided, and whether anybody is in doubt."""
    (alone,) = begun(RECORDS[:1])
    run([0] * 5, [alone])
    assert alone.agreed == RECORDS[0]


def test_two_agree_in_whatever_order_their_requests_come() -> None:
    """All orders there are of the first requests of both, whichever of them goes on alone then."""
    for order in range(2**12):
        schedule = [order >> number & 1 for number in range(12)]
        for last in (0, 1):
            processes = begun(RECORDS[:2])
            run(schedule, processes)
            chosen = processes[last].finish()
            assert chosen in RECORDS
            assert processes[1 - last].agreed in (None, chosen)
            assert processes[1 - last].finish() == chosen


@given(
    st.lists(st.sampled_from(RECORDS), min_size=2, max_size=5),
    st.lists(st.integers(0, 4), max_size=150),
)
@example(RECORDS, [0, 1, 2] * 50)
def test_several_agree_whoever_dies(records: list[Digest], schedule: list[int]) -> None:
    """Some begin late, some with the same record; who comes later learns what was agreed on."""
    processes = begun(records)
    run([number % len(records) for number in schedule], processes)
    agreed = {each.agreed for each in processes if each.agreed}
    assert len(agreed) <= 1
    chosen = processes[-1].finish()
    assert chosen in records
    assert agreed <= {chosen}
    assert {each.finish() for each in processes} == {chosen}
