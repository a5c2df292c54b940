"""Takes dead letters back to the topics that they came from.

A dead letter is acknowledged only after its topic has taken the message. What is not replayed
stays where it is.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from google.api_core.exceptions import GoogleAPIError
from google.api_core.retry import Retry
from google.auth.exceptions import GoogleAuthError

from operate.dead_letters import RETRYABLE, Keep, Letter, Replay, decide
from operate.errors import OperationFailed
from operate.mailbox import Mailbox

if TYPE_CHECKING:
    from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient

    from operate.deployment import Deployment

_PUBLISH_SECONDS = 30


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Attributes:
        classes: The classes that are replayed; empty: all.
        most: How many letters are looked at.
        quiet_seconds: When none has come for so long, there are no more.
    """

    classes: frozenset[str] = frozenset({RETRYABLE})
    most: int = 1000
    quiet_seconds: float = 10.0


@dataclass(frozen=True)
class Outcome:
    """What became of a letter.

    Attributes:
        failure: Why what was decided could not be done; empty if it was.
    """

    letter: Letter
    decision: Replay | Keep
    failure: str = ""

    @property
    def is_replayed(self) -> bool:
        """Whether its topic has it."""
        return isinstance(self.decision, Replay) and not self.failure


class Replayer:
    """Replays the dead letters of a deployment."""

    def __init__(
        self, deployment: Deployment, publisher: PublisherClient, subscriber: SubscriberClient
    ) -> None:
        self._deployment = deployment
        self._topics = _Topics(publisher)
        self._subscriber = subscriber

    def replay(self, request: Request) -> Generator[Outcome]:
        """Replay what may be; what became of each letter, as it happens.

        Raises:
            OperationFailed: Pub/Sub does not let the letters, or the subscriptions, be read.
        """
        yield from self._outcomes(request, self._replayed)

    def rehearse(self, request: Request) -> Generator[Outcome]:
        """What would become of each letter; nothing is published, and nothing acknowledged.

        Raises:
            OperationFailed: As for ``replay``.
        """
        yield from self._outcomes(request, lambda _, letter, decision: Outcome(letter, decision))

    def _outcomes(
        self, request: Request, treat: Callable[[Mailbox, Letter, Replay | Keep], Outcome]
    ) -> Generator[Outcome]:
        subscription = self._deployment.dead_letter_subscription
        sources = self._deployment.sources
        with (
            _explained(f"Could not read the dead letters of {subscription}"),
            Mailbox(self._subscriber, subscription, request.quiet_seconds) as mailbox,
        ):
            for letter in mailbox.letters(request.most):
                yield treat(mailbox, letter, decide(letter, sources, request.classes))

    def _replayed(self, mailbox: Mailbox, letter: Letter, decision: Replay | Keep) -> Outcome:
        if isinstance(decision, Keep):
            return Outcome(letter, decision)
        failure = self._topics.publish(decision.topic, letter)
        if not failure:
            mailbox.acknowledge(letter)
        return Outcome(letter, decision, failure)


class _Topics:
    """The topics that letters go back to, each asked until it refuses."""

    def __init__(self, publisher: PublisherClient) -> None:
        from google.pubsub_v1 import PublisherClient as PlainPublisher

        # The other client takes attributes for parameters that have the same names.
        self._plain = PlainPublisher(transport=publisher.transport)
        self._refusals: dict[str, str] = {}

    def publish(self, topic: str, letter: Letter) -> str:
        """Publish a letter as it was; why it was not taken, or nothing."""
        from google.cloud.pubsub_v1.types import PubsubMessage

        if topic not in self._refusals:
            message = PubsubMessage(data=letter.data, attributes=letter.original)
            try:
                self._plain.publish(
                    topic=topic, messages=[message], retry=Retry(timeout=_PUBLISH_SECONDS)
                )
            except (GoogleAPIError, GoogleAuthError) as error:
                self._refusals[topic] = f"{topic} did not take it: {error}"
        return self._refusals.get(topic, "")


@contextmanager
def _explained(attempted: str) -> Iterator[None]:
    try:
        yield
    except (GoogleAPIError, GoogleAuthError) as error:
        raise OperationFailed(
            f"{attempted}: {error}. It takes roles/pubsub.subscriber on that subscription, and"
            " roles/pubsub.publisher on the topics that they go back to"
        ) from error
