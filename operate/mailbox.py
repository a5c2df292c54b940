"""Dead letters in the hand: pulled one after the other, and given back unless acknowledged."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Self

from operate.dead_letters import Letter

if TYPE_CHECKING:
    from google.cloud.pubsub_v1 import SubscriberClient
    from google.cloud.pubsub_v1.types import ReceivedMessage

_MOST_AT_ONCE = 100
# As long as Pub/Sub allows, which is longer than a batch takes.
_LEASE_SECONDS = 600


class Mailbox:
    """The letters of a subscription. Those that were pulled come to nobody else until its end.

    The client's streaming pull would drop, at its end, what it was told to give back.

    Args:
        quiet_seconds: When none has come for so long, there are no more.
    """

    def __init__(
        self, subscriber: SubscriberClient, subscription: str, quiet_seconds: float
    ) -> None:
        self._quiet_seconds = quiet_seconds
        self._subscriber = subscriber
        self._subscription = subscription
        self._pulled: set[str] = set()
        self._held: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._lease(list(self._held.values()), 0)

    def letters(self, most: int) -> Iterator[Letter]:
        """The letters that are there, each once, and no more than so many."""
        while len(self._pulled) < most:
            batch = self._pull(min(_MOST_AT_ONCE, most - len(self._pulled)))
            new = [each for each in batch if each.message.message_id not in self._pulled]
            if not new:
                return
            for each in new:
                self._pulled.add(each.message.message_id)
                self._held[each.message.message_id] = each.ack_id
            self._lease([each.ack_id for each in new], _LEASE_SECONDS)
            yield from map(_letter, new)

    def acknowledge(self, letter: Letter) -> None:
        """Let a letter be there no longer."""
        ack_id = self._held[letter.message_id]
        self._subscriber.acknowledge(subscription=self._subscription, ack_ids=[ack_id])
        del self._held[letter.message_id]

    def _pull(self, most: int) -> list[ReceivedMessage]:
        from google.api_core.exceptions import DeadlineExceeded

        try:
            answer = self._subscriber.pull(
                subscription=self._subscription,
                max_messages=most,
                timeout=self._quiet_seconds,
                retry=None,
            )
        except DeadlineExceeded:
            return []
        return list(answer.received_messages)

    def _lease(self, ack_ids: list[str], seconds: int) -> None:
        for start in range(0, len(ack_ids), _MOST_AT_ONCE):
            self._subscriber.modify_ack_deadline(
                subscription=self._subscription,
                ack_ids=ack_ids[start : start + _MOST_AT_ONCE],
                ack_deadline_seconds=seconds,
            )


def _letter(received: ReceivedMessage) -> Letter:
    message = received.message
    return Letter(message.message_id, message.data, dict(message.attributes))
