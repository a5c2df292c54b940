"""What ``publish`` and ``evaluate`` have in common: an image is looked up, a message is sent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from promotion import publisher
from promotion.errors import BadConfiguration, BadReference, Retryable
from promotion.publisher import Topic
from promotion.registry.lookup import digest_named_by
from promotion.registry.reference import Digest, Reference
from promotion.registry.transport import Transport

if TYPE_CHECKING:
    import urllib3

_TOPIC = re.compile(r"projects/[^/]+/topics/[^/]+")
_LONGEST_EXPLANATION = 300
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


def topic_named(name: str, variable: str, environment: Mapping[str, str]) -> Topic:
    """The topic to send to: by its full name or, where that is empty, by a variable's.

    Raises:
        BadConfiguration: Neither names a topic.
    """
    named = name or environment.get(variable, "")
    if not named:
        raise BadConfiguration(f"Nowhere to send to: give --topic (or {variable}), or --url")
    if not _TOPIC.fullmatch(named):
        raise BadConfiguration(
            f"{named!r} is not the full name of a topic; write it as projects/PROJECT/topics/NAME"
        )
    return publisher.topic(named)


def post(url: str, body: bytes, headers: Mapping[str, str]) -> None:
    """Send a message over HTTP to a function that is being developed.

    Raises:
        Retryable: It gave no answer, or did not take it.
    """
    import urllib3

    try:
        with urllib3.PoolManager(retries=False) as pool:
            status, said = _exchanged(pool, url, body, headers)
    except urllib3.exceptions.HTTPError as error:
        raise Retryable(f"{url} gave no answer ({error}); is the function running?") from error
    if status != 200:
        advice = _DEVELOPMENT_ONLY if status == 403 else "its log says why"
        raise Retryable(f"{url} answered {status}: {said}; {advice}")


def _exchanged(
    pool: urllib3.PoolManager, url: str, body: bytes, headers: Mapping[str, str]
) -> tuple[int, str]:
    """The status of the answer, and the beginning of what it says, in a line."""
    from promotion.registry import request_log
    from promotion.registry.connections import read_at_most

    send = partial(
        pool.request,
        "POST",
        url,
        body=body,
        headers=dict(headers),
        preload_content=False,
        decode_content=False,
    )
    answer = request_log.logged("POST", url, request_log.service_url, send)
    said = read_at_most(answer, _LONGEST_EXPLANATION).decode(errors="replace")
    answer.close()
    return answer.status, " ".join(said.split())
