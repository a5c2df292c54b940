"""Logs that are followed: each entry once, also those that arrive late."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from operate import logs
from operate.errors import OperationFailed
from operate.logs import Wanted
from operate.programs import Answer, Program

NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
WANTED = Wanted("acme-ci", NOON)


class Scripted(Program):
    """A gcloud that gives one answer after the other, and keeps what it was asked."""

    def __init__(self, *answers: Sequence[dict[str, Any]] | None) -> None:
        super().__init__("gcloud", ("gcloud",))
        self._answers = list(answers)
        self.filters: list[str] = []

    def ask(self, *arguments: str) -> Answer:
        """The next answer; None is a failure."""
        self.filters.append(arguments[2])
        answer = self._answers.pop(0)
        if answer is None:
            return Answer(1, "", "ERROR: no right\n")
        return Answer(0, json.dumps(answer), "")


def entry(name: str, second: int) -> dict[str, Any]:
    """An entry of that second after noon."""
    moment = NOON.replace(minute=second // 60, second=second % 60)
    return {"insertId": name, "timestamp": moment.isoformat(), "textPayload": name}


def said(lines: Iterator[str], number: int) -> list[str]:
    """What the next lines say."""
    return [next(lines).split()[-1] for _ in range(number)]


def test_each_entry_once() -> None:
    """What is asked for again, since some arrive late, is shown only if it is new."""
    gcloud = Scripted(
        [entry("one", 0), entry("two", 100)],
        [entry("late", 50), entry("two", 100), entry("three", 200)],
        [entry("three", 200), entry("four", 201)],
    )
    pauses: list[float] = []
    lines = logs.following(gcloud, WANTED, pauses.append)
    assert said(lines, 5) == ["one", "two", "late", "three", "four"]
    assert len(pauses) == 2
    since = [each.rpartition('timestamp>="')[2] for each in gcloud.filters]
    assert since == [
        '2026-01-31T12:00:00+00:00")',
        '2026-01-31T12:00:40+00:00")',
        '2026-01-31T12:02:20+00:00")',
    ]


def test_nothing_yet() -> None:
    """Where nothing was logged, the same time is asked for again."""
    gcloud = Scripted([], [entry("one", 5)])
    assert said(logs.following(gcloud, WANTED, lambda _: None), 1) == ["one"]
    assert gcloud.filters[0] == gcloud.filters[1]


def test_more_than_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """That there is more is said, and not passed over."""
    monkeypatch.setattr(logs, "_MOST", 2)
    lines = list(logs.past(Scripted([entry("one", 0), entry("two", 1)]), WANTED))
    assert lines[-1] == "… and more than these 2: ask for a shorter time, or with a FILTER"


def test_no_right_to_read() -> None:
    """What gcloud complains of is passed on."""
    with pytest.raises(OperationFailed, match="gcloud logging read failed: ERROR: no right"):
        list(logs.past(Scripted(None), WANTED))
