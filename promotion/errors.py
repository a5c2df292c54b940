"""Every error of the product, and what each means for the message that ran into it.

PromotionError
├── Permanent                trying again cannot help: the message is dead-lettered
│   ├── BadConfiguration     promotion.yaml or an environment variable is missing or wrong
│   ├── BadMessage           not a message that this deployment takes
│   ├── BadReference         not an image reference
│   ├── RegistryRefused      the registry says that the request itself is wrong
│   └── UnsupportedContent   a manifest that cannot be copied faithfully
└── Retryable                nothing is acknowledged: Pub/Sub delivers again, with back-off
    ├── AccessDenied         401 or 403: rights can be granted while the message waits
    ├── ContentMismatch      bytes that do not have the digest or the length they should have
    ├── NotFound             404: what is missing may still be on its way
    ├── PublishFailed        Pub/Sub did not take an event
    └── RegistryUnavailable  429, 5xx, time-out, no connection

The handler switches on Permanent and Retryable alone. Each text says what was attempted, on which
reference, what was answered, and what to do about it; none contains a credential.
"""


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


class RegistryRefused(Permanent):
    """The registry answered that the request itself is wrong, and would answer so again."""


class UnsupportedContent(Permanent):
    """A manifest of a kind that cannot be copied faithfully."""


class Retryable(PromotionError):
    """The same input may succeed later; nothing may be acknowledged until it does."""


class AccessDenied(Retryable):
    """The registry answered 401 or 403."""


class ContentMismatch(Retryable):
    """Bytes arrived that do not have the digest or the length they should have."""


class NotFound(Retryable):
    """The registry does not have what was asked for, or does not have it yet."""


class PublishFailed(Retryable):
    """Pub/Sub did not confirm an event in time."""


class RegistryUnavailable(Retryable):
    """The registry is busy, broken or out of reach."""
