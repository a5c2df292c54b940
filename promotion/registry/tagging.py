"""Setting the tag of an image, beside whoever may be setting it at the same moment."""

from __future__ import annotations

from promotion.errors import AccessDenied, NotFound, RegistryRefused
from promotion.registry.client import RepositoryClient
from promotion.registry.manifest import Manifest
from promotion.registry.reference import Digest, Reference


def set_tag(repository: RepositoryClient, image: Manifest, tag: str) -> Digest:
    """Let a tag name an image; what it names afterwards, by whomever.

    Raises:
        NotFound: It was deleted at once.
        AccessDenied, RegistryRefused: Not because another writer has set it first.
        Retryable: The registry failed.
    """
    try:
        repository.put_manifest(image, tag)
    except (AccessDenied, RegistryRefused):
        # Where tags are immutable, this is how a lost race shows; a twin's tag is as good as ours.
        if repository.resolve(tag) is None:
            raise
    named = repository.resolve(tag)
    if named is None:
        place = Reference(repository.repository, tag)
        raise NotFound(f"{place} was deleted right after it was set")
    return named
