"""What people leave out when they name an image, looked up."""

from __future__ import annotations

from collections.abc import Iterable

from promotion.errors import NotFound
from promotion.registry.client import RepositoryClient
from promotion.registry.reference import Digest, Reference, Repository
from promotion.registry.transport import Transport


def digest_named_by(image: Reference, transport: Transport) -> Digest:
    """The digest that a reference names.

    Raises:
        NotFound: There is no such tag.
    """
    if image.digest:
        return image.digest
    digest = RepositoryClient(image.repository, transport).resolve(image.tag)
    if digest is None:
        raise NotFound(f"{image} does not exist; push it first, or check the name and the tag")
    return digest


def tag_naming(digest: Digest, repository: Repository, transport: Transport) -> str:
    """A tag that names a digest; of several the highest version.

    Raises:
        NotFound: There is none.
    """
    client = RepositoryClient(repository, transport)
    for tag in versions_first(client.tags()):
        if client.resolve(tag) == digest:
            return tag
    raise NotFound(f"No tag of {repository} names {digest}; give it as NAME:TAG@DIGEST")


def versions_first(tags: Iterable[str]) -> list[str]:
    """Tags that name images: semantic versions, the highest first, then all others.

    Tags that belong to digests, such as signatures, name no image.
    """
    from semver import Version

    named = [tag for tag in tags if not tag.startswith(("sha256-", "sha512-"))]
    versions = [tag for tag in named if Version.is_valid(tag)]
    others = [tag for tag in named if not Version.is_valid(tag)]
    return [*sorted(versions, key=Version.parse, reverse=True), *sorted(others, reverse=True)]


def highest_version(repository: Repository, transport: Transport) -> str:
    """The highest semantic version among a repository's tags.

    Raises:
        NotFound: No tag is one.
    """
    from semver import Version

    tags = [tag for tag in RepositoryClient(repository, transport).tags() if Version.is_valid(tag)]
    if not tags:
        raise NotFound(f"{repository} has no tag that is a version; give it as NAME:TAG")
    return max(tags, key=Version.parse)
