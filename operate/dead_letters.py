"""What may become of a dead letter: pure decisions.

A dead letter goes back to the topic that it came from and to no other: which topic a result was
published to is what says for which pipeline it counts, so this is a matter of rights. Two parties
write where that was. The function does in ``promotion-dlq-topic``, whatever the publisher wrote
there. Pub/Sub does, for a message that the function never answered, in
``CloudPubSubDeadLetterSourceSubscription``; what stands in the other attribute then is the
publisher's word. Where both are there, they must say the same: also where the function has written
that it does not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

REASON, CLASS, TOPIC = (f"promotion-dlq-{each}" for each in ("reason", "class", "topic"))
RETRYABLE = "retryable"

_SOURCE = "CloudPubSubDeadLetterSource"
_SUBSCRIPTION, _PROJECT = f"{_SOURCE}Subscription", f"{_SOURCE}SubscriptionProject"
_ADDED = ("promotion-dlq-", _SOURCE)
_RENAMED = "original-"
# The names that the function's publisher cannot send as they are (promotion/events.py).
_PARAMETERS = frozenset({"self", "topic", "data", "ordering_key", "retry", "timeout"})


@dataclass(frozen=True)
class Letter:
    """A dead letter as it was pulled."""

    message_id: str
    data: bytes = field(repr=False)
    attributes: Mapping[str, str]

    @property
    def reason(self) -> str:
        """Why it was put aside."""
        return self.attributes.get(REASON, "it was never acknowledged")

    @property
    def original(self) -> dict[str, str]:
        """The attributes that it had before it was put aside."""
        kept = {
            name: value for name, value in self.attributes.items() if not name.startswith(_ADDED)
        }
        return {_restored(name): value for name, value in kept.items()}


@dataclass(frozen=True)
class Replay:
    """It goes back to this topic."""

    topic: str


@dataclass(frozen=True)
class Keep:
    """It stays where it is, for a reason."""

    reason: str


def decide(letter: Letter, sources: Mapping[str, str], classes: frozenset[str]) -> Replay | Keep:
    """What becomes of a letter.

    Args:
        letter: The letter.
        sources: The topic of each subscription, by full names, whose messages the function takes.
        classes: The classes that are replayed; empty: all.
    """
    kind = letter.attributes.get(CLASS, RETRYABLE)
    if classes and kind not in classes:
        return Keep(f"its class is {kind}; mend the message, or replay it all the same with ALL=1")
    said = (_by_function(letter), _by_pubsub(letter, sources))
    named = {topic for topic in said if topic is not None}
    if not named or "" in named:
        return Keep("no topic is recorded")
    if len(named) > 1:
        return Keep(f"it names two topics, {' and '.join(sorted(named))}: one may be forged")
    topic = named.pop()
    if topic not in sources.values():
        return Keep(f"{topic} is no topic of this deployment")
    return Replay(topic)


def _by_function(letter: Letter) -> str | None:
    """The topic that the function has written: empty if it did not know it; None for nothing."""
    return letter.attributes.get(TOPIC)


def _by_pubsub(letter: Letter, sources: Mapping[str, str]) -> str | None:
    """The topic of the subscription that Pub/Sub names; what it names if that is not known."""
    name = letter.attributes.get(_SUBSCRIPTION, "")
    if not name:
        return None
    short = name.rpartition("/")[2]
    full = f"projects/{letter.attributes.get(_PROJECT, '')}/subscriptions/{short}"
    return sources.get(full, full)


def _restored(name: str) -> str:
    short = name.removeprefix(_RENAMED)
    return short if short in _PARAMETERS else name
