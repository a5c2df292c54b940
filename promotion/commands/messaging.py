"""What ``publish`` and ``evaluate`` have in common: an image is looked up, a message is sent."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from promotion.errors import BadReference, Retryable
from promotion.registry.lookup import digest_named_by
from promotion.registry.reference import Digest, Reference
from promotion.registry.transport import Transport

_DEVELOPMENT_ONLY = (
    "only a function that runs with PROMOTION_DEV=1 takes messages like that: send to the topic"
)


def digest_of(image: Reference, transport: Transport) -> Digest:
    """The digest that is meant: the one that the tag names, unless another one is given.

    Raises:
        BadReference: The image has no tag.
        NotFound: There is no such tag, whatever digest is given.
        Retryable: The registry failed.
    """
    if not image.tag:
        raise BadReference(f"{image} has no tag; name the image as NAME:TAG or NAME:TAG@DIGEST")
    named = digest_named_by(Reference(image.repository, image.tag), transport)
    return image.digest or named


def post(url: str, body: bytes, headers: Mapping[str, str]) -> None:
    """Send a message over HTTP to a function that is being developed.

    Raises:
        Retryable: It gave no answer, or did not take it.
    """
    import urllib3

    from promotion.registry import request_log

    try:
        with urllib3.PoolManager(retries=False) as pool:
            send = partial(pool.request, "POST", url, body=body, headers=dict(headers))
            answer = request_log.logged("POST", url, request_log.service_url, send)
    except urllib3.exceptions.HTTPError as error:
        raise Retryable(f"{url} gave no answer ({error}); is the function running?") from error
    if answer.status != 200:
        advice = _DEVELOPMENT_ONLY if answer.status == 403 else "its log says why"
        raise Retryable(
            f"{url} answered {answer.status}: {answer.data.decode(errors='replace').strip()};"
            f" {advice}"
        )
