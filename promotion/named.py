"""The image that a message is about: its name and its digest, which must agree."""

from __future__ import annotations

from promotion.errors import BadReference
from promotion.registry.reference import Digest, Reference, is_canonical, parse_digest


def named_image(name: str, digest: str) -> tuple[Reference, Digest]:
    """The image's name, without a digest, and the digest that the message is about.

    Raises:
        BadReference: One of them is none, the name has another digest, or the digest is of a kind
            that no tag names.
    """
    image, named = Reference.parse(name), parse_digest(digest)
    if not is_canonical(named):
        raise BadReference(
            f"the field digest is {named}, and what has a tag is named by sha256; give the digest"
            " that the tag names, as promotion publish does"
        )
    if image.digest not in (None, named):
        raise BadReference(f"{image} and the field digest, {named}, disagree")
    return Reference(image.repository, image.tag), named
