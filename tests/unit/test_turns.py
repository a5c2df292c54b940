"""Turns: one thread at a time does a thing, and others do not wait for it."""

from __future__ import annotations

from threading import Event, Thread

import pytest

from promotion.deadline import Deadline, keeping
from promotion.errors import DeadlineExceeded
from promotion.turns import Turns

PATIENCE = 60
"""Seconds after which a thread that is waited for is taken to be stuck."""


@pytest.mark.parametrize("_", range(50))
def test_nobody_does_what_another_is_doing(_: int) -> None:
    """Who comes while a thing is being done, does it afterwards."""
    turns, arrived, done = Turns(), Event(), list[str]()

    def second() -> None:
        arrived.set()
        with turns.turn("a promotion"):
            done.append("second")

    thread = Thread(target=second)
    with turns.turn("a promotion"):
        thread.start()
        assert arrived.wait(PATIENCE)
        done.append("first")
    thread.join(PATIENCE)
    assert done == ["first", "second"]


def test_other_things_are_done_meanwhile() -> None:
    """Threads with different things do not meet."""
    turns, done = Turns(), Event()

    def another() -> None:
        with turns.turn("another promotion"):
            done.set()

    thread = Thread(target=another)
    with turns.turn("a promotion"):
        thread.start()
        assert done.wait(PATIENCE)
    thread.join(PATIENCE)


def test_a_turn_ends_with_an_error() -> None:
    """Whoever fails does not keep others from trying."""
    turns, done = Turns(), Event()

    def next_one() -> None:
        with turns.turn("a promotion"):
            done.set()

    with pytest.raises(ZeroDivisionError), turns.turn("a promotion"):
        raise ZeroDivisionError
    thread = Thread(target=next_one, daemon=True)
    thread.start()
    assert done.wait(PATIENCE)
    thread.join(PATIENCE)


def test_turns_are_forgotten_once_nobody_wants_them() -> None:
    """A process that lives long does not remember every promotion that it ever did."""
    turns = Turns()
    with turns.turn("a promotion"):
        assert "a promotion" in repr(vars(turns))
    assert "a promotion" not in repr(vars(turns))


def test_nobody_waits_for_a_turn_beyond_their_deadline() -> None:
    """Who has no time left is not kept by who has; the turn goes on to those who do."""
    turns, given_up = Turns(), list[DeadlineExceeded]()

    def hurried() -> None:
        try:
            with keeping(Deadline.after(0.05)), turns.turn("a promotion"):
                pass
        except DeadlineExceeded as error:
            given_up.append(error)

    thread = Thread(target=hurried)
    with turns.turn("a promotion"):
        thread.start()
        thread.join(PATIENCE)
        assert len(given_up) == 1
    with keeping(Deadline.after(PATIENCE)), turns.turn("a promotion"):
        pass
