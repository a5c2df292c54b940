"""What becomes of a message: an effect, a dead letter, or another delivery."""

from __future__ import annotations

import logging

from promotion import events, log, messages
from promotion.delivery import Message
from promotion.errors import Permanent, PromotionError, Retryable
from promotion.lookout import Lookout
from promotion.messages import Deployed, TestResult
from promotion.promoter import Promoter
from promotion.publisher import Topic
from promotion.signals import Evaluate, Incident

_logger = logging.getLogger(__name__)


class Receiver:
    """Takes messages; a message may be acknowledged when ``receive`` returns.

    Attributes:
        most_attempts: How often the subscription delivers a message before it gives up.
    """

    def __init__(
        self, promoter: Promoter, lookout: Lookout, dead_letters: Topic, most_attempts: int
    ) -> None:
        self._promoter = promoter
        self._lookout = lookout
        self._dead_letters = dead_letters
        self.most_attempts = most_attempts

    def receive(self, message: Message) -> None:
        """Give a message its effect, or put it aside where it cannot have one.

        Raises:
            Retryable: It must be delivered again.
        """
        try:
            self._give_effect(messages.parse(message))
        except Permanent as error:
            self._put_aside(message, error, "permanent")
        except Retryable as error:
            if message.attempt < self.most_attempts:
                raise
            self._put_aside(message, error, "retryable")

    def _give_effect(self, said: TestResult | Deployed | Incident | Evaluate) -> None:
        match said:
            case TestResult():
                log.note(image=str(said.image), digest=said.digest, suite=said.suite)
                self._promoter.handle(said)
            case Deployed():
                log.note(image=str(said.image), digest=said.digest)
                self._promoter.deployed(said)
            case Incident():
                log.note(incident=said.incident)
                self._lookout.incident(said)
            case Evaluate():
                log.note(image=str(said.image or "all that wait"))
                self._lookout.evaluate(said)

    def _put_aside(self, message: Message, error: PromotionError, kind: str) -> None:
        _logger.error("dead letter (%s): %s", kind, error, extra={"dead_letter": kind})
        self._dead_letters.publish(events.dead_letter(message, str(error), kind))
