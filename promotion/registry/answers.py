"""What registries' answers say, beside their status."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from promotion import typed
from promotion.errors import BadReference, RegistryUnavailable, UnsupportedContent
from promotion.registry.reference import LONGEST_TAG, Digest, parse_digest
from promotion.registry.transport import Response


def is_web_page(answer: Response) -> bool:
    """Whether it is written for people: some registries answer so to what they do not know."""
    return _content_type(answer) == "text/html"


def media_type(answer: Response) -> str:
    """The media type of the manifest that an answer holds.

    Raises:
        UnsupportedContent: It has none, or is no manifest.
    """
    found = _content_type(answer)
    if not found:
        raise UnsupportedContent("The registry sent a manifest without a Content-Type")
    if is_web_page(answer):
        raise UnsupportedContent(
            "The registry sent a web page in place of a manifest; is the name one that it allows?"
        )
    return found


def told_digest(answer: Response, attempted: str) -> Digest | None:
    """The digest in an answer's header; None if there is none.

    Raises:
        RegistryUnavailable: What stands there is no digest, so something on the way is broken.
    """
    told = answer.headers.get("Docker-Content-Digest")
    try:
        return parse_digest(told) if told else None
    except BadReference as error:
        raise RegistryUnavailable(f"Could not {attempted}: {error}") from error


def listed_tags(answer: Response) -> list[str]:
    """The tags that a page of a list names.

    Raises:
        UnsupportedContent: It is no list of tags.
    """
    try:
        return typed.decode(answer.content, _TagList).tags or []
    except (ValueError, RecursionError) as error:
        raise UnsupportedContent(f"The registry sent no list of tags: {error}") from error


class _TagList(msgspec.Struct):
    tags: list[Annotated[str, Meta(max_length=LONGEST_TAG)]] | None = None


def _content_type(answer: Response) -> str:
    return answer.headers.get("Content-Type", "").partition(";")[0].strip()
