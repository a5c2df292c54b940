"""Topics that stand for Pub/Sub's."""

from __future__ import annotations

from promotion.events import Event


class RecordedTopic:
    """Keeps events in a list."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def prepare(self) -> None:
        """Nothing to do."""

    def publish(self, event: Event) -> str:
        """Keep an event."""
        self.events.append(event)
        return str(len(self.events))
