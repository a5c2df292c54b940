"""The person, and the topics that are published to."""

from __future__ import annotations

from pathlib import Path

import pytest

from promotion import publisher
from tests.topics import RecordedTopic
from tests.unit.promote_by_hand.desk import Desk
from tests.unit.shop import Shop


@pytest.fixture
def desk(shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Desk:
    """The person."""
    return Desk(shop, tmp_path, capsys)


@pytest.fixture
def topics(monkeypatch: pytest.MonkeyPatch) -> dict[str, RecordedTopic]:
    """The topics that were published to, by name."""
    topics: dict[str, RecordedTopic] = {}
    monkeypatch.setattr(publisher, "topic", lambda name: topics.setdefault(name, RecordedTopic()))
    return topics
