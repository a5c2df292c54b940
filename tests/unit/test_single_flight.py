"""What several threads want at the same time is done once, and each answers for itself."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from promotion.deadline import Deadline, keeping
from promotion.errors import AccessDenied, DeadlineExceeded
from promotion.registry.single_flight import SingleFlight
from tests.unit.watched import Watched


class Flights:
    """A flight that is held in the air, and another thread that wants the same."""

    def __init__(self, flights: SingleFlight[str, str]) -> None:
        self._flights = flights
        self._begun, self._goes_on = threading.Event(), threading.Event()
        self._threads = ThreadPoolExecutor(2)

    def lead(self, outcome: Callable[[], str]) -> Future[str]:
        """Set out, with an outcome that waits for ``land``."""

        def task() -> str:
            self._begun.set()
            assert self._goes_on.wait(60)
            return outcome()

        flight = self._threads.submit(self._flights.do, "key", task)
        assert self._begun.wait(60)
        return flight

    def follow(self, outcome: Callable[[], str], deadline: Deadline) -> Future[str]:
        """Want the same while the other one is on its way, and wait for that."""
        waits = threading.Event()
        flight = self._threads.submit(self._follow, outcome, deadline.unless(Watched(waits.set)))
        assert waits.wait(60)
        return flight

    def land(self) -> None:
        """Let the first one come to its end."""
        self._goes_on.set()

    def _follow(self, outcome: Callable[[], str], deadline: Deadline) -> str:
        with keeping(deadline):
            return self._flights.do("key", outcome)


def fail(error: Exception) -> str:
    """Fail."""
    raise error


LONG = Deadline.after(3600)


def test_a_result_is_shared() -> None:
    """Who comes while it is on its way does nothing, and has it."""
    flights = Flights(SingleFlight())
    first = flights.lead(lambda: "the first one's")
    second = flights.follow(lambda: fail(AssertionError()), LONG)
    assert not second.done()
    flights.land()
    assert first.result(60) == second.result(60) == "the first one's"


def test_an_error_is_shared() -> None:
    """A refusal holds for all who ask the same."""
    flights = Flights(SingleFlight())
    first = flights.lead(lambda: fail(AccessDenied("no")))
    second = flights.follow(lambda: fail(AccessDenied("no")), LONG)
    flights.land()
    for each in (first, second):
        with pytest.raises(AccessDenied, match="no"):
            each.result(60)


@pytest.mark.parametrize("own", [DeadlineExceeded, Exception])
def test_the_end_of_ones_time_is_ones_own(own: type[Exception]) -> None:
    """Who waited for another, and has time left, does it by itself."""
    flights = Flights(SingleFlight(own))
    first = flights.lead(lambda: fail(DeadlineExceeded("no time left")))
    second = flights.follow(lambda: "the second one's", LONG)
    flights.land()
    with pytest.raises(DeadlineExceeded):
        first.result(60)
    assert second.result(60) == "the second one's"


def test_nobody_waits_beyond_their_deadline() -> None:
    """What takes another one longer than there is time is given up."""
    flights = Flights(SingleFlight())
    first = flights.lead(lambda: "late")
    with pytest.raises(DeadlineExceeded, match="another one that does the same"):
        flights.follow(lambda: "never", Deadline.after(0)).result(60)
    flights.land()
    assert first.result(60) == "late"
