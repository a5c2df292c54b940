"""Every error of the product, and what each means for the message that ran into it.

PromotionError
├── Permanent                trying again cannot help: the message is dead-lettered
│   ├── BadConfiguration     promotion.yaml or an environment variable is missing or wrong
│   ├── BadMessage           not a message that this deployment takes
│   ├── BadReference         not an image reference
│   ├── BadReport            a test report that cannot be relied on
│   ├── CannotFinish         a blob that no attempt can bring over within its deadline
│   ├── NotIdentified        a request that does not prove who sends it
│   ├── RegistryRefused      the registry says that the request itself is wrong
│   ├── Several              more than one thing is wrong, each of them an error of its own
│   ├── TagMoved             a tag that names another digest than a person meant
│   ├── TagTaken             a tag that names other content, and is never overwritten
│   └── UnsupportedContent   a manifest that cannot be copied faithfully
│       └── BeyondLimit      more of something than is ever read (docs/limits.md)
└── Retryable                nothing is acknowledged: Pub/Sub delivers again, with back-off
    ├── AccessDenied         401, 403, 405: rights can be granted while the message waits
    ├── Contended            another process does the same at this moment
    ├── ContentMismatch      bytes that do not have the digest or the length they should have
    ├── DeadlineExceeded     the time for this attempt is used up; the next one goes on from here
    ├── EvidenceMissing      a statement that cannot be read, and without which nothing is decided
    ├── NotFound             404: what is missing may still be on its way
    ├── PublishFailed        Pub/Sub did not take an event
    ├── RegistryUnavailable  429, 5xx, time-out, no connection
    └── RegistryUntrusted    its certificate is not vouched for, or it leads astray

The handler switches on Permanent and Retryable alone. Each text says what was attempted, on which
reference, what was answered, and what to do about it; none contains a credential.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class PromotionError(Exception):
    """Anything that keeps a promotion from being done."""


class Permanent(PromotionError):
    """Trying again with the same input cannot help."""


class BadConfiguration(Permanent):
    """promotion.yaml, or an environment variable, is missing or wrong."""


class BadMessage(Permanent):
    """Not a message that this deployment takes: malformed, or about something it does not know."""


class BadReference(Permanent):
    """Text that does not name an image, a repository or a digest."""


class BadReport(Permanent):
    """A test report that cannot be relied on: unreadable, malformed, or of no test."""


class CannotFinish(Permanent):
    """A blob that no attempt can bring over within its deadline, at the speed it travels."""


class NotIdentified(Permanent):
    """A request that does not prove who sends it."""


class RegistryRefused(Permanent):
    """The registry answered that the request itself is wrong, and would answer so again."""


class Several(Permanent):
    """More than one thing is wrong; its text has a line for each.

    Attributes:
        errors: What is wrong, each for itself.
    """

    def __init__(self, errors: Sequence[PromotionError]) -> None:
        super().__init__("\n".join(map(str, errors)))
        self.errors = tuple(errors)


class TagMoved(Permanent):
    """The tag that a person named an image by names another digest than was meant."""


class TagTaken(Permanent):
    """The tag that an image should get names other content already, and is never overwritten."""


class UnsupportedContent(Permanent):
    """A manifest of a kind that cannot be copied faithfully."""


class BeyondLimit(UnsupportedContent):
    """More of something than is ever read: it is refused as a whole, and never cut."""


class Retryable(PromotionError):
    """The same input may succeed later; nothing may be acknowledged until it does."""


class AccessDenied(Retryable):
    """The registry answered 401 or 403; or 405, as one does that is read-only for a while."""


class Contended(Retryable):
    """Another process does the same at this moment, and may be the one to finish it."""


class ContentMismatch(Retryable):
    """Bytes arrived that do not have the digest or the length they should have."""


class DeadlineExceeded(Retryable):
    """The time for this attempt is used up; what has been done by then is found by the next."""


class EvidenceMissing(Retryable):
    """A statement without which nothing is decided.

    It is one's own, and is not listed yet or would not count; it was listed a moment before, and is
    not now; or it is listed, and not there.
    """


class NotFound(Retryable):
    """The registry does not have what was asked for, or does not have it yet."""


class PublishFailed(Retryable):
    """Pub/Sub did not confirm an event in time."""


class RegistryUnavailable(Retryable):
    """The registry is busy, broken or out of reach.

    Attributes:
        retry_after: The seconds for which it asks to be left alone, if it does.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RegistryUntrusted(Retryable):
    """No trusted authority vouches for its certificate, or it leads to where nobody is to go."""


def raise_one_of(failures: Iterable[PromotionError]) -> None:
    """Of several failures, raise one that another delivery may mend, before any that it cannot."""
    for failure in sorted(failures, key=lambda each: not isinstance(each, Retryable)):
        raise failure
